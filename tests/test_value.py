from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Continuous, Observation, Spec
from stitchrl.report.rollout import Played
from stitchrl.report.stage import Stage
from stitchrl.report.value import POINTS, curves, measure, needed, thinned

SPEC = Spec(Observation((1,)), Continuous(2, (-1.0, -1.0), (1.0, 1.0)), 10)


@dataclass(frozen=True)
class Config:
    gamma: float = 0.5


class Optimist(eqx.Module):
    """Q(s, pi(s)) is ten times the observation it is given, plus a number of its own."""

    own: Any
    cfg: Any = eqx.field(static=True, default=Config())

    def inspect(self, batch, key):
        return {'q/policy': (10 * batch.obs[:, 0]).mean() + self.own}


class Mute(Optimist):
    def inspect(self, batch, key):
        return {}


@dataclass
class Place:
    spec: Spec = field(default=SPEC)


def stand(agent=Optimist, cfg=None, **units):
    border = eqx.tree_at(
        lambda b: list(units and [getattr(b, n) for n in units]), Boundary.blank(SPEC), list(units.values())
    )
    return Stage(agent(jnp.array([0.0, 1.0]), cfg or Config()), border, Place(), 'place')


def games(length=(10, 10), terminated=False, steps=10):
    start = np.array([[[1.0], [2.0]]] * 2)
    reward = np.ones((2, 2, steps)) * (np.arange(steps) < np.array(length)[None, :, None])
    shape = (2, 2)
    return Played(
        start,
        np.zeros((2, 2, steps, 2)),
        reward,
        np.broadcast_to(length, shape),
        np.full(shape, terminated),
        np.arange(2),
    )


def test_promise_and_delivery_in_the_agents_units():
    found = measure(stand(mean=np.float32([1]), scale=np.float32(3), shift=np.float32(1)), games())
    assert found.promised.tolist() == [[0, 10], [1, 11]]  # observations less their mean, times ten, plus its own
    assert found.delivered == pytest.approx(np.full((2, 2), 3 * 2 * (1 - 0.5**10) / 0.5))
    assert found.excess.mean == pytest.approx(5.5 - found.delivered.mean())


def test_episodes_that_end_by_themselves_are_true_and_those_cut_early_are_not():
    assert needed(stand()) == 10  # 5 / (1 - 0.5)
    assert measure(stand(), games((3, 10), terminated=True)).delivered[0, 0] == 1.75
    told = measure(stand(), games((3, 10)))
    assert told.startswith('2 of 4 episodes were cut after 3 steps or more')


@pytest.mark.parametrize(
    ('agent', 'cfg', 'told'),
    [
        (Mute, Config(), 'has no Q'),
        (Optimist, Config(1.0), 'does not discount'),
        (Optimist, object(), 'does not discount'),
    ],
)
def test_where_there_is_nothing_to_measure_it_says_why(agent, cfg, told):
    assert told in measure(stand(agent, cfg), games())


def row(step, seed, **values):
    return {'step': step, 'seed': seed} | values


def test_curves_leave_out_updates_at_which_a_seed_has_no_number():
    rows = [row(1, 0, **{'q/data': 1.0, 'q/policy': 2.0}), row(1, 1, **{'q/data': 3.0, 'q/policy': 4.0})]
    rows += [row(2, 0, **{'q/data': 5.0, 'q/policy': 'nan'}), row(2, 1, **{'q/data': 6.0, 'q/policy': 6.0})]
    found = curves(rows)
    assert list(found) == ["policy's actions", "data's actions"]
    assert [steps for steps, _ in found.values()] == [[1], [1, 2]]
    assert found["data's actions"][1].tolist() == [[1, 5], [3, 6]]
    assert curves([row(1, 0, loss=1.0)]) == {}


def test_long_curves_are_means_of_neighbours():
    steps, values = thinned(list(range(1000)), np.arange(2000.0).reshape(2, 1000))
    assert (len(steps), steps[-1], values.shape) == (POINTS, 999, (2, POINTS))
    assert values[:, 0].tolist() == [4.5, 1004.5]

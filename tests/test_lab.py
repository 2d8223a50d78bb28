from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import tiny
from counting import DeviceCounting

from stitchrl.algos.offline import bc
from stitchrl.algos.online.dqn import DQN
from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.data.dataset import Dataset
from stitchrl.data.rollouts import random_transitions
from stitchrl.errors import UsageError
from stitchrl.loops.lab import learned, trained, worth
from stitchrl.loops.offline import create, updates
from stitchrl.loops.plan import Plan
from stitchrl.loops.settings import configure
from stitchrl.loops.stream import Stream

WORLD = DeviceCounting.create()
SMALL = {'hidden': (8,), 'batch': 4, 'steps': 40}


def test_the_same_as_the_loop_of_a_run_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = tiny.dataset()
    made = trained('bc', data, seeds=2, seed=3, **tiny.CONFIG)
    assert not any(tmp_path.iterdir())
    cfg = bc.Config(**tiny.CONFIG)
    boundary = Boundary.fit(data, normalise=True)
    agents = create(bc.BC, data.spec, cfg, 3, 2)
    *_, last = updates(agents, jax.device_put(boundary.inward(data)), 3, 12, 12)
    for ours, theirs in zip(jax.tree.leaves(made.agents), jax.tree.leaves(last.agents), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert made.info.keys() == last.info.keys()
    np.testing.assert_array_equal(made.boundary.mean, boundary.mean)


def test_alter_meets_fresh_agents():
    zero = lambda agents: jax.tree.map(jnp.zeros_like, agents)
    made = trained('bc', tiny.dataset(), seeds=1, alter=zero, **tiny.CONFIG | {'steps': 0})
    assert all((np.asarray(x) == 0).all() for x in jax.tree.leaves(made.agents))


def test_unknown_settings_are_refused():
    with pytest.raises(UsageError, match='alpha'):
        trained('bc', tiny.dataset(), alpha=1.0)
    with pytest.raises(UsageError, match='alpha'):
        learned('dqn', WORLD, alpha=1.0)


@pytest.mark.nans
def test_online_the_same_as_the_loop_of_a_run():
    plan, cfg = Plan(lanes=2, random_steps=6), configure('dqn', 'default', SMALL)
    made = learned('dqn', WORLD, 2, 3, plan, **SMALL)
    stream = Stream(WORLD, jax.device_put(Boundary.blank(WORLD.spec)), None, plan, 88, 3)
    *_, last = stream.chunks(stream.fresh(create(DQN, WORLD.spec, cfg, 3, 2)), 0, 20, 20)
    for ours, theirs in zip(jax.tree.leaves(made.agents), jax.tree.leaves(last.agents), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert np.asarray(made.replay.last).sum(1).tolist() == [40, 40]
    assert made.info.keys() == last.info.keys()


@pytest.mark.nans
def test_going_on_online_leaves_what_was_there_and_mixes_the_data_in():
    """The world pays 2 at most, the recording a thousand."""
    rich = Dataset.from_columns(random_transitions(WORLD, jr.key(0), 30)).relabel(lambda data: 1000 + 0 * data.reward)
    before, seen = trained('dqn', rich, 2, **SMALL | {'steps': 0}), []
    kept = jax.device_get(before.agents)
    watch = lambda part: seen.append((part.step, np.asarray(jax.tree.leaves(part.agents)[0]).shape[0]))
    mixed = before.online(WORLD, 6, plan=Plan(random_steps=0, mix=0.5), every=3, watch=watch)
    assert seen == [(3, 2), (6, 2)]
    for ours, theirs in zip(jax.tree.leaves(before.agents), jax.tree.leaves(kept), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (mixed.info['critic/loss'] > 1e5).all()
    assert np.asarray(mixed.replay.reward).max() <= 2


class Constant(Agent):
    """Takes action 2, or 1 where it explores."""

    weight: jax.Array
    cfg: Any = eqx.field(static=True)

    @classmethod
    def create(cls, spec, cfg, key):
        return cls(jnp.zeros(()), cfg)

    def act(self, memory, obs, key, t=None):
        return jnp.full(len(obs), 2 if t is None else 1), memory

    def update(self, batch, key, t):
        return self, {}


@pytest.mark.parametrize(('explores', 'then'), [(False, 2.0), (True, 1.0)])
def test_worth_by_hand(explores, then):
    """An action pays itself. Even hundreds end as a task at the third step, odd ones only by a limit, which is none."""
    start = jax.vmap(WORLD.reset)(jr.split(jr.key(0), 20))
    action = jnp.arange(20) % 3
    boundary = Boundary.blank(WORLD.spec)
    found = worth(Constant.create(WORLD.spec, None, None), boundary, WORLD, start, action, jr.key(0), 0.5, 5, explores)
    even = np.asarray(start.obs)[:, 0] % 200 < 100
    rest = np.where(even, 0.5 + 0.25, 0.5 + 0.25 + 0.125 + 0.0625)
    np.testing.assert_allclose(found, np.asarray(action) + then * rest)
    assert 0 < even.sum() < 20

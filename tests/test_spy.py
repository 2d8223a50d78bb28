"""What is written down of a step: by hand, on an agent of two numbers."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stitchrl.core.agent import Agent
from stitchrl.core.learner import Learner, adam, when
from stitchrl.core.spec import Discrete, Observation, Spec
from stitchrl.data.columns import Columns
from stitchrl.data.dataset import Dataset
from stitchrl.report.spy import called, named, networks, watch, with_network


class Number(eqx.Module):
    """A network that is one number."""

    w: jax.Array

    def __call__(self):
        return self.w


def squared(net, batch, y, other, scale):
    loss = ((net() * other() - y) ** 2 * scale).mean()
    return loss, {'first/loss': loss, 'first/y': y.mean()}


def late(net, y):
    return net() * y.mean(), {'second/loss': net() * y.mean()}


class Two(Agent):
    """`first` learns in every update, `second` in every other one."""

    first: Learner
    second: Learner
    target: Number
    nothing: None = None
    cfg: Any = eqx.field(static=True, default=None)

    @classmethod
    def create(cls, spec, cfg, key):
        learner = lambda w: Learner.create(Number(jnp.float32(w)), adam(0.1))
        return cls(learner(2.0), learner(3.0), Number(jnp.float32(5.0)))

    def act(self, memory, obs, key, t=None):
        return jnp.zeros(len(obs), jnp.int32), memory

    def draw(self, data, key):
        return data.sample(key, 4)

    def update(self, batch, key, t):
        y = batch.reward + self.target()
        first, info = self.first.step(squared, batch, y, self.second.net, 0.5)
        agent, more = when(t % 2 == 1, self.update_second, self, 'second')
        return eqx.tree_at(lambda agent: agent.first, agent, first), info | more

    def update_second(self, agent):
        second, info = agent.second.step(partial(late), jnp.ones(3))
        return eqx.tree_at(lambda agent: agent.second, agent, second), info


@pytest.fixture(scope='module')
def data():
    """Rewards of 1 everywhere."""
    n = 6
    columns = Columns(
        np.zeros((n, 1), np.float32),
        np.zeros(n, np.int32),
        np.ones(n, np.float32),
        np.arange(n) == n - 1,
        None,
        np.zeros((n, 1), np.float32),
    )
    return jax.device_put(Dataset.from_columns(columns))


def two():
    return Two.create(Spec(Observation((1,)), Discrete(1)), None, None)


def test_a_step_by_hand(data):
    """y = 1 + 5, prediction 2 x 3: no error. With first = 1: error 3 - 6, loss 9 / 2, slope by w: 3 x (3 - 6)."""
    agent = with_network(two(), 'first', Number(jnp.float32(1.0)))
    steps = watch(agent, data, (0,))
    assert list(steps) == [('first', 'squared')]
    step = steps['first', 'squared']
    assert step.value == pytest.approx(4.5)
    np.testing.assert_allclose(step.slope, [-9])
    assert step.info['first/y'] == 6
    np.testing.assert_array_equal(step.args['y'][0], [6] * 4)
    np.testing.assert_allclose(step.arg_slope['y'][0], np.full(4, 3 / 4))
    np.testing.assert_allclose(step.arg_slope['other'][0], -3)
    np.testing.assert_array_equal(step.arg_slope['batch.reward'][0], np.zeros(4))
    assert step.whole == ('other',)


def test_a_branch_is_noted_only_where_it_is_taken(data):
    """Shapes of a branch are asked for in any case; that is no step."""
    assert list(watch(two(), data, (0, 2))) == [('first', 'squared')]
    assert list(watch(two(), data, (0, 1))) == [('first', 'squared'), ('second', 'late')]


def test_nothing_learns_while_it_is_watched(data):
    """The second update sees the same networks as the first."""
    agent = with_network(two(), 'first', Number(jnp.float32(1.0)))
    once, often = (watch(agent, data, times)['first', 'squared'] for times in ((3,), (0, 1, 2, 3)))
    assert once.value == often.value == pytest.approx(4.5)


def test_networks_are_fields_with_numbers():
    found = networks(two())
    assert {name: float(net.w) for name, net in found.items()} == {'first': 2, 'second': 3, 'target': 5}
    changed = with_network(two(), 'second', Number(jnp.float32(7.0)))
    assert float(changed.second.net.w) == 7
    assert isinstance(changed.second, Learner)
    assert float(with_network(two(), 'target', Number(jnp.float32(8.0))).target.w) == 8


def test_names_of_arguments():
    loss = lambda net, batch, pair, flag, key: None
    args = ({'a': jnp.ones(1)}, (jnp.ones(2), jnp.ones(3)), True, jax.random.key(0))
    assert {name: x[0].shape for name, x in named(loss, None, args).items()} == {
        "batch['a']": (1,),
        'pair[0]': (2,),
        'pair[1]': (3,),
    }
    assert called(partial(squared, scale=1)) == 'squared'

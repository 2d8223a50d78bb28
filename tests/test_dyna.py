"""Dyna by hand: the table of values, the table of what happened, and what is imagined; planning spares steps."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from toy_models import ONE, THREE, Line

from stitchrl.algos.modelled.dyna import Config, Dyna, Table, imagined
from stitchrl.core.spec import Discrete, Observation, Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.envs.gridworld import GridWorld
from stitchrl.errors import UsageError
from stitchrl.loops.lab import learned
from stitchrl.loops.plan import Plan
from stitchrl.models.last_seen import LastSeen

KEY = jr.key(0)
WALK = Spec(Observation((3,)), Discrete(2))  # 0 1 2, back or on; the task ends in 2
CFG = Config(inner='table', lr=0.5, gamma=0.5, batch=2, planning=1)
pytestmark = pytest.mark.usefixtures('quick_compiles')


def steps(s, a, r, after, mask):
    """Rows from lists of state numbers."""
    obs, next_obs = jax.nn.one_hot(jnp.array(s), 3), jax.nn.one_hot(jnp.array(after), 3)
    reward, mask = jnp.array(r, jnp.float32), jnp.array(mask, jnp.float32)
    return Transition(obs, jnp.array(a), reward, next_obs, mask, 0.5 * mask, jnp.array(a))


def test_the_table_of_values_by_hand():
    """Q(0, on) += (0 + Q(1, on) / 2 - Q(0, on)) / 2, and at the end nothing follows."""
    agent = Table(jnp.array([[0.0, 1.0], [0.0, 4.0], [9.0, 9.0]]), CFG)
    after, info = agent.update(steps([0, 1], [1, 1], [0, 2], [1, 2], [1, 0]), KEY, jnp.int32(0))
    np.testing.assert_allclose(after.q, [[0, 1.5], [0, 3], [9, 9]])
    np.testing.assert_allclose(info['critic/loss'], (1 + 4) / 2)
    assert agent.act((), jnp.eye(3), KEY)[0].tolist() == [1, 1, 0]


def test_equal_values_are_chosen_among_by_chance_and_a_share_at_random():
    agent = Table(jnp.array([[0.0, 0, 0], [5.0, 0, 5]]), replace(CFG, final_epsilon=0.3))
    obs = jnp.repeat(jnp.eye(2), 3000, 0)
    action = np.asarray(agent.act((), obs, KEY, jnp.int32(0))[0]).reshape(2, 3000)
    share = [[(row == a).mean() for a in range(3)] for row in action]
    np.testing.assert_allclose(share, [[1 / 3] * 3, [0.45, 0.1, 0.45]], atol=0.03)


def test_what_happened_last_by_hand():
    model, info = LastSeen.create(WALK).update(steps([0, 1], [1, 1], [3, 2], [1, 2], [1, 0]), KEY)
    assert float(info['model/loss']) == 2.5
    after, reward, mask = model.step(jax.nn.one_hot(jnp.array([0, 1, 0]), 3), jnp.array([1, 1, 0]), KEY)
    assert after.argmax(-1).tolist() == [1, 2, 0]
    assert (reward.tolist(), mask.tolist()) == ([3, 2, 0], [1, 0, 0]), 'what was never taken ends and pays nothing'
    again, _ = model.update(steps([0], [1], [7], [0], [1]), KEY)
    assert again.step(jnp.eye(3)[:1], jnp.array([1]), KEY)[1].tolist() == [7]


def test_an_update_by_hand():
    """First the step that was taken, then one that is imagined: on 0 -> 1 the value of 1 has by then been learned."""
    agent = Dyna.create(WALK, CFG, KEY)
    model, _ = agent.model.update(steps([0], [1], [0], [1], [1]), KEY)
    taken, before = steps([1, 1], [1, 0], [4, 0], [2, 0], [0, 1]), steps([0, 0], [1, 1], [-99, -99], [2, 2], [0, 0])
    batch = jax.tree.map(lambda *x: jnp.stack(x), taken, before)
    update = jax.jit(lambda agent: agent.update(batch, KEY, jnp.int32(0)))  # of this test, or a mutant would stay
    after, info = update(replace(agent, model=model))
    np.testing.assert_allclose(after.inner.q, [[0, 2 * 0.5 * (0.5 * 2)], [0, 2], [0, 0]])
    assert info.keys() == {'critic/loss', 'model/loss'}
    assert after.model.mask.tolist() == [[0, 1], [1, 0], [0, 0]]


@pytest.mark.parametrize(('actions', 'where'), [('recorded', [1, 3]), ('greedy', [2, 4])])
def test_whose_action_is_imagined(actions, where):
    """From 1 and 3, with 0 (stay) as it was taken or 1 (on) as the agent would; beyond 3.5 the task ends."""

    class On(Table):
        def act(self, memory, obs, key, t=None):
            return jnp.full(len(obs), 2), memory

    batch = Transition(jnp.array([[1.0], [3.0]]), jnp.array([1, 1]), *[jnp.zeros(2)] * 5)
    found = imagined(Line(edge=3.5), On(jnp.zeros((1, 3)), CFG), batch, KEY, replace(CFG, actions=actions))
    assert found.next_obs.ravel().tolist() == where
    np.testing.assert_allclose(found.discount, [0.5, 0.5 if actions == 'recorded' else 0.0])


def test_what_cannot_be():
    for spec, settings, word in (
        (ONE, {}, 'mbpo'),
        (THREE, {'planning': -1}, 'from 0'),
        (THREE, {'inner': 'table', 'normalise': True}, 'leave normalise off'),
        (replace(THREE, obs=Observation((3, 8, 8))), {'inner': 'table'}, 'one-hot'),
    ):
        with pytest.raises(UsageError, match=word):
            Dyna.create(spec, replace(Config(), **settings), KEY)


@pytest.mark.nans
def test_a_table_takes_only_states():
    """Four physical numbers have a largest one too, but that is no state: a recording of them is refused, and in an
    environment the first update is no number. How an environment begins is looked at for a table alone."""
    states = Dataset.from_arrays(np.eye(3), [0, 1, 0], np.ones(3), [0, 0, 1], next_obs=np.eye(3)[[1, 2, 0]])
    assert Dyna.select(states, CFG) is states
    numbers = states.with_columns(obs=states.obs * [[1, 1, 0.5]])
    with pytest.raises(UsageError, match=r'one-hot, row 2 is .*; --inner dqn takes any'):
        Dyna.select(numbers, CFG)
    dqn = replace(CFG, inner='dqn')
    assert Dyna.select(numbers, dqn) is numbers
    Dyna.enter(lambda: np.eye(3)[1], CFG)
    with pytest.raises(UsageError, match=r'an episode begins with \[1\. +0\.5 0\. +\]; --inner dqn takes any'):
        Dyna.enter(lambda: np.array([1.0, 0.5, 0.0]), CFG)
    Dyna.enter(pytest.fail, dqn)
    assert (Dyna.in_parts(CFG), Dyna.in_parts(dqn)) == (False, True)
    agent, rows = Table.create(WALK, CFG, KEY), steps([0, 1], [1, 1], [0, 2], [1, 2], [1, 0])
    assert np.isnan(agent.update(rows._replace(obs=2 * rows.obs), KEY, jnp.int32(0))[1]['critic/loss'])


@pytest.mark.nans
def test_planning_spares_steps_of_the_world():
    """Four rooms, the goal 12 steps away; after 1,500 steps in it each of five agents with planning knows a shortest
    way, and of those without, which learned as often from the world as the others did, none does."""
    env, plan = GridWorld.create('rooms', horizon=400), Plan(random_steps=1)
    settings = {'inner': 'table', 'lr': 0.5, 'gamma': 0.95, 'batch': 1, 'final_epsilon': 0.1, 'steps': 1500}
    lengths = [
        learned('dyna', env, plan=plan, planning=planning, **settings).play(env, 0, 1).lengths for planning in (50, 0)
    ]
    assert (lengths[0] == 12).all(), lengths
    assert (lengths[1] > 12).all(), lengths

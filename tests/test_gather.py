"""Episodes as recordings: the right ones, all of them, with the right ends; without noise those of an evaluation."""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from counting import Counting, DeviceCounting

from stitchrl import envs
from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Discrete, Observation, Spec
from stitchrl.data.episodes import episode_ends, lengths, returns
from stitchrl.envs.cartpole import CartPole
from stitchrl.envs.env import Env, State
from stitchrl.envs.gymnasium import Host
from stitchrl.envs.pointmaze import PointMaze
from stitchrl.errors import BadData, StitchError, UsageError
from stitchrl.loops import gather as module
from stitchrl.loops.cast import Player
from stitchrl.loops.evaluate import evaluate
from stitchrl.loops.gather import gather

SCRIPT = ((3, True), (2, False), (1, True))
COUNTING = Spec(Observation((1,)), Discrete(3), 9)


def anyone(spec):
    """Random actions."""
    return Player.create(None, 0.0, spec), Boundary.blank(spec)


def host(script=SCRIPT, horizon=9, make=Counting):
    return Host('counting', partial(make, script), replace(COUNTING, horizon=horizon))


def judged(env, algo, seed, episodes, **settings):
    """(returns of an evaluation, the player of the same agent, its boundary)."""
    agents = tiny.agents(algo, env.spec, 1, seed, **settings)
    boundary = Boundary.blank(env.spec)
    told = evaluate(agents, boundary, env, seed, episodes)
    return told, Player.create(jax.tree.map(lambda x: x[0], agents), 0.0, env.spec), boundary


@pytest.mark.parametrize(
    ('env', 'algo'),
    [
        (CartPole.create(horizon=150), 'dqn'),
        (PointMaze.create('umaze', 30), 'bc'),
        (envs.make('CartPole-v1'), 'dqn'),
        (envs.make('Pendulum-v1'), 'bc'),
    ],
    ids=['device choices', 'device', 'host choices', 'host'],
)
def test_without_noise_they_are_the_episodes_of_an_evaluation(env, algo, monkeypatch):
    """Also when they are played in several batches, the last of them not full."""
    monkeypatch.setattr(module, 'BATCH', 3)
    told, player, boundary = judged(env, algo, 5, 7)
    columns = gather(player, boundary, env, 5, 7)
    ends = episode_ends(columns)
    np.testing.assert_array_equal(lengths(ends), told.lengths[0])
    np.testing.assert_allclose(returns(columns.reward, ends), told.returns[0], rtol=1e-5)


def test_host_episodes_worked_by_hand():
    """Seven episodes of five copies: the first two play two each. The observation counts all that a copy showed."""
    columns = gather(*anyone(COUNTING), host(), 0, 7)
    two = [0, 1, 2, 4, 5]  # a reset shows a number of its own
    assert columns.obs[:, 0].tolist() == [*two, *two, *([0, 1, 2] * 3)]
    np.testing.assert_array_equal(columns.next_obs, columns.obs + 1)
    flags = lambda where: np.isin(np.arange(19), where).tolist()
    assert columns.terminal.tolist() == flags([2, 7, 12, 15, 18])
    assert columns.timeout.tolist() == flags([4, 9])
    np.testing.assert_array_equal(columns.reward, columns.action)
    assert (columns.obs.dtype, columns.action.dtype, columns.reward.dtype) == (np.float32, np.int32, np.float32)


def test_device_episodes_end_as_the_environment_says():
    columns = gather(*anyone(COUNTING), DeviceCounting.create(), 0, 10)
    obs = columns.obs[:, 0].reshape(10, 3)
    np.testing.assert_array_equal(obs % 100, np.tile([0, 1, 2], (10, 1)))
    np.testing.assert_array_equal(columns.next_obs, columns.obs + 1)
    even, last = columns.obs[:, 0] % 200 < 100, columns.obs[:, 0] % 100 == 2
    np.testing.assert_array_equal(columns.terminal, even & last)
    np.testing.assert_array_equal(columns.timeout, ~even & last)
    assert 0 < columns.terminal.sum() < 10
    np.testing.assert_array_equal(columns.reward, columns.action)
    assert set(columns.action) == {0, 1, 2}


def test_a_limit_cuts_host_episodes():
    """Worked by hand: of 3 steps that end, 2 that are cut and 1 that ends, each copy plays one."""
    columns = gather(*anyone(COUNTING), host(), 0, 15, limit=2)
    assert columns.obs[:, 0].tolist() == [0, 1, 3, 4, 6] * 5  # a reset shows a number of its own
    assert columns.terminal.tolist() == [0, 0, 0, 0, 1] * 5
    assert columns.timeout.tolist() == [0, 1, 0, 1, 0] * 5
    np.testing.assert_array_equal(columns.next_obs, columns.obs + 1)


def test_a_limit_cuts_device_episodes():
    columns = gather(*anyone(COUNTING), DeviceCounting.create(), 0, 10, limit=2)
    assert (columns.obs[:, 0] % 100).tolist() == [0, 1] * 10
    assert columns.timeout.tolist() == [0, 1] * 10
    assert not columns.terminal.any()


def test_long_episodes_go_through_several_stretches():
    """The horizon ends them, wherever a stretch does."""
    horizon = 130
    env = PointMaze.create('umaze', horizon)
    columns = gather(*anyone(env.spec), env, 0, 3)
    assert lengths(episode_ends(columns)).max() == horizon
    assert columns.timeout.sum() + columns.terminal.sum() == 3
    inside = ~episode_ends(columns)[:-1]
    np.testing.assert_array_equal(columns.next_obs[:-1][inside], columns.obs[1:][inside])
    assert columns.low == (-1.0, -1.0)


def test_the_seed_decides():
    env = DeviceCounting.create()
    first, again, other = (gather(*anyone(COUNTING), env, seed, 10) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.action, again.action)
    np.testing.assert_array_equal(first.obs, again.obs)
    assert not np.array_equal(first.obs, other.obs)


def test_short_episodes_do_not_crowd_out_long_ones():
    """Copies play their shares: of two kinds of episodes in turn there are as many of each, however long they take."""
    columns = gather(*anyone(COUNTING), host(((8, True), (1, True))), 0, 20)
    assert np.bincount(lengths(episode_ends(columns)))[[1, 8]].tolist() == [10, 10]


class Broken(Counting):
    def step(self, action):
        if self.shown == 4:
            raise RuntimeError('a wheel came off')
        return super().step(action)


class Poisoned(DeviceCounting):
    def step(self, state, action, key):
        after = super().step(state, action, key)
        return eqx.tree_at(lambda s: s.reward, after, jnp.where(state.obs[0] % 100 == 1, jnp.inf, after.reward))


class Endless(Env):
    spec: Spec = eqx.field(static=True)

    def reset(self, key):
        no = jnp.zeros((), bool)
        return State(jnp.zeros(1), jnp.zeros(()), no, no, ())

    def step(self, state, action, key):
        return state


def test_an_environment_that_breaks_is_named():
    with pytest.raises(StitchError, match=r'counting raised RuntimeError at step 3 of collecting: a wheel came off'):
        gather(*anyone(COUNTING), host(make=Broken), 0, 10)


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(BadData, match=r'rewards.*infinite'):
        gather(*anyone(COUNTING), Poisoned.create(), 0, 10)


def test_what_might_never_end_is_refused_unless_it_is_cut():
    env = Endless(replace(COUNTING, horizon=None))
    with pytest.raises(UsageError, match=r'states no time limit.*--limit STEPS'):
        gather(*anyone(COUNTING), env, 0, 1)
    assert gather(*anyone(COUNTING), env, 0, 2, 150).timeout.nonzero()[0].tolist() == [149, 299]


@pytest.mark.parametrize(('episodes', 'limit'), [(0, None), (1, 0)])
def test_nothing_to_play_is_refused(episodes, limit):
    with pytest.raises(UsageError, match='expected at least 1 of 1'):
        gather(*anyone(COUNTING), DeviceCounting.create(), 0, episodes, limit)

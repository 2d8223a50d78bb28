"""The drifting point: moves, walls and noise by hand, and squares that count as its moves do."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.envs.gridworld import ACTIONS
from stitchrl.envs.pointmass import SIZES, PointMass
from stitchrl.errors import UsageError

SIZE = {'easy': 5, 'medium': 6, 'hard': 11}  # cells on a side


def step(env, position, action, seed=0):
    return env.step(env.begin(jnp.array(position, jnp.float32)), jnp.int32(ACTIONS.index(action)), jr.key(seed))


@pytest.mark.parametrize('name', SIZES)
def test_sizes_limits_and_ends(name):
    env = PointMass.create(name)
    assert env.spec.obs.shape == (2,)
    assert (env.spec.action.n, env.spec.horizon) == (5, {'easy': 50, 'medium': 150, 'hard': 100}[name])
    obs = env.reset(jr.key(0)).obs
    assert obs.dtype == jnp.float32
    np.testing.assert_allclose(obs, [0.5 / SIZE[name], 1 - 0.5 / SIZE[name]], atol=1e-6)  # S is drawn top left
    np.testing.assert_array_equal(obs, env.reset(jr.key(1)).obs)


@pytest.mark.parametrize(
    ('action', 'moved'),
    [('stay', (0, 0)), ('north', (0, 0.5)), ('east', (0.5, 0)), ('south', (0, -0.5)), ('west', (-0.5, 0))],
)
def test_a_move_is_a_stride_along_its_axis(action, moved):
    env = PointMass.create('hard', noise=0.0)
    after = step(env, (3.5, 3.5), action)
    np.testing.assert_allclose(after.inner.position, np.add((3.5, 3.5), moved), atol=1e-5)
    np.testing.assert_allclose(after.obs, (np.add((3.5, 3.5), moved) - 1) / 11, atol=1e-5)
    assert (float(after.reward), bool(after.terminated)) == (0, False)


def test_a_wall_stops_only_what_leads_into_it():
    """0.4 of a cell east of the wall at x = 1: four parts of 0.1 west would end in it or on its edge."""
    env = PointMass.create('medium', noise=0.0)
    west = step(env, (1.45, 6.5), 'west').inner.position
    assert 1 <= west[0] < 1.1
    assert west[1] == 6.5
    north = step(env, (1.45, 6.5), 'north').inner.position
    np.testing.assert_allclose(north, [1.45, 6.95], atol=0.06)
    assert north[1] < 7


def test_the_drift_has_the_deviation_of_half_a_move_on_both_axes():
    env = PointMass.create('hard')
    after = jax.vmap(lambda k: env.step(env.begin(jnp.array([3.5, 4.5])), jnp.int32(2), k))(jr.split(jr.key(0), 4000))
    moved = np.asarray(after.inner.position) - [3.5, 4.5]
    np.testing.assert_allclose(moved.mean(0), [0.5, 0], atol=0.02)
    np.testing.assert_allclose(moved.std(0), [0.25, 0.25], atol=0.02)


def test_near_the_goal_the_task_ends_with_a_reward():
    env = PointMass.create('easy', noise=0.0)
    far, near = (step(env, (5.5, 1.5 + up), 'stay') for up in (1.05, 0.95))
    assert (float(far.reward), bool(far.terminated), bool(env.success(far))) == (0, False, False)
    assert (float(near.reward), bool(near.terminated), bool(env.success(near))) == (1, True, True)


def test_a_time_limit_truncates_and_ends_no_task():
    env = PointMass.create('easy')
    state = env.reset(jr.key(0))
    stay = jax.jit(lambda state, key: env.step(state, jnp.int32(0), key))
    for t in range(env.spec.horizon):
        assert not state.truncated
        state = stay(state, jr.key(t))
    assert bool(state.truncated)
    assert not state.terminated


def test_no_walk_enters_a_wall():
    """Random walks from everywhere for 50 steps."""
    env = PointMass.create('hard', anywhere=True)

    def walk(key):
        k_reset, k_steps = jr.split(key)

        def one(state, k):
            k_action, k_step = jr.split(k)
            after = env.step(state, jr.randint(k_action, (), 0, 5), k_step)
            return after, after.inner.position

        return jax.lax.scan(one, env.reset(k_reset), jr.split(k_steps, 50))[1]

    x, y = np.floor(np.asarray(jax.jit(jax.vmap(walk))(jr.split(jr.key(0), 300)))).astype(int).reshape(-1, 2).T
    assert not np.asarray(env.walls)[y, x].any()


def test_anywhere_is_every_cell_but_the_goals():
    env = PointMass.create('medium', anywhere=True)
    cells = np.floor(jax.vmap(lambda k: env.reset(k).inner.position)(jr.split(jr.key(0), 2000))).astype(int)
    free = ~np.asarray(env.walls)
    x, y = np.floor(env.goal).astype(int)
    free[y, x] = False
    assert {(x, y) for x, y in cells} == {(x, y) for y, x in np.argwhere(free)}


@pytest.mark.parametrize('name', SIZES)
def test_places_number_the_squares_of_one_stride(name):
    env = PointMass.create(name)
    rows, columns = env.grid
    assert (rows, columns) == env.distances().shape
    y, x = np.divmod(np.arange(rows * columns), columns)
    middles = jnp.asarray(np.stack([(x + 0.5) / columns, (y + 0.5) / rows], 1), jnp.float32)
    np.testing.assert_array_equal(env.place(middles), np.arange(rows * columns))
    np.testing.assert_array_equal(env.place(jnp.array([[1.0, 1.0], [0.0, 0.0]])), [rows * columns - 1, 0])
    left = env.distances()
    goal, start = (np.asarray(env.place(env.observe(p))) for p in (env.goal, env.start))
    assert left.ravel()[goal] == 0
    assert left.ravel()[start] == {'easy': 16, 'medium': 17, 'hard': 40}[name]
    assert ((left < 0).mean() > 0) == bool(np.asarray(env.walls)[1:-1, 1:-1].any())


@pytest.mark.parametrize(
    ('options', 'message'),
    [({'name': 'huge'}, "no point mass 'huge'; choose one of easy, medium, hard"), ({'noise': -1.0}, 'noise is -1')],
)
def test_bad_requests_are_refused_in_words(options, message):
    with pytest.raises(UsageError, match=message):
        PointMass.create(**options)

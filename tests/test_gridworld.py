"""The tabular world: what it does is what its matrices say, and its values are the best there are."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.envs.gridworld import ACTIONS, GRIDS, GridWorld, Inner
from stitchrl.errors import UsageError

GAMMA = 0.9


def floor(grid):
    """States that an episode can be in before it ends."""
    return np.setdiff1d(np.flatnonzero(~np.asarray(grid.walls)), int(grid.goal))


def after(grid, state, action, draws):
    """States and rewards, [N, A, draws], of every state in `state` [N] and action in `action` [A]."""
    begin = grid.reset(jr.key(0))

    def one(s, a, key):
        out = grid.step(replace(begin, inner=Inner(s, begin.inner.t)), a, key)
        return out.inner.cell, out.reward, out.terminated

    keys = jr.split(jr.key(1), draws)
    each = jax.vmap(jax.vmap(jax.vmap(one, (None, None, 0)), (None, 0, None)), (0, None, None))
    return jax.jit(each)(jnp.asarray(state), jnp.asarray(action), keys)


@pytest.mark.parametrize('name', GRIDS)
@pytest.mark.parametrize('slip', [0.0, 0.4])
def test_steps_follow_the_matrices(name, slip):
    grid = GridWorld.create(name, slip=slip)
    states, actions = floor(grid), np.arange(len(ACTIONS))
    cell, reward, terminated = map(np.asarray, after(grid, states, actions, 400))
    seen = (cell[..., None] == np.arange(grid.walls.size)).mean(2)
    p, r = grid.transition_matrix(), grid.reward_matrix()
    np.testing.assert_allclose(p.sum(-1), 1)
    np.testing.assert_allclose(seen, p[states], atol=0.13 if slip else 0)
    np.testing.assert_allclose(reward.mean(2), r[states], atol=0.13 if slip else 0)
    assert (terminated == (cell == int(grid.goal))).all()


def test_actions_go_where_their_names_say():
    grid = GridWorld.from_text('#####\n#...#\n#.S.#\n#..G#\n#####')
    cell, _, _ = after(grid, np.array([int(grid.start)]), np.arange(5), 1)
    moved = {name: divmod(int(s), 5) for name, s in zip(ACTIONS, cell[0, :, 0], strict=True)}
    assert moved == {'stay': (2, 2), 'north': (3, 2), 'east': (2, 3), 'south': (1, 2), 'west': (2, 1)}


def test_slipping_is_a_random_action_and_a_wall_stops():
    grid = GridWorld.create('corridor', slip=0.5)
    east, start = ACTIONS.index('east'), int(grid.start)
    p = grid.transition_matrix()[start, east]
    # Half the time east; else one of five: east once, four times no move (walls on three sides, or stay).
    np.testing.assert_allclose([p[start + 1], p[start]], [0.5 + 0.5 / 5, 0.5 * 4 / 5])


def test_values_of_the_corridor_by_hand():
    grid = GridWorld.create('corridor')
    v, q = grid.optimal_values(GAMMA)
    cells = int(grid.start) + np.arange(5)
    np.testing.assert_allclose(v[cells], [GAMMA**3, GAMMA**2, GAMMA, 1, 0], atol=1e-9)
    np.testing.assert_allclose(q[cells[1]], GAMMA ** np.array([3, 3, 2, 3, 4]))


def test_optimal_values_agree_with_policy_iteration():
    grid = GridWorld.create('rooms', slip=0.2)
    p, r = grid.transition_matrix(), grid.reward_matrix()
    states, policy = np.arange(len(r)), np.zeros(len(r), int)
    for _ in range(50):
        v = np.linalg.solve(np.eye(len(r)) - GAMMA * p[states, policy], r[states, policy])
        policy = (r + GAMMA * p @ v).argmax(1)
    best, q = grid.optimal_values(GAMMA)
    np.testing.assert_allclose(best, v, atol=1e-9)
    np.testing.assert_allclose(q.max(1), v, atol=1e-9)


def test_values_under_the_support_of_data_by_hand():
    grid = GridWorld.create('corridor')
    s, east, stay = int(grid.start), ACTIONS.index('east'), ACTIONS.index('stay')
    allowed = np.zeros((grid.walls.size, len(ACTIONS)), bool)
    allowed[s : s + 4, stay] = allowed[s + 2 : s + 4, east] = allowed[s, east] = True
    v, q = grid.optimal_values(GAMMA, allowed)
    np.testing.assert_allclose(v[s : s + 5], [0, 0, GAMMA, 1, 0], atol=1e-9)  # from the second cell none goes on
    np.testing.assert_allclose(q[s + 1, east], GAMMA**2)  # though it would be worth it
    assert (v <= grid.optimal_values(GAMMA)[0]).all()


def test_a_state_without_any_allowed_action_is_worth_nothing():
    grid = GridWorld.create('corridor')
    v, _ = grid.optimal_values(GAMMA, np.zeros((grid.walls.size, len(ACTIONS)), bool))
    assert (v == 0).all()


def test_observations_are_the_state_one_hot_or_its_coordinates():
    one_hot, xy = (GridWorld.create('rooms', observe=observe) for observe in ('onehot', 'xy'))
    for grid, expected in ((one_hot, np.eye(81)[7 * 9 + 1]), (xy, [1, 7])):
        obs = grid.reset(jr.key(0)).obs
        assert obs.dtype == jnp.float32
        assert obs.shape == grid.spec.obs.shape
        np.testing.assert_array_equal(obs, expected)
    stepped = xy.step(xy.reset(jr.key(0)), jnp.int32(ACTIONS.index('east')), jr.key(0))
    np.testing.assert_array_equal(stepped.obs, [2, 7])


def test_the_horizon_truncates_and_the_goal_terminates():
    grid = GridWorld.create('corridor', horizon=4)
    states = [grid.reset(jr.key(0))]
    for action in [ACTIONS.index('east')] * 4:
        states.append(grid.step(states[-1], jnp.int32(action), jr.key(0)))
    assert [float(s.reward) for s in states] == [0, 0, 0, 0, 1]
    assert [bool(s.terminated) for s in states] == [False] * 4 + [True]
    assert [bool(s.truncated) for s in states] == [False] * 4 + [True]
    assert bool(grid.success(states[-1]))


def test_beginning_anywhere_means_every_cell_of_floor_but_the_goal():
    grid = GridWorld.create('rooms', anywhere=True)
    cells = jax.vmap(lambda k: grid.reset(k).inner.cell)(jr.split(jr.key(0), 2000))
    seen, count = np.unique(np.asarray(cells), return_counts=True)
    np.testing.assert_array_equal(seen, floor(grid))
    assert count.min() > 2000 / len(seen) / 2


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'name': 'maze'}, "no grid 'maze'; choose one of corridor, rooms"),
        ({'slip': 1.5}, 'slip is 1.5'),
        ({'horizon': 0}, 'horizon is 0'),
        ({'observe': 'pixels'}, "no observation 'pixels'; choose one of onehot, xy"),
    ],
)
def test_bad_requests_are_refused_in_words(options, message):
    with pytest.raises(UsageError, match=message):
        GridWorld.create(**options)

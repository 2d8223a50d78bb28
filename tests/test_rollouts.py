"""Whole episodes of a policy: the rows are what the world does and the policy chose."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.data.rollouts import policy_transitions, random_transitions
from stitchrl.envs.gridworld import ACTIONS, GridWorld
from stitchrl.envs.pointmaze import PointMaze
from stitchrl.errors import UsageError


class Always(eqx.Module):
    """One action, whatever is seen."""

    action: jax.Array

    def __call__(self, obs, key):
        return self.action


@pytest.mark.parametrize('slip', [0.0, 0.3])
def test_random_episodes_in_the_grid_follow_its_matrices(slip):
    grid = GridWorld.create('rooms', slip=slip, horizon=20, anywhere=True)
    columns = random_transitions(grid, jr.key(0), 20_000)
    before, after = columns.obs.argmax(1), columns.next_obs.argmax(1)
    chance = grid.transition_matrix()[before, columns.action, after]
    assert chance.min() > 0
    assert (columns.terminal == (after == int(grid.goal))).all()
    assert (columns.reward == columns.terminal).all()
    ends = np.flatnonzero(columns.terminal | columns.timeout)
    lengths = np.diff(ends, prepend=-1)
    assert lengths.max() == 20
    assert (lengths[columns.timeout[ends]] == 20).all()
    np.testing.assert_allclose(np.bincount(columns.action) / len(columns), 0.2, atol=0.02)
    tried = np.zeros((grid.walls.size, 5), bool)
    tried[before, columns.action] = True
    assert tried.sum() == 5 * (~np.asarray(grid.walls)).sum() - 5  # all but those of the goal
    assert (columns.low, columns.high) == (None, None)


def test_random_actions_of_the_maze_fill_their_bounds():
    columns = random_transitions(PointMaze.create('umaze', horizon=30), jr.key(0), 5000)
    assert (columns.low, columns.high) == ((-1, -1), (1, 1))
    np.testing.assert_allclose(np.quantile(columns.action, [0, 0.5, 1], axis=0).T, [[-1, 0, 1]] * 2, atol=0.05)


def test_random_episodes_need_a_horizon():
    maze = PointMaze.create('umaze')
    with pytest.raises(UsageError, match='states no horizon'):
        random_transitions(replace(maze, spec=replace(maze.spec, horizon=None)), jr.key(0), 10)


def test_the_policy_chooses():
    grid = GridWorld.create('corridor', horizon=10)
    east, stay = (Always(jnp.int32(ACTIONS.index(name))) for name in ('east', 'stay'))
    columns = policy_transitions(grid, east, jr.key(0), 40)
    assert len(columns) == 40
    assert (columns.action == ACTIONS.index('east')).all()
    np.testing.assert_array_equal(np.flatnonzero(columns.terminal), np.arange(3, 40, 4))
    waiting = policy_transitions(grid, stay, jr.key(0), 40)
    assert not waiting.terminal.any()
    np.testing.assert_array_equal(np.flatnonzero(waiting.timeout), [9, 19, 29, 39])

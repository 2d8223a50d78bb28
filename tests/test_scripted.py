import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.data.rollouts import policy_transitions
from stitchrl.data.scripted import Steered
from stitchrl.envs.pointmaze import PointMaze


@pytest.fixture(scope='module')
def maze():
    return PointMaze.create('umaze', 50)


def test_without_noise_every_episode_reaches_the_goal(maze):
    columns = policy_transitions(maze, Steered.to(maze, maze.goal, 0.0), jr.key(0), 500)
    assert columns.terminal.sum() >= 20
    assert not columns.timeout.any()


def test_noise_makes_it_worse_and_actions_stay_inside(maze):
    columns = policy_transitions(maze, Steered.to(maze, maze.goal, 1.5), jr.key(0), 500)
    assert np.abs(columns.action).max() <= 1
    quiet = policy_transitions(maze, Steered.to(maze, maze.goal, 0.0), jr.key(0), 500)
    assert columns.reward.mean() < 0.8 * quiet.reward.mean()


def test_it_goes_where_it_is_sent(maze):
    """Beside its target it goes there; in it, to the middle of where the disc fits, x = 1.3 to 2, and stays."""
    steer = Steered.to(maze, (1.5, 3.5), 0.0)
    np.testing.assert_allclose(steer(jnp.array([2.5, 3.5]), jr.key(0)), [-1, 0], atol=1e-6)
    np.testing.assert_allclose(steer(jnp.array([1.65, 3.5]), jr.key(0)), [0, 0], atol=1e-5)

"""The disc in the maze: contact with walls, no way through them, rest only where a push has nowhere to go."""

from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stitchrl.envs.maps import BESIDE, distances
from stitchrl.envs.pointmaze import MAZES, RADIUS, ROOM, SPEED, SUBSTEPS, PointMaze
from stitchrl.errors import UsageError

step = jax.jit(PointMaze.step)

# Two chambers that touch the way only at a corner, or through a wall one cell thick.
CHAMBERS = """
    ########
    #..#...#
    #..#...#
    ###S..G#
    #..#...#
    ########
"""


@partial(jax.jit, static_argnums=3)
def push(maze, position, action, steps):
    """Positions [steps + 1, N, 2] of discs that start at `position` [N, 2]; `action` [steps or 1, N, 2]."""

    def one(state, act):
        state = jax.vmap(maze.step, in_axes=(0, 0, None))(state, act, jr.key(0))
        return state, state.obs

    begin = jax.vmap(maze.begin)(position)
    path = jax.lax.scan(one, begin, jnp.broadcast_to(action, (steps, *position.shape)))[1]
    return jnp.concatenate([position[None], path])


def clearance(maze, position):
    """Distance from each position [..., 2] to the nearest wall, by looking at every wall of the maze."""
    corner = np.argwhere(np.asarray(maze.walls))[:, ::-1]
    nearest = np.clip(position[..., None, :], corner, corner + 1)
    return np.linalg.norm(position[..., None, :] - nearest, axis=-1).min(-1)


def floor(maze, spacing=0.1):
    """Every point of a lattice at which the disc fits, [N, 2]."""
    height, width = maze.walls.shape
    lattice = np.stack(np.meshgrid(np.arange(0, width, spacing), np.arange(0, height, spacing)), -1)
    points = lattice.reshape(-1, 2).astype(np.float32)
    return points[clearance(maze, points) > RADIUS + 1e-3]


def test_no_part_of_a_step_is_long_enough_to_enter_a_wall():
    assert SPEED / SUBSTEPS * 2**0.5 < RADIUS < 0.5


@pytest.mark.parametrize('text', [*MAZES.values(), CHAMBERS], ids=[*MAZES, 'chambers'])
@settings(max_examples=5)
@given(seed=st.integers(0, 2**31 - 1), scale=st.sampled_from([0.3, 1.0, 10.0]))
def test_the_disc_never_overlaps_a_wall_and_never_passes_one(text, seed, scale):
    maze = PointMaze.from_text(text)
    k_start, k_drift, k_noise = jr.split(jr.key(seed), 3)
    start = jr.choice(k_start, jnp.asarray(floor(maze)), (200,))
    drift = jr.normal(k_drift, (1, 200, 2))  # so that it also leans on walls for long
    path = np.asarray(push(maze, start, scale * (drift + jr.normal(k_noise, (60, 200, 2))), 60))
    assert clearance(maze, path).min() > RADIUS - 1e-5
    assert np.abs(np.diff(path, axis=0)).max() < SPEED + RADIUS
    chamber = components(maze)
    cells = np.floor(path).astype(int)
    number = chamber[cells[..., 1], cells[..., 0]]
    assert (number == number[0]).all()


def components(maze):
    """For each cell, the first cell of floor that a way leads to, as a number."""
    walls = np.asarray(maze.walls)
    number = np.full(walls.shape, -1)
    for i, (y, x) in enumerate(np.argwhere(~walls)):
        if number[y, x] < 0:
            number[distances(walls, (int(y), int(x))) >= 0] = i
    return number


def test_the_chambers_of_that_test_are_apart():
    assert len(np.unique(components(PointMaze.from_text(CHAMBERS)))) == 4


def test_contact_is_exact_and_a_push_along_the_wall_is_kept_whole():
    maze = PointMaze.create('junctions')
    path = push(maze, jnp.array([[5.5, 1.5]]), jnp.array([[[0.5, -1.0]]]), 6)[:, 0]
    np.testing.assert_allclose(path[-1], [5.5 + 6 * 0.5 * SPEED, 1 + RADIUS], atol=1e-5)


def test_a_disc_that_catches_a_corner_rolls_off_it():
    maze = PointMaze.create('junctions')  # a corner at (3, 2), free cells to its right and below
    level = 2 - RADIUS + 0.02
    path = np.asarray(push(maze, jnp.array([[3.5, 1.5], [3.72, level]]), jnp.array([[[-1.0, 0.2]]]), 20))
    assert (path[-1, :, 0] < 1.5).all()


@pytest.mark.parametrize('angle', np.arange(8, 360, 22.5))  # never along an axis
def test_a_steady_slanting_push_ends_only_in_a_nook(angle):
    maze = PointMaze.create('junctions')
    action = jnp.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))], jnp.float32)
    path = np.asarray(push(maze, jnp.asarray(floor(maze, 0.23)), action, 400))
    rest, cell = path[-1], np.floor(path[-1])
    np.testing.assert_allclose(rest, path[-2], atol=1e-6)
    nook = cell + np.where(np.sign(action) > 0, 1 - RADIUS, RADIUS)
    np.testing.assert_allclose(rest, nook, atol=1e-4)


def test_one_step_agrees_with_a_thousand_small_ones():
    maze = PointMaze.create('medium')
    start = floor(maze, 0.17)
    action = np.asarray(jr.uniform(jr.key(1), start.shape, minval=-1, maxval=1))
    position = start.astype(np.float64)
    for _ in range(1000):
        position = position + SPEED / 1000 * action
        position = pushed_out(maze, pushed_out(maze, position))
    ours = np.asarray(push(maze, jnp.asarray(start), jnp.asarray(action)[None], 1))[1]
    apart = np.linalg.norm(ours - position, axis=1)  # round a corner the three parts of a step are coarse
    assert apart.max() < 0.1
    assert np.quantile(apart, 0.9) < 1e-3


def pushed_out(maze, position):
    """Move each disc straight away from the nearest point of any wall, found among all walls."""
    corner = np.argwhere(np.asarray(maze.walls))[:, ::-1]
    nearest = np.clip(position[:, None], corner, corner + 1)
    gap = np.linalg.norm(position[:, None] - nearest, axis=-1)
    first = gap.argmin(1)
    away = position - nearest[np.arange(len(position)), first]
    gap = gap.min(1, keepdims=True)
    return position + np.where(gap < RADIUS, away * (RADIUS / gap - 1), 0)


@pytest.mark.parametrize('name', MAZES)
def test_walking_from_cell_to_cell_reaches_the_goal_in_half_the_horizon(name):
    maze = PointMaze.create(name)
    ahead = jnp.asarray(next_middle(maze), jnp.float32)

    def one(state, _):
        x, y = jnp.floor(state.obs).astype(int)
        after = maze.step(state, (ahead[y, x] - state.obs) / SPEED, jr.key(0))
        done = state.terminated
        return jax.tree.map(lambda old, new: jnp.where(done, old, new), state, after), None

    begin = jax.vmap(maze.reset)(jr.split(jr.key(0), 200))
    end = jax.jit(jax.vmap(lambda s: jax.lax.scan(one, s, length=maze.spec.horizon // 2)[0]))(begin)
    assert jax.vmap(maze.success)(end).all()


def next_middle(maze):
    """[H, W, 2], the middle of the next cell on a shortest way to the goal."""
    left = maze.distances()
    middle = np.zeros((*left.shape, 2))
    for y, x in np.argwhere(left > 0):
        dy, dx = next(b for b in BESIDE if left[y + b[0], x + b[1]] == left[y, x] - 1)
        middle[y, x] = x + dx + 0.5, y + dy + 0.5
    return middle


def test_the_goal_cell_ends_the_task_with_the_only_reward():
    maze = PointMaze.create('umaze')  # the goal is cell (1, 1)
    state = maze.begin(jnp.array([2.3, 1.5]))
    state = step(maze, state, jnp.array([-0.4, 0.0]), jr.key(0))
    assert (state.reward, bool(state.terminated), bool(maze.success(state))) == (0, False, False)
    state = step(maze, state, jnp.array([-0.4, 0.0]), jr.key(0))
    assert (state.reward, bool(state.terminated), bool(maze.success(state))) == (1, True, True)
    assert not state.truncated
    np.testing.assert_allclose(state.obs, [1.9, 1.5], rtol=1e-6)


def test_the_horizon_truncates_and_does_not_terminate():
    maze = PointMaze.create('umaze', horizon=3)
    state, flags = maze.reset(jr.key(0)), []
    for _ in range(3):
        state = step(maze, state, jnp.zeros(2), jr.key(0))
        flags.append((bool(state.truncated), bool(state.terminated)))
    assert flags == [(False, False), (False, False), (True, False)]


def test_episodes_begin_around_the_middle_of_the_start_cell():
    maze = PointMaze.create('junctions')
    begin = np.asarray(jax.vmap(lambda k: maze.reset(k).obs)(jr.split(jr.key(0), 500)))
    offset = begin - [1.5, 1.5]
    assert ROOM * 0.95 < np.abs(offset).max() <= ROOM + 1e-6
    np.testing.assert_allclose(offset.mean(0), 0, atol=0.03)


def test_distances_to_the_goal():
    left = PointMaze.create('umaze').distances()
    assert left[1:4, 1:4].tolist() == [[0, 1, 2], [-1, -1, 3], [6, 5, 4]]


def test_bad_requests_are_refused_in_words():
    with pytest.raises(UsageError, match="no maze 'large'; choose one of umaze, medium, junctions"):
        PointMaze.create('large')
    with pytest.raises(UsageError, match='horizon is 0'):
        PointMaze.create('umaze', horizon=0)

"""Recordings of the maze: each kind is what it says, its rows are true, and they cover all there is."""

from collections import defaultdict

import jax
import jax.random as jr
import numpy as np
import pytest

from stitchrl.data.collect import KINDS, LENGTH, segments
from stitchrl.envs.maps import BESIDE
from stitchrl.envs.pointmaze import RADIUS, PointMaze
from stitchrl.errors import UsageError

MAZES = ('junctions', 'medium')
EVERY_KIND = pytest.mark.parametrize('kind', KINDS)
EVERY_MAZE = pytest.mark.parametrize('name', MAZES)


@pytest.fixture(scope='module')
def recorded():
    """Maze and columns of every maze and kind, 30 000 rows each."""
    mazes = {name: PointMaze.create(name) for name in MAZES}
    return {(n, k): (mazes[n], segments(mazes[n], jr.key(0), 30_000, k)) for n in MAZES for k in KINDS}


@jax.jit
def again(maze, obs, action):
    """States after one step from rest at each `obs` [N, 2] with each `action` [N, 2]."""
    step = lambda o, a: maze.step(maze.begin(o), a, jr.key(0))
    return jax.vmap(step)(obs, action)


def cells(position):
    """Cells (y, x) of positions [N, 2]."""
    return [(int(y), int(x)) for x, y in np.floor(position)]


def walks(columns):
    """The cells of each segment, the last one included."""
    ends = np.flatnonzero(columns.terminal | columns.timeout) + 1
    for first, last in zip([0, *ends[:-1]], ends, strict=True):
        yield cells(columns.obs[first:last]) + cells(columns.next_obs[last - 1 : last])


def reachable(columns, start):
    """Cells that chains of recorded transitions lead to from cell `start`."""
    following = defaultdict(set)
    for here, there in zip(cells(columns.obs), cells(columns.next_obs), strict=True):
        following[here].add(there)
    found, front = {start}, [start]
    while front:
        fresh = following[front.pop()] - found
        found |= fresh
        front += fresh
    return found


def ends_of(maze):
    """Start and goal cells (y, x)."""
    return cells(np.stack([maze.start, maze.goal]))


@EVERY_MAZE
@EVERY_KIND
def test_rows_are_what_the_world_does(recorded, name, kind):
    maze, columns = recorded[name, kind]
    after = again(maze, columns.obs[:30_000], columns.action[:30_000])
    np.testing.assert_allclose(after.obs, columns.next_obs[:30_000], atol=1e-5)
    np.testing.assert_array_equal(after.reward, columns.reward[:30_000])
    np.testing.assert_array_equal(after.terminated, columns.terminal[:30_000])
    ends = columns.terminal | columns.timeout
    assert ends[-1]
    assert not (columns.terminal & columns.timeout).any()
    np.testing.assert_array_equal(columns.next_obs[:-1][~ends[:-1]], columns.obs[1:][~ends[:-1]])
    assert np.diff(np.flatnonzero(ends), prepend=-1).max() < LENGTH  # none wandered until the limit
    assert np.abs(columns.action).max() <= 1


@EVERY_MAZE
@EVERY_KIND
def test_there_are_goals_in_every_recording(recorded, name, kind):
    _, columns = recorded[name, kind]
    assert columns.reward.sum() > 100


@EVERY_MAZE
@EVERY_KIND
def test_walks_are_noisy(recorded, name, kind):
    _, columns = recorded[name, kind]
    ends = columns.terminal | columns.timeout
    change = np.abs(np.diff(columns.action, axis=0))[~ends[:-1]]
    assert np.median(change) > 0.3  # a walk without noise goes straight on, but at corners


@EVERY_MAZE
def test_stitch_no_segment_joins_start_and_goal_but_chains_do(recorded, name):
    maze, columns = recorded[name, 'stitch']
    start, goal = ends_of(maze)
    assert not any({start, goal} <= set(walk) for walk in walks(columns))
    assert goal in reachable(columns, start)


@EVERY_MAZE
def test_stitch_junctions_are_left_in_all_directions(recorded, name):
    maze, columns = recorded[name, 'stitch']
    walls, counts = np.asarray(maze.walls), defaultdict(int)
    for here, there in zip(cells(columns.obs), cells(columns.next_obs), strict=True):
        counts[here, there] += 1
    for y, x in np.argwhere(~walls):
        beside = [(y + dy, x + dx) for dy, dx in BESIDE if not walls[y + dy, x + dx]]
        left = np.array([counts[(y, x), there] for there in beside])
        if len(beside) > 2 and (y, x) != ends_of(maze)[1]:
            assert left.min() > 0.1 * left.sum()


@EVERY_MAZE
def test_cut_no_chain_leads_from_the_start_to_the_goal(recorded, name):
    maze, columns = recorded[name, 'cut']
    start, goal = ends_of(maze)
    found, left = reachable(columns, start), maze.distances()
    assert goal not in found
    assert min(left[cell] for cell in found) > 4
    assert all(goal in reachable(columns, cell) for cell in zip(*np.nonzero(left == 1), strict=True))


@EVERY_MAZE
def test_along_every_segment_ends_nearer_to_the_goal(recorded, name):
    maze, columns = recorded[name, 'along']
    left = maze.distances()
    assert all(left[walk[-1]] < left[walk[0]] for walk in walks(columns))
    stitched = recorded[name, 'stitch'][1]
    assert 0.3 < np.mean([left[walk[-1]] < left[walk[0]] for walk in walks(stitched)]) < 0.7
    assert ends_of(maze)[1] in reachable(columns, ends_of(maze)[0])


@EVERY_MAZE
@pytest.mark.parametrize('kind', ['stitch', 'along'])
def test_wherever_the_disc_fits_there_is_data(name, kind):
    maze = PointMaze.create(name)
    obs = segments(maze, jr.key(0), 100_000, kind).obs
    height, width = maze.walls.shape
    middles = np.stack(np.meshgrid(np.arange(10 * height), np.arange(10 * width), indexing='ij'), -1) / 10 + 0.05
    corner = np.argwhere(np.asarray(maze.walls))
    nearest = np.clip(middles[:, :, None], corner, corner + 1)
    fits = np.linalg.norm(middles[:, :, None] - nearest, axis=-1).min(-1) > RADIUS
    fits &= (np.floor(middles) != ends_of(maze)[1]).any(-1)  # in the goal cell everything is over
    rows, columns = (obs[:, ::-1] * 10).astype(int).T
    count = np.bincount(rows * 10 * width + columns, minlength=fits.size).reshape(fits.shape)
    assert fits.sum() > 1000
    assert count[fits].min() > 0


def test_the_key_decides_and_whole_segments_are_kept():
    maze = PointMaze.create('junctions')
    first, again, other = (segments(maze, jr.key(k), 5000) for k in (0, 0, 1))
    np.testing.assert_array_equal(first.action, again.action)
    assert not np.array_equal(first.action[:100], other.action[:100])
    assert 5000 <= len(first) < 5000 + LENGTH
    longer = segments(maze, jr.key(0), 30_000)
    np.testing.assert_array_equal(longer.obs[: len(first)], first.obs)


@pytest.mark.parametrize(
    ('name', 'kind', 'message'),
    [
        ('junctions', 'random', "no kind of segments 'random'; choose one of stitch, cut, along"),
        ('tiny', 'stitch', 'start and goal are 2 cells apart; segments need more than 4'),
    ],
)
def test_bad_requests_are_refused_in_words(name, kind, message):
    tiny = PointMaze.from_text('#####\n#S.G#\n#####')
    with pytest.raises(UsageError, match=message):
        segments(tiny if name == 'tiny' else PointMaze.create(name), jr.key(0), 10, kind)

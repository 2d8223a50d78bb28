"""OGBench's sets made on the spot: their layout, their seed, their trajectories, the rewards of a task."""

import sys

import numpy as np
import pytest

pytest.importorskip('ogbench', reason='the extra ogbench is not installed')

from stitchrl.data import ogbench
from stitchrl.data.dataset import Dataset
from stitchrl.data.formats import npz, read
from stitchrl.errors import MissingExtra, UsageError

NAVIGATE, PLAY = 'pointmaze-medium-navigate', 'cube-single-play'
STEPS = 1200


@pytest.fixture(scope='module')
def navigate():
    return ogbench.collect(NAVIGATE, STEPS, 0)


@pytest.fixture(scope='module')
def play():
    return ogbench.collect(f'{PLAY}-singletask', 80, 0)


def test_the_layout_is_ogbenchs(navigate, play):
    for arrays, width, dim in ((navigate, 2, 2), (play, 28, 5)):
        n = len(arrays['observations'])
        assert arrays['observations'].shape == (n, width)
        assert arrays['actions'].shape == (n, dim)
        assert {x.dtype for name, x in arrays.items() if name != 'terminals'} == {np.dtype(np.float32)}
        assert np.abs(arrays['actions']).max() <= 1
    np.testing.assert_array_equal(np.flatnonzero(navigate['terminals']), [1000, 1201])
    np.testing.assert_array_equal(np.flatnonzero(play['terminals']), [80])


def test_what_is_written_is_read(tmp_path, navigate):
    npz.write(tmp_path / 'x.npz', navigate)
    columns = read(tmp_path / 'x.npz')
    assert len(columns) == STEPS
    assert (columns.low, columns.high) == ((-1, -1), (1, 1))
    data = Dataset.from_columns(columns)
    np.testing.assert_array_equal(data.obs, navigate['observations'])
    np.testing.assert_array_equal(data.ends, navigate['terminals'])
    assert data.mask.all()


def test_the_seed_decides(navigate):
    again = ogbench.collect(NAVIGATE, 60, 0)
    np.testing.assert_array_equal(again['observations'][:60], navigate['observations'][:60])
    np.testing.assert_array_equal(again['actions'][:60], navigate['actions'][:60])
    other = ogbench.collect(NAVIGATE, 60, 1)
    assert not np.array_equal(other['observations'], again['observations'])


def test_the_arm_repeats_itself(play):
    again = ogbench.collect(PLAY, 80, 0)
    for name in again:
        np.testing.assert_array_equal(again[name], play[name])


def test_numpys_global_generator_is_left_as_it_was():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    ogbench.collect(NAVIGATE, 3, 7)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_the_point_gets_about(navigate):
    """It moves by a fifth of its action, and crosses most of the maze in a thousand steps."""
    obs, action, stop = (navigate[name] for name in ('observations', 'actions', 'terminals'))
    moved = (obs[1:] - obs[:-1])[~stop[:-1]]
    free = np.abs(moved - 0.2 * action[:-1][~stop[:-1]]).max(1) < 1e-4
    assert free.mean() > 0.5  # elsewhere a wall is in the way
    cells = {tuple(cell) for cell in np.round((obs + 4) / 4).astype(int)}
    assert len(cells) > 15


@pytest.mark.parametrize(('task', 'goal'), [('', (20, 20)), ('-task1', (20, 20)), ('-task3', (4, 12))])
def test_rewards_of_a_task(navigate, task, goal):
    """0 within one unit of the goal's place, -1 elsewhere; the mask is 0 there."""
    found = ogbench.rewards(NAVIGATE, task.removeprefix('-task'), navigate)
    there = np.linalg.norm(navigate['observations'] - goal, axis=1) <= 1
    np.testing.assert_array_equal(found['rewards'], there - 1.0)
    np.testing.assert_array_equal(found['masks'], 1.0 - there)


def test_rewards_of_the_cube(play):
    """0 where the cube lies within 4 cm of the second task's place, which is the default one."""
    place = play['qpos'][:, 14:17]
    there = np.linalg.norm(place - [0.5, 0, 0.02], axis=1) <= 0.04
    np.testing.assert_array_equal(play['rewards'], there - 1.0)
    np.testing.assert_array_equal(play['masks'], 1.0 - there)
    moved = play | {'qpos': np.where(np.arange(21) == 14, np.float32(0.5), 0 * play['qpos'])}
    assert ogbench.rewards(PLAY, '2', moved)['masks'].sum() == 0  # at rest on its place in all rows


@pytest.mark.parametrize(
    ('name', 'parts'),
    [
        (NAVIGATE, (NAVIGATE, None)),
        (f'{PLAY}-singletask', (PLAY, '')),
        (f'{PLAY}-singletask-task4', (PLAY, '4')),
    ],
)
def test_names(name, parts):
    assert ogbench.split(name) == parts


@pytest.mark.parametrize('name', ['antmaze-large-navigate', f'{PLAY}-singletask-task6', f'{PLAY}-task1', ''])
def test_unknown_names(name):
    with pytest.raises(UsageError, match='choose pointmaze-medium-navigate or cube-single-play'):
        ogbench.split(name)


def test_corners_are_not_straight():
    walls = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 0, 1], [1, 1, 0, 1], [1, 1, 1, 1]])
    assert [ogbench.straight(walls, *cell) for cell in ((1, 1), (1, 2), (2, 2), (3, 2))] == [False, False, True, False]


def test_without_the_wheel_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'ogbench', None)
    with pytest.raises(MissingExtra, match=r'pip install "stitchrl\[ogbench\]"'):
        ogbench.collect(NAVIGATE, 3, 0)

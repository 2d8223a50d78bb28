"""OGBench npz: told from D4RL by what is in it, its three layouts, masks in the middle of a trajectory, refusals."""

import layouts
import numpy as np
import pytest

from stitchrl.data.dataset import Dataset
from stitchrl.data.formats import convert, read
from stitchrl.data.formats.ogbench import signs
from stitchrl.errors import BadData

LAYOUTS = ('published', 'compact', 'regular')
NEEDED = {'observations', 'actions', 'terminals'}


def walk(steps=3, start=0, reward=-1.0, goal=()):
    """A trajectory of observations start, start + 1, ... that is in the goal on the rows `goal`."""
    n = np.arange(steps)
    obs = np.arange(start, start + steps + 1, dtype=np.float32)[:, None]
    at_goal = np.isin(n, goal)
    return layouts.Episode(
        obs, obs[:-1] / 100, np.where(at_goal, 0, reward).astype(np.float32), at_goal, n == steps - 1
    )


def saved(tmp_path, layout='published', rewarded=True, **changes):
    arrays = layouts.ogbench([walk(), walk(2, 10)], layout, rewarded) | changes
    return layouts.save_npz(tmp_path / 'x.npz', {name: x for name, x in arrays.items() if x is not None})


@pytest.mark.parametrize(
    ('more', 'why'),
    [
        ({'masks', 'rewards'}, 'it has masks and no timeouts'),
        ({'valids', 'rewards'}, 'it has valids and no timeouts'),
        ({'masks', 'valids', 'rewards'}, 'it has masks and valids and no timeouts'),
        ({'qpos', 'qvel'}, 'it has neither rewards nor timeouts'),
        (set(), 'it has neither rewards nor timeouts'),
        ({'rewards'}, None),
        ({'rewards', 'qpos'}, None),
        ({'masks', 'timeouts'}, None),
        ({'truncations'}, None),
    ],
)
def test_what_tells_it_from_d4rl(more, why):
    assert signs(NEEDED | more) == why
    assert signs((NEEDED | more) - {'terminals'}) is None


def test_the_choice_is_told_and_can_be_overruled(tmp_path):
    path = saved(tmp_path)
    assert read(path).notes == (
        'read as OGBench (it has masks and no timeouts): terminals end a trajectory, not the task; '
        '--format npz would read them as D4RL',
    )
    as_d4rl = read(path, 'npz')
    assert len(as_d4rl) == 7
    np.testing.assert_array_equal(as_d4rl.terminal, [0, 0, 0, 1, 0, 0, 1])
    other = layouts.save_npz(tmp_path / 'd4rl.npz', layouts.d4rl([walk(goal=[2])]))
    assert 'that was asked for' in read(other, 'ogbench').notes[0]
    with pytest.raises(BadData, match='read as ogbench was asked for, but its bytes are hdf5'):
        read(layouts.save_hdf5(tmp_path / 'x.hdf5', layouts.d4rl([walk()])), 'ogbench')


@pytest.mark.parametrize('layout', LAYOUTS)
def test_without_rewards_zeros_stand_in(tmp_path, layout):
    columns = read(saved(tmp_path, layout, rewarded=False))
    assert not columns.reward.any()
    assert not columns.terminal.any()
    np.testing.assert_array_equal(columns.timeout, [0, 0, 1, 0, 1])
    assert any(note.startswith('no rewards: zeros here, enough for cloning') for note in columns.notes)
    assert 'no masks: no step is taken as an end of the task' in columns.notes


@pytest.mark.parametrize('layout', LAYOUTS)
def test_a_goal_in_the_middle_of_a_trajectory(tmp_path, layout):
    """Two rows in the goal: each stops the bootstrap, has its own successor, and the rest goes on from there."""
    arrays = layouts.ogbench([walk(5, goal=[1, 2])], layout)
    data = Dataset.from_columns(read(layouts.save_npz(tmp_path / 'x.npz', arrays)))
    np.testing.assert_array_equal(data.obs[:, 0], [0, 1, 2, 2, 3, 3, 4, 5])
    np.testing.assert_array_equal(data.ends, [0, 0, 1, 0, 1, 0, 0, 1])
    np.testing.assert_array_equal(data.mask[data.starts], [1, 0, 0, 1, 1])
    np.testing.assert_array_equal(data.reward[data.starts], [-1, 0, 0, -1, -1])


def test_stated_bounds_and_image_observations(tmp_path):
    e = walk()._replace(obs=np.arange(4 * 12, dtype=np.uint8).reshape(4, 2, 2, 3))
    arrays = layouts.ogbench([e]) | {'action_low': -np.ones(1), 'action_high': np.float64(2)}
    columns = read(layouts.save_npz(tmp_path / 'x.npz', arrays))
    assert (columns.low, columns.high) == ((-1.0,), (2.0,))
    assert columns.obs.dtype == columns.next_obs.dtype == np.uint8
    np.testing.assert_array_equal(columns.next_obs, e.obs[1:])


def test_a_last_row_that_ends_nothing(tmp_path):
    columns = read(saved(tmp_path, terminals=np.array([0, 0, 0, 1, 0, 0, 0])))
    np.testing.assert_array_equal(columns.obs[:, 0], [0, 1, 2, 10, 11])
    np.testing.assert_array_equal(columns.timeout, [0, 0, 1, 0, 1])
    assert any('the last row ends no trajectory' in note for note in columns.notes)


def test_a_trajectory_of_one_observation(tmp_path):
    columns = read(saved(tmp_path, terminals=np.array([1, 0, 0, 1, 1, 0, 1])))
    np.testing.assert_array_equal(columns.obs[:, 0], [1, 2, 11])
    np.testing.assert_array_equal(columns.next_obs[:, 0], [2, 3, 12])
    assert '2 trajectories of one observation and no step: left out' in columns.notes


def test_no_rows(tmp_path):
    arrays = {name: x[:0] for name, x in layouts.ogbench([walk()]).items()}
    assert len(read(layouts.save_npz(tmp_path / 'x.npz', arrays))) == 0


BAD = {
    'short actions': ({'actions': np.ones((5, 1))}, ['actions, row 5: 5 rows, but observations have 7']),
    'long masks': ({'masks': np.ones(9)}, ['masks, row 7: 9 rows']),
    'a mask of .5': ({'masks': np.full(7, 0.5)}, ['masks, row 0 (first of 7)', '0.5 is no flag']),
    'a terminal of 2': ({'terminals': np.array([0, 0, 2, 0, 0, 0, 1])}, ['terminals, row 2 (first of 1)']),
    'objects': ({'rewards': np.array([None] * 7)}, ['rewards holds objects (pickles or text)']),
    'several integers': ({'actions': np.ones((7, 2), int)}, ['actions', '7 x 2 integers']),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_columns(tmp_path, name):
    changes, words = BAD[name]
    refused(saved(tmp_path, **changes), *words)


def refused(path, *words, **options):
    with pytest.raises(BadData) as caught:
        read(path, **options)
    assert caught.value.code == 4
    for word in (str(path), 'Fix: ', *words):
        assert word in str(caught.value)


def test_a_missing_column_is_named(tmp_path):
    refused(saved(tmp_path, terminals=None), 'no column terminals; found actions, masks', format='ogbench')


def test_sizes_are_checked_first(tmp_path, monkeypatch):
    path = saved(tmp_path)
    monkeypatch.setattr(convert, 'MAX_BYTES', 100)
    refused(path, 'declares 168 bytes')


def test_truncated_anywhere(tmp_path):
    path = saved(tmp_path)
    whole = path.read_bytes()
    for size in np.linspace(1, len(whole) - 1, 40).astype(int):
        path.write_bytes(whole[:size])
        refused(path)


@pytest.mark.parametrize('layout', ['published', 'compact'])
def test_the_wheels_own_loader_reads_the_same_transitions(tmp_path, layout):
    wheel = pytest.importorskip('ogbench.utils', reason='the extra ogbench is not installed')
    path = saved(tmp_path)
    theirs = wheel.load_dataset(str(path), compact_dataset=layout == 'compact')
    if layout == 'compact':
        theirs = read(layouts.save_npz(tmp_path / 'compact.npz', theirs | {'rewards': np.zeros(7)}))
        np.testing.assert_array_equal(theirs.timeout, read(path).timeout)
        np.testing.assert_array_equal(theirs.next_obs, read(path).next_obs)
        return
    ours = read(path)
    for field, name in {'obs': 'observations', 'action': 'actions', 'next_obs': 'next_observations'}.items():
        np.testing.assert_array_equal(getattr(ours, field), theirs[name])
    np.testing.assert_array_equal(ours.timeout, theirs['terminals'])

"""LeRobot folders: which columns, where episodes end, counts that must agree, and nothing else of the folder used."""

import json

import layouts
import numpy as np
import pyarrow as pa
import pytest

from stitchrl.data.formats import Choice, read
from stitchrl.errors import BadData, UsageError

LENGTHS = (3, 1, 2)


def columns(**changes):
    """Frames of three episodes; a change of None leaves a column out."""
    n = sum(LENGTHS)
    found = {
        'observation.state': np.arange(2 * n, dtype=np.float32).reshape(n, 2),
        'observation.effort': np.full((n, 1), 9, np.float32),
        'action': np.arange(n, dtype=np.float32)[:, None] / 10,
        'episode_index': np.repeat(np.arange(3), LENGTHS),
        'frame_index': np.concatenate([np.arange(length) for length in LENGTHS]),
        'timestamp': np.concatenate([np.arange(length) / 10 for length in LENGTHS]).astype(np.float32),
        'task_index': np.zeros(n, np.int64),
        'next.reward': np.arange(n, dtype=np.float32),
        'next.done': np.isin(np.arange(n), [2, 3, 5]),
        'next.success': np.isin(np.arange(n), [2]),
    } | changes
    return {name: x for name, x in found.items() if x is not None}


def write(tmp_path, files=1, info=None, **changes):
    return layouts.lerobot(tmp_path / 'set', columns(**changes), files, **(info or {}))


def refused(path, *words, error=BadData, **options):
    with pytest.raises(error) as caught:
        read(path, **options)
    assert '\n' not in str(caught.value)
    for word in (str(path), *words):
        assert word in str(caught.value), str(caught.value)


@pytest.mark.parametrize('files', [1, 3])
def test_what_is_read(tmp_path, files):
    found = read(write(tmp_path, files))
    np.testing.assert_array_equal(found.obs, np.arange(12).reshape(6, 2))
    np.testing.assert_array_equal(found.reward, np.arange(6))
    np.testing.assert_array_equal(found.terminal, [False, False, True, False, False, False])
    np.testing.assert_array_equal(found.timeout, [False, False, False, True, False, True])
    np.testing.assert_array_equal(found.episode, [0, 0, 0, 1, 2, 2])
    np.testing.assert_array_equal(found.time, np.float32([0, 0.1, 0.2, 0, 0, 0.1]).astype(float))
    assert found.next_obs is None
    assert 'next.done: ends the task where next.success says so, elsewhere the recording' in found.notes


def test_what_is_chosen(tmp_path):
    path = write(tmp_path)
    choice = Choice(obs='observation.*', action='action', reward='observation.effort', terminal='next.done')
    refused(path, 'was chosen as obs and as reward', choice=choice, error=UsageError)
    found = read(path, choice=Choice(obs='observation.*', terminal='next.done'))
    assert found.obs.shape == (6, 3)
    np.testing.assert_array_equal(np.flatnonzero(found.terminal), [2, 3, 5])
    assert not read(path, choice=Choice(timeout='next.done')).terminal.any()
    refused(
        path, 'episode was chosen, but it is read as lerobot', choice=Choice(episode='task_index'), error=UsageError
    )


def test_without_rewards_and_flags(tmp_path):
    found = read(write(tmp_path, **{'next.reward': None, 'next.done': None, 'next.success': None}))
    np.testing.assert_array_equal(found.reward, 0)
    assert not found.terminal.any()
    np.testing.assert_array_equal(np.flatnonzero(found.timeout), [2, 3, 5])
    assert any('no rewards: zeros' in note for note in found.notes)


def test_done_without_success_is_an_end_of_the_recording(tmp_path):
    found = read(write(tmp_path, **{'next.success': None}))
    assert not found.terminal.any()
    assert any('--terminal next.done' in note for note in found.notes)


def test_lists_without_a_fixed_length(tmp_path):
    """As tables look that went through pandas."""
    path = write(tmp_path)
    file = path / 'data' / 'chunk-000' / 'file-000.parquet'
    rows = columns()['observation.state'].tolist()
    kept = {name: layouts.column(x) for name, x in columns().items()}
    layouts.save(file, pa.table(kept | {'observation.state': pa.array(rows, pa.list_(pa.float32()))}))
    np.testing.assert_array_equal(read(path).obs, np.arange(12).reshape(6, 2))
    rows[4] = [1.0]
    layouts.save(file, pa.table(kept | {'observation.state': pa.array(rows, pa.list_(pa.float32()))}))
    with pytest.raises(BadData, match=r'observation\.state, row 4: 1 numbers, but the first row has 2'):
        read(path)


FOLDERS = {
    'an older version': ({'codebase_version': 'v2.1'}, {}, ["version 'v2.1', expected v3", "LeRobot's own converter"]),
    'a version that is none': ({'codebase_version': 3}, {}, ['version 3, expected v3']),
    'too few frames': ({'total_frames': 7}, {}, ['total_frames is 7, but there are 6']),
    'too few episodes': ({'total_episodes': 4}, {}, ['total_episodes is 4, but there are 3']),
    'frames that are shuffled': (
        {},
        {'frame_index': np.array([0, 2, 1, 0, 0, 1])},
        ['frame_index, row 1: 2 where 1 was expected, in episode 0', 'missing or shuffled'],
    ),
    'an episode that comes back': (
        {'total_episodes': 3},
        {'episode_index': np.array([0, 0, 1, 2, 0, 0])},
        ['frame_index, row 2'],
    ),
    'no clock': ({}, {'timestamp': None}, ['no column timestamp']),
}


@pytest.mark.parametrize('name', FOLDERS)
def test_odd_folders(tmp_path, name):
    info, changes, words = FOLDERS[name]
    refused(write(tmp_path, info=info, **changes), *words, 'Fix: ')


def test_no_state(tmp_path):
    refused(write(tmp_path, **{'observation.state': None}), 'which columns are the observations?', error=UsageError)


def test_tables_that_differ_or_are_missing(tmp_path):
    path = write(tmp_path, 2)
    folder = path / 'data' / 'chunk-000'
    layouts.save(
        folder / 'file-001.parquet',
        pa.table({name: layouts.column(x[3:]) for name, x in columns(action=np.zeros((6, 2))).items()}),
    )
    refused(path, 'file-001.parquet: has other columns or widths than file-000.parquet')
    for file in folder.iterdir():
        file.unlink()
    refused(path, 'no data/chunk-000/file-000.parquet')


def test_folders_are_told_by_what_is_in_them(tmp_path):
    path = write(tmp_path)
    assert len(read(path, 'lerobot')) == 6
    refused(path, 'read as minari was asked for, but it is a folder of lerobot', format='minari')
    file = path / 'data' / 'chunk-000' / 'file-000.parquet'
    refused(file, 'Fix: name the folder of the dataset', format='lerobot')


def test_links_that_leave_the_folder(tmp_path):
    path = write(tmp_path)
    file = path / 'data' / 'chunk-000' / 'file-000.parquet'
    secret = file.rename(tmp_path / 'secret.parquet')
    file.symlink_to(secret)
    refused(path, 'is a link out of')
    secret.rename(path / 'data' / 'elsewhere.parquet')
    file.unlink()
    file.symlink_to(path / 'data' / 'elsewhere.parquet')
    assert len(read(path)) == 6  # within the folder it is the dataset's own
    info = (path / 'meta' / 'info.json').rename(tmp_path / 'info.json')
    (path / 'meta' / 'info.json').symlink_to(info)
    refused(path, 'is a link out of')


def test_nothing_that_info_names_is_used(tmp_path, monkeypatch):
    (tmp_path / 'bomb.py').write_text(f'open({str(tmp_path / "ran")!r}, "w")\nmake = None')
    monkeypatch.syspath_prepend(tmp_path)
    path = write(tmp_path)
    assert json.loads((path / 'meta' / 'info.json').read_text())['data_path'] == '../../{chunk_index}'
    assert len(read(path)) == 6
    assert not (tmp_path / 'ran').exists()

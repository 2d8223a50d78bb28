"""Minari datasets: folders and files, what the metadata are used for, parts side by side, and all that is refused."""

import json
import shutil
import struct
import sys
from contextlib import suppress

import h5py
import layouts
import numpy as np
import pyarrow as pa
import pytest

from stitchrl.data.check import check
from stitchrl.data.dataset import Dataset
from stitchrl.data.formats import convert, folders, minari, read
from stitchrl.data.formats.trajectories import natural
from stitchrl.errors import BadData, MissingExtra

WRITERS = {
    'hdf5': layouts.minari_hdf5,
    'arrow': layouts.minari_tables,
    'parquet': lambda folder, episodes, **changes: layouts.minari_tables(folder, episodes, 'parquet', **changes),
}


def walk(steps=3, start=0, ended=True):
    obs = np.arange(start, start + steps + 1, dtype=np.float32)[:, None] * [1, -1]
    last = np.arange(steps) == steps - 1
    action = np.full((steps, 2), 0.5, np.float32)
    return layouts.Episode(obs.astype(np.float32), action, np.ones(steps), last & ended, last & (not ended))


@pytest.fixture(params=WRITERS)
def write(request, tmp_path):
    """Write episodes in one of the three layouts; returns the folder."""
    return lambda *episodes, **changes: WRITERS[request.param](tmp_path / request.param, list(episodes), **changes)


def refused(path, *words, error=BadData, **options):
    with pytest.raises(error) as caught:
        read(path, **options)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert '\n' not in str(caught.value)


def hdf5(tmp_path, *episodes, **changes):
    """(folder, the HDF5 file in it) of a small dataset."""
    folder = layouts.minari_hdf5(tmp_path / 'set', list(episodes or (walk(), walk(2, 10, False))), **changes)
    return folder, folder / 'data' / 'main_data.hdf5'


# What is read


def test_the_folder_its_data_and_its_file_are_the_same(tmp_path):
    folder, file = hdf5(tmp_path)
    for path in (folder, folder / 'data', file):
        columns = read(path)
        np.testing.assert_array_equal(columns.obs[:, 0], [0, 1, 2, 10, 11])
        assert (columns.low, columns.high) == ((-1, -1), (1, 1))
    alone = shutil.copy(file, tmp_path / 'renamed.h5')
    assert len(read(alone)) == 5
    assert read(alone).low is None
    assert len(read(alone, 'minari')) == len(read(folder, 'minari')) == 5
    refused(alone, 'no column observations', 'found episode_0', format='hdf5')
    refused(folder, 'read as npz was asked for, but it is a folder of minari', format='npz')


def test_a_folder_that_is_no_dataset(tmp_path):
    refused(tmp_path, 'is a folder', 'metadata.json in it')


def test_episodes_come_in_the_order_of_their_numbers(write):
    columns = read(write(*(walk(1, 10 * i) for i in range(12))))
    np.testing.assert_array_equal(columns.obs[:, 0], 10 * np.arange(12))


def test_names_sort_by_their_numbers():
    names = ['episode_10', 'episode_9', 'goal', 'episode_09b', '2', '10']
    assert sorted(names, key=natural) == ['2', '10', 'episode_9', 'episode_09b', 'episode_10', 'goal']


def test_the_last_observation_is_the_successor_of_the_last_step(write):
    data = Dataset.from_columns(read(write(walk(2, 0, False), walk(1, 5))))
    np.testing.assert_array_equal(data.obs[:, 0], [0, 1, 2, 5, 6])
    np.testing.assert_array_equal(data.mask[data.starts], [1, 1, 0])


def test_an_episode_without_flags_is_cut(write):
    columns = read(write(walk(2, 0, False)._replace(timeout=np.zeros(2, bool)), walk()))
    np.testing.assert_array_equal(columns.timeout, [0, 1, 0, 0, 0])
    assert '1 episodes with neither flag on their last step: taken as cut there' in columns.notes


def test_an_episode_without_steps_is_nothing(write):
    columns = read(write(walk(2), walk(0, 9), walk(1, 20)))
    np.testing.assert_array_equal(columns.obs[:, 0], [0, 1, 20])


def test_parts_of_the_observations_lie_side_by_side(write):
    n = np.arange(3, dtype=np.float32)
    obs = {'b': np.stack([n, n + 10], 1), 'a': n + 20, 'c': {'y': n + 30, 'x': n + 40}}
    columns = read(write(walk(2)._replace(obs=obs)))
    np.testing.assert_array_equal(columns.obs, [[20, 0, 10, 40, 30], [21, 1, 11, 41, 31]])
    np.testing.assert_array_equal(columns.next_obs[-1], [22, 2, 12, 42, 32])
    assert 'observations: one row is a (1), b (2), c/x (1), c/y (1), side by side' in '; '.join(columns.notes)


def test_tuples_keep_their_order(tmp_path):
    n = np.arange(3, dtype=np.float32)
    parts = {f'_index_{i}': n + i for i in (10, 2, 1)}
    columns = read(hdf5(tmp_path, walk(2)._replace(obs=parts))[0])
    np.testing.assert_array_equal(columns.obs[0], [1, 2, 10])


def test_images_have_their_shape(write):
    obs = np.arange(3 * 2 * 4 * 3, dtype=np.uint8).reshape(3, 2, 4, 3)
    columns = read(write(walk(2)._replace(obs=obs)))
    assert columns.obs.dtype == np.uint8
    np.testing.assert_array_equal(columns.next_obs, obs[1:])


@pytest.mark.parametrize(
    ('space', 'bounds'),
    [
        (layouts.box((2,), -2, 3), ((-2, -2), (3, 3))),
        (layouts.box((3,)), None),
        (layouts.box((2,), -np.inf, np.inf), None),
        ('{"type": "Discrete", "n": 3}', None),
        ('nonsense', None),
        (7, None),
        (None, None),
        ('[' * 100_000, None),
    ],
)
def test_bounds_come_from_the_action_space(tmp_path, space, bounds):
    columns = read(hdf5(tmp_path, walk(), action_space=space)[0])
    assert ((columns.low, columns.high) if columns.low else None) == bounds


def test_an_action_outside_its_space_is_found(write):
    columns = read(write(walk()._replace(action=np.full((3, 2), 5, np.float32))))
    assert 'lies outside [-1, 1]' in str(check(columns)[0])


# What is refused


BROKEN = {  # what is wrong with the second episode -> words of the message
    'no last observation': ({'obs': np.ones((2, 2))}, ['1/observations has 2 rows, expected 3 beside 2 actions']),
    'short rewards': ({'reward': np.ones(1)}, ['1/rewards has 1 rows, expected 2']),
    'long flags': ({'terminal': np.ones(5, bool)}, ['1/terminations has 5 rows, expected 2']),
    'another width': ({'action': np.ones((2, 3))}, ['1/actions has rows of 3, the first episode of 2']),
    'other parts': ({'obs': {'a': np.ones(3)}}, ['1 and the first episode differ in observations']),
}


@pytest.mark.parametrize('name', BROKEN)
def test_episodes_that_do_not_fit(tmp_path, name):
    changes, words = BROKEN[name]
    refused(hdf5(tmp_path, walk(), walk(2)._replace(**changes))[0], 'episode_' + words[0], 'Fix: ')


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'reward': np.array([1, 2, 3])}, None),
        ({'terminal': np.array([0, 2, 0])}, 'terminations, row 1 (first of 1): 2 is no flag'),
        ({'action': np.ones((3, 2), int)}, 'actions holds 5 x 2 integers'),
        ({'action': np.array([0, -1, 0])}, 'actions, row 1 (first of 2): -1 is no choice'),
    ],
)
def test_values_that_do_not_fit(write, changes, words):
    first, second = walk()._replace(**changes), walk(2)
    if 'action' in changes:
        second = second._replace(action=changes['action'][:2])
    folder = write(first, second, action_space=None)
    if words is None:
        assert read(folder).reward.tolist() == [1, 2, 3, 1, 1]
    else:
        refused(folder, words, 'Fix: ')


def test_metadata_that_say_something_else(write):
    refused(write(walk(), total_episodes=99), 'metadata.json says total_episodes is 99, but there are 1', 'Fix: ')


def test_steps_that_are_missing(write):
    refused(write(walk(), total_steps=4), 'metadata.json says total_steps is 4, but there are 3', 'Fix: ')


@pytest.mark.parametrize('text', ['{', '[]', '{"total_episodes": }', '[' * 100_000])
def test_metadata_that_are_no_json(write, text):
    folder = write(walk())
    (folder / 'data' / 'metadata.json').write_text(text)
    refused(folder, 'metadata.json', 'Fix: ')


def test_too_much_metadata(write, monkeypatch):
    folder = write(walk())
    monkeypatch.setattr(folders, 'MAX_JSON', 100)
    refused(folder, 'more than 100 bytes of JSON')


def test_nothing_that_the_metadata_name_is_built(write, tmp_path, monkeypatch):
    """The environment there would make a file when it is imported."""
    (tmp_path / 'bomb.py').write_text(f'open({str(tmp_path / "ran")!r}, "w")\nmake = None')
    monkeypatch.syspath_prepend(tmp_path)
    spec = json.dumps({'id': 'x-v0', 'entry_point': 'bomb:make', 'kwargs': {}})
    assert len(read(write(walk(), env_spec=spec, observation_space=None, action_space=None))) == 3
    assert not (tmp_path / 'ran').exists()


def test_episodes_that_are_missing_or_no_groups(tmp_path):
    folder, file = hdf5(tmp_path)
    with h5py.File(file, 'a') as data:
        del data['episode_1/truncations']
    refused(folder, 'no column episode_1/truncations; found actions, observations', 'Fix: ')
    with h5py.File(file, 'a') as data:
        del data['episode_1']
        data['episode_1'] = 1
    refused(folder, 'episode_1 is an array, expected a group')


def test_parts_that_are_too_many_or_too_deep(tmp_path, write):
    n = np.ones(4, np.float32)
    deep = {'a': {'b': {'c': {'d': n}}}}
    refused(write(walk()._replace(obs=deep)), 'observations', 'Fix: save one array')
    many = {f'p{i}': n for i in range(33)}
    refused(hdf5(tmp_path, walk()._replace(obs=many))[0], 'at most 32 in a group')


def test_a_group_within_itself_ends(tmp_path):
    folder, file = hdf5(tmp_path)
    with h5py.File(file, 'a') as data:
        del data['episode_0/observations']
        group = data.create_group('episode_0/observations')
        group['again'] = group
    refused(folder, 'too many parts')


def test_what_is_not_numbers(tmp_path):
    jpeg = np.tile(np.array([255, 216, 255, 224], np.uint8), (4, 1))
    refused(hdf5(tmp_path / 'a', walk()._replace(obs=jpeg))[0], 'JPEG', 'jpeg_encoding=False')
    both = {'a': np.ones((4, 2, 2, 3), np.uint8), 'b': np.ones(4)}
    refused(hdf5(tmp_path / 'b', walk()._replace(obs=both))[0], 'images beside other parts')
    words = np.array([b'a', b'b', b'c', b'd'])
    refused(hdf5(tmp_path / 'c', walk()._replace(obs=words))[0], 'episode_0/observations holds')
    action = {'a': np.ones(3)}
    refused(hdf5(tmp_path / 'd', walk()._replace(action=action))[0], 'episode_0/actions is a group')


def test_what_lies_in_other_files(tmp_path):
    folder, file = hdf5(tmp_path)
    secret = tmp_path / 'secret'
    secret.write_bytes(struct.pack('<3d', 1, 2, 3))
    for link in (h5py.ExternalLink(file, '/episode_1/rewards'), h5py.SoftLink('/episode_1/rewards')):
        with h5py.File(file, 'a') as data:
            del data['episode_0/rewards']
            data['episode_0/rewards'] = link
        refused(folder, 'episode_0/rewards is a link, which is never followed')
    with h5py.File(file, 'a') as data:
        del data['episode_0/rewards']
        data['episode_0'].create_dataset('rewards', (3,), 'f8', external=[(secret, 0, 24)])
    refused(folder, 'episode_0/rewards keeps its values in other files')
    with h5py.File(file, 'a') as data:
        del data['episode_0']
        data['episode_0'] = h5py.SoftLink('/episode_1')
    refused(folder, 'episode_0 is a link')


def test_sizes_are_checked_first(tmp_path, monkeypatch):
    folder, file = hdf5(tmp_path)
    with h5py.File(file, 'a') as data:
        del data['episode_1/observations']
        data['episode_1'].create_dataset('observations', (10**12, 2), 'f4', chunks=(1000, 2))
    refused(folder, 'declares 8.0 TB', 'episode_1/observations alone 1000000000000 x 2')
    monkeypatch.setattr(minari, 'MAX_EPISODES', 1)
    refused(folder, '2 episodes, at most 1 are read')


def test_one_dataset_linked_many_times_counts_each_time(tmp_path, monkeypatch):
    folder, file = hdf5(tmp_path, total_episodes=None, total_steps=None)
    with h5py.File(file, 'a') as data:
        for i in range(2, 50):
            data[f'episode_{i}'] = data['episode_0']
    assert len(read(folder)) == 2 + 49 * 3
    monkeypatch.setattr(convert, 'MAX_BYTES', 49 * 86)
    refused(folder, 'declares 4.3 kB')


def test_truncated_anywhere(write):
    folder = write(walk(), walk(2))
    for file in sorted(folder.rglob('*')):
        if file.is_file() and file.suffix in ('.hdf5', '.arrow', '.parquet'):
            whole = file.read_bytes()
            for size in np.linspace(0, len(whole) - 1, 25).astype(int):
                file.write_bytes(whole[:size])
                refused(folder)
            file.write_bytes(whole)


def test_a_flipped_byte_never_crashes(write):
    folder, g = write(walk(), walk(2)), np.random.default_rng(0)
    file = next(file for file in sorted(folder.rglob('*')) if file.suffix in ('.hdf5', '.arrow', '.parquet'))
    whole = file.read_bytes()
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[g.integers(len(whole))] ^= 1 << g.integers(8)
        file.write_bytes(damaged)
        with suppress(BadData):
            read(folder)


# Tables


def tables(tmp_path, suffix='arrow', **columns):
    """A dataset of one episode of three steps with some columns replaced; None leaves one out."""
    folder = layouts.minari_tables(tmp_path / suffix, [walk()], suffix)
    file = folder / 'data' / '0' / f'part-0.{suffix}'
    full = {
        'observations': layouts.column(walk().obs),
        'actions': layouts.column(np.zeros((4, 2), np.float32)),
        'rewards': pa.array(np.zeros(4)),
        'terminations': pa.array([False] * 4),
        'truncations': pa.array([False] * 4),
    } | columns
    layouts.save(file, pa.table({name: x for name, x in full.items() if x is not None}))
    return folder


ODD = {
    'no column': ({'rewards': None}, ['no column rewards; found observations, actions']),
    'an empty value': ({'rewards': pa.array([1.0, None, 2.0, 0.0])}, ['rewards, row 1: empty']),
    'an empty row': (
        {'actions': pa.array([[1.0, 2.0], None, [0, 0], [0, 0]], pa.list_(pa.float32(), 2))},
        ['actions, row 1: empty'],
    ),
    'an empty part of a row': (
        {'actions': pa.array([[1.0, 2.0], [0, 0], [0, None], [0, 0]], pa.list_(pa.float32(), 2))},
        ['actions, row 2: empty'],
    ),
    'text': ({'rewards': pa.array(['a'] * 4)}, ['rewards holds']),
    'images as files': ({'observations': pa.array([b'\xff\xd8\xff'] * 4)}, ['observations holds']),
    'rows of any length': (
        {'actions': pa.array([[1.0], [1.0, 2.0]] * 2)},
        ['actions, row 1: 2 numbers, but the first'],
    ),
    'dates': ({'rewards': pa.array([0] * 4, pa.timestamp('s'))}, ['rewards holds']),
}


@pytest.mark.parametrize('suffix', ['arrow', 'parquet'])
@pytest.mark.parametrize('name', ODD)
def test_odd_tables(tmp_path, name, suffix):
    changes, words = ODD[name]
    refused(tables(tmp_path, suffix, **changes), *words, 'Fix: ', f'part-0.{suffix}')


def test_infos_are_left_alone(tmp_path):
    assert len(read(tables(tmp_path, infos=pa.array(['anything'] * 4)))) == 3


def test_a_table_whose_front_and_end_do_not_agree(tmp_path):
    folder = tables(tmp_path)
    file = folder / 'data' / '0' / 'part-0.arrow'
    whole = file.read_bytes()
    stop = b'\xff\xff\xff\xff\0\0\0\0'
    file.write_bytes(whole[:8] + stop + whole[16:])
    refused(folder, 'it does not begin with a schema', 'Fix: ')
    second = whole.find(b'\xff\xff\xff\xff', 16)
    file.write_bytes(whole[:second] + stop + whole[second + 8 :])
    refused(folder, '0 batches, but its end says 1', 'Fix: ')


def test_compressed_and_chunked_tables(tmp_path):
    folder = tables(tmp_path)
    file = folder / 'data' / '0' / 'part-0.arrow'
    table = pa.ipc.open_file(file).read_all()
    options = pa.ipc.IpcWriteOptions(compression='zstd')
    with pa.OSFile(str(file), 'wb') as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=1)
    np.testing.assert_array_equal(read(folder).next_obs, walk().obs[1:])


def test_parquet_that_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, 'SMALL_BYTES', 10**5)
    zeros = np.zeros(10**6)
    columns = {'rewards': pa.array(zeros), 'terminations': pa.array(zeros > 0), 'truncations': pa.array(zeros > 0)}
    wide = layouts.column(np.zeros((10**6, 2), np.float32))
    refused(tables(tmp_path, 'parquet', observations=wide, actions=wide, **columns), 'declares 26.0 MB', '300 times')


def test_an_episode_of_two_tables_or_none(tmp_path):
    folder = tables(tmp_path)
    place = folder / 'data' / '0'
    shutil.copy(place / 'part-0.arrow', place / 'part-1.arrow')
    refused(folder, '2 tables, expected one per episode')
    for file in place.iterdir():
        file.unlink()
    refused(folder, '0 tables, expected one per episode')
    place.rmdir()
    refused(folder, 'total_episodes is 1, but there are 0')


def test_a_dataset_of_nothing(tmp_path):
    (tmp_path / 'metadata.json').write_text('{}')
    refused(tmp_path, 'no episodes', 'Fix: ')


def test_without_pyarrow_the_command_is_named(tmp_path, monkeypatch):
    folder = tables(tmp_path)
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    monkeypatch.delitem(sys.modules, 'stitchrl.data.formats.minari_tables', raising=False)
    monkeypatch.delattr('stitchrl.data.formats.minari_tables', raising=False)
    refused(folder, 'pip install "stitchrl[tables]"', error=MissingExtra)
    assert MissingExtra.code == 3

import struct
import zipfile

import h5py
import numpy as np
import pytest
from recordings import NAMES, recorded, saved

from stitchrl.data.formats import read
from stitchrl.data.formats import slices as module
from stitchrl.data.formats.slices import slices
from stitchrl.errors import BadData, UsageError

LENGTHS = [(5, True), (9, False), (1, True), (6, False)]
HOW = {'contiguous.hdf5': {}, 'packed.hdf5': {'compression': 'gzip'}, 'plain.npz': {}}


@pytest.fixture(params=HOW)
def path(request, tmp_path):
    arrays = recorded(LENGTHS) | {'action_low': np.float32([-1, -2]), 'action_high': np.float32([1, 2])}
    arrays |= {'episodes': np.repeat(np.arange(4), [5, 9, 1, 6]), 'times': np.arange(21) / 10}
    how = HOW[request.param]
    if how:
        how = {'compression': 'gzip'}
        bounds = {name: arrays.pop(name) for name in ('action_low', 'action_high')}
        path = saved(tmp_path / request.param, arrays, **how)
        with h5py.File(path, 'a') as file:
            file.update(bounds)
        return path
    return saved(tmp_path / request.param, arrays)


@pytest.mark.parametrize(('start', 'stop'), [(0, 21), (0, 1), (3, 4), (7, 19), (20, 30)])
def test_any_rows_are_those_of_the_whole(path, start, stop):
    whole, found = read(path), slices(path)
    assert len(found) == 21
    part = found.read(start, stop)
    for field in (*NAMES, 'episode', 'time'):
        np.testing.assert_array_equal(getattr(part, field), getattr(whole, field)[start:stop], strict=True)
    assert (part.low, part.high, part.notes) == (whole.low, whole.high, whole.notes)
    assert found.read(start, stop, extras=False).episode is None
    np.testing.assert_array_equal(found.column('reward', start, stop), whole.reward[start:stop])
    found.verify()


def test_a_column_that_is_not_there_is_what_reading_makes_of_it(tmp_path):
    arrays = recorded(LENGTHS)
    del arrays['terminals']
    found = slices(saved(tmp_path / 'r.npz', arrays))
    assert found.column('terminal', 2, 5).tolist() == [False] * 3


def test_choices_are_read_as_choices(tmp_path):
    arrays = recorded(LENGTHS) | {'actions': np.arange(21) % 3}
    part = slices(saved(tmp_path / 'r.hdf5', arrays)).read(4, 8)
    assert part.action.tolist() == [1, 2, 0, 1]
    assert part.action.dtype == np.int32


def refused(path, said, kind=BadData):
    with pytest.raises(kind, match=said):
        slices(path)


def test_compressed_npz_is_refused_with_the_command_that_converts_it(tmp_path):
    np.savez_compressed(tmp_path / 'r.npz', **recorded(LENGTHS))
    refused(tmp_path / 'r.npz', r'observations is compressed.*Fix: stitch data convert .*r\.npz r\.hdf5')


def test_other_formats_are_refused_with_the_command_that_converts_them(tmp_path):
    arrays = recorded(LENGTHS, successors=False)
    arrays['masks'] = 1 - arrays['terminals'].astype(np.float32)
    arrays['terminals'] = arrays.pop('timeouts')
    path = saved(tmp_path / 'maze.npz', arrays)
    refused(path, r'ogbench is not read in parts.*stitch data convert .*maze\.npz maze\.hdf5')


def test_columns_of_different_lengths_are_refused(tmp_path):
    arrays = recorded(LENGTHS)
    arrays['rewards'] = arrays['rewards'][:-1]
    for name in ('r.npz', 'r.hdf5'):
        refused(saved(tmp_path / name, arrays), 'rewards has 20 rows, observations 21')


def test_arrays_stored_column_by_column_are_refused(tmp_path):
    arrays = recorded(LENGTHS)
    arrays['actions'] = np.asfortranarray(arrays['actions'])
    refused(saved(tmp_path / 'r.npz', arrays), 'actions is stored column by column')


def test_what_is_no_plain_number_is_refused(tmp_path):
    arrays = recorded(LENGTHS) | {'rewards': np.array(['a'] * 21)}
    refused(saved(tmp_path / 'r.npz', arrays), 'rewards holds <U1')


def test_chunks_of_which_no_part_can_be_read_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'MAX_CHUNK', 100)
    path = saved(tmp_path / 'r.hdf5', recorded(LENGTHS), chunks=True, compression='gzip')
    refused(path, 'observations is stored in chunks of 252 bytes')


def test_a_file_that_unpacks_to_far_more_than_itself_is_refused(tmp_path):
    path = tmp_path / 'bomb.hdf5'
    with h5py.File(path, 'w') as file:
        for name, row in (('observations', (3,)), ('actions', (2,)), ('rewards', ())):
            file.create_dataset(name, (10**9, *row), 'f4', chunks=(1000, *row))
    refused(path, r'declares 24\.0 GB of columns.*at most 300 times the file are read')


def test_what_packs_a_chunk_is_looked_at_before_any_is_unpacked(tmp_path):
    path = saved(tmp_path / 'r.hdf5', recorded(LENGTHS), compression='gzip')
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((7,))
    plan.set_deflate(1)
    plan.set_deflate(1)
    with h5py.File(path, 'a') as file:
        del file['rewards']
        space = h5py.h5s.create_simple((21,))
        h5py.h5d.create(file.id, b'rewards', h5py.h5t.NATIVE_FLOAT, space, plan)
    refused(path, '/rewards is packed more than once')


def test_links_are_not_followed(tmp_path):
    arrays = recorded(LENGTHS)
    saved(tmp_path / 'other.hdf5', {'rewards': arrays.pop('rewards')})
    path = saved(tmp_path / 'r.hdf5', arrays)
    with h5py.File(path, 'a') as file:
        file['rewards'] = h5py.ExternalLink('other.hdf5', 'rewards')
    refused(path, 'rewards is a link, which is never followed')


def test_an_array_that_declares_more_than_the_zip_holds_is_refused(tmp_path):
    path = longer(saved(tmp_path / 'r.npz', recorded([(2000, True)])), size=False)
    refused(path, 'actions declares 72000 bytes but holds 16000')


def test_an_array_that_ends_behind_the_file_is_refused(tmp_path):
    path = longer(saved(tmp_path / 'r.npz', recorded([(2000, True)])), size=True)
    # from Python 3.13 on zipfile refuses first: the entry would reach into the next one
    refused(path, r'ends before the last row of actions|Overlapped entries')


def longer(path, size):
    """The file with 9000 rows of actions claimed: in numpy's header, and with `size` in the zip's directory."""
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo('actions.npy').header_offset
    at = data.index(b"'shape': (2000, 2)", at)
    data[at : at + 18] = b"'shape': (9000, 2)"
    if size:
        entry = data.rindex(b'actions.npy') - 46
        for place in (20, 24):
            data[entry + place : entry + place + 4] = struct.pack('<I', 9000 * 8 + 128)
    path.write_bytes(data)
    return path


def test_a_flipped_bit_in_an_npz_is_found_before_training(tmp_path):
    path = saved(tmp_path / 'r.npz', recorded(LENGTHS))
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        data[archive.getinfo('rewards.npy').header_offset + 250] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadData, match='Bad CRC-32'):
        slices(path).verify()


def test_flags_that_are_none_are_told_with_where_the_count_begins(tmp_path):
    arrays = recorded(LENGTHS)
    arrays['terminals'] = arrays['terminals'].astype(np.int8)
    arrays['terminals'][13] = 7
    found = slices(saved(tmp_path / 'r.hdf5', arrays))
    with pytest.raises(BadData, match=r'terminals, row 3 \(first of 1\): 7 is no flag.*counted from 10 here'):
        found.read(10, 15)
    with pytest.raises(BadData, match=r'row 13 .*save 0 and 1 only$'):
        found.read(0, 15)


def test_a_path_that_is_not_there_is_told_so(tmp_path):
    refused(tmp_path / 'none.npz', 'no such file', UsageError)

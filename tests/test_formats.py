"""The data door: what is written comes back exactly, and all else is refused in one line with a fix."""

import os
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import h5py
import layouts
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stitchrl.data.check import fingerprint
from stitchrl.data.dataset import Dataset
from stitchrl.data.formats import FOLDERS, FORMATS, SUFFIXES, WITHIN, convert, npz, read, recognise
from stitchrl.errors import BadData, UsageError

N = 6


def good(**changes):
    """Columns as people save them; a change of None leaves the column out."""
    g = np.random.default_rng(0)
    arrays = {
        'observations': g.normal(size=(N, 3)).astype(np.float32),
        'actions': g.uniform(-1, 1, size=(N, 2)).astype(np.float32),
        'rewards': g.normal(size=N).astype(np.float32),
        'terminals': np.arange(N) == 2,
        'timeouts': np.arange(N) == N - 1,
    } | changes
    return {name: x for name, x in arrays.items() if x is not None}


def write_npz(path, arrays, save=np.savez):
    with path.open('wb') as file:  # np.savez would add .npz to the name
        save(file, **arrays)
    return path


def write_hdf5(path, arrays, **options):
    with h5py.File(path, 'w', **options) as file:
        for name, x in arrays.items():
            file[name] = x
    return path


WRITERS = {'npz': write_npz, 'hdf5': write_hdf5}


@pytest.fixture(params=WRITERS)
def kind(request):
    return request.param


def written(tmp_path, kind, **changes):
    return WRITERS[kind](tmp_path / f'data.{kind}', good(**changes))


def refused(path, *words, error=BadData, **options):
    """`read` raises `error`; its message is one line, names the path and holds `words`."""
    with pytest.raises(error) as caught:
        read(path, **options)
    message = str(caught.value)
    assert '\n' not in message
    assert str(path) in message
    for word in words:
        assert word in message, message


# What is written comes back


@st.composite
def recordings(draw):
    """Arrays of any values, in the dtypes and shapes of `Columns`, with or without the optional ones."""
    n, discrete = draw(st.integers(0, 8)), draw(st.booleans())
    shape = draw(st.sampled_from([(n, 1), (n, 4), (n, 2, 3)]))
    image = len(shape) == 3 and draw(st.booleans())
    obs = hnp.arrays(np.uint8 if image else np.float32, shape)
    flags = hnp.arrays(bool, n)
    choices = hnp.arrays(np.int32, n, elements=st.integers(0, 2**31 - 1))
    arrays = {
        'observations': draw(obs),
        'actions': draw(choices if discrete else hnp.arrays(np.float32, (n, draw(st.integers(1, 3))))),
        'rewards': draw(hnp.arrays(np.float32, n)),
        'terminals': draw(flags),
    }
    optional = {'timeouts': flags, 'next_observations': obs}
    return arrays | {name: draw(x) for name, x in optional.items() if draw(st.booleans())}


@given(recordings())
@settings(max_examples=60)
def test_round_trip(tmp_path_factory, arrays):
    folder = tmp_path_factory.mktemp('round')
    for kind, write in WRITERS.items():
        columns = read(write(folder / f'x.{kind}', arrays))
        assert columns.notes == ()
        for field, names in convert.NAMES.items():
            back = getattr(columns, field)
            if names[0] not in arrays:
                assert back is None
                continue
            assert back.dtype == arrays[names[0]].dtype
            np.testing.assert_array_equal(back, arrays[names[0]])


@st.composite
def episodes(draw):
    """Up to four episodes of the same widths; flags only on their last steps, so that each layout can say it."""
    width, discrete = draw(st.integers(1, 3)), draw(st.booleans())
    found = []
    for steps in draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)):
        last, ended = np.arange(steps) == steps - 1, draw(st.booleans())
        action = hnp.arrays(np.int64, steps, elements=st.integers(0, 8))
        if not discrete:
            action = hnp.arrays(np.float32, (steps, 2), elements=st.floats(-1, 1, width=32))
        obs = draw(hnp.arrays(np.float32, (steps + 1, width)))
        reward = draw(hnp.arrays(np.float32, steps))
        found.append(layouts.Episode(obs, draw(action), reward, last & ended, last & (not ended)))
    return found


@given(episodes())
@settings(max_examples=25)
def test_every_layout_gives_the_same_columns(tmp_path_factory, written):
    folder = tmp_path_factory.mktemp('layouts')
    expected = layouts.columns(written)
    for name, write in layouts.WRITERS.items():
        columns = read(write(folder, written))
        for field, x in expected.items():
            back = getattr(columns, field)
            if name.startswith('OGBench') and field == 'timeout':
                x = x | expected['terminal']  # there the end of a trajectory is marked whatever ended it
            np.testing.assert_array_equal(back, x.astype(back.dtype), err_msg=f'{name}: {field}')


# One recording of two episodes, the first ends as a task, the second is cut. The same Dataset from every layout:
ROWS = {
    'obs': [[0], [1], [2], [3], [10], [11], [12]],
    'mask': [1, 1, 0, 1, 1, 1, 1],
    'ends': [0, 0, 0, 1, 0, 0, 1],
    'reward': [1, 2, 4, 0, 8, 16, 0],
    'starts': [0, 1, 2, 4, 5],
}


@pytest.mark.parametrize('name', layouts.WRITERS)
def test_mask_and_ends(tmp_path, name):
    row = lambda *values: np.array(values, np.float32)
    column = lambda *values: row(*values)[:, None]
    flags = lambda *values: np.array(values, bool)
    written = [
        layouts.Episode(column(0, 1, 2, 3), column(0, 0, 1), row(1, 2, 4), flags(0, 0, 1), flags(0, 0, 0)),
        layouts.Episode(column(10, 11, 12), column(0, 1), row(8, 16), flags(0, 0), flags(0, 1)),
    ]
    data = Dataset.from_columns(read(layouts.WRITERS[name](tmp_path, written)))
    for field, rows in ROWS.items():
        np.testing.assert_array_equal(getattr(data, field), rows, err_msg=field)


def test_both_formats_give_the_same_columns(tmp_path):
    assert fingerprint(read(written(tmp_path, 'npz'))) == fingerprint(read(written(tmp_path, 'hdf5')))


CONVERSIONS = {  # what is in the file -> field, what is read
    'float64 observations': ({'observations': np.full((N, 3), 0.1)}, 'obs', np.full((N, 3), np.float32(0.1))),
    'big-endian': ({'rewards': np.arange(N, dtype='>f8')}, 'reward', np.arange(N, dtype=np.float32)),
    'float16': ({'rewards': np.full(N, 0.5, np.float16)}, 'reward', np.full(N, 0.5, np.float32)),
    'Fortran order': (
        {'observations': np.asfortranarray(np.arange(3 * N, dtype=np.float32).reshape(N, 3))},
        'obs',
        np.arange(3 * N, dtype=np.float32).reshape(N, 3),
    ),
    'flat observations': ({'observations': np.arange(N)}, 'obs', np.arange(N, dtype=np.float32)[:, None]),
    'bytes that are no image': (
        {'observations': np.ones((N, 3), np.uint8)},
        'obs',
        np.ones((N, 3), np.float32),
    ),
    'flat float actions': ({'actions': np.ones(N)}, 'action', np.ones((N, 1), np.float32)),
    'int64 actions': ({'actions': np.arange(N)}, 'action', np.arange(N, dtype=np.int32)),
    'integer actions in a column': (
        {'actions': np.arange(N)[:, None]},
        'action',
        np.arange(N, dtype=np.int32),
    ),
    'yes-or-no actions': ({'actions': np.arange(N) > 2}, 'action', (np.arange(N) > 2).astype(np.int32)),
    'rewards in a column': ({'rewards': np.ones((N, 1))}, 'reward', np.ones(N, np.float32)),
    'flags as floats in a column': ({'terminals': np.eye(N)[:, :1]}, 'terminal', np.arange(N) == 0),
    'flags as integers': ({'timeouts': np.arange(N) % 2}, 'timeout', np.arange(N) % 2 == 1),
    'no terminals': ({'terminals': None}, 'terminal', np.zeros(N, bool)),
}


@pytest.mark.parametrize('name', CONVERSIONS)
def test_conversions(tmp_path, kind, name):
    changes, field, expected = CONVERSIONS[name]
    back = getattr(read(written(tmp_path, kind, **changes)), field)
    assert back.dtype == expected.dtype
    assert back.flags.c_contiguous
    np.testing.assert_array_equal(back, expected)


SYNONYMS = [(field, name) for field, names in convert.NAMES.items() for name in names]


@pytest.mark.parametrize(('field', 'name'), SYNONYMS)
def test_every_name_is_read(tmp_path, kind, field, name):
    bounds = {'action_low': np.array([-2.0, -3.0]), 'action_high': np.array([1.0, 2.0])}
    values = good(next_observations=np.ones((N, 3), np.float32), **bounds)
    first = convert.NAMES[field][0]
    values[name] = values.pop(first)
    columns = read(WRITERS[kind](tmp_path / f'x.{kind}', values))
    np.testing.assert_array_equal(getattr(columns, field), values[name])
    assert (f'{name}: read as {first}' in columns.notes) == (name != first)


def test_stated_bounds(tmp_path, kind):
    columns = read(written(tmp_path, kind, action_low=-2.0, action_high=np.array([1.0, 2.0])))
    assert (columns.low, columns.high) == ((-2.0, -2.0), (1.0, 2.0))
    columns = read(written(tmp_path, kind, actions=np.arange(N), action_low=-1.0, action_high=1.0))
    assert (columns.low, columns.high) == (None, None)
    assert any('not used' in note for note in columns.notes)


def test_notes_say_what_was_decided(tmp_path, kind):
    changes = {'truncations': np.ones(N), 'terminals': None, 'rewards': np.ones(N)}
    columns = read(written(tmp_path, kind, **changes))
    assert columns.notes == (
        'no terminals column: no step is taken as an end of the task',
        'truncations: not used, timeouts means the same',
        'rewards: float64 in the file, float32 here',
    )


def test_what_is_not_a_column_is_left_alone(tmp_path, kind):
    odd = np.array([{'a': 1}], object) if kind == 'npz' else ['text', 'of', 'any length']
    path = written(tmp_path, kind, extra=odd, **{'infos/qpos': np.ones((2, 2))})
    np.testing.assert_array_equal(read(path).obs, good()['observations'])


def test_float64_beyond_float32_is_left_for_check(tmp_path, kind):
    assert np.isinf(read(written(tmp_path, kind, rewards=np.full(N, 1e300))).reward).all()


# Writing


def test_what_columns_are_written_as_is_what_they_were(tmp_path):
    columns = read(written(tmp_path, 'npz', next_observations=np.ones((N, 3)), action_low=-2, action_high=2))
    npz.write(tmp_path / 'again.npz', npz.arrays_of(columns))
    again = read(tmp_path / 'again.npz')
    assert fingerprint(again) == fingerprint(columns)
    assert again.notes == ()


def test_equal_arrays_are_written_as_equal_bytes(tmp_path):
    for name in 'ab':
        npz.write(tmp_path / name, good())
    assert (tmp_path / 'a').read_bytes() == (tmp_path / 'b').read_bytes()


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'x.npz'
    npz.write(path, good())
    before = path.read_bytes()
    with pytest.raises(ValueError, match='allow_pickle'):
        npz.write(path, good(rewards=np.array([{}] * N)))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ['x.npz']


# Columns that cannot be used

COLUMNS = {
    'no rewards': ({'rewards': None}, ['no column rewards or reward', 'found actions', 'zeros will do']),
    'no observations': ({'observations': None}, ['no column observations or observation or obs']),
    'done': ({'terminals': None, 'timeouts': None, 'dones': np.ones(N)}, ['dones does not say', 'timeouts']),
    'text': ({'rewards': np.array([b'a'] * N)}, ['rewards', '|S1']),
    'complex numbers': ({'rewards': np.ones(N, complex)}, ['rewards', 'complex128']),
    'records': ({'rewards': np.zeros(N, [('x', 'f4')])}, ['rewards']),
    'a single number': ({'rewards': 1.0}, ['rewards', 'single number']),
    'a flag of 2': (
        {'terminals': np.array([0, 1, 2, 0, 2, 0])},
        ['terminals, row 2 (first of 2)', '2 is no flag'],
    ),
    'a flag of NaN': ({'timeouts': np.array([0, np.nan] + [0] * 4)}, ['timeouts, row 1 (first of 1)', 'nan']),
    'a negative choice': ({'actions': np.array([0, 1, -3, 0, 0, 0])}, ['actions, row 2 (first of 1)', '-3']),
    'a choice beyond int32': ({'actions': np.full(N, 2**40)}, ['actions, row 0', str(2**40)]),
    'a choice beyond int64': ({'actions': np.full(N, 2**64 - 1, np.uint64)}, ['actions, row 0 (first of 6)']),
    'several integers per row': ({'actions': np.ones((N, 3), int)}, ['actions', '6 x 3 integers', 'floats']),
}


@pytest.mark.parametrize('name', COLUMNS)
def test_bad_columns(tmp_path, kind, name):
    changes, words = COLUMNS[name]
    refused(written(tmp_path, kind, **changes), *words, 'Fix: ')


# Files that are not what they should be

FILES = {
    'empty': (b'', 'empty file (0 bytes)'),
    'text': (b'obs,action,reward\n1,2,3\n', "text (it begins with b'obs,action,rewar"),
    'noise': (bytes(range(200, 256)), 'binary data of another kind'),
    'npy': (b'\x93NUMPY\x01\x00', 'np.savez'),
    'pickle': (b'\x80\x04\x95', 'pickle, which could run code and is never opened'),
    'lfs': (b'version https://git-lfs.github.com/spec/v1\noid', 'git lfs pull'),
    'gzip': (b'\x1f\x8b\x08\x00', 'unpack it first'),
    'arrow': (b'ARROW1....', 'Arrow; of a Minari dataset name the folder'),
}


@pytest.mark.parametrize('name', FILES)
@pytest.mark.parametrize('suffix', ['npz', 'hdf5', 'dat'])
def test_other_files(tmp_path, name, suffix):
    data, words = FILES[name]
    path = tmp_path / f'data.{suffix}'
    path.write_bytes(data)
    refused(path, words)


def test_a_name_that_lies(tmp_path):
    npz = written(tmp_path, 'npz').rename(tmp_path / 'npz.h5')
    hdf5 = written(tmp_path, 'hdf5').rename(tmp_path / 'hdf5.npz')
    refused(npz, 'the name says hdf5, but its bytes are npz', 'rename it to npz.npz, or pass --format npz')
    refused(hdf5, 'the name says npz, but its bytes are hdf5', '--format hdf5')
    assert len(read(npz, 'npz')) == len(read(hdf5, 'hdf5')) == N
    refused(npz, 'read as hdf5 was asked for', '--format npz', format='hdf5')
    assert len(read(npz.rename(tmp_path / 'named.anything'))) == N


def test_unknown_format(tmp_path, kind):
    with pytest.raises(UsageError, match="'xlsx' is not known; choose from hdf5, npz, ogbench, minari"):
        read(written(tmp_path, kind), 'xlsx')


def test_every_suffix_names_a_format():
    assert set(SUFFIXES.values()) == set(FORMATS) - set(WITHIN) - set(FOLDERS)


def test_paths(tmp_path):
    written(tmp_path, 'npz')
    refused(tmp_path, 'is a folder')
    refused(tmp_path / 'dat.npz', 'no such file', 'did you mean', 'data.npz?', error=UsageError)
    refused(tmp_path / 'nowhere' / 'x.npz', 'no such file', error=UsageError)
    refused(tmp_path / 'data.npz' / 'x', 'not a directory', error=UsageError)
    refused(tmp_path / ('x' * 5000), 'too long', error=UsageError)
    os.mkfifo(tmp_path / 'pipe')
    refused(tmp_path / 'pipe', 'is not a regular file')
    with pytest.raises(UsageError, match='null'):
        read('a\0b')
    assert len(read(str(tmp_path / 'data.npz'))) == N


def test_hdf5_behind_a_user_block(tmp_path):
    path = write_hdf5(tmp_path / 'x.h5', good(), userblock_size=2048)
    assert recognise(path) == 'hdf5'
    assert len(read(path)) == N


def test_truncated_anywhere(tmp_path, kind):
    path = written(tmp_path, kind)
    whole = path.read_bytes()
    for size in np.linspace(1, len(whole) - 1, 80).astype(int):
        path.write_bytes(whole[:size])
        refused(path)


def test_a_flipped_byte_never_crashes(tmp_path, kind):
    """What a library makes of it is BadData, or columns; in the data of an npz never other columns."""
    path, g = written(tmp_path, kind), np.random.default_rng(1)
    whole, expected = path.read_bytes(), fingerprint(read(path))
    directory = whole.find(b'PK\x01\x02')
    for _ in range(400):
        at, damaged = g.integers(len(whole)), bytearray(whole)
        damaged[at] ^= 1 << g.integers(8)
        path.write_bytes(damaged)
        result = attempt(path)
        assert '\n' not in result
        assert kind == 'hdf5' or at >= directory or 'Fix: ' in result or result == expected


def attempt(path):
    """The fingerprint of what is read, or the message of BadData."""
    try:
        return fingerprint(read(path))
    except BadData as error:
        return str(error)


def test_no_flipped_bit_in_the_list_of_an_npz_goes_unseen(tmp_path):
    """A longer comment would swallow the array behind it: one flag less, and no error."""
    path = write_npz(tmp_path / 'x.npz', good())
    whole, expected = path.read_bytes(), fingerprint(read(path))
    for at in range(whole.find(b'PK\x01\x02'), len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        result = attempt(path)
        assert 'Fix: ' in result or result == expected, at


# Files from a stranger


@pytest.mark.parametrize(
    'layout', [{'chunks': (1000, 3)}, {'chunks': None}, {'chunks': (1000, 3), 'compression': 'gzip'}]
)
def test_eight_terabytes_are_refused_at_once(tmp_path, layout):
    path = write_hdf5(tmp_path / 'x.hdf5', good(observations=None))
    with h5py.File(path, 'a') as file:
        file.create_dataset('observations', (2 * 10**12 // 3, 3), 'f4', **layout)
    start = time.perf_counter()
    refused(path, 'declares 8.0 TB', 'observations', '666666666666 x 3')
    assert time.perf_counter() - start < 1


def test_a_chunk_larger_than_its_array_counts(tmp_path):
    path = write_hdf5(tmp_path / 'x.hdf5', good(rewards=None))
    with h5py.File(path, 'a') as file:
        file.create_dataset('rewards', (N,), 'f4', maxshape=(None,), chunks=(10**9,))
    refused(path, 'declares 4.0 GB', 'rewards')


def test_more_than_the_limit_is_refused(tmp_path, kind, monkeypatch):
    path = written(tmp_path, kind)
    monkeypatch.setattr(convert, 'MAX_BYTES', 155)  # one less than the columns of `good`
    refused(path, 'declares 156 bytes', 'at most 155 bytes')
    monkeypatch.setattr(convert, 'MAX_BYTES', 156)
    assert len(read(path)) == N


def test_zeros_that_pack_too_well_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, 'SMALL_BYTES', 10**5)
    arrays = good(observations=np.zeros((10**6, 3), np.float32))
    refused(write_npz(tmp_path / 'x.npz', arrays, np.savez_compressed), 'declares 12.0 MB', '300 times')
    path = write_hdf5(tmp_path / 'x.hdf5', good(observations=None))
    with h5py.File(path, 'a') as file:
        file.create_dataset('observations', data=arrays['observations'], chunks=(10**6, 3), compression='gzip')
    refused(path, 'declares 12.0 MB', '300 times')


def test_an_npy_header_is_not_taken_on_trust(tmp_path):
    path = write_npz(tmp_path / 'x.npz', good(observations=None))
    with zipfile.ZipFile(path, 'a') as archive, archive.open('observations.npy', 'w') as member:
        np.lib.format.write_array_header_1_0(member, {'descr': '<f4', 'fortran_order': False, 'shape': (2 * 10**12, 1)})
    refused(path, 'observations declares 8000000000000 bytes but holds 0')


def test_objects_are_refused_by_name(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / 'ran',))

    path = write_npz(tmp_path / 'x.npz', good(rewards=np.array([Bomb()] * N, object)))
    refused(path, 'rewards holds objects (pickles or text), which are never opened')
    assert not (tmp_path / 'ran').exists()
    refused(write_hdf5(tmp_path / 'x.hdf5', good(rewards=['any', 'length'])), 'rewards holds objects')


def test_links_are_not_followed(tmp_path):
    other = write_hdf5(tmp_path / 'other.hdf5', good())
    for name, link in {
        'external': h5py.ExternalLink(other, '/observations'),
        'dangling': h5py.ExternalLink('nowhere.hdf5', '/observations'),
        'soft': h5py.SoftLink('/rewards'),
    }.items():
        path = write_hdf5(tmp_path / f'{name}.hdf5', good(observations=link))
        refused(path, 'observations is a link, which is never followed')


def test_values_in_other_files_are_refused(tmp_path):
    secret = tmp_path / 'secret'
    secret.write_bytes(struct.pack('<6f', *range(N)))
    path = write_hdf5(tmp_path / 'storage.hdf5', good(rewards=None))
    with h5py.File(path, 'a') as file:
        file.create_dataset('rewards', (N,), 'f4', external=[(secret, 0, 4 * N)])
    refused(path, 'rewards keeps its values in other files')

    source = write_hdf5(tmp_path / 'source.hdf5', good())
    layout = h5py.VirtualLayout((N,), 'f4')
    layout[:] = h5py.VirtualSource(source, 'rewards', (N,))
    path = write_hdf5(tmp_path / 'virtual.hdf5', good(rewards=None))
    with h5py.File(path, 'a') as file:
        file.create_virtual_dataset('rewards', layout)
    refused(path, 'rewards keeps its values in other files')


def test_hdf5_that_holds_something_else(tmp_path):
    path = write_hdf5(tmp_path / 'x.hdf5', {'data/walk_0/obs': np.ones(3)} | {f'n{i:02}': 1 for i in range(20)})
    refused(path, 'no column observations', 'found data, n00', ', ...')
    refused(write_hdf5(tmp_path / 'y.hdf5', good(rewards=None, **{'rewards/x': 1})), 'rewards is a group')
    refused(write_hdf5(tmp_path / 'z.hdf5', good(rewards=h5py.Empty('f4'))), 'rewards has no shape')
    refused(write_hdf5(tmp_path / 'e.hdf5', {}), 'found none')


def test_zips_that_hold_something_else(tmp_path):
    path = tmp_path / 'x.npz'
    refused(write_npz(path, {}), 'found none')
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('word/document.xml', '<x/>')
    refused(path, 'found none')
    refused(write_npz(path, good(observations=None) | {f'n{i}': 1 for i in range(1000)}), '1,004 arrays')
    write_npz(path, good(rewards=None))
    with zipfile.ZipFile(path, 'a') as archive:
        archive.writestr('rewards.npy', b'not an array')
    refused(path, 'truncated or damaged npz')


@pytest.mark.parametrize('name', layouts.WRITERS)
def test_reading_needs_no_jax(tmp_path, name):
    e = layouts.Episode(*np.ones((2, 4, 1), np.float32), np.ones(4, np.float32), *np.zeros((2, 4), bool))
    path = layouts.WRITERS[name](tmp_path, [e._replace(obs=np.ones((5, 1), np.float32), timeout=np.arange(4) == 3)])
    code = f'import sys; from stitchrl.data.formats import read; read({str(path)!r}); assert "jax" not in sys.modules'
    subprocess.run([sys.executable, '-c', code], check=True)


def test_no_format_is_loaded_before_it_is_needed(tmp_path):
    path = written(tmp_path, 'npz')
    code = (
        'import sys; from stitchrl.data.formats import read; assert "h5py" not in sys.modules;'
        f'read({str(path)!r}); assert not {{"h5py", "jax"}} & set(sys.modules)'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def test_what_does_not_fit_into_memory_is_told_so_and_how_to_leave_it_on_the_disk(tmp_path):
    with (
        pytest.raises(BadData, match=r'big\.npz: does not fit into memory \(9 GiB\).*--stream'),
        convert.reading(tmp_path / 'big.npz', 'npz'),
    ):
        raise MemoryError('9 GiB')

"""Files from a stranger: each is refused within a second and 200 MB, and without its guard it is not.

All are read in processes of their own (`reading.py`), once as they are and once with the guard taken away.
"""

import io
import json
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import h5py
import layouts
import numpy as np
import pyarrow as pa
import pytest
import thrift

SECONDS, MB = 1, 200
BIG = 10**8  # bytes
SIZES = [['convert', 'MAX_BYTES', 2**60], ['convert', 'MAX_RATIO', 2**60]]
ATTACKS = {}


def attack(words, *patches, format=None):
    """A function (folder) -> path that writes a file; `words` of its refusal; `patches` take the guard away."""

    def keep(make):
        ATTACKS[make.__name__] = (make, words, [*patches], format)
        return make

    return keep


# HDF5


def h5(folder, without=()):
    """A file open for writing, with D4RL's columns but some."""
    flags = {'terminals': np.arange(4) == 3, 'timeouts': np.zeros(4, bool)}
    shapes = {'observations': (4, 2), 'actions': (4, 1), 'rewards': 4}
    arrays = {name: np.ones(shape, np.float32) for name, shape in shapes.items()} | flags
    path = layouts.save_hdf5(folder / 'x.hdf5', {name: x for name, x in arrays.items() if name not in without})
    return h5py.File(path, 'a')


def minari(folder):
    """The folder of a small dataset, and its file open for writing."""
    last = np.arange(3) == 2
    walk = layouts.Episode(np.ones((4, 2), np.float32), np.ones((3, 1), np.float32), np.ones(3), last, ~last & last)
    layouts.minari_hdf5(folder / 'set', [walk])
    layouts.minari_tables(folder / 'tables', [walk])
    return folder / 'set', h5py.File(folder / 'set' / 'data' / 'main_data.hdf5', 'a')


def eight_terabytes(group, name):
    group.create_dataset(name, (2 * 10**12 // 3, 3), 'f4', chunks=(1000, 3))


@attack('a file of 4.6 kB declares 8.0 TB', *SIZES)
def hdf5_of_8_tb(folder):
    with h5(folder, ['observations']) as file:
        eight_terabytes(file, 'observations')
    return folder / 'x.hdf5'


@attack('declares 8.0 TB', *SIZES)
def hdf5_episode_of_8_tb(folder):
    path, file = minari(folder)
    with file:
        del file['episode_0/observations']
        eight_terabytes(file, 'episode_0/observations')
    return path


@attack('declares 8.0 TB', *SIZES)
def hdf5_demonstration_of_8_tb(folder):
    path = layouts.robomimic(folder / 'x.hdf5', [{'actions': np.ones((3, 1)), 'obs': {'x': np.ones((3, 1))}}])
    with h5py.File(path, 'a') as file:
        eight_terabytes(file, 'data/demo_0/obs/y')
    return path


def packed_zeros(size, gzip=False):
    packer = zlib.compressobj(1, zlib.DEFLATED, 31 if gzip else 15)
    return b''.join([packer.compress(bytes(2**22)) for _ in range(size // 2**22)] + [packer.flush()])


@attack('/rewards: a chunk of 16 bytes unpacks to more than that', ['hdf5', 'guard_chunks', 'pass'])
def hdf5_chunk_that_unpacks_to_more_than_it_declares(folder):
    with h5(folder, ['rewards']) as file:
        data = file.create_dataset('rewards', (4,), 'f4', chunks=(4,), compression='gzip')
        data.id.write_direct_chunk((0,), packed_zeros(BIG))
    return folder / 'x.hdf5'


@attack('/rewards is packed more than once', ['hdf5', 'guard_chunks', 'pass'])
def hdf5_packed_twice(folder):
    with h5(folder, ['rewards']) as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((4,))
        plan.set_deflate(1)
        plan.set_deflate(1)
        space = h5py.h5s.create_simple((4,))
        data = h5py.h5d.create(file.id, b'rewards', h5py.h5t.IEEE_F32LE, space, plan)
        data.write_direct_chunk((0,), zlib.compress(packed_zeros(BIG)))
    return folder / 'x.hdf5'


@attack('too many parts, at most 32 in a group and 2 groups deep', ['minari', 'MAX_DEPTH', 10**9])
def hdf5_groups_in_groups(folder):
    path, file = minari(folder)
    with file:
        del file['episode_0/observations']
        group = file.create_group('episode_0/observations')
        for _ in range(2000):
            group = group.create_group('g')
    return path


@attack('100,001 episodes, at most 100,000 are read', ['minari', 'MAX_EPISODES', 10**9])
def hdf5_of_a_hundred_thousand_groups(folder):
    path, file = minari(folder)
    with file:
        for i in range(1, 100_001):
            file.id.links.create_hard(b'episode_%d' % i, file.id, b'episode_0')
    return path


@attack('rewards is a link, which is never followed', ['hdf5', 'member', 'follow'])
def hdf5_link_to_another_file(folder):
    with h5py.File(folder / 'secret.hdf5', 'w') as file:
        file['secret'] = np.ones(4)
    with h5(folder, ['rewards']) as file:
        file['rewards'] = h5py.ExternalLink(str(folder / 'secret.hdf5'), 'secret')
    return folder / 'x.hdf5'


@attack('rewards is a link, which is never followed', ['hdf5', 'member', 'follow'])
def hdf5_link_to_a_link(folder):
    with h5(hdf5_link_to_another_file(folder).parent, ['rewards']) as file:
        file['away'] = h5py.ExternalLink(str(folder / 'secret.hdf5'), 'secret')
        file['rewards'] = h5py.SoftLink('/away')
    return folder / 'x.hdf5'


@attack('rewards keeps its values in other files', ['hdf5', 'dataset', 'follow'])
def hdf5_with_values_in_another_file(folder):
    (folder / 'secret').write_bytes(bytes(16))
    with h5(folder, ['rewards']) as file:
        file.create_dataset('rewards', (4,), 'f4', external=[(str(folder / 'secret'), 0, 16)])
    return folder / 'x.hdf5'


@attack('rewards keeps its values in other files', ['hdf5', 'dataset', 'follow'])
def hdf5_that_is_virtual(folder):
    layouts.save_hdf5(folder / 'secret.hdf5', {'secret': np.ones(4, np.float32)})
    with h5(folder, ['rewards']) as file:
        layout = h5py.VirtualLayout((4,), 'f4')
        layout[:] = h5py.VirtualSource(str(folder / 'secret.hdf5'), 'secret', (4,))
        file.create_virtual_dataset('rewards', layout)
    return folder / 'x.hdf5'


# npz


def npz(folder, **members):
    shapes = {'observations': (4, 2), 'actions': (4, 1), 'rewards': (4,), 'terminals': (4,)}
    plain = {name: npy(shape, bytes(4 * int(np.prod(shape)))) for name, shape in shapes.items()}
    with zipfile.ZipFile(folder / 'x.npz', 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in (plain | members).items():
            archive.writestr(f'{name}.npy', data)
    return folder / 'x.npz'


def npy(shape, body=b'', kind='<f4', pad=None):
    header = repr({'descr': kind, 'fortran_order': False, 'shape': shape}).encode()
    if pad is None:
        return b'\x93NUMPY\1\0' + struct.pack('<H', len(header)) + header + body
    return b'\x93NUMPY\2\0' + struct.pack('<I', len(header) + pad) + header + b' ' * pad + body


@attack('observations declares 7999999999992 bytes but holds 0', ['npz', '_declared', 'nothing'])
def npz_of_8_tb(folder):
    return npz(folder, observations=npy((2 * 10**12 // 3, 3)))


@attack('rewards is not a plain array (npy version (2, 0))', ['npz', 'HEADERS', 'both'])
def npz_with_a_header_of_100_mb(folder):
    return npz(folder, rewards=npy((4,), bytes(16), pad=BIG))


@attack('lists 20.8 MB of names, expected at most 1.0 MB', ['npz', 'DIRECTORY', 2**60], ['npz', 'MEMBERS', 2**60])
def npz_of_400_000_members(folder):
    entry = struct.pack('<4s6H3I5H2I', b'PK\1\2', 20, 20, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0)
    listing = b''.join(entry + b'%06d' % i for i in range(400_000))
    end = struct.pack('<4s4H2IH', b'PK\5\6', 0, 0, 9, 9, len(listing), 30, 0)
    (folder / 'x.npz').write_bytes(b'PK\3\4' + bytes(26) + listing + end)
    return folder / 'x.npz'


@attack("holds '../../x.npy' with a path out of it", ['npz', '_agree', 'pass'])
def npz_with_a_name_that_leads_out(folder):
    return npz(folder, **{'../../x': npy((1,), bytes(4))})


@attack("holds 'rewards.npy' twice", ['npz', '_agree', 'pass'])
@pytest.mark.filterwarnings('ignore:Duplicate name')
def npz_with_a_name_twice(folder):
    path = npz(folder)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'actions.npy', b'rewards.npy').replace(b'terminals', b'actions\0\0'))
    return path


@attack('rewards holds objects (pickles or text), which are never opened', ['npz', 'guard_dtype', 'pass'])
def npz_with_pickled_objects(folder):
    return npz(folder, rewards=npy((4,), bytes(32), '|O'))


# Parquet, Arrow, text

NAMES = ('observations', 'actions', 'rewards')


@attack('declares 289.4 MB of columns', ['parquet', 'guard', 'four'])
def parquet_page_that_unpacks_to_100_mb(folder):
    size = BIG // 2**22 * 2**22
    body = packed_zeros(size, gzip=True)
    return thrift.parquet(folder / 'x.parquet', thrift.page(len(body), size, size // 4) + body, 4, NAMES, codec=2)


@attack('declares 12.0 TB of columns', *SIZES)
def parquet_of_a_million_million_rows(folder):
    return thrift.parquet(folder / 'x.parquet', thrift.page(16, 16, 4) + bytes(16), 10**12, NAMES)


@attack('a footer of 100.0 MB', ['parquet', 'MAX_FOOTER', 2**60])
def parquet_with_a_long_footer(folder):
    table = thrift.parquet(folder / 'x.parquet', thrift.page(16, 16, 4) + bytes(16), 4, NAMES).read_bytes()
    size = struct.unpack('<I', table[-8:-4])[0]
    stuffed = b'\x28' + thrift.varint(BIG) + b'x' * BIG  # "created by", two numbers on
    footer = table[-8 - size : -9] + stuffed + b'\0'
    (folder / 'x.parquet').write_bytes(table[: -8 - size] + footer + struct.pack('<I', len(footer)) + b'PAR1')
    return folder / 'x.parquet'


@attack('declares 320.0 MB of columns', *SIZES)
def arrow_batch_that_unpacks_to_300_mb(folder):
    minari(folder)[1].close()
    file = folder / 'tables' / 'data' / '0' / 'part-0.arrow'
    table = pa.ipc.open_file(file).read_all()
    wide = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(8 * 10**7, np.float32)), 2 * 10**7)
    table = table.set_column(0, 'observations', wide)
    options = pa.ipc.IpcWriteOptions(compression='zstd')
    with pa.OSFile(str(file), 'wb') as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return folder / 'tables'


@attack('more than 16,777,216 bytes of JSON', ['folders', 'MAX_JSON', 2**60])
def json_of_40_mb(folder):
    path, file = minari(folder)
    file.close()
    (path / 'data' / 'metadata.json').write_text('[' + '1,' * (2 * 10**7) + '1]')
    return path


@attack('a line of more than 1,048,576 signs', ['csv_table', 'MAX_LINE', 2**60], format='csv')
def csv_line_of_100_mb(folder):
    (folder / 'x.csv').write_bytes(b'a,b\n' + b'1' * BIG)
    return folder / 'x.csv'


# Links out of a folder


def moved(file):
    """The file elsewhere, and a link to it in its place."""
    outside = file.parents[3] / f'outside{file.suffix}'
    file.rename(outside)
    file.symlink_to(outside)


@attack('is a link out of', ['minari', 'inside', 'pass'])
def minari_link_out_of_the_folder(folder):
    path, file = minari(folder / 'a' / 'b')
    file.close()
    moved(path / 'data' / 'main_data.hdf5')
    return path


@attack('is a link out of', ['minari_tables', 'inside', 'pass'])
def minari_table_that_is_a_link_out_of_the_folder(folder):
    path, file = minari(folder / 'a' / 'b')
    file.close()
    moved(path.parent / 'tables' / 'data' / '0' / 'part-0.arrow')
    return path.parent / 'tables'


@attack('is a link out of', ['lerobot', 'inside', 'pass'])
def lerobot_link_out_of_the_folder(folder):
    columns = {'observation.state': np.ones((3, 2), np.float32), 'action': np.ones((3, 1), np.float32)}
    columns |= {'episode_index': np.zeros(3, int), 'frame_index': np.arange(3), 'timestamp': np.arange(3) / 10}
    path = layouts.lerobot(folder / 'set', columns)
    moved(path / 'data' / 'chunk-000' / 'file-000.parquet')
    return path


# All of them


def outcomes(asked):
    """[(what became of it, seconds, MB)] of [(path, format, patches)]."""
    text = json.dumps([(str(path), format, patches) for path, format, patches in asked])
    program = [sys.executable, str(Path(__file__).with_name('reading.py'))]
    done = subprocess.run(program, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    """Name -> ((said, seconds, MB) as it is, the same without the guard)."""
    asked = []
    for name, (make, _, patches, format) in ATTACKS.items():
        path = make(tmp_path_factory.mktemp(name))
        asked += [(path, format, []), (path, format, patches)]
    found = outcomes(asked)
    return dict(zip(ATTACKS, zip(found[::2], found[1::2], strict=True), strict=True))


@pytest.mark.parametrize('name', ATTACKS)
def test_refused_in_a_second_and_200_mb(results, name):
    (said, seconds, most), _ = results[name]
    assert said.startswith('BadData: ')
    assert ATTACKS[name][1] in said
    assert 'Fix: ' in said
    assert seconds < SECONDS
    assert most < MB


@pytest.mark.parametrize('name', ATTACKS)
def test_the_guard_is_what_refuses(results, name):
    _, (said, seconds, most) = results[name]
    words = ATTACKS[name][1]
    assert words not in said or seconds > SECONDS or most > MB, (said, seconds, most)


def test_a_good_file_is_read_within_the_same_limits(tmp_path):
    h5(tmp_path).close()
    path, file = minari(tmp_path)
    file.close()
    for said, seconds, most in outcomes([(tmp_path / 'x.hdf5', None, []), (path, None, []), (npz(tmp_path), None, [])]):
        assert said in ('read: 4 rows', 'read: 3 rows')
        assert seconds < SECONDS
        assert most < MB


LIMITS = """
import os, resource, sys, time
if pid := os.fork():  # what a process took before exec, its parent's memory, counts as its own
    os.waitpid(pid, 0)
    sys.exit()
start = time.perf_counter()
from stitchrl.cli import main
code = main(['data', 'inspect', sys.argv[1]])
print(code, time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def test_eight_terabytes_from_the_command_line(tmp_path):
    """With everything that the command imports."""
    path = hdf5_of_8_tb(tmp_path)
    done = subprocess.run([sys.executable, '-c', LIMITS, str(path)], capture_output=True, text=True, check=True)
    code, seconds, most = map(float, done.stdout.split())
    assert 'declares 8.0 TB' in done.stderr
    assert code == 4
    assert seconds < SECONDS
    assert most < MB


def test_what_pickled_objects_would_do_is_not_done(tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / 'ran',)

    data = io.BytesIO()
    np.save(data, np.array([Bomb()] * 4), allow_pickle=True)
    np.load(io.BytesIO(data.getvalue()), allow_pickle=True)
    assert (tmp_path / 'ran').exists()  # so the bomb works
    (tmp_path / 'ran').unlink()
    ((said, _, _),) = outcomes([(npz(tmp_path, rewards=data.getvalue()), None, [])])
    assert 'never opened' in said
    assert not (tmp_path / 'ran').exists()

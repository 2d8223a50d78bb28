"""Recordings written and read back: the same columns in both formats, and whole or not there at all."""

import json
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.data.columns import Columns
from stitchrl.data.formats import read, write
from stitchrl.errors import UsageError

KINDS = pytest.mark.parametrize('kind', write.KINDS)
SPEC = Spec(Observation((3,)), Continuous(2, tiny.LOW, tiny.HIGH), 6)


def choices(obs, n=4):
    """Three episodes of 2, 1 and 3 steps whose actions are choices: cut, ended, cut."""
    rows = np.arange(9, dtype=obs.dtype).reshape(9, *[1] * (obs.ndim - 1)) + obs
    steps, after = [0, 1, 3, 5, 6, 7], [1, 2, 4, 6, 7, 8]
    flags = lambda where: np.isin(np.arange(6), where)
    action = np.array([0, 1, 2, 0, 1, 2], np.int32)
    return Columns(rows[steps], action, np.arange(6, dtype=np.float32), flags([2]), flags([1, 5]), rows[after])


NUMBERS = choices(np.zeros((1, 2), np.float32)), Spec(Observation((2,)), Discrete(4))
IMAGES = choices(np.zeros((1, 2, 36, 36), np.uint8)), Spec(Observation((2, 36, 36), 'uint8'), Discrete(4))


def same(one, other):
    for field in fields(Columns):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name != 'notes':
            np.testing.assert_array_equal(a, b, field.name)
            assert getattr(a, 'dtype', None) == getattr(b, 'dtype', None), field.name


def place(folder, kind):
    return folder / (f'x{write.KINDS[kind]}' if write.KINDS[kind] else 'x-v0')


@KINDS
@settings(max_examples=5)
@given(seed=st.integers(0, 100), episodes=st.integers(1, 12))
def test_what_is_written_is_read_back(tmp_path_factory, kind, seed, episodes):
    path, columns = place(tmp_path_factory.mktemp('x'), kind), tiny.columns(seed, episodes)
    write.write(path, columns, SPEC, kind)
    same(read(path), columns)


@KINDS
@pytest.mark.parametrize(('columns', 'spec'), [NUMBERS, IMAGES], ids=['numbers', 'images'])
def test_choices_and_images_too(tmp_path, kind, columns, spec):
    path = place(tmp_path, kind)
    write.write(path, columns, spec, kind)
    same(read(path), columns)


def test_the_metadata_say_what_minari_wants_to_know(tmp_path):
    write.write(tmp_path / 'hopper random', NUMBERS[0], NUMBERS[1], 'minari', 'by hand', 'my sets')
    about = json.loads((tmp_path / 'hopper random/data/metadata.json').read_text())
    assert about['dataset_id'] == 'my-sets/hopper-random-v0'
    assert (about['total_episodes'], about['total_steps'], about['description']) == (3, 6, 'by hand')
    assert json.loads(about['action_space']) == {'type': 'Discrete', 'dtype': 'int64', 'start': 0, 'n': 4}
    box = json.loads(about['observation_space'])
    assert (box['shape'], box['dtype'], box['high']) == ([2], 'float32', [np.inf, np.inf])


def test_minari_itself_reads_it(tmp_path, monkeypatch):
    minari = pytest.importorskip('minari', reason='minari is an extra')
    monkeypatch.setenv('MINARI_DATASETS_PATH', str(tmp_path))
    columns, spec = IMAGES
    write.write(tmp_path / 'x-v0', columns, spec, 'minari')
    data = minari.load_dataset('x-v0')
    assert (data.total_episodes, data.total_steps, data.spec.dataset_id) == (3, 6, 'x-v0')
    assert data.action_space.n == 4
    np.testing.assert_array_equal(data[0].observations, [*columns.obs[:2], columns.next_obs[1]])
    assert (data[1].terminations.tolist(), data[0].truncations.tolist()) == ([True], [False, True])


def test_a_recording_that_just_stops_was_cut_there(tmp_path):
    columns = replace(NUMBERS[0], timeout=None)
    write.write(tmp_path / 'x-v0', columns, NUMBERS[1], 'minari')
    np.testing.assert_array_equal(read(tmp_path / 'x-v0').timeout, NUMBERS[0].timeout)


@KINDS
def test_what_goes_wrong_leaves_nothing(tmp_path, kind, monkeypatch):
    def full(*_):
        raise OSError('no space left on device')

    monkeypatch.setattr(write.os, 'fsync', full)
    with pytest.raises(OSError, match='no space'):
        write.write(place(tmp_path, kind), tiny.columns(), SPEC, kind)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from stitchrl.core.spec import Discrete, Observation, Spec
from stitchrl.data.columns import Columns
from stitchrl.data.formats import write
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
x, no = np.zeros((2, 3), np.float32), np.zeros(2, bool)
columns = Columns(x, np.zeros(2, np.int32), x[:, 0], no, ~no, x)
write.write(Path(sys.argv[1]), columns, Spec(Observation((3,)), Discrete(2)), sys.argv[2])
"""


@KINDS
def test_a_kill_in_the_middle_leaves_nothing_that_could_be_taken_for_it(tmp_path, kind):
    path = place(tmp_path, kind)
    done = subprocess.run([sys.executable, '-c', KILLED, str(path), kind], check=False)
    assert done.returncode == -9
    assert not path.exists()
    assert [left.name.startswith('.') for left in tmp_path.iterdir()] == [True]
    write.write(path, tiny.columns(), SPEC, kind)  # and the next attempt clears up
    assert list(tmp_path.iterdir()) == [path]
    same(read(path), tiny.columns())


BAD = {
    'another format': ('x.zarr', 'zarr', 'written as npz or hdf5 or parquet or minari'),
    'npz without its ending': ('x', 'npz', r'ends in \.npz'),
    'a folder named as a file': ('x.npz', 'minari', 'the name of a folder'),
    'there already': ('there-v0', 'minari', 'is there already'),
    'no folder': ('nowhere/x.npz', 'npz', 'no folder'),
}


@pytest.mark.parametrize('name', BAD)
def test_places_that_will_not_do(tmp_path, name):
    path, kind, words = BAD[name]
    (tmp_path / 'there-v0').mkdir()
    with pytest.raises(UsageError, match=words):
        write.check_out(tmp_path / path, kind)


def test_minari_needs_successors(tmp_path):
    with pytest.raises(UsageError, match='the observation behind the last step'):
        write.write(tmp_path / 'x-v0', replace(NUMBERS[0], next_obs=None), NUMBERS[1], 'minari')
    assert list(tmp_path.iterdir()) == []


def test_writing_needs_no_jax():
    code = 'import sys; import stitchrl.data.formats.write; assert "jax" not in sys.modules'
    subprocess.run([sys.executable, '-c', code], check=True)

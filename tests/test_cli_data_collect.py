"""`stitch data collect`: what it asks for, what it prints, what it writes."""

import json
import subprocess
import sys

import fakes
import numpy as np
import pytest
from test_ring import online
from test_suite import column, played  # noqa: F401 - a fixture

import stitchrl
from stitchrl.cli import data_collect
from stitchrl.cli.data import main
from stitchrl.data.formats import read
from stitchrl.errors import UsageError

MAZE = 'pointmaze/umaze'


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    """An empty working directory; no cache of compiled programs is set up."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('stitchrl.cli.device.prepare', lambda: None)
    return tmp_path


def collect(*words):
    return main(['collect', *words])


def test_a_person_reads_what_was_played_and_what_comes_next(here, capsys):
    fakes.run(here / 'bc', 'bc')
    assert collect(MAZE, '--policy', 'bc', '--episodes', '3', '--limit', '20', '--noise', '0.5') == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ['episodes', 'steps', 'return', 'sd', 'length', 'task', 'ended']
    assert out[1].split()[:3] == ['pointmaze-umaze-bc.npz', '3', '60']
    assert out[-1] == 'next: stitch data inspect pointmaze-umaze-bc.npz'
    data = stitchrl.load('pointmaze-umaze-bc.npz')
    assert (len(data), len(data.episodes())) == (60, 3)
    assert (data.spec.action.low, data.spec.action.high) == ((-1.0, -1.0), (1.0, 1.0))


def test_a_program_reads_json_of_a_minari_folder(here, capsys):
    words = ['CartPole-v1', '--policy', 'random', '--episodes', '4', '--format', 'minari', '--out', 'x-v0', '--json']
    assert collect(*words) == 0
    told = json.loads(capsys.readouterr().out)
    columns = read('x-v0')
    assert told['path'] == 'x-v0'
    (row,) = told['recordings']
    assert (row['name'], row['episodes'], row['steps'], row['ended']) == ('x-v0', 4, len(columns), 4)
    assert row['return'] == row['length'] == len(columns) / 4
    about = json.loads((here / 'x-v0/data/metadata.json').read_text())
    assert about['description'] == f'stitch data collect {" ".join(words)}'


def test_a_ring(here, capsys):
    online(here / 'sac')
    assert collect('--replay', 'sac', '--seed-index', '1') == 0
    assert 'the ring as it was at step 4' in capsys.readouterr().out
    np.testing.assert_array_equal(read('sac-replay.npz').reward, [1, 1, 1])


@pytest.mark.parametrize(('kind', 'suffix'), [('npz', '.npz'), ('minari', '-v0')])
def test_a_suite(here, capsys, played, kind, suffix):  # noqa: F811
    words = [MAZE, '--suite', '--medium', 'm', '--expert', 'e', '--episodes', '3', '--format', kind, '--out', 'maze']
    assert collect(*words) == 0
    out = capsys.readouterr().out
    assert "medium's return lies at 33% of the way from random's to the expert's" in out
    assert f'next: stitch data inspect maze/random{suffix}' in out
    names = ['expert', 'medium', 'medium-expert', 'medium-replay', 'random']
    assert sorted(path.name for path in (here / 'maze').iterdir()) == sorted(name + suffix for name in names)
    np.testing.assert_array_equal(read(here / f'maze/medium-replay{suffix}').reward, column(9.0, 1).reward)
    if kind == 'minari':
        about = json.loads((here / 'maze/medium-v0/data/metadata.json').read_text())
        assert about['dataset_id'] == 'maze/medium-v0'


def test_a_suite_that_breaks_off_leaves_nothing(here, played, monkeypatch):  # noqa: F811
    from stitchrl.data.formats import write

    done = write.write

    def breaks(path, *rest):
        if path.name == 'expert.npz':
            raise OSError('no space left on device')
        done(path, *rest)

    monkeypatch.setattr(write, 'write', breaks)
    with pytest.raises(OSError, match='no space'):
        collect(MAZE, '--suite', '--medium', 'm', '--expert', 'e', '--out', 'maze')
    assert list(here.iterdir()) == []


BAD = {
    'nothing asked for': ([MAZE], 'one of --policy, --replay and --suite says what to write, got none of them'),
    'two things': ([MAZE, '--policy', 'random', '--replay', 'x'], 'got --policy and --replay'),
    'nowhere to play': (['--policy', 'random'], '--policy needs ENV, where to play'),
    'nothing to play': ([MAZE, '--replay', 'x'], '--replay plays nothing: leave ENV out'),
    'a suite of one': ([MAZE, '--suite', '--medium', 'x'], '--suite takes --medium RUN and --expert RUN'),
    'a medium of nothing': ([MAZE, '--policy', 'random', '--medium', 'x'], 'and nothing else does'),
    'episodes of a ring': (['--replay', 'x', '--episodes', '3'], '--episodes goes with playing'),
    'another ending': ([MAZE, '--policy', 'random', '--out', 'x.hdf5'], r'ends in \.npz'),
    'a suite as a file': ([MAZE, '--suite', '--medium', 'x', '--expert', 'y', '--out', 'x.npz'], 'name of a folder'),
    'an unknown environment': (['nowhere', '--policy', 'random'], "no environment 'nowhere'"),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_requests(here, name):
    words, said = BAD[name]
    with pytest.raises(UsageError, match=said):
        collect(*words)
    assert list(here.iterdir()) == []


def test_its_seed_is_not_one_that_judges():
    """stitch train plays its evaluations from 0 on, stitch eval from 1000."""
    assert data_collect.SEED not in range(1100)


def test_help_needs_no_jax():
    code = 'import sys; from stitchrl.cli import data_collect; assert not {"jax", "h5py", "numpy"} & set(sys.modules)'
    subprocess.run([sys.executable, '-c', code], check=True)

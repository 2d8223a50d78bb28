"""`stitch data inspect`: what it prints and with which code it leaves."""

import json
import subprocess
import sys

import layouts
import numpy as np
import pytest
from recordings import saved

from stitchrl.cli import main as stitch
from stitchrl.cli.data import main
from stitchrl.data.check import fingerprint
from stitchrl.data.formats import read
from stitchrl.errors import BadData


@pytest.fixture
def path(tmp_path):
    g = np.random.default_rng(0)
    arrays = {
        'observations': g.normal(size=(50, 3)),
        'actions': g.uniform(-2, 2, (50, 1)),
        'rewards': g.normal(size=50),
    }
    np.savez(tmp_path / 'walk.npz', **arrays, terminals=np.isin(np.arange(50), [9, 24, 49]))
    return str(tmp_path / 'walk.npz')


def test_a_person_reads_words(path, capsys):
    assert main(['inspect', path, '--low', '-2', '--high', '2']) == 0
    text = capsys.readouterr().out
    assert 'what the agent saw' in text
    assert 'bounds as stated' in text


def test_a_dataset_in_a_folder_and_what_was_decided(tmp_path, capsys):
    last = np.array([False, True])
    episode = layouts.Episode(
        np.eye(3, dtype=np.float32), np.zeros((2, 1), np.float32), np.arange(2.0), ~last & last, last
    )
    folder = layouts.minari_hdf5(tmp_path / 'set', [episode])
    assert main(['inspect', str(folder)]) == 0
    assert 'truncations: read as timeouts' in ' '.join(capsys.readouterr().out.split())
    file = layouts.save_npz(tmp_path / 'x.npz', layouts.ogbench([episode]))
    assert main(['inspect', str(file), '--format', 'ogbench', '--json']) == 0
    assert 'read as OGBench' in json.loads(capsys.readouterr().out)['notes'][0]


def test_a_program_reads_json(path, capsys):
    assert main(['inspect', path, '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    assert told['path'] == path
    assert told['fingerprint'] == fingerprint(read(path))
    assert told['ends'] == {'terminal': 3, 'timeout': 0, 'gap': 0, 'cut': 0}
    assert [finding['field'] for finding in told['findings']] == ['timeouts', 'actions']


@pytest.mark.parametrize('options', [[], ['--json']])
def test_errors_in_the_recording_are_shown_and_leave_with_code_4(path, capsys, options):
    assert main(['inspect', path, '--low', '-1', '--high', '1', *options]) == BadData.code == 4
    assert 'lies outside [-1, 1]' in ' '.join(capsys.readouterr().out.split())
    assert main(['inspect', path, '--low', '-1', *options]) == BadData.code
    assert 'only the lower bound is given' in capsys.readouterr().out


@pytest.mark.parametrize('scaled', ['observations', 'next_observations'])
@pytest.mark.parametrize('suffix', ['npz', 'hdf5'])
def test_pictures_beside_numbers_are_not_cast_but_refused(tmp_path, capsys, suffix, scaled):
    """Pictures scaled to [0, 1] in one of the two columns would become bytes of 0, or bytes be taken for such."""
    pictures, last = np.arange(7 * 4, dtype=np.uint8).reshape(7, 2, 2), np.arange(6) % 3 == 2
    columns = {'observations': pictures[:-1], 'next_observations': pictures[1:]}
    columns |= {'actions': np.arange(6) % 2, 'rewards': np.ones(6), 'terminals': last}
    whole = saved(tmp_path / f'whole.{suffix}', columns)
    mixed = saved(tmp_path / f'mixed.{suffix}', columns | {scaled: columns[scaled] / 255})
    assert stitch(['data', 'check', str(whole)]) == 0
    capsys.readouterr()
    for argv in (
        ['data', 'inspect', str(mixed)],
        ['data', 'check', str(mixed)],
        ['train', 'dqn', '--data', str(mixed)],
    ):
        assert stitch(argv) == BadData.code
        told = ' '.join(' '.join(capsys.readouterr()).split())
        assert 'next_observations: dtype is' in told
        assert 'save both as one type, images as uint8' in told


def test_a_file_that_cannot_be_read_raises(path, tmp_path):
    broken = tmp_path / 'broken.npz'
    broken.write_bytes(b'PK\x03\x04 and no more')
    with pytest.raises(BadData, match='truncated or damaged npz'):
        main(['inspect', str(broken)])
    with pytest.raises(BadData, match='--format npz'):
        main(['inspect', path, '--format', 'hdf5'])


@pytest.mark.parametrize(
    'argv', [[], ['inspect'], ['inspect', 'x', '--format', 'xlsx'], ['inspect', 'x', '--low', 'y']]
)
def test_wrong_use_leaves_with_code_2(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert 'usage: stitch data' in capsys.readouterr().err


def test_help_has_an_example_and_is_quick_to_import(capsys):
    with pytest.raises(SystemExit) as caught:
        main(['inspect', '--help'])
    assert caught.value.code == 0
    assert 'stitch data inspect recording.hdf5' in capsys.readouterr().out
    code = 'import sys, stitchrl.cli.data as d; assert not {"jax", "rich", "h5py"} & set(sys.modules)'
    subprocess.run([sys.executable, '-c', code], check=True)


def test_inspecting_needs_no_jax(path):
    code = f'import sys; from stitchrl.cli.data import main; main(["inspect", {path!r}])'
    code += '; assert "jax" not in sys.modules'
    subprocess.run([sys.executable, '-c', code], check=True, stdout=subprocess.DEVNULL)

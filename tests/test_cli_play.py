import json
from pathlib import Path

import fakes
import pytest

from stitchrl.cli import main


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return fakes.run(tmp_path_factory.mktemp('runs') / 'bc', 'bc')


def test_an_episode_becomes_a_film(run, capsys):
    assert main(['play', str(run.path), '--seed-index', '2']) == 0
    told = capsys.readouterr().out
    assert (run.path / 'videos' / 'episode.webp').read_bytes()[8:12] == b'WEBP'
    assert 'return' in told
    assert 'length' in told


def test_each_of_several_episodes_has_a_file_of_its_own(run, tmp_path, capsys):
    assert main(['play', str(run.path), '--episodes', '2', '--out', str(tmp_path / 'film.webp'), '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    assert [Path(row['file']).name for row in told] == ['film-1.webp', 'film-2.webp']
    assert all(Path(row['file']).is_file() for row in told)


@pytest.mark.parametrize(
    ('options', 'told'),
    [
        (['--seed-index', '3'], 'this run trained 3, numbered from 0'),
        (['--episodes', '0'], 'expected at least 1'),
        (['--out', 'film.gif'], 'name it film.webp'),
        (['--env', 'pointmaze/nowhere'], 'no environment'),
    ],
)
def test_what_cannot_be_played_is_one_line(run, options, told, capsys):
    assert main(['play', str(run.path), *options]) == 2
    assert told in capsys.readouterr().err

"""`stitch data split`, `merge`, `filter`: counts before and after, all files or none, nothing overwritten."""

import json

import layouts
import numpy as np
import planted
import pytest

from stitchrl.cli import data_edit
from stitchrl.cli.data import main
from stitchrl.data.check import fingerprint
from stitchrl.data.edit import returns
from stitchrl.data.formats import read, write
from stitchrl.data.formats.npz import arrays_of
from stitchrl.errors import BadData, UsageError


@pytest.fixture
def log(tmp_path):
    columns = planted.healthy(reward=np.ones(planted.N, np.float32))
    return str(layouts.save_npz(tmp_path / 'log.npz', arrays_of(columns)))


def test_split_and_merge(log, tmp_path, capsys):
    a, b, both = (str(tmp_path / name) for name in ('a.npz', 'b.npz', 'both.npz'))
    assert main(['split', log, a, b, '--fraction', '0.3']) == 0
    text = capsys.readouterr().out
    assert f'{log}: 10 episodes, 400 steps, mean return 40' in text
    assert f'{a}: 7 episodes' in text
    assert f'{b}: 3 episodes' in text
    assert len(read(a)) + len(read(b)) == 400
    assert main(['merge', a, b, both, '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row['episodes'] for row in told['before']] == [7, 3]
    assert told['after'] == [{'path': both, 'episodes': 10, 'steps': 400, 'return': 40.0}]
    assert sorted(returns(read(both))) == sorted(planted.LENGTHS)


def test_filter(log, tmp_path, capsys):
    out = str(tmp_path / 'good.npz')
    asked = ['--min-length', '25', '--episodes', '1:9', '--min-return', '30', '--best', '0.5', '--drop-dims', '0', '3']
    assert main(['filter', log, out, *asked]) == 0
    assert f'{out}: 3 episodes, 190 steps' in capsys.readouterr().out
    assert returns(read(out)).tolist() == [50, 60, 80]
    assert read(out).obs.shape == (190, 2)
    assert main(['filter', log, str(tmp_path / 'last.npz'), '--episodes', '-1']) == 0
    assert returns(read(tmp_path / 'last.npz')).tolist() == [45]


def test_a_range_that_was_only_seen_is_pointed_out(tmp_path, capsys):
    columns = planted.healthy(low=None, high=None, action=3 * planted.healthy().action)
    path = str(layouts.save_npz(tmp_path / 'free.npz', arrays_of(columns)))
    assert main(['filter', path, str(tmp_path / 'out.npz'), '--best', '0.5']) == 0
    assert 'note: no action bounds are stated' in capsys.readouterr().out


def test_both_files_or_none(log, tmp_path, monkeypatch):
    real, calls = write.write, []

    def full(path, *arguments):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(28, 'No space left on device')
        real(path, *arguments)

    monkeypatch.setattr(write, 'write', full)
    with pytest.raises(OSError, match='No space'):
        main(['split', log, str(tmp_path / 'a.npz'), str(tmp_path / 'b.npz')])
    assert len(calls) == 2
    assert [file.name for file in tmp_path.iterdir()] == ['log.npz']


def test_what_cannot_be_meant(log, tmp_path):
    new, before = str(tmp_path / 'new.npz'), fingerprint(read(log))
    for words, argv in (
        ('is there already', ['split', log, new, log]),
        ('named twice', ['split', log, new, new]),
        ('two recordings or more', ['merge', log, new]),
        ('say what to keep', ['filter', log, new]),
        ('no episode is left', ['filter', log, new, '--min-return', '1000']),
        ('ends in .npz', ['filter', log, str(tmp_path / 'folder'), '--best', '0.5']),
    ):
        with pytest.raises(UsageError, match=words):
            main([*argv])
    assert [file.name for file in tmp_path.iterdir()] == ['log.npz']
    assert fingerprint(read(log)) == before


def test_different_recordings_are_not_merged(log, tmp_path):
    other = str(layouts.save_npz(tmp_path / 'other.npz', arrays_of(planted.healthy(next_obs=None))))
    with pytest.raises(BadData, match=r'log.npz and .*other.npz differ in next_observations'):
        main(['merge', log, other, str(tmp_path / 'both.npz')])


def test_columns_that_do_not_fit_are_refused(tmp_path):
    path = str(layouts.save_npz(tmp_path / 'odd.npz', arrays_of(planted.DEFECTS['rewards too short'][0])))
    with pytest.raises(BadData, match='391 rows'):
        main(['filter', path, str(tmp_path / 'out.npz'), '--best', '0.5'])


def test_span():
    assert [data_edit.span(text) for text in ('3:10', ':4', '4:', '2', '-1')] == [
        slice(3, 10),
        slice(None, 4),
        slice(4, None),
        slice(2, 3),
        slice(-1, None),
    ]
    for text in ('a', '1:2:3', ''):
        with pytest.raises(ValueError, match=r'invalid literal|1:2:3|^$'):
            data_edit.span(text)

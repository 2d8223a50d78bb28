"""Every defect in `planted.py` is found by name, first row and count; the recording they were planted in has none."""

import json
from dataclasses import replace

import h5py
import layouts
import numpy as np
import planted
import pytest

from stitchrl.cli.data import main
from stitchrl.data import check as check_module
from stitchrl.data import disorder, suspect
from stitchrl.data.check import check
from stitchrl.data.columns import Columns
from stitchrl.data.formats.npz import arrays_of
from stitchrl.errors import BadData

N = planted.N


def test_the_healthy_recording_has_no_finding_at_all():
    assert check(planted.healthy()) == []
    assert check(replace(planted.healthy(), episode=None, time=None)) == []
    assert check(planted.images(planted.PIXELS.astype(np.uint8))) == []


def found(name):
    """Whether the defect is among the findings, with its severity, column, row and count."""
    columns, severity, field, row, count, words = planted.DEFECTS[name]
    hits = [f for f in check(columns) if (f.severity, f.field) == (severity, field) and words in f.what and f.fix]
    return len(hits) == 1 and row in (None, hits[0].row) and count in (None, hits[0].count)


@pytest.mark.parametrize('name', planted.DEFECTS)
def test_a_planted_defect_is_found(name):
    assert found(name)


FINDERS = {
    check_module: ('_not_finite', '_outside', '_no_ends', '_swapped', '_misshapen', '_bound_errors'),
    disorder: ('_shifted', '_numbers', '_clock', '_ends_that_go_on', '_short', '_no_last', '_copies'),
    suspect: (
        '_flags',
        '_time_limits',
        '_recording',
        '_observations',
        '_images',
        '_rewards',
        '_outliers',
        '_actions',
        '_actions_alike',
    ),
}


@pytest.mark.parametrize(('module', 'finder'), [(m, f) for m, names in FINDERS.items() for f in names])
def test_without_its_finder_a_defect_is_missed(module, finder, monkeypatch):
    monkeypatch.setattr(module, finder, lambda *arguments: iter(()))
    with np.errstate(all='ignore'):
        assert any(missed(name) for name in planted.DEFECTS)


def missed(name):
    """Not found, or columns that cannot be looked at were looked at."""
    try:
        return not found(name)
    except (ValueError, TypeError, IndexError):
        return True


def test_an_irregular_clock_is_not_full_of_gaps():
    time = np.cumsum(np.random.default_rng(0).exponential(size=N))
    assert [f for f in check(planted.healthy(time=time)) if 'rows are missing' in f.what] == []


def test_alike_episodes_in_a_grid_are_no_surprise():
    columns = planted.reordered(planted.TWICE, episode=None, time=None)
    assert [f for f in check(replace(columns, obs=np.round(columns.obs))) if 'copy' in f.what] == []


def test_a_flag_in_a_world_that_stands_still_tells_nothing():
    still = np.full((8, 2), 0.5, np.float32)
    ends = np.arange(8) % 4 == 3
    columns = Columns(still, still, np.arange(8, dtype=np.float32), ends, ends & False, still)
    assert [f for f in check(columns) if 'begins where' in f.what] == []


# Files that no columns can be made of: name -> what is done to the arrays of an npz file, words
ARRAYS = arrays_of(planted.healthy())
FILES = {
    'text': ({'rewards': np.array(['good'] * N)}, 'rewards holds'),
    'complex numbers': ({'observations': ARRAYS['observations'] * 1j}, 'observations holds complex'),
    'records': ({'rewards': np.zeros(N, [('a', 'f4')])}, 'rewards holds'),
    'a flag of 2': ({'terminals': np.where(np.arange(N) == 3, 2, 0)}, 'terminals, row 3 (first of 1): 2 is no flag'),
    'integers as continuous actions': ({'actions': np.ones((N, 2), int)}, 'actions holds 400 x 2 integers'),
    'a choice below 0': ({'actions': np.arange(N) - 1}, 'actions, row 0 (first of 1): -1 is no choice'),
    'a single number': ({'rewards': np.float32(1)}, 'rewards is a single number'),
    'done without a meaning': (
        {'terminals': None, 'timeouts': None, 'dones': np.zeros(N)},
        'column dones does not say',
    ),
    'no rewards': ({'rewards': None}, 'no column rewards'),
}


def planted_file(path, changes):
    arrays = {name: x for name, x in (ARRAYS | changes).items() if x is not None}
    return layouts.save_npz(path / 'planted.npz', arrays)


@pytest.mark.parametrize('name', FILES)
def test_what_a_reader_refuses_is_one_line_and_code_4(name, tmp_path, capsys):
    changes, words = FILES[name]
    path = str(planted_file(tmp_path, changes))
    assert main(['check', path]) == BadData.code
    first, last = capsys.readouterr().out.splitlines()
    assert words in first
    assert last == '1 error, 0 warnings: not fit to train on'
    assert main(['check', path, '--json']) == BadData.code
    told = json.loads(capsys.readouterr().out)
    assert told['errors'] == 1
    assert words in told['findings'][0]['what']
    assert told['findings'][0]['fix']


def episode(steps=5, **changes):
    g = np.random.default_rng(steps)
    last = np.arange(steps) == steps - 1
    made = layouts.Episode(
        g.normal(size=(steps + 1, 3)).astype(np.float32),
        g.uniform(-1, 1, (steps, 2)).astype(np.float32),
        g.normal(size=steps),
        last,
        np.zeros(steps, bool),
    )
    return made._replace(**changes)


MINARI = {  # the table of facts on what Minari's own writer accepts
    'T observations in place of T + 1': (episode(obs=np.zeros((5, 3), np.float32)), 'has 5 rows, expected 6'),
    'a wider observation': (episode(obs=np.zeros((6, 4), np.float32)), 'has rows of 4, the first episode of 3'),
    'rewards shorter than actions': (episode(reward=np.zeros(4)), 'has 4 rows, expected 5'),
    'an episode of nothing': (episode(obs=np.zeros((0, 3), np.float32)), 'has 0 rows, expected 6'),
}


@pytest.mark.parametrize('name', MINARI)
def test_an_odd_episode_of_minari_is_named(name, tmp_path, capsys):
    odd, words = MINARI[name]
    folder = layouts.minari_hdf5(tmp_path / 'set', [episode(), odd])
    assert main(['check', str(folder)]) == BadData.code
    text = capsys.readouterr().out
    assert 'episode_1' in text
    assert words in text


def test_fewer_episodes_than_the_metadata_say(tmp_path, capsys):
    folder = layouts.minari_hdf5(tmp_path / 'set', [episode(), episode(7)])
    with h5py.File(folder / 'data' / 'main_data.hdf5', 'a') as file:
        del file['episode_1']
    assert main(['check', str(folder)]) == BadData.code
    assert 'total_episodes is 2, but there are 1' in capsys.readouterr().out


@pytest.mark.parametrize('share', [0.0, 0.5, 0.99])
def test_a_truncated_file(share, tmp_path, capsys):
    path = planted_file(tmp_path, {})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert main(['check', str(path)]) == BadData.code
    assert capsys.readouterr().out.startswith('error    ')

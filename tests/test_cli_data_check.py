"""`stitch data check`: a line per finding and code 4; --fix writes a copy and a log, and leaves the source alone."""

import json
import subprocess
import sys

import layouts
import numpy as np
import planted
import pytest

from stitchrl.cli.data import main
from stitchrl.data.check import check, fingerprint
from stitchrl.data.formats import read
from stitchrl.data.formats.npz import arrays_of
from stitchrl.errors import BadData, UsageError


def save(path, columns):
    return str(layouts.save_npz(path, arrays_of(columns)))


@pytest.fixture
def spoilt(tmp_path):
    return save(tmp_path / 'spoilt.npz', planted.spoilt([25, 26, 200], np.nan, 'reward'))


def test_a_healthy_recording(tmp_path, capsys):
    path = save(tmp_path / 'fine.npz', planted.healthy())
    assert main(['check', path]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f'{path}: 400 steps')
    assert text.endswith('nothing to report\n')
    assert main(['check', path, '--low', '-0.5', '--high', '0.5']) == BadData.code
    assert 'lies outside [-0.5, 0.5]' in capsys.readouterr().out


def test_findings_as_lines_and_as_json(spoilt, capsys):
    assert main(['check', spoilt]) == BadData.code
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith('error    rewards, row 25 (first of 3): NaN. Fix: ')
    assert lines[-1] == '1 error, 0 warnings: not fit to train on'
    assert main(['check', spoilt, '--json']) == BadData.code
    told = json.loads(capsys.readouterr().out)
    assert (told['path'], told['steps'], told['errors']) == (spoilt, 400, 1)
    assert [(f['field'], f['row'], f['count']) for f in told['findings']] == [('rewards', 25, 3)]


def test_fix_writes_a_copy_and_a_log(spoilt, tmp_path, capsys):
    source = (tmp_path / 'spoilt.npz').read_bytes()
    out = tmp_path / 'mended.npz'
    assert main(['check', spoilt, '--fix', str(out)]) == 0
    text = capsys.readouterr().out
    assert 'mended   rewards, row 20 (first of 95): NaN or infinite in 3 rows; its episode is left out' in text
    assert f'{out}: 305 of 400 steps, 8 episodes (10 before)' in text
    assert (tmp_path / 'spoilt.npz').read_bytes() == source
    assert [finding for finding in check(read(out)) if finding.severity == 'error'] == []
    log = json.loads((tmp_path / 'mended.npz.changes.json').read_text())
    assert log['source'] == spoilt
    assert log['fingerprint']['after'] == fingerprint(read(out))
    assert log['steps'] == {'before': 400, 'after': 305}
    assert log['changes'][0]['rows'] == [[20, 55], [175, 235]]
    again = tmp_path / 'again.npz'
    assert main(['check', str(out), '--fix', str(again), '--json']) == 0
    assert json.loads(capsys.readouterr().out)['changes'] == []
    assert again.read_bytes() == out.read_bytes()


def test_what_cannot_be_mended_leaves_nothing(tmp_path):
    path = save(tmp_path / 'far.npz', planted.DEFECTS['action far outside'][0])
    with pytest.raises(BadData, match='--fix cannot mend this'):
        main(['check', path, '--fix', str(tmp_path / 'mended.npz')])
    assert [file.name for file in tmp_path.iterdir()] == ['far.npz']


@pytest.mark.parametrize('name', ['mended.npz', 'mended.npz.changes.json'])
def test_nothing_is_overwritten(name, spoilt, tmp_path):
    (tmp_path / name).write_text('mine')
    with pytest.raises(UsageError, match='is there already'):
        main(['check', spoilt, '--fix', str(tmp_path / 'mended.npz')])
    assert (tmp_path / name).read_text() == 'mine'
    assert len(list(tmp_path.iterdir())) == 2


def test_requests(tmp_path, capsys):
    path = save(tmp_path / 'limits.npz', planted.DEFECTS['time limits as terminals'][0])
    with pytest.raises(UsageError, match='goes with --fix OUT'):
        main(['check', path, '--time-limits'])
    assert main(['check', path, '--time-limits', '--fix', str(tmp_path / 'out.npz')]) == 0
    assert 'mended   terminals, row 49 (first of 7): ' in capsys.readouterr().out


def test_a_table_with_numbers_and_times(tmp_path, capsys):
    rows = [f'{i // 5},{0.1 * i:.1f},{i * 0.37 % 1:.3f},{-i * 0.11 % 1:.3f},{i % 3}.5' for i in range(20)]
    rows[11], rows[12] = rows[12], rows[11]
    path = tmp_path / 'log.csv'
    path.write_text('\n'.join(['id,t,q,u,r', *rows]) + '\n')
    asked = [str(path), '--obs', 'q', '--action', 'u', '--reward', 'r', '--episode', 'id', '--time', 't']
    assert main(['check', *asked]) == BadData.code
    assert 'times, row 12: the clock steps back by 0.1 s within an episode' in capsys.readouterr().out
    out = tmp_path / 'sorted.npz'
    assert main(['check', *asked, '--fix', str(out)]) == 0
    assert np.allclose(read(out).obs[:, 0], np.arange(20) * 0.37 % 1, atol=1e-3)


def test_a_shuffled_table_is_sorted(tmp_path, capsys):
    rows = [f'{i // 5},{0.1 * i:.1f},{i * 0.37 % 1:.3f},{-i * 0.11 % 1:.3f},{i % 3}.5' for i in range(20)]
    mixed = [rows[i] for i in np.random.default_rng(0).permutation(20)]
    asked = ['--obs', 'q', '--action', 'u', '--reward', 'r', '--episode', 'id', '--time', 't']
    for name, lines in (('log', rows), ('mixed', mixed)):
        (tmp_path / f'{name}.csv').write_text('\n'.join(['id,t,q,u,r', *lines]) + '\n')
    assert main(['check', str(tmp_path / 'mixed.csv'), *asked]) == BadData.code
    assert 'comes back after another one' in capsys.readouterr().out
    for name in ('log', 'mixed'):
        assert main(['check', str(tmp_path / f'{name}.csv'), *asked, '--fix', str(tmp_path / f'{name}.npz')]) == 0
    assert (tmp_path / 'log.npz').read_bytes() == (tmp_path / 'mixed.npz').read_bytes()


def test_the_way_out_of_unknown_bounds_can_be_gone(tmp_path, capsys):
    """What is said where an action never changes, word for word, writes a copy that can be trained on."""
    still = planted.healthy(action=np.full((400, 2), 3, np.float32), low=None, high=None)
    path, out = save(tmp_path / 'still.npz', still), tmp_path / 'mended.npz'
    assert main(['check', path]) == BadData.code
    fix = capsys.readouterr().out.split('Fix: state the bounds: stitch data ')[1].splitlines()[0]
    words = {'PATH': path, 'L': '-4', 'H': '4', 'OUT.npz': str(out)}
    assert main([words.get(word, word) for word in fix.split()]) == 0
    assert (read(out).low, read(out).high) == ((-4, -4), (4, 4))
    assert main(['check', str(out)]) == 0


def test_checking_needs_no_jax(spoilt):
    code = (
        f'import sys; from stitchrl.cli.data import main; main(["check", {spoilt!r}]); assert "jax" not in sys.modules'
    )
    subprocess.run([sys.executable, '-c', code], check=True, stdout=subprocess.DEVNULL)

"""`stitch data convert`, and the choice of columns on the command line."""

import json
import subprocess
import sys

import numpy as np
import pytest

import stitchrl
from stitchrl.cli.data import main
from stitchrl.data.check import fingerprint
from stitchrl.data.formats import Choice, read
from stitchrl.data.formats.write import KINDS
from stitchrl.errors import UsageError

COLUMNS = ['--obs', 'q*', '--action', 'u', '--reward', 'r', '--episode', 'id', '--terminal', 'fell', '--time', 't']


@pytest.fixture
def log(tmp_path):
    rows = [f'{i / 10},{i // 5},{i},{i * i},{i / 20},{i},{int(i == 4)}' for i in range(10)]
    (tmp_path / 'log.csv').write_text('\n'.join(['t,id,q0,q1,u,r,fell', *rows, '']))
    return str(tmp_path / 'log.csv')


def test_words_for_a_person(log, tmp_path, capsys):
    out = str(tmp_path / 'log.npz')
    assert main(['convert', log, out, *COLUMNS]) == 0
    said = capsys.readouterr().out
    assert '- observations: one row is q0, q1, side by side' in said
    assert f'{out}: 10 steps, 2 episodes, sha256' in said
    assert f'next: stitch data check {out}' in said


def test_json_for_a_program(log, tmp_path, capsys):
    out = str(tmp_path / 'log.parquet')
    assert main(['convert', log, out, *COLUMNS, '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told['steps'], told['episodes'], told['path']) == (10, 2, out)
    assert told['fingerprint'] == fingerprint(read(out))
    np.testing.assert_array_equal(read(out).episode, np.arange(10) // 5)


def test_inspect_and_load_take_the_same_choice(log, tmp_path, capsys):
    assert main(['inspect', log, *COLUMNS, '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    data = stitchrl.load(log, obs='q*', action='u', reward='r', episode='id', terminal='fell', time='t')
    assert told['steps'] == 10
    assert told['episodes']['count'] == len(data.episodes()) == 2
    with pytest.raises(UsageError, match="no setting 'rewards' in load; did you mean reward"):
        stitchrl.load(log, obs='q*', action='u', rewards='r')
    np.savez(tmp_path / 'x.npz', observations=np.ones(3))
    with pytest.raises(UsageError, match='its columns have fixed names'):
        main(['inspect', str(tmp_path / 'x.npz'), '--obs', 'q*'])


def test_every_kind_can_be_asked_for(log, tmp_path, capsys):
    main(['convert', log, str(tmp_path / 'x.npz'), *COLUMNS])
    with pytest.raises(SystemExit):
        main(['convert', '--help'])
    said = capsys.readouterr().out
    assert '{' + ','.join(KINDS) + '}' in said
    for field in ('obs', 'action', 'reward', 'episode', 'terminal', 'timeout', 'time'):
        assert f'--{field}' in said
    assert Choice().given() == {}


def test_converting_needs_no_jax(log, tmp_path):
    argv = ['convert', log, str(tmp_path / 'x.npz'), *COLUMNS]
    code = f'import sys; from stitchrl.cli.data import main; main({argv!r}); assert "jax" not in sys.modules'
    subprocess.run([sys.executable, '-c', code], check=True, stdout=subprocess.DEVNULL)


def test_without_pyarrow_parquet_names_the_extra(log, tmp_path):
    argv = ['data', 'convert', log, str(tmp_path / 'x.parquet'), *COLUMNS]
    code = f'import sys; sys.modules["pyarrow"] = None; from stitchrl.cli import main; sys.exit(main({argv!r}))'
    done = subprocess.run([sys.executable, '-c', code], check=False, capture_output=True, text=True)
    assert done.returncode == 3
    assert 'pip install "stitchrl[tables]"' in done.stderr
    (tmp_path / 'y.parquet').write_bytes(b'PAR1')
    code = code.replace(repr(argv), repr(['data', 'inspect', str(tmp_path / 'y.parquet')]))
    done = subprocess.run([sys.executable, '-c', code], check=False, capture_output=True, text=True)
    assert done.returncode == 3
    assert 'parquet needs pyarrow: pip install "stitchrl[tables]"' in done.stderr

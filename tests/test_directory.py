"""The run directory: plain files, found from anywhere inside, whole after a crash."""

import json
import platform
import shlex

import numpy as np
import pytest

from stitchrl.errors import StitchError, UsageError
from stitchrl.runs.directory import PACKAGES, RunDir, system


@pytest.fixture
def run(tmp_path):
    run = RunDir(tmp_path / 'a run')
    run.path.mkdir()
    run.write('config.json', {'algo': 'bc'})
    run.status('running')
    return run


def test_the_next_free_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [str(RunDir.fresh(name).path) for name in ('iql', 'iql', 'bc')] == [
        'runs/iql-0001',
        'runs/iql-0002',
        'runs/bc-0001',
    ]


def test_a_named_folder_may_be_absent_or_empty(tmp_path):
    assert RunDir.fresh('bc', str(tmp_path / 'deep' / 'new')).path.is_dir()
    assert RunDir.fresh('bc', str(tmp_path / 'deep' / 'new')).path == tmp_path / 'deep' / 'new'


def test_a_folder_with_anything_in_it_is_refused_and_left_alone(tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    for taken in (tmp_path, tmp_path / 'notes.txt'):
        with pytest.raises(UsageError, match=rf'{taken} is not an empty folder; .*--out.*stitch resume'):
            RunDir.fresh('bc', str(taken))
    assert [path.name for path in tmp_path.iterdir()] == ['notes.txt']
    assert (tmp_path / 'notes.txt').read_text() == 'mine'


def test_a_run_is_found_from_its_folder_and_from_anything_in_it(run, monkeypatch):
    inside = run.checkpoints / 'step_000000001' / 'agents'
    inside.mkdir(parents=True)
    for path in (run.path, inside, run.path / 'STATUS.json', run.path / 'not there.txt'):
        assert RunDir.find(path).path.resolve() == run.path.resolve()
    monkeypatch.chdir(inside)
    assert RunDir.find('.').path.resolve() == run.path.resolve()


def test_no_run_is_said_plainly(tmp_path):
    with pytest.raises(UsageError, match=f'{tmp_path}: no run here; expected the folder .* STATUS.json'):
        RunDir.find(tmp_path)


def test_json_files_come_back_and_missing_ones_are_named(run):
    tree = {'hidden': [8, 8], 'lr': 3e-4, 'name': 'ü', 'none': None}
    run.write('data.json', tree)
    assert run.read('data.json') == tree
    (run.path / 'torn.json').write_text('{"a": ')
    for name in ('absent.json', 'torn.json'):
        with pytest.raises(UsageError, match=f'{name}: cannot be read'):
            run.read(name)


def test_a_write_that_fails_leaves_the_old_file(run, monkeypatch):
    def full(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(StitchError, match='No space left'):
        run.status('finished')
    assert run.read('STATUS.json')['state'] == 'running'


def test_status_tells_how_to_go_on_in_words_a_shell_understands(run):
    run.status('interrupted', 'SIGINT after update 40')
    status = run.read('STATUS.json')
    assert (status['state'], status['reason']) == ('interrupted', 'SIGINT after update 40')
    assert shlex.split(status['resume']) == ['stitch', 'resume', str(run.path)]


def test_rows_come_back_without_a_last_line_that_a_crash_cut_off(run):
    rows = [{'step': 1, 'return': 0.1}, {'step': 2, 'return': -1e-30}]
    assert run.rows('eval.jsonl') == []
    run.append('eval.jsonl', rows[:1])
    run.append('eval.jsonl', rows[1:])
    with (run.path / 'eval.jsonl').open('a') as file:
        file.write('{"step": 3, "ret')
    assert run.rows('eval.jsonl') == rows


def test_forgetting_what_came_after_a_step(run):
    for name in ('metrics.jsonl', 'eval.jsonl'):
        run.append(name, [{'step': step} for step in (1, 2, 2, 3)])
        with (run.path / name).open('a') as file:
            file.write('{"step": 4')
    run.forget(2)
    for name in ('metrics.jsonl', 'eval.jsonl'):
        assert (run.path / name).read_text() == '{"step": 1}\n{"step": 2}\n{"step": 2}\n'


def test_the_command_is_kept_so_that_a_shell_repeats_it(run):
    command = ['train', 'iql', '--data', 'my file.npz']
    run.describe(command)
    assert shlex.split((run.path / 'command.txt').read_text()) == ['stitch', *command]
    run.describe(None)
    assert (run.path / 'command.txt').read_text() == '(from Python)\n'


def test_notes_are_lines(run):
    run.note('one')
    run.note('zwei, ü')
    assert [line.split(' ', 1)[1] for line in (run.path / 'log.txt').read_text('utf-8').splitlines()] == [
        'one',
        'zwei, ü',
    ]


def test_the_system_is_described_by_versions_and_device(run):
    run.describe(None)
    told = json.loads((run.path / 'system.json').read_text())
    assert told == system()
    assert set(told['packages']) == set(PACKAGES)
    assert told['packages']['numpy'] == np.__version__
    assert told['python'] == platform.python_version()
    assert 'cpu' in told['device']

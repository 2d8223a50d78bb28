"""stitch train, resume and eval as a program and a person read them."""

import json
import shutil

import fakes
import pytest
import tiny

from stitchrl.algos import algorithm
from stitchrl.cli import main, train
from stitchrl.cli.header import chosen
from stitchrl.errors import UsageError
from stitchrl.loops.settings import Settings, configure, settings_of
from stitchrl.runs.directory import RunDir

SMALL = ['--hidden', '8', '--batch', '4', '--steps', '12', '--every', '4', '--seeds', '2', '--seed', '3']
NUMBERS = {'mean', 'low', 'high', 'method', 'seeds', 'episodes', 'level', 'words'}


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A run judged three times, and the one document that training it printed."""
    folder = tmp_path_factory.mktemp('run')
    fakes.write(folder / 'recording.npz', fakes.recording())
    options = ['--data', str(folder / 'recording.npz'), '--eval-env', fakes.MAZE, '--eval-episodes', '2', *SMALL]
    with pytest.MonkeyPatch.context() as patch:
        printed = []
        patch.setattr('builtins.print', lambda *words, **_: printed.extend(words))
        patch.setattr('rich.console.Console.print', lambda _, *words, **__: printed.extend(words))
        assert main(['train', 'bc', *options, '--out', str(folder / 'it'), '--json']) == 0
    return RunDir(folder / 'it'), printed


def test_with_json_the_result_is_all_that_is_printed_and_its_score_is_in_numbers(run):
    told = json.loads(''.join(run[1]))
    rows = run[0].rows('eval.jsonl')
    assert told['run'] == str(run[0].path)
    assert (told['field'], told['evaluations']) == ('success', 3)
    assert told['score'].keys() == NUMBERS
    assert told['score']['mean'] == pytest.approx(sum(row['success'] for row in rows) / len(rows))
    assert told['score']['words'].startswith(f'{told["score"]["mean"]:.2f}')


def test_resuming_with_json_prints_one_document_and_warnings_elsewhere(run, tmp_path, capsys):
    """Its newest checkpoint is damaged, so that there is something to warn of."""
    again = RunDir(tmp_path / 'again')
    shutil.copytree(run[0].path, again.path)
    again.status('interrupted')
    next((again.path / 'checkpoints' / 'step_000000012').rglob('manifest.json')).write_text('')
    assert main(['resume', str(again.path), '--json']) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert (told['run'], told['score'].keys()) == (str(again.path), NUMBERS)
    assert 'trying the one before' in said.err


def test_what_was_never_judged_has_no_score(tmp_path, capsys):
    path = tiny.write(tmp_path / 'recording.npz')
    assert main(['train', 'bc', '--data', str(path), *SMALL, '--out', str(tmp_path / 'run'), '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {'run': str(tmp_path / 'run'), 'field': None, 'evaluations': 0, 'score': None}


class Done:
    """A session whose training is over, as `follow` sees it."""

    def __init__(self, run, go=lambda *_: iter(())):
        self.algo, self.run, self.go = 'bc', run, go
        self.settings, self.work = Settings(seeds=2), type('Work', (), {'stream': None, 'total': 12})


@pytest.mark.parametrize(
    ('count', 'said'),
    [(1, 'mean of the only evaluation:'), (3, 'mean of all 3 evaluations:'), (7, 'mean of the last 5 evaluations:')],
)
def test_a_person_is_told_of_how_many_evaluations_the_score_is_the_mean(count, said, tmp_path, monkeypatch, capsys):
    run = RunDir(tmp_path)
    run.append('eval.jsonl', ({'step': step, 'seed': seed, 'return': 1.0} for step in range(count) for seed in (0, 1)))
    monkeypatch.setattr(train, 'header', lambda *_: '')
    monkeypatch.setattr('stitchrl.cli.screen.hints', lambda *_: [])
    assert train.follow(Done(run), None, 0, False, '') == 0
    assert f'return, {said} 1.00' in capsys.readouterr().out


def test_the_header_describes_a_preset_only_as_it_is():
    asked = lambda algo, preset, own, run: chosen(
        algo, preset, configure(algo, preset, own), settings_of(algo, preset, run)
    )
    about = algorithm('iql').PRESETS['locomotion'][0]
    assert asked('iql', 'locomotion', {}, {'seeds': 3, 'data': 'x.npz'}) == f'locomotion: {about}'
    assert asked('iql', 'locomotion', {'reward': 'raw', 'beta': 1}, {}) == 'locomotion, with beta=1.0, reward=raw'
    preset = next(name for name, (_, said) in algorithm('sac').PRESETS.items() if 'random_steps' in said)
    assert asked('sac', preset, {}, {'random_steps': 7}) == f'{preset}, with random_steps=7'


def test_eval_with_json_knows_seeds_and_step_of_the_run_and_gives_the_score(run, capsys):
    for place in (run[0].path, run[0].policy):
        assert main(['eval', str(place), '--env', fakes.MAZE, '--episodes', '2', '--json']) == 0
        told = json.loads(capsys.readouterr().out)
        assert [(row['step'], row['seed'], row['episode']) for row in told['episodes']] == [
            (12, seed, episode) for seed in (3, 4) for episode in (0, 1)
        ]
        assert (told['step'], told['field']) == (12, 'success')
        assert told['score'].keys() == told['return'].keys() == NUMBERS
        assert told['return']['mean'] == pytest.approx(sum(row['return'] for row in told['episodes']) / 4)


def test_eval_of_a_policy_without_its_run_numbers_agents_and_knows_no_step(run, tmp_path, capsys):
    shutil.copytree(run[0].policy, tmp_path / 'policy')
    assert main(['eval', str(tmp_path / 'policy'), '--env', fakes.MAZE, '--episodes', '1', '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    assert told['step'] is None
    assert [(row['step'], row['seed']) for row in told['episodes']] == [(None, 0), (None, 1)]


def test_every_option_of_iql_says_what_it_is(capsys):
    with pytest.raises(SystemExit):
        main(['train', 'iql', '--help'])
    said = ' '.join(capsys.readouterr().out.replace('│', ' ').split())
    assert '--extract {joint,late} the policy beside the critic' in said


@pytest.mark.parametrize(('name', 'option'), [('env', '--env'), ('eval_env', '--eval-env')])
def test_a_config_file_names_no_module(tmp_path, name, option):
    """To import `os:abort` would end the process. Said on the command line it is the user's own word."""
    file = tmp_path / 'config.json'
    file.write_text(json.dumps({'settings': {name: 'os:abort'}, 'config': {}}))
    with pytest.raises(UsageError, match=rf"config.json names 'os:abort', whose code would be run.*{option} os:abort"):
        train.parse('bc', ['--config', str(file)])
    _, settings, _ = train.parse('bc', ['--config', str(file), option, 'Hopper-v5'])
    assert getattr(settings, name) == 'Hopper-v5'

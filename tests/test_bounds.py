"""Numbers that cannot be meant are refused by name before anything is made; all that anybody set up passes."""

from dataclasses import fields

import pytest
import tiny

import stitchrl
from stitchrl.algos import ALGORITHMS, PLAYERS, algorithm
from stitchrl.cli import main
from stitchrl.errors import UsageError
from stitchrl.loops.bounds import BOUNDS, numbers
from stitchrl.loops.settings import Settings, configure, settings_of

FREE = {'first_play', 'lagrange', 'target_entropy', 'latest'}  # any number, or one that a game bounds


@pytest.mark.parametrize('algo', [*ALGORITHMS, *PLAYERS])
def test_every_preset_of_every_algorithm_passes(algo):
    for preset in algorithm(algo).PRESETS:
        configure(algo, preset, {})
        settings_of(algo, preset, {})


def test_every_setting_that_holds_numbers_has_its_bounds_and_no_bound_is_of_a_name_that_is_none():
    known = {algo: fields(algorithm(algo).Config) for algo in (*ALGORITHMS, *PLAYERS)} | {'settings': fields(Settings)}
    names = {field.name for found in known.values() for field in found}
    held = {field.name for found in known.values() for field in found if numbers(field.default)}
    assert held - FREE <= BOUNDS.keys()
    assert {name.rpartition('.')[2] for name in BOUNDS} <= names


@pytest.mark.parametrize(
    ('algo', 'name', 'value'),
    [
        ('iql', 'gamma', 1.7),
        ('iql', 'gamma', float('nan')),
        ('iql', 'lr', -0.1),
        ('iql', 'lr', 0),
        ('iql', 'batch', 0),
        ('iql', 'n_steps', 0),
        ('iql', 'hidden', (8, 0)),
        ('iql', 'hidden', (-4,)),
        ('iql', 'beta', -3),
        ('iql', 'max_weight', -1),
        ('iql', 'expectile', 1.0),
        ('iql', 'steps', -1),
        ('bc', 'parts', 0),
        ('bc', 'best', 0),
        ('td3', 'delay', 0),
        ('cql', 'alpha', -3),
        ('cql', 'samples', 0),
        ('cql', 'rate', 1.5),
        ('discrete_cql', 'temperature', 0),
        ('mpc', 'samples', 0),
        ('alphazero', 'alpha', 0),
        ('iql', 'holdout', 5),
        ('iql', 'holdout', -0.5),
        ('iql', 'every', -5),
        ('iql', 'every', 0),
        ('iql', 'eval_episodes', 0),
        ('iql', 'seeds', 0),
        ('iql', 'capacity', 0),
        ('iql', 'mix', 1.0),
        ('iql', 'random_steps', -1),
    ],
)
def test_a_number_that_cannot_be_meant_is_named_with_what_was_expected(algo, name, value):
    door = settings_of if name in {field.name for field in fields(Settings)} else configure
    with pytest.raises(UsageError, match=rf'^{name}=\S.*: expected .*\d'):
        door(algo, 'default', {name: value})


@pytest.mark.parametrize(
    ('algo', 'settings'),
    [
        ('iql', {'hidden': (), 'beta': 0.0, 'steps': 0, 'gamma': 1.0}),
        ('cql', {'alpha': 0.0, 'lagrange': -100.0}),
        ('sac', {'temperature': 0.0, 'target_entropy': -3.0, 'rate': None}),
        ('mbpo', {'model_lr': 0.0, 'real': 0.0}),
        ('mpc', {'samples': None, 'refresh': 0}),
        ('alphazero', {'decay': 0.0, 'first_play': -0.5}),
    ],
)
def test_what_means_something_at_an_end_of_its_range_passes(algo, settings):
    assert vars(configure(algo, 'default', settings)).items() >= settings.items()


def test_python_makes_no_folder_for_it(tmp_path):
    with pytest.raises(UsageError, match=r'^holdout=5\.0: expected a share from 0 to below 1'):
        stitchrl.train('bc', tiny.dataset(), holdout=5, out=str(tmp_path / 'run'), **tiny.CONFIG)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        ('--holdout 5', '--holdout 5.0: expected a share from 0 to below 1, such as 0.1'),
        ('--eval-episodes 0', '--eval-episodes 0: expected a whole number from 1 on'),
        ('--hidden 8 -4', '--hidden 8 -4: expected a whole number from 1 on for each'),
        ('--gamma 1.7', '--gamma 1.7: expected a number from 0 to 1'),
    ],
)
def test_the_command_line_says_it_as_it_was_written_and_makes_no_folder(option, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = tiny.write(tmp_path / 'recording.npz')
    assert main(['train', 'bc' if 'gamma' not in option else 'iql', '--data', str(path), *option.split()]) == 2
    assert capsys.readouterr().err == f'stitch: {said}\n'
    assert not (tmp_path / 'runs').exists()


def test_a_config_file_is_held_to_it_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'config.json').write_text('{"settings": {"holdout": 5}}')
    assert main(['train', 'bc', '--data', 'recording.npz', '--config', 'config.json']) == 2
    assert '--holdout 5.0: expected' in capsys.readouterr().err

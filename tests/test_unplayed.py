"""A judgement by a recording in words, as a section of the report, and on the command line."""

import json
import re

import numpy as np
import pytest
import tiny
from test_appraise import made

from stitchrl.algos.offline.fqe import Config
from stitchrl.cli import main
from stitchrl.loops import appraise
from stitchrl.report import unplayed
from stitchrl.report.run_page import Request, write
from stitchrl.runs.directory import RunDir


def judgement(**changes):
    """One of two policies with three fits each."""
    base = {
        'algo': 'iql',
        'policy': 'abc',
        'data': {'path': 'here.npz', 'same': True, 'episodes': 100},
        'fqe': {
            'gamma': 0.9,
            'config': {'steps': 5000, 'period': 100},
            'values': [[10.0, 12.0, 11.0], [13.0, 13.0, 13.0]],
            'drift': 0.1,
            'curve': {'steps': [2500, 5000], 'values': [[5.0, 11.0], [6.0, 13.0]]},
        },
        'recording': {'value': 8.0, 'cut': 0.0},
        'reachable': [0.0, 100.0],
        'rows': {'episodes': 10, 'steps': 1000, 'unseen': True},
        'losses': {'critic/loss': [1.0, 3.0], 'critic/error': [9.0, 9.0]},
        'own': {'q/data': [4.0, 8.0], 'q/policy': [8.0, 16.0]},
        'reward': {'scale': 2.0, 'shift': 0.0},
        'agreement': {'same': [0.25, 0.75], 'usual': 0.4},
    }
    return base | changes


def test_the_value_is_over_policies_and_of_a_single_one_over_its_fits():
    one = unplayed.value(judgement())
    assert (one.mean, one.seeds) == (12.0, 2)
    assert one.low < 11 < 13 < one.high
    alone = judgement(fqe=judgement()['fqe'] | {'values': [[10.0, 12.0, 11.0]]})
    assert (unplayed.value(alone).mean, unplayed.value(alone).seeds) == (11.0, 3)
    assert 'over its fits' in unplayed.values(alone).caption
    single = judgement(fqe=judgement()['fqe'] | {'values': [[10.0]]})
    assert unplayed.value(single).low is None


def test_what_is_said_of_recorded_steps():
    told = dict(unplayed.stays(judgement()))
    assert told['steps'] == '1,000 in 10 episodes that it never learned from'
    assert told['losses'] == 'critic/loss 2', 'the mean over policies, and only losses'
    assert told['actions'] == 'the recorded one in 50% of the steps (always the commonest one: 40%)'
    assert told['own Q'] == "3 on recorded actions, 6 on the policy's", 'in the units of the recorded rewards'
    assert 'own Q' not in dict(unplayed.stays(judgement(own={'actor/distance': [1.0, 1.0]})))
    shifted = dict(unplayed.stays(judgement(reward={'scale': 1.0, 'shift': -1.0})))['own Q']
    assert shifted.startswith('6 on recorded actions')
    assert 'reward -1' in shifted
    learned = judgement(rows={'episodes': 1, 'steps': 2, 'unseen': False})
    assert '--holdout' in dict(unplayed.stays(learned))['steps']
    far = judgement(agreement={'same': [0.1], 'usual': 0.2, 'distance': [[0.5, 1.5]], 'usual_distance': [1, 1]})
    assert dict(unplayed.stays(far))['actions'].endswith('mean difference 0.5 1.5')


def test_a_judgement_without_a_flaw_has_no_warning():
    assert unplayed.warnings(judgement()) == []


@pytest.mark.parametrize(
    ('words', 'changes'),
    [
        ('not the recording', {'data': {'path': 'other.npz', 'same': False, 'episodes': 3}}),
        (
            'looks 20 steps ahead, with gamma 0.9 it takes 30: --steps 3000',
            {'fqe': {'config': {'steps': 2000, 'period': 100}}},
        ),
        ('still moved by 0.7', {'fqe': {'drift': 0.7}}),
        ('no step of the recording was rewarded', {'reachable': [0.0, 0.0]}),
        ('outside [0, 10]', {'reachable': [0.0, 10.0]}),
        ('20% of the weight', {'recording': {'value': 8.0, 'cut': 0.2}}),
    ],
)
def test_each_flaw_has_a_warning_of_its_own(words, changes):
    if 'fqe' in changes:
        changes = {'fqe': judgement()['fqe'] | changes['fqe']}
    found = unplayed.warnings(judgement(**changes))
    assert len(found) == 1
    assert words in found[0]


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp('offline')
    made(folder / 'bc', tiny.write(folder / 'data.npz'), 'bc', holdout=0.25)
    return folder


@pytest.fixture(autouse=True)
def small_fits(monkeypatch):
    monkeypatch.setattr(appraise, 'FITTING', Config(hidden=(8,), batch=8, steps=20))


def test_eval_offline_prints_stores_and_the_report_shows(home, capsys):
    assert main(['eval', str(home / 'bc'), '--offline', '--seeds', '1']) == 0
    told = capsys.readouterr().out
    for words in (
        'the policies',
        'the recorder',
        'never learned from',
        'actor/loss',
        unplayed.TRUST,
        'warning: the fit',
    ):
        assert words in told, words
    page = write(RunDir(home / 'bc'), Request(episodes=0)).read_text()
    text = re.sub(r'\s+', ' ', re.sub(r'<[^>]+>', ' ', page))
    heard = ('Judged without a simulator', 'the policies, estimated', 'its own returns', 'Warning: the fit looks')
    for words in (*heard, 'Never played; by the recording alone worth'):
        assert words in text, words
    assert 'judge it again' not in text
    run = RunDir(home / 'bc')
    run.write(unplayed.FILE, run.read(unplayed.FILE) | {'policy': 'of an earlier day'})
    assert 'judge it again' in write(run, Request(episodes=0)).read_text()


def test_json_has_it_all(home, capsys):
    assert main(['eval', str(home / 'bc'), '--offline', '--seeds', '1', '--json']) == 0
    result = json.loads(capsys.readouterr().out)
    assert {'fqe', 'losses', 'agreement', 'value', 'warnings', 'recording'} <= result.keys()
    assert np.isfinite(result['fqe']['values']).all()


def test_a_run_without_a_judgement_has_no_such_section(tmp_path):
    assert unplayed.section(RunDir(tmp_path)) is None


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['--offline', '--env', 'CartPole-v1'], '--env does not go with --offline'),
        (['--offline', '--episodes', '3'], '--episodes does not go with --offline'),
        (['--data', 'x.npz'], '--data is for --offline'),
        (['--steps', '3'], '--steps is for --offline'),
        (['--offline', '--steps', '0'], '--steps 0: expected at least 1'),
        (['--offline', '--seeds', '0'], '--seeds 0: expected at least 1'),
        (['--offline', '--gamma', '1'], 'gamma 1.0: expected a discount'),
    ],
)
def test_what_cannot_be_meant_is_refused(home, capsys, options, words):
    assert main(['eval', str(home / 'bc'), *options]) == 2
    assert words in capsys.readouterr().err

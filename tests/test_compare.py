"""Runs beside one another, from folders that look like those of real runs."""

import json
import re

import numpy as np
import pytest

from stitchrl.cli import main
from stitchrl.errors import UsageError
from stitchrl.report.compare import compare
from stitchrl.report.contrast import difference, improvement
from stitchrl.runs.directory import RunDir

SETTINGS = {'eval_env': 'Hopper-v5', 'eval_episodes': 4, 'shuffle_rewards': False}


def a_run(folder, algo, mean, seeds=3, steps=6, fingerprint='a' * 64, success=False, state='finished', **settings):
    """A run's files, with returns around `mean`; the first evaluations are far off and must not count."""
    folder.mkdir(parents=True)
    run, rng = RunDir(folder), np.random.default_rng(seeds)
    run.write('config.json', {'algo': algo, 'config': {}, 'settings': SETTINGS | settings})
    run.write('data.json', {'fingerprint': fingerprint})
    run.write('system.json', {'stitchrl': '0.1.0'})
    run.status(state)
    for step in range(1, steps + 1):
        for seed in range(seeds):
            values = rng.normal(mean if step > steps - 5 else -1e6, 1, 4)
            rows = [{'step': step, 'seed': seed, 'episode': e, 'return': float(v)} for e, v in enumerate(values)]
            run.append('eval.jsonl', [row | ({'success': row['return'] > 0} if success else {}) for row in rows])
    return folder


def returns(folder):
    rows = RunDir(folder).rows('eval.jsonl')
    return [[row['return'] for row in rows if row['seed'] == seed and row['step'] > 1] for seed in range(3)]


@pytest.fixture
def pair(tmp_path):
    return a_run(tmp_path / 'bc-0001', 'bc', 10), a_run(tmp_path / 'iql-0001', 'iql', 20)


def test_each_run_is_compared_with_the_first_over_its_last_five_evaluations(pair):
    found = compare(pair)
    first, second = found.rows
    assert (found.field, first.difference, first.improvement) == ('return', None, None)
    ours, theirs = returns(pair[1]), returns(pair[0])
    assert second.difference == difference(ours, theirs)
    assert second.improvement == improvement(ours, theirs)
    assert second.score.mean == pytest.approx(np.mean(ours))
    assert second.normalised.mean == pytest.approx(100 * (np.mean(ours) + 20.272305) / (3234.3 + 20.272305))
    assert found.warnings == []


def test_success_is_compared_where_every_run_knows_it(tmp_path):
    both = [a_run(tmp_path / name, 'bc', mean, success=True) for name, mean in (('a', -1), ('b', 9))]
    found = compare(both)
    assert (found.field, found.rows[1].normalised) == ('success', None)
    assert found.rows[1].score.mean == 1.0
    plain = a_run(tmp_path / 'c', 'bc', 3)
    assert compare([*both, plain]).field == 'return'
    with pytest.raises(UsageError, match="no \\['success'\\]"):
        compare([*both, plain], 'success')


@pytest.mark.parametrize(
    ('odd', 'told'),
    [
        ({'fingerprint': 'b' * 64}, r'data \(fingerprint\) differs: bc-0001 aaaaaaaaaaaa, odd bbbbbbbbbbbb$'),
        ({'fingerprint': None}, r'data \(fingerprint\): not known of odd'),
        ({'eval_env': 'Hopper-v4'}, 'environment differs: bc-0001 Hopper-v5, odd Hopper-v4'),
        ({'eval_env': None}, 'environment: not known of odd'),
        ({'eval_episodes': 20}, 'episodes of an evaluation differs: bc-0001 4, odd 20'),
        ({'steps': 7}, 'last evaluation, at step differs: bc-0001 6, odd 7'),
        ({'steps': 3}, 'evaluations that make the score differs: bc-0001 5, odd 3'),
        ({'seeds': 2}, 'odd has 2 seeds; three or more'),
        ({'shuffle_rewards': True}, 'odd learned from shuffled rewards'),
        ({'state': 'failed'}, 'odd is failed'),
    ],
)
def test_what_makes_runs_not_comparable_is_said(tmp_path, odd, told):
    found = compare([a_run(tmp_path / 'bc-0001', 'bc', 10), a_run(tmp_path / 'odd', 'iql', 20, **odd)])
    assert any(re.search(told, text) for text in found.warnings), found.warnings


def test_a_single_seed_decides_nothing(tmp_path, pair):
    found = compare([pair[0], a_run(tmp_path / 'one', 'iql', 30, seeds=1)])
    row = found.rows[1]
    assert (row.score.low, row.difference.low, row.improvement.low) == (None, None, None)


def test_runs_in_folders_of_one_name_are_called_by_their_paths(tmp_path):
    runs = [a_run(tmp_path / name / 'iql', 'iql', 1) for name in 'ab']
    assert [row.entry.name for row in compare(runs).rows] == [str(run) for run in runs]


def test_what_cannot_be_compared_is_refused(tmp_path, pair):
    with pytest.raises(UsageError, match='two or more'):
        compare(pair[:1])
    blind = a_run(tmp_path / 'blind', 'bc', 1, steps=0)
    with pytest.raises(UsageError, match='never judged'):
        compare([pair[0], blind])


def test_the_verb_prints_a_table_json_and_a_page(pair, tmp_path, capsys):
    bc, iql = map(str, pair)
    assert main(['compare', bc, iql]) == 0
    lines = capsys.readouterr().out
    assert 'gain over bc-0001' in lines
    assert max(map(len, lines.splitlines())) <= 120
    assert main(['compare', bc, iql, '--json', '--out', str(tmp_path / 'page.html')]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row['algo'] for row in told['rows']] == ['bc', 'iql']
    assert told['rows'][1]['difference']['mean'] == pytest.approx(10, abs=1)
    page = (tmp_path / 'page.html').read_text()
    assert 'iql-0001 scores higher than bc-0001' in page
    assert main(['compare', bc, iql, '--out', str(tmp_path / 'nowhere' / 'page.html')]) == 2
    assert 'cannot be written' in capsys.readouterr().err

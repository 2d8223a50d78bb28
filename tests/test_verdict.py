import numpy as np
import pytest

from stitchrl.report.behaviour import Behaviour
from stitchrl.report.compare import Entry
from stitchrl.report.statistics import interval
from stitchrl.report.verdict import headline, judge, scaled, shifted, table, verdicts

RECORDING = Behaviour(600.0, 3000.0, 1932, None, [], '')


def rows(means, success=None, episodes=4):
    """Three evaluations; returns around each seed's mean."""
    made = []
    for step in (1, 2, 3):
        for seed, mean in enumerate(means):
            for e, x in enumerate(mean + np.arange(episodes) - (episodes - 1) / 2):
                made.append({'step': step, 'seed': seed, 'episode': e, 'return': float(x)})
    return [row | {'success': success(row)} for row in made] if success else made


def entry(means):
    return Entry('bc-0001', 'runs/bc-0001', 'bc', rows(means), {})


@pytest.mark.parametrize(
    ('means', 'states', 'words'),
    [
        ((1600, 1650, 1700), [True, True, False], ['Better than the recording', 'Better than BC', 'Below']),
        ((100, 150, 200), [False, None, False], ['Worse than the recording', 'Not told apart from BC', 'Below']),
        ((0, 700, 3000), [None, None, None], ['Not told apart from the rec', 'Not told apart from BC', 'Not told']),
        ((4000, 4001, 4002), [True, True, True], ['Better', 'Better', 'Above']),
        ((2000,), [None, None, None], ['Not told apart', 'Not told apart', 'Not told apart']),
    ],
)
def test_a_run_is_held_against_recording_bc_and_expert(means, states, words):
    found = verdicts(judge(rows(means), RECORDING, entry((140, 150, 160)), 'Hopper-v5'))
    assert [one.holds for one in found] == states
    assert all(one.text.startswith(start) for one, start in zip(found, words, strict=True))
    assert 'Judged in Hopper-v5' in found[2].text


def test_what_there_is_nothing_to_hold_against_is_left_out():
    found = verdicts(judge(rows((1, 2, 3)), RECORDING, None, None))
    assert len(found) == 1
    assert headline(judge(rows((1, 2, 3)), RECORDING, None, 'Maze'), 'iql') == 'iql in Maze: return 2.00 [-0.48, 4.48]'


def test_returns_that_are_successes_are_rates():
    reached = [row | {'return': float(row['seed'] > 0), 'success': row['seed'] > 0} for row in rows((0, 1, 1))]
    judged = judge(reached, RECORDING, None, None)
    assert (judged.label, judged.score.high) == ('success rate', 1.0)
    paid = judge(rows((5, 6, 7), success=lambda row: True), RECORDING, None, None)
    assert paid.label == 'return'


def test_the_table_shows_last_and_best_and_marks_hindsight():
    judged = judge(rows((10, 20, 30)), RECORDING, entry((1, 2, 3)), 'Hopper-v5')
    shown = table(judged, 'iql')
    assert [row[0] for row in shown.rows] == [
        'iql, last 3 evaluations',
        'iql, last evaluation',
        'iql, best evaluation of each seed',
        'bc-0001',
        'recording',
    ]
    assert 'hindsight' in shown.rows[2][1].words[1]
    assert shown.rows[4][1].words == ('600.0', 'mean of 1,932 episodes')
    assert shown.rows[4][2] == '19.1'  # (600 + 20.27) / (3234.3 + 20.27)


def test_a_score_on_d4rls_scale_moves_with_its_interval():
    ruler = judge(rows((1, 2)), RECORDING, None, 'Hopper-v5').ruler
    assert scaled(interval([ruler.expert, ruler.random]), ruler).startswith('50.0 [-585.3, 685.3]')
    assert shifted(interval([3.0]), -1).low is None

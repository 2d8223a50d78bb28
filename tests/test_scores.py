import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stitchrl.errors import UsageError
from stitchrl.report.scores import curves, last, table


def row(seed, step, value, field='return'):
    return {'seed': seed, 'step': step, 'episode': 0, field: value}


def test_one_score_per_seed_is_a_column():
    assert table([1, 2, 3]).tolist() == [[1.0], [2.0], [3.0]]


def test_successes_become_numbers():
    assert table([[True, False], [True, True]], rate=True).tolist() == [[1.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    ('scores', 'rate', 'message'),
    [
        ([], False, 'no scores'),
        ([[]], False, 'no scores'),
        ([[1, 2], [3, 4], [5]], False, r'seed 2 have shape \(1,\), of seed 0 \(2,\)'),
        ([[[1]], [[2]]], False, 'seed 0 have shape'),
        ([1.0, float('nan')], False, 'seed 1, episode 0 is nan; expected a finite number'),
        ([[1, 2], [3, float('inf')]], False, 'seed 1, episode 1 is inf'),
        ([[0, 1], [1, 2]], True, r'seed 1, episode 1 is 2.0; expected a rate in \[0, 1\]'),
        ([-0.1, 0.5], True, 'seed 0, episode 0 is -0.1'),
    ],
)
def test_a_table_that_cannot_be_judged_is_refused(scores, rate, message):
    with pytest.raises(UsageError, match=message):
        table(scores, rate=rate)


@given(st.permutations([(s, t) for s in (4, 0, 2) for t in (0, 100, 50)]))
def test_curves_come_in_order_whatever_the_order_of_rows(order):
    steps, scores = curves(row(s, t, 1000 * s + t + e) for s, t in order for e in range(2))
    assert steps == [0, 50, 100]
    assert scores[:, :, 0].tolist() == [[0, 50, 100], [2000, 2050, 2100], [4000, 4050, 4100]]
    assert np.array_equal(scores[:, :, 1], scores[:, :, 0] + 1)


@pytest.mark.parametrize(
    ('rows', 'message'),
    [
        ([], 'no evaluation rows'),
        ([row(0, 0, 1), {'seed': 0, 'step': 1}], r"row 2 has no \['return'\]; it has \['seed', 'step'\]"),
        ([row(0, 0, 1), row(1, 0, 1), row(1, 5, 1)], r'\{0: 1\} for seed 0 and \{0: 1, 5: 1\} for seed 1'),
        ([row(0, 0, 1), row(1, 0, 1), row(1, 0, 1)], r'\{0: 1\} for seed 0 and \{0: 2\} for seed 1'),
        ([row(0, 0, 1), row(0, 5, 1), row(0, 5, 2)], r'\{0: 1, 5: 2\} for seed 0'),
    ],
)
def test_rows_that_cannot_be_compared_are_refused(rows, message):
    with pytest.raises(UsageError, match=message):
        curves(rows)


def test_another_field_can_be_chosen():
    assert curves([row(0, 0, True, 'success')], 'success')[1].tolist() == [[[1.0]]]


def test_the_last_scores_of_each_seed_stand_one_after_another():
    rows = [row(seed, step, 10 * seed + step) for seed in (1, 0) for step in (3, 1, 2)]
    assert last(rows, 2).tolist() == [[2.0, 3.0], [12.0, 13.0]]
    assert last(rows, 9).shape == (2, 3)
    with pytest.raises(UsageError, match='k is 0'):
        last(rows, 0)

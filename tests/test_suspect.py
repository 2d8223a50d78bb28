"""Every suspicion is raised by what it is for, and by nothing in a plain recording."""

from dataclasses import replace

import numpy as np
import pytest

from stitchrl.data.check import bounds
from stitchrl.data.columns import Columns
from stitchrl.data.suspect import saturated, warnings

N = 400


def plain(**changes):
    """Ten episodes of different lengths: eight failures, a time limit at the longest, and another failure."""
    g = np.random.default_rng(3)
    states = g.normal(size=(N + 1, 4)).astype(np.float32)
    stops = np.cumsum([20, 35, 50, 41, 29, 60, 25, 15, 80, 45]) - 1
    columns = Columns(
        states[:-1],
        g.uniform(-0.9, 0.9, (N, 2)).astype(np.float32),
        g.normal(size=N).astype(np.float32),
        np.isin(np.arange(N), np.delete(stops, 8)),
        np.arange(N) == stops[8],
        states[1:],
    )
    return replace(columns, **changes)


def changed(field, at, value):
    x = getattr(plain(), field).copy()
    x[at] = value
    return plain(**{field: x})


def limited(lengths):
    """A recording in which every episode is marked terminal, of these lengths."""
    ends = np.isin(np.arange(sum(lengths)), np.cumsum(lengths) - 1)
    rows = np.arange(sum(lengths)) % N
    c = plain()
    return Columns(c.obs[rows], c.action[rows], c.reward[rows], ends, np.zeros(len(ends), bool))


LAST = plain().terminal & (np.arange(N) < N - 1)
CASES = {  # columns -> column, first row, count, words
    'both flags': (changed('timeout', [19, 54], True), 'terminals', 19, 2, 'terminal and timeout on one row'),
    'mostly terminal': (plain(terminal=np.arange(N) % 4 > 0), 'terminals', None, None, '75% of all rows'),
    'no way to see time limits': (
        plain(timeout=None, next_obs=None),
        'timeouts',
        None,
        None,
        'cannot be seen',
    ),
    'time limit as terminal': (limited([100] * 3), 'terminals', 99, 3, '3 of 3 episodes marked terminal'),
    'some time limits': (limited([100, 7, 12, 100, 30, 100]), 'terminals', 99, 3, '3 of 6 episodes'),
    'a gap': (changed('next_obs', ([5, 30], 0), 9), 'next_observations', 5, 2, 'does not begin where'),
    'shuffled rows': (plain(obs=plain().obs[::-1]), 'next_observations', 0, 390, 'may be shuffled'),
    'stops in the middle': (plain(terminal=LAST), 'timeouts', N - 1, 1, '(45 rows of it)'),
    'constant observations': (
        changed('obs', (slice(None), [1, 3]), 2),
        'observations',
        None,
        None,
        'dimensions 1, 3',
    ),
    'twin observations': (plain(obs=plain().obs[:, [0, 1, 2, 0]]), 'observations', None, None, '(0 = 3)'),
    'an outlier': (changed('obs', (7, 2), 1e12), 'observations', 7, 1, 'beyond 1e+06 in dimension 2'),
    'one reward, no end of the task': (
        plain(reward=np.full(N, -1, np.float32), terminal=np.zeros(N, bool), timeout=plain().terminal),
        'rewards',
        None,
        None,
        'every reward is -1',
    ),
    'no reward': (plain(reward=np.zeros(N, np.float32)), 'rewards', None, None, 'every reward is 0'),
    'no bounds': (plain(action=3 * plain().action), 'actions', None, None, 'no bounds are stated'),
    'saturated': (
        changed('action', (slice(0, 100), 1), 1),
        'actions',
        None,
        None,
        '25% of the rows in dimension 1',
    ),
    'many choices': (
        plain(action=np.arange(N, dtype=np.int32) * 9),
        'actions',
        None,
        None,
        'integers up to 3,591',
    ),
}


def found(columns):
    return warnings(columns, *bounds(columns))


@pytest.mark.parametrize('name', CASES)
def test_suspicions(name):
    columns, field, row, count, words = CASES[name]
    hits = [f for f in found(columns) if words in f.what]
    assert [(f.severity, f.field, f.row, f.count) for f in hits] == [('warning', field, row, count)]
    assert hits[0].fix


@pytest.mark.parametrize(
    'columns',
    [
        plain(),
        plain(action=np.arange(N, dtype=np.int32) % 5),
        limited([30, 31, 32, 33]),  # failures at any length
        limited([30, 30, 12, 9]),  # twice may be chance
        limited([30] * 3 + list(range(10, 30))),  # so may three in many
    ],
)
def test_a_plain_recording_is_not_suspected(columns):
    assert [f.what for f in found(columns) if 'cannot be seen' not in f.what] == []


@pytest.mark.parametrize('each', [-1, 1])
def test_a_reward_for_each_step_until_the_task_ends_tells_good_from_bad(each):
    assert found(plain(reward=np.full(N, each, np.float32))) == []


def test_one_step_tasks_have_no_time_limit():
    assert not [f for f in found(limited([1] * 50)) if 'time limit' in f.what]


@pytest.mark.parametrize(('row', 'twins'), [(None, 1), (1023, 0)])  # 1023: not in the sample of rows
def test_a_near_twin_is_no_twin(row, twins):
    columns = limited([31, 32, 33, 928])
    columns.obs[:, 3] = columns.obs[:, 0]
    if row:
        columns.obs[row, 3] += 1
    assert sum('(0 = 3)' in f.what for f in found(columns)) == twins


def test_images_are_not_searched_for_constants():
    images = np.zeros((N, 8, 8, 3), np.uint8)
    assert found(plain(obs=images, next_obs=images)) == []


def test_saturated_counts_rows_near_a_bound():
    action = np.float32([[1.9, 0], [1.99, 0], [-2, 5], [0, 5]])
    low, high = np.array([-2.0, -5]), np.array([2.0, 5])
    assert saturated(action, low, high).tolist() == [0.5, 0.5]
    assert saturated(np.float32([[0.0], [0.5], [0.999]]), np.zeros(1), np.ones(1)).tolist() == pytest.approx([2 / 3])

"""Bad recordings are named by column, row and count; good ones pass."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stitchrl.data.check import bounds, check, fingerprint, refuse
from stitchrl.data.columns import Columns
from stitchrl.errors import BadData

N = 8


def good(**changes):
    """Two episodes of four steps, the first ended by the task and the second by a time limit."""
    g = np.random.default_rng(0)
    states = g.normal(size=(N + 1, 3)).astype(np.float32)
    after = states[1:].copy()
    after[3] += 1  # what was seen before the reset, not the first row of the next episode
    columns = Columns(
        obs=states[:-1],
        action=g.uniform(-1, 1, (N, 2)).astype(np.float32),
        reward=g.normal(size=N).astype(np.float32),
        terminal=np.arange(N) == 3,
        timeout=np.arange(N) == N - 1,
        next_obs=after,
        low=(-1.0, -1.0),
        high=(1.0, 1.0),
    )
    return replace(columns, **changes)


def poisoned(field, at, value):
    """`good` with one value in one column replaced."""
    x = getattr(good(), field).copy()
    x[at] = value
    return good(**{field: x})


def cut(field, n):
    return good(**{field: getattr(good(), field)[:n]})


DISCRETE = {'action': np.arange(N, dtype=np.int32), 'low': None, 'high': None}
ONWARDS = np.concatenate([good().obs[1:], good().next_obs[-1:]])
NOWHERE = {'terminal': np.zeros(N, bool), 'timeout': np.zeros(N, bool), 'next_obs': ONWARDS}
NOTHING = {f: getattr(good(), f)[:0] for f in ('obs', 'action', 'reward', 'terminal', 'timeout', 'next_obs')}

ERRORS = {  # columns -> column, first row, count, words
    'NaN reward': (poisoned('reward', [2, 5], np.nan), 'rewards', 2, 2, 'NaN'),
    'infinite reward': (poisoned('reward', 4, np.inf), 'rewards', 4, 1, 'infinite'),
    'minus infinity': (poisoned('reward', 4, -np.inf), 'rewards', 4, 1, 'infinite'),
    'NaN observation': (poisoned('obs', (6, 1), np.nan), 'observations', 6, 1, 'NaN in dimension 1'),
    'NaN next observation': (poisoned('next_obs', (0, 2), np.nan), 'next_observations', 0, 1, 'dimension 2'),
    'NaN action': (poisoned('action', (3, 0), np.nan), 'actions', 3, 1, 'NaN in dimension 0'),
    'action far outside': (
        poisoned('action', (slice(5, 8), 1), 5.0),
        'actions',
        5,
        3,
        '5 in dimension 1 lies outside',
    ),
    'action below': (
        poisoned('action', (5, 0), -1.01),
        'actions',
        5,
        1,
        '-1.01 in dimension 0 lies outside [-1, 1]',
    ),
    'negative choice': (
        good(**DISCRETE | {'action': np.arange(N, dtype=np.int32) - 1}),
        'actions',
        0,
        1,
        '-1',
    ),
    'short rewards': (cut('reward', N - 2), 'rewards', N - 2, 2, '6 rows, but most columns have 8'),
    'short terminals': (cut('terminal', 1), 'terminals', 1, 7, '1 rows'),
    'long observations': (good(obs=np.zeros((N + 1, 3), np.float32)), 'observations', N, 1, '9 rows'),
    'wide next observations': (
        good(next_obs=np.zeros((N, 4), np.float32)),
        'next_observations',
        None,
        None,
        '8 x 4, expected N x 3',
    ),
    'flat observations': (
        good(obs=np.zeros(N, np.float32), next_obs=None),
        'observations',
        None,
        None,
        'shape is 8, expected N x any',
    ),
    'a number': (good(reward=np.float32(1)), 'rewards', None, None, 'shape is (), expected N'),
    'two rewards per step': (
        good(reward=np.zeros((N, 2), np.float32)),
        'rewards',
        None,
        None,
        '8 x 2, expected N',
    ),
    'deep actions': (good(action=np.zeros((N, 2, 2), np.float32)), 'actions', None, None, '8 x 2 x 2'),
    'choices in a column': (
        good(action=np.zeros((N, 1), np.int32)),
        'actions',
        None,
        None,
        '8 x 1, expected N',
    ),
    'no width': (
        good(obs=np.zeros((N, 0), np.float32), next_obs=None),
        'observations',
        None,
        None,
        'width 0',
    ),
    'flags that are numbers': (good(terminal=np.zeros(N)), 'terminals', None, None, 'dtype is float64'),
    'pictures before, numbers after': (
        good(obs=np.zeros((N, 2, 2), np.uint8), next_obs=np.zeros((N, 2, 2), np.float32)),
        'next_observations',
        None,
        None,
        'dtype is float32, that of observations uint8',
    ),
    'numbers before, pictures after': (
        good(obs=np.zeros((N, 2, 2), np.float32), next_obs=np.zeros((N, 2, 2), np.uint8)),
        'next_observations',
        None,
        None,
        'dtype is uint8, that of observations float32',
    ),
    'text': (good(reward=np.array(['a'] * N)), 'rewards', None, None, 'dtype is <U1'),
    'no rows': (good(**NOTHING), 'observations', None, None, 'no rows'),
    'no end anywhere': (good(**NOWHERE), 'terminals', None, None, 'no end of an episode anywhere'),
    'no end, one column': (
        good(terminal=np.zeros(N, bool), timeout=None, next_obs=None),
        'terminals',
        None,
        None,
        'no end of an episode',
    ),
    'only one bound': (good(low=None), 'actions', None, None, 'only the upper bound'),
    'too many bounds': (
        good(low=(-1.0,) * 3),
        'actions',
        None,
        None,
        '3 lower and 2 upper bounds for 2 dimensions',
    ),
    'bounds upside down': (good(low=(1.0, 1.0), high=(-1.0, 1.0)), 'actions', None, None, 'not in order'),
    'infinite bounds': (good(low=(-np.inf, -1.0)), 'actions', None, None, 'not finite'),
    'bounds of choices': (
        good(**DISCRETE | {'low': (0.0,)}),
        'actions',
        None,
        None,
        'these actions are choices',
    ),
    'a still action, no bounds': (
        good(action=np.full((N, 2), 3, np.float32), low=None, high=None),
        'actions',
        None,
        None,
        'dimension 0 is always 3',
    ),
}


@pytest.mark.parametrize('name', ERRORS)
def test_errors(name):
    columns, field, row, count, words = ERRORS[name]
    errors = [finding for finding in check(columns) if finding.severity == 'error']
    assert [(e.field, e.row, e.count) for e in errors] == [(field, row, count)]
    assert words in errors[0].what
    assert errors[0].fix
    with pytest.raises(BadData, match=f'^{field}') as caught:
        refuse(check(columns))
    assert str(caught.value).count('\n') == 0


@pytest.mark.parametrize(
    'columns',
    [
        good(),
        good(low=None, high=None),
        good(**DISCRETE),
        good(timeout=None),
        good(terminal=np.zeros(N, bool)),
        good(obs=np.zeros((N, 2, 2, 3), np.uint8), next_obs=np.zeros((N, 2, 2, 3), np.uint8)),
    ],
)
def test_good_recordings_pass(columns):
    findings = check(columns)
    assert not [finding for finding in findings if finding.severity == 'error']
    refuse(findings)


def test_a_plain_recording_has_no_findings_at_all():
    assert check(good()) == []


def test_a_gap_is_an_end():
    columns = good(**NOWHERE, obs=good().obs + (np.arange(N) > 3)[:, None].astype(np.float32))
    assert {finding.severity for finding in check(columns)} == {'warning'}


def test_every_error_has_its_line_and_errors_come_first():
    columns = poisoned('reward', 1, np.nan)
    columns = replace(columns, obs=poisoned('obs', (2, 0), np.inf).obs, terminal=np.ones(N, bool))
    findings = check(columns)
    assert [f.severity for f in findings] == sorted(f.severity for f in findings)
    with pytest.raises(BadData) as caught:
        refuse(findings)
    lines = str(caught.value).splitlines()
    assert [line.split(',')[0] for line in lines] == ['observations', 'rewards']


def test_rounding_outside_the_space_is_clipped_with_a_count():
    columns = poisoned('action', (slice(2, 5), 0), np.float32(1 + 1e-6))
    finding = check(columns)[0]
    assert (finding.severity, finding.row, finding.count) == ('warning', 2, 3)
    assert 'clipped' in finding.fix
    refuse(check(columns))


@pytest.mark.parametrize(('excess', 'severity'), [(0.9e-4, 'warning'), (1.1e-4, 'error')])
def test_the_tolerance_is_a_share_of_the_range(excess, severity):
    columns = good(action=np.full((N, 2), 10 + 20 * excess, np.float32))
    found = [finding.severity for finding in check(columns, -10, 10) if 'outside' in finding.what]
    assert found == [severity]


def test_arguments_go_before_the_bounds_of_the_file():
    columns = poisoned('action', (0, 1), 2.0)
    assert check(columns)[0].severity == 'error'
    assert not check(columns, -2, [1, 2.5])
    assert check(good(), low=0)[0].field == 'actions'


@given(st.integers(0, N - 1), st.integers(0, 2), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_bad_value_is_found_wherever_it_is(row, dim, value):
    for field, name in (('obs', 'observations'), ('next_obs', 'next_observations')):
        first = check(poisoned(field, (row, dim), value))[0]
        assert (first.severity, first.field, first.row, first.count) == ('error', name, row, 1)
        assert first.what.endswith(f'dimension {dim}')


def test_bounds():
    small, large = np.full((4, 2), 0.3, np.float32), np.float32([[-2, 0], [1, 3], [0, 0], [0, 0]])

    def told(*arguments, **changes):
        low, high, source = bounds(good(**changes), *arguments)
        return low.tolist(), high.tolist(), source

    assert told() == ([-1, -1], [1, 1], 'stated')
    assert told(-3, [4, 5]) == ([-3, -3], [4, 5], 'stated')
    assert told(action=small, low=None, high=None) == ([-1, -1], [1, 1], 'assumed')
    assert told(action=large, low=None, high=None) == ([-2, 0], [1, 3], 'observed')
    assert told(**DISCRETE) == ([0], [N - 1], 'observed')


def test_fingerprint():
    same, prints = fingerprint(good()), set()
    assert len(same) == 64
    assert same == fingerprint(good(notes=('read elsewhere',)))
    assert same == fingerprint(good(obs=np.asfortranarray(good().obs)))
    changed = [
        poisoned('obs', (0, 0), 9),
        poisoned('next_obs', (7, 2), 9),
        poisoned('terminal', 0, True),
        good(timeout=None),
        good(next_obs=None),
        good(low=None),
        good(high=(1.0, 2.0)),
        good(reward=good().reward.astype(np.float64)),
        good(obs=good().obs.reshape(N, 3, 1)),
        good(terminal=good().timeout, timeout=good().terminal),
        good(**NOTHING),
    ]
    prints |= {fingerprint(columns) for columns in changed}
    assert len(prints | {same}) == len(changed) + 1

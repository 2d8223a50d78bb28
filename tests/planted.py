"""A healthy recording and the ways to spoil it: a row per defect, used by the tests of check and of repair."""

from dataclasses import replace

import numpy as np

from stitchrl.data.columns import Columns

LENGTHS = (20, 35, 50, 41, 29, 60, 25, 15, 80, 45)
N = sum(LENGTHS)
STOPS = np.cumsum(LENGTHS) - 1
CUT = STOPS[[3, 8]]  # ended by a time limit, all others by the task


def healthy(**changes):
    """Ten episodes with the recorder's own numbers and clock; nothing is wrong with it."""
    g = np.random.default_rng(3)
    after = g.normal(size=(N, 4)).astype(np.float32)
    obs = np.concatenate([g.normal(size=(1, 4)).astype(np.float32), after[:-1]])
    obs[STOPS[:-1] + 1] = g.normal(size=(len(STOPS) - 1, 4))
    columns = Columns(
        obs,
        g.uniform(-0.9, 0.9, (N, 2)).astype(np.float32),
        g.normal(size=N).astype(np.float32),
        np.isin(np.arange(N), np.setdiff1d(STOPS, CUT)),
        np.isin(np.arange(N), CUT),
        after,
        low=(-1.0, -1.0),
        high=(1.0, 1.0),
        episode=np.repeat(np.arange(len(LENGTHS)), LENGTHS),
        time=100 + 0.02 * np.arange(N) + g.uniform(0, 0.004, N),
    )
    return replace(columns, **changes)


def spoilt(at, value, *fields):
    """The healthy recording with one value in these columns replaced."""
    changes = {}
    for field in fields:
        changes[field] = getattr(healthy(), field).copy()
        changes[field][at] = value
    return healthy(**changes)


def reordered(rows, **changes):
    """The healthy recording with its rows in another order."""
    fields = ('obs', 'action', 'reward', 'terminal', 'timeout', 'next_obs', 'episode', 'time')
    columns = healthy(**changes)
    return replace(columns, **{f: getattr(columns, f)[rows] for f in fields if getattr(columns, f) is not None})


def swapped(a, b):
    """Two rows in each other's place."""
    rows = np.arange(N)
    rows[[a, b]] = rows[[b, a]]
    return reordered(rows)


def rolled(by):
    """next_observations shifted by so many rows."""
    return healthy(next_obs=healthy().obs[np.clip(np.arange(N) + 1 + by, 0, N - 1)])


def limited():
    """Seven episodes that a limit of 50 steps ended, stored as terminals, and two real failures."""
    ends = np.isin(np.arange(N), [49, 99, 149, 199, 219, 249, 299, 349, 399])
    return healthy(terminal=ends, timeout=~ends & False, episode=None, time=None, next_obs=None)


def swapped_axes(*fields):
    return healthy(**{field: getattr(healthy(), field).T for field in fields})


def behind_cuts(value):
    x = healthy().next_obs.copy()
    x[CUT] = value
    return healthy(next_obs=x)


def images(x):
    """Observations of small images that never repeat."""
    after = np.roll(x, -1, axis=0)
    after[STOPS] = 255 - after[STOPS]  # what was seen before the reset
    return healthy(obs=x, next_obs=after)


PIXELS = np.random.default_rng(0).integers(0, 256, (N, 3, 3, 1))
FRESH = healthy(episode=None, time=None)
NO_FLAGS = {'terminal': np.zeros(N, bool), 'timeout': np.zeros(N, bool)}
ONWARDS = np.concatenate([healthy().obs[1:], healthy().next_obs[-1:]])
JUMP = healthy().time + 0.1 * (np.arange(N) > 120)
WHOLE = {'action': (np.arange(N) % 5).astype(np.float32)[:, None], 'low': (0.0,), 'high': (4.0,)}
TWICE = np.r_[np.arange(N), np.arange(STOPS[0] + 1)]
CONSTANT = {f: np.where(np.arange(4) == 2, 7, getattr(healthy(), f)).astype(np.float32) for f in ('obs', 'next_obs')}
SHUFFLED = np.random.default_rng(1).permutation(N)
BACK = np.flatnonzero(np.r_[False, np.diff(healthy().episode[SHUFFLED]) != 0])  # where a stretch of rows begins
RETURNS = sum(healthy().episode[SHUFFLED][r] in healthy().episode[SHUFFLED][:r] for r in BACK)

# name -> columns, severity, column, first row, count, words
DEFECTS = {
    'NaN reward': (spoilt([2, 5], np.nan, 'reward'), 'error', 'rewards', 2, 2, 'NaN'),
    'infinite reward': (spoilt(9, np.inf, 'reward'), 'error', 'rewards', 9, 1, 'infinite'),
    'NaN observation': (spoilt((6, 1), np.nan, 'obs'), 'error', 'observations', 6, 1, 'NaN in dimension 1'),
    'infinite observation': (spoilt((6, 3), -np.inf, 'obs'), 'error', 'observations', 6, 1, 'infinite in dimension 3'),
    'NaN successor': (spoilt((6, 1), np.nan, 'next_obs'), 'error', 'next_observations', 6, 1, 'NaN in dimension 1'),
    'NaN action': (spoilt((slice(3, 6), 1), np.nan, 'action'), 'error', 'actions', 3, 3, 'NaN in dimension 1'),
    'infinite action': (spoilt((3, 0), np.inf, 'action'), 'error', 'actions', 3, 1, 'infinite in dimension 0'),
    'action far outside': (
        spoilt(([7, 70], 1), 5, 'action'),
        'error',
        'actions',
        7,
        2,
        '5 in dimension 1 lies outside',
    ),
    'action outside by rounding': (
        spoilt(([7, 70, 90], 0), np.float32(1 + 1e-6), 'action'),
        'warning',
        'actions',
        7,
        3,
        'lies outside [-1, 1]',
    ),
    'choice below 0': (
        healthy(action=np.where(np.arange(N) == 4, -1, 2).astype(np.int32), low=None, high=None),
        'error',
        'actions',
        4,
        1,
        '-1 is no choice',
    ),
    'integers in a bounded space': (
        healthy(action=np.arange(N, dtype=np.int32) % 3),
        'error',
        'actions',
        None,
        None,
        'bounds are given, but these actions are choices',
    ),
    'choices saved as floats': (healthy(**WHOLE), 'warning', 'actions', None, None, 'every one is a whole number'),
    'a wider successor': (
        healthy(next_obs=np.zeros((N, 5), np.float32)),
        'error',
        'next_observations',
        None,
        None,
        '400 x 5, expected N x 4',
    ),
    'one observation too many': (
        healthy(obs=np.zeros((N + 1, 4), np.float32)),
        'error',
        'observations',
        N,
        1,
        '401 rows, but most columns have 400',
    ),
    'rewards too short': (healthy(reward=np.zeros(N - 9, np.float32)), 'error', 'rewards', N - 9, 9, '391 rows'),
    'two rewards per step': (healthy(reward=np.zeros((N, 2), np.float32)), 'error', 'rewards', None, None, '400 x 2'),
    'text as rewards': (healthy(reward=np.array(['1'] * N)), 'error', 'rewards', None, None, 'dtype is <U1'),
    'flags that are numbers': (healthy(terminal=np.zeros(N)), 'error', 'terminals', None, None, 'dtype is float64'),
    'times too short': (healthy(time=np.zeros(N - 1)), 'error', 'times', N - 1, 1, '399 rows'),
    'swapped axes': (swapped_axes('obs'), 'error', 'observations', None, None, '4 x 400, but there are 400 steps'),
    'swapped axes of actions': (swapped_axes('action', 'obs'), 'error', 'actions', None, None, 'the axes are swapped'),
    'no rows': (reordered(slice(0, 0)), 'error', 'observations', None, None, 'no rows'),
    'no end anywhere': (
        healthy(**NO_FLAGS, next_obs=ONWARDS, episode=None),
        'error',
        'terminals',
        None,
        None,
        'no end of an episode anywhere',
    ),
    'both flags': (spoilt([19, 54], True, 'timeout'), 'warning', 'terminals', 19, 2, 'terminal and timeout on one row'),
    'a terminal in the middle': (
        spoilt([30, 60], True, 'terminal'),
        'warning',
        'terminals',
        30,
        2,
        'the next row has the same episode number',
    ),
    'a timeout in the middle, no numbers': (
        replace(spoilt([30, 60, 70], True, 'timeout'), episode=None),
        'warning',
        'next_observations',
        30,
        3,
        'the next row begins where this one stopped',
    ),
    'first observation in place of the last': (
        spoilt(CUT, healthy().obs[CUT + 1], 'next_obs'),
        'warning',
        'next_observations',
        CUT[0],
        2,
        'the next row begins where this one stopped',
    ),
    'an end that is not marked': (
        spoilt(STOPS[:2], False, 'terminal'),
        'error',
        'timeouts',
        STOPS[0],
        2,
        'no flag says that an episode stops here',
    ),
    'ends upside down': (
        replace(FRESH, terminal=~FRESH.terminal),
        'warning',
        'terminals',
        None,
        None,
        '98% of all rows end the task',
    ),
    'time limits as terminals': (limited(), 'warning', 'terminals', 49, 7, '7 of 9 episodes marked terminal'),
    'nothing tells time limits': (
        replace(FRESH, timeout=None, next_obs=None),
        'warning',
        'timeouts',
        None,
        None,
        'where a time limit cut an episode cannot be seen',
    ),
    'no final observations': (
        healthy(next_obs=None),
        'warning',
        'next_observations',
        CUT[0],
        2,
        'the last step of an episode that was cut has no successor',
    ),
    'zeros as final observations': (
        behind_cuts(0),
        'warning',
        'next_observations',
        CUT[0],
        2,
        'all zeros behind the last step',
    ),
    'final observations repeated': (
        behind_cuts(healthy().obs[CUT]),
        'warning',
        'next_observations',
        CUT[0],
        2,
        'the same observation again behind the last step',
    ),
    'stops in the middle': (
        replace(FRESH, terminal=FRESH.terminal & (np.arange(N) < N - 1)),
        'warning',
        'timeouts',
        N - 1,
        1,
        'stops in the middle of an episode (45 rows of it)',
    ),
    'one-step episodes': (
        spoilt([20, 21], True, 'terminal'),
        'warning',
        'terminals',
        20,
        2,
        '2 of 12 episodes have one step only',
    ),
    'a lost row': (
        replace(reordered(np.delete(np.arange(N), 30)), episode=None, time=None),
        'warning',
        'next_observations',
        29,
        1,
        'does not begin where this one stopped',
    ),
    'shuffled rows': (
        replace(reordered(SHUFFLED), episode=None, time=None),
        'warning',
        'next_observations',
        None,
        None,
        'the rows may be shuffled',
    ),
    'shuffled rows with numbers': (reordered(SHUFFLED), 'error', 'episodes', None, RETURNS, 'comes back'),
    'a number used twice': (
        spoilt(slice(STOPS[5] + 1, STOPS[6] + 1), 2, 'episode'),
        'error',
        'episodes',
        STOPS[5] + 1,
        1,
        'number 2 comes back',
    ),
    'an episode that is there twice': (
        reordered(TWICE, episode=None, time=None),
        'warning',
        'observations',
        N,
        1,
        'a copy of an earlier one, bit by bit',
    ),
    'two rows swapped': (swapped(30, 31), 'error', 'times', 31, 1, 'the clock steps back by 0.0'),
    'a gap in the clock': (healthy(time=JUMP), 'warning', 'times', 121, 1, 'rows are missing'),
    'one time twice': (
        spoilt([30, 60], healthy().time[[29, 59]], 'time'),
        'warning',
        'times',
        30,
        2,
        'the same time as one row before',
    ),
    'a time that is none': (spoilt([30, 60], np.nan, 'time'), 'warning', 'times', 30, 2, 'not a finite number'),
    'successors of one row before': (
        rolled(-1),
        'error',
        'next_observations',
        None,
        None,
        "each is its own row's observation",
    ),
    'successors of one row on': (rolled(1), 'error', 'next_observations', None, None, 'the observation two rows on'),
    'a constant dimension': (healthy(**CONSTANT), 'warning', 'observations', None, None, 'constant in dimension 2'),
    'a constant action': (
        spoilt((slice(None), 1), 0.5, 'action'),
        'warning',
        'actions',
        None,
        None,
        'constant in dimension 1',
    ),
    'an outlier': (spoilt((70, 2), 1e12, 'obs'), 'warning', 'observations', 70, 1, 'beyond 1e+06 in dimension 2'),
    'an outlier in the rewards': (spoilt([70, 71], -1e12, 'reward'), 'warning', 'rewards', 70, 2, 'beyond 1e+06'),
    'rewards all zero': (
        healthy(reward=np.zeros(N, np.float32)),
        'warning',
        'rewards',
        None,
        None,
        'every reward is 0',
    ),
    'images as floats': (
        images(PIXELS.astype(np.float32)),
        'warning',
        'observations',
        None,
        None,
        'whole numbers from 0 to 255, stored as floats',
    ),
}

"""Rows out of order, and episode numbers used twice: mended where numbers and clock leave no doubt. Imports no JAX."""

from dataclasses import replace

import numpy as np

from stitchrl.data import order
from stitchrl.data.draft import Draft, take
from stitchrl.data.episodes import gaps
from stitchrl.errors import BadData

AGAIN = 'a number that was used before; now a new one'


def rearrange(draft: Draft) -> None:
    """Sort rows by number and time, or number episodes anew. BadData where both could be meant."""
    if draft.columns.episode is None:
        return
    _copied(draft)
    episode, time = order.numbers(draft.columns), draft.columns.time
    back = order.returning(episode)
    if time is None:
        if len(back):
            _without_clock(draft, back)
        return
    mixed = ((episode[1:] == episode[:-1]) & (np.diff(time) < 0)).any()
    if not len(back) and not mixed:
        return
    if not np.isfinite(time).all():
        raise BadData('episodes: rows are out of order, and times that are not finite do not say which. Fix: save both')
    by_time = np.lexsort((time, episode))
    tied = (np.diff(episode[by_time]) == 0) & (np.diff(time[by_time]) == 0)
    if not mixed and _overlap(episode, time):
        if not tied.any():
            what = f'number {episode[back[0]]} stands for stretches of rows that overlap in time'
            raise BadData(f'episodes, row {back[0]}: {what}: one episode or several? Fix: number every episode anew')
        number(draft, back, AGAIN)  # each in order and at the same times: recordings that were put one behind the other
    elif tied.any():
        first = by_time[np.flatnonzero(tied)[0]]
        raise BadData(f'times, row {first}: another row has the same number and time. Fix: keep one of them')
    else:
        _sort(draft, by_time)


def _copied(draft: Draft) -> None:
    """Leave out stretches of rows that are there already, bit by bit, with the same number and times."""
    columns, seen = draft.columns, set()
    episode = order.numbers(columns)
    first = order.starts(episode)
    gone = np.zeros(len(columns), bool)
    for a, b in zip(first, np.r_[first[1:], len(columns)], strict=True):
        rows = slice(a, b)
        when = b'' if columns.time is None else columns.time[rows].tobytes()
        key = (int(episode[a]), when, order.digest(columns, rows))
        gone[rows] = key in seen and (b - a > 1 or columns.time is not None)
        seen.add(key)
    draft.drop('episodes', 'is there already, with the same number; left out', gone)


def _without_clock(draft: Draft, back: np.ndarray) -> None:
    if draft.columns.next_obs is None:
        again = order.numbers(draft.columns)[back[0]]
        what = f'number {again} comes back, and neither times nor next_observations say what follows what'
        raise BadData(f'episodes, row {back[0]}: {what}. Fix: save the rows in order, or their times')
    number(draft, back, AGAIN)


def number(draft: Draft, at: np.ndarray, what: str) -> None:
    """New numbers for the stretches of rows that begin at `at`, each up to the next one or to where its own ends."""
    old = order.numbers(draft.columns)
    first = np.union1d(order.starts(old), at)
    again = np.isin(first, at)
    stretch = np.searchsorted(first, np.arange(len(old)), side='right') - 1
    fresh = np.where(again, old.max() + np.cumsum(again), old[first])[stretch].astype(old.dtype)
    draft.set('episodes', what, np.flatnonzero(again[stretch]), episode=fresh)


def _overlap(episode: np.ndarray, time: np.ndarray) -> bool:
    """Whether two stretches of rows with one number, each in time order, overlap in time."""
    first = order.starts(episode)
    last = np.r_[first[1:], len(episode)] - 1
    by_start = np.lexsort((time[first], episode[first]))
    number, begin, end = episode[first][by_start], time[first][by_start], time[last][by_start]
    return bool(((number[1:] == number[:-1]) & (begin[1:] <= end[:-1])).any())


def _sort(draft: Draft, rows: np.ndarray) -> None:
    """Rows by number and time; timeouts where a stretch of rows was torn off are taken back."""
    columns = draft.columns
    torn = np.r_[np.diff(order.numbers(columns)) != 0, True][rows]
    moved = take(columns, rows)
    if columns.timeout is not None:
        inside = np.r_[np.diff(order.numbers(moved)) == 0, False]
        moved = replace(moved, timeout=moved.timeout & ~(torn & inside))
    if gaps(moved).sum() > gaps(columns).sum():
        what = 'sorted by number and time, fewer rows are followed by their next_observations than before'
        raise BadData(f'times: {what}. Fix: find out which of them is wrong')
    draft.note('episodes', 'rows sorted by number and time', np.flatnonzero(rows != np.arange(len(rows))))
    draft.columns, draft.source = moved, draft.source[rows]

"""Findings where rows, flags, successors, episode numbers and clock do not agree. numpy only; imports no JAX.

Errors are what joins a step with a successor that is not its own; `stitchrl/data/repair.py` mends most of them.
"""

from collections.abc import Iterator

import numpy as np

from stitchrl.data import order
from stitchrl.data.columns import Columns
from stitchrl.data.episodes import differ, flagged, gaps, lengths
from stitchrl.data.finding import Finding, error, warning

FIX = 'or let stitch data check --fix do it'
SAMPLE = 1000


def disorder(columns: Columns) -> list[Finding]:
    """All findings about order, of columns that fit together."""
    holes = gaps(columns)
    ends = flagged(columns) | holes
    ends[-1:] = True
    shifted = list(_shifted(columns, holes))
    return [
        *shifted,
        *_numbers(columns),
        *_clock(columns),
        *_ends_that_go_on(columns),
        *([] if shifted else _short(ends, holes)),
        *_no_last(columns, ends, holes),
        *_copies(columns, ends),
    ]


def _shifted(columns: Columns, holes: np.ndarray) -> Iterator[Finding]:
    by = order.shift(columns)
    if by is not None:
        whose = "its own row's observation" if by == -1 else 'the observation two rows on'
        what = f'each is {whose}, not that of the row that follows'
        fix = f'shift the column by one row, or leave it out where the rows are in time order, {FIX}'
        yield error('next_observations', what, fix, np.flatnonzero(holes))


def _numbers(columns: Columns) -> Iterator[Finding]:
    """The recorder's episode numbers."""
    if columns.episode is None:
        return
    if len(back := order.returning(columns.episode)):
        number = columns.episode[back[0]]
        what = f'number {number} comes back after another one: rows out of order, or a number used twice'
        yield error('episodes', what, f'sort the rows, or number every episode anew, {FIX}', back)
    if (rows := np.flatnonzero(order.unmarked(columns))).size:
        what = 'the episode number changes behind this row, and no flag says that an episode stops here'
        yield error('timeouts', what, f'mark these rows in timeouts, {FIX}', rows)


def _clock(columns: Columns) -> Iterator[Finding]:
    if columns.time is None:
        return
    if (bad := np.flatnonzero(~np.isfinite(columns.time))).size:
        yield warning('times', 'not a finite number', 'none needed; the order is not checked there', bad)
    step, median = order.clock(columns)
    if (rows := np.flatnonzero(step < 0) + 1).size:
        what = f'the clock steps back by {-step[rows[0] - 1]:.4g} s within an episode'
        yield error('times', what, f'sort the rows of each episode by time, {FIX}', rows)
    if (rows := np.flatnonzero(step == 0) + 1).size:
        what = 'the same time as one row before, within an episode'
        yield warning('times', what, 'leave out rows that were recorded twice', rows)
    if (rows := np.flatnonzero(order.late(columns)) + 1).size:
        what = f'{step[rows[0] - 1]:.4g} s after the row before, where {median:.4g} s are usual: rows are missing'
        yield warning('times', what, f'mark the row before in timeouts, {FIX}', rows)


def _ends_that_go_on(columns: Columns) -> Iterator[Finding]:
    """Flags in the middle of an episode."""
    marked = np.flatnonzero(flagged(columns)[:-1])
    if columns.episode is not None:
        rows = marked[columns.episode[marked] == columns.episode[marked + 1]]
        if len(rows):
            what = 'an end is marked here, but the next row has the same episode number'
            yield warning('terminals', what, 'mark only the last row of an episode', rows)
    if columns.next_obs is None or _grid(columns):
        return
    rows = marked[~differ(columns.next_obs[marked], columns.obs[marked + 1])]
    rows = rows[differ(columns.next_obs[rows], columns.obs[rows])]  # a world that stands still tells nothing
    if len(rows):
        what = (
            'an end is marked here, but the next row begins where this one stopped: '
            "a flag in the middle of an episode, or the next episode's first observation in place of the last one"
        )
        fix = 'mark only last rows, and store the observation from before the reset'
        yield warning('next_observations', what, fix, rows)


def _short(ends: np.ndarray, holes: np.ndarray) -> Iterator[Finding]:
    """Episodes of one step among longer ones."""
    steps = lengths(ends)
    alone = np.flatnonzero(ends)[steps == 1]
    if len(alone) and steps.max() > 1 and not holes[alone].all():
        what = f'{len(alone):,} of {len(steps):,} episodes have one step only'
        yield warning('terminals', what, 'leave them out if their flags were set by mistake', alone)


def _no_last(columns: Columns, ends: np.ndarray, holes: np.ndarray) -> Iterator[Finding]:
    """Episodes that were cut, without the observation behind their last step."""
    cut = np.flatnonzero(ends & ~columns.terminal & ~holes)
    fix = 'record the observation behind the last step too'
    if columns.next_obs is None:
        if columns.timeout is not None and len(cut):
            what = 'no such column: the last step of an episode that was cut has no successor and is not used'
            yield warning('next_observations', what, fix, cut)
        return
    last, own = columns.next_obs[cut], columns.obs[cut]
    within = tuple(range(1, last.ndim))
    nothing = ~last.any(axis=within) & own.any(axis=within)
    again = ~differ(last, own) & ~nothing & _moves(columns.obs, columns.next_obs, ends)
    for found, what in ((nothing, 'all zeros'), (again, 'the same observation again')):
        if found.any():
            what = f'{what} behind the last step of an episode that was cut: its value is taken from there'
            yield warning('next_observations', what, fix, cut[found])


def _moves(obs: np.ndarray, after: np.ndarray, ends: np.ndarray) -> bool:
    """Whether hardly any step within an episode leaves the observation as it was."""
    rows = np.flatnonzero(~ends)
    rows = rows[:: max(1, len(rows) // SAMPLE)]
    return len(rows) > 0 and bool(differ(after[rows], obs[rows]).mean() > order.MOST)


def _copies(columns: Columns, ends: np.ndarray) -> Iterator[Finding]:
    """Episodes that are there twice."""
    twice = [] if _grid(columns) else order.copies(columns, ends)
    if len(twice):
        first = np.flatnonzero(ends)[twice] - lengths(ends)[twice] + 1
        what = 'the episode that begins here is a copy of an earlier one, bit by bit'
        yield warning('observations', what, 'leave it out, or let stitch data check --fix --copies do it', first)


def _grid(columns: Columns) -> bool:
    """Whether observations are whole numbers, so that two alike are no surprise."""
    x = columns.obs[:: max(1, len(columns) // SAMPLE)]
    return x.dtype.kind == 'f' and bool((x == np.round(x)).all())

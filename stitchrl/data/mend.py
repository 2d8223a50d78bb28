"""Values, flags and whole episodes, mended one defect at a time on a Draft. numpy only; imports no JAX."""

import numpy as np

from stitchrl.data import order
from stitchrl.data.check import TOLERANCE
from stitchrl.data.draft import Draft
from stitchrl.data.episodes import episode_ends, flagged
from stitchrl.data.finding import named
from stitchrl.data.suspect import time_limits
from stitchrl.errors import BadData


def finite(x: np.ndarray) -> np.ndarray:
    """Rows of [N, ...] without NaN and infinity, bool [N]."""
    return np.asarray(np.isfinite(x).all(axis=tuple(range(1, x.ndim))))


def drop_not_finite(draft: Draft, cut: bool) -> None:
    """Leave out the episodes with NaN or infinity, or what lies behind the last good step of each."""
    columns = draft.columns
    wrong = {name: ~finite(x) for name, x in named(columns).items() if x.dtype.kind == 'f'}
    bad = np.logical_or.reduce(list(wrong.values()))
    if not bad.any():
        return
    episode = np.cumsum(_before(flagged(columns)))
    gone = np.isin(episode, episode[bad])
    if cut:
        gone = _since(bad, episode)
    names = ', '.join(name for name, rows in wrong.items() if rows.any())
    if gone.all():
        raise BadData(f'{names}, row {bad.argmax()}: NaN or infinite in every episode: nothing would be left')
    what = f'NaN or infinite in {bad.sum():,} row{"s" if bad.sum() > 1 else ""}; '
    last = np.flatnonzero(gone[1:] & ~gone[:-1] & ~flagged(columns)[:-1])
    if len(last):
        timeout = columns.timeout.copy() if columns.timeout is not None else np.zeros(len(columns), bool)
        timeout[last] = True
        draft.set('timeouts', 'the next row is not finite; cut here', last, timeout=timeout)
    draft.drop(names, what + ('what follows in its episode is left out' if cut else 'its episode is left out'), gone)


def _before(ends: np.ndarray) -> np.ndarray:
    """True on the first row behind each end, bool [N]."""
    return np.r_[False, ends[:-1]]


def _since(bad: np.ndarray, episode: np.ndarray) -> np.ndarray:
    """Rows from the first bad one of their episode on, bool [N]."""
    seen = np.cumsum(bad)
    first = np.searchsorted(episode, episode)  # the row with which the episode of each row begins
    return seen - (seen - bad)[first] > 0


def clip(draft: Draft) -> None:
    """Actions that lie outside the stated bounds by no more than rounding."""
    columns = draft.columns
    if columns.discrete or columns.low is None or columns.high is None:
        return
    low, high = np.asarray(columns.low), np.asarray(columns.high)
    excess = (np.maximum(low - columns.action, columns.action - high) / (high - low)).max(axis=1)
    rows = np.flatnonzero((excess > 0) & (excess <= TOLERANCE))
    if len(rows):
        action = columns.action.copy()
        action[rows] = np.clip(action[rows], _inwards(low, 1), _inwards(high, -1))
        what = f'outside the bounds by rounding, at most {excess[rows].max():.2g} of the range; clipped'
        draft.set('actions', what, rows, action=action)


def _inwards(bound: np.ndarray, side: int) -> np.ndarray:
    """The nearest float32 that is not outside of a bound; `side` 1 for a lower, -1 for an upper one."""
    near = bound.astype(np.float32)
    return np.where(side * near < side * bound, np.nextafter(near, np.float32(side * np.inf)), near)


def limits(draft: Draft) -> None:
    """Terminals that look like a time limit."""
    columns = draft.columns
    rows = time_limits(columns)
    if len(rows):
        terminal = columns.terminal.copy()
        timeout = np.zeros(len(columns), bool) if columns.timeout is None else columns.timeout.copy()
        terminal[rows], timeout[rows] = False, True
        what = 'terminal at the longest length: taken for a time limit, now in timeouts'
        draft.set('terminals', what, rows, terminal=terminal, timeout=timeout)


def one_end(draft: Draft) -> None:
    """Where both flags are set the task ended, and one of them says so."""
    terminal, timeout = draft.columns.terminal, draft.columns.timeout
    if timeout is not None and (rows := np.flatnonzero(terminal & timeout)).size:
        what = 'terminal and timeout on one row: the task ended; timeout taken back'
        draft.set('timeouts', what, rows, timeout=timeout & ~terminal)


def drop_empty(draft: Draft) -> None:
    """Episodes of one step that has no successor: there is nothing in them to learn from."""
    columns = draft.columns
    if columns.next_obs is None:
        ends = episode_ends(columns)
        gone = ends & np.r_[True, ends[:-1]] & ~columns.terminal
        draft.drop('observations', 'an episode of one step that has no successor; left out', gone)


def drop_copies(draft: Draft) -> None:
    """Episodes that repeat an earlier one."""
    ends = episode_ends(draft.columns)
    episode = np.cumsum(_before(ends))
    gone = np.isin(episode, order.copies(draft.columns, ends))
    draft.drop('observations', 'an episode that is there already; left out', gone)


def drop_constants(draft: Draft) -> None:
    """Observation dimensions that never change."""
    columns = draft.columns
    if columns.obs.ndim != 2:
        return
    flat = columns.obs.min(axis=0) == columns.obs.max(axis=0)
    if flat.any() and not flat.all():
        what = f'dimensions {", ".join(map(str, np.flatnonzero(flat)))} never change; left out'
        after = None if columns.next_obs is None else columns.next_obs[:, ~flat]
        draft.set('observations', what, np.zeros(0, int), obs=columns.obs[:, ~flat], next_obs=after)

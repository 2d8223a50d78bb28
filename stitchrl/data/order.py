"""What tells whether the rows of a recording are in order: numbers, clock, successors, copies. Imports no JAX."""

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.episodes import differ, flagged, gaps

LATE = 1.75  # a step of the clock longer than so many median ones: at least one row was lost
RARE = 0.1  # share of such steps up to which the clock counts as regular
MOST = 0.9  # share of rows that agree with a shift before it is called one


def numbers(columns: Columns) -> np.ndarray:
    """The recorder's number of each row, [N] int; all alike where it wrote none."""
    return np.zeros(len(columns), np.int64) if columns.episode is None else columns.episode


def starts(episode: np.ndarray) -> np.ndarray:
    """Rows at which the recorder's number changes, and row 0, [K] int."""
    return np.r_[0, np.flatnonzero(episode[1:] != episode[:-1]) + 1]


def returning(episode: np.ndarray) -> np.ndarray:
    """Rows at which an episode's number comes back after another one's, [K] int."""
    rows = starts(episode)
    _, first = np.unique(episode[rows], return_index=True)
    return np.delete(rows, first)


def unmarked(columns: Columns) -> np.ndarray:
    """Rows behind which the recorder's number changes though no flag is set, bool [N]."""
    return np.r_[np.diff(numbers(columns)) != 0, False] & ~flagged(columns)


def clock(columns: Columns) -> tuple[np.ndarray, float]:
    """Seconds from each row to the next one, [N] (NaN behind an end), and the median of the positive ones (or NaN)."""
    step = np.full(len(columns), np.nan)
    if columns.time is None:
        return step, np.nan
    with np.errstate(invalid='ignore'):
        step[:-1] = np.diff(columns.time)
    step[flagged(columns) | unmarked(columns) | ~np.isfinite(step)] = np.nan
    forward = step[step > 0]
    return step, float(np.median(forward)) if len(forward) else np.nan


def late(columns: Columns) -> np.ndarray:
    """Rows after which a regular clock jumps within an episode, bool [N]."""
    step, median = clock(columns)
    found = step > LATE * median
    return found & (found.sum() <= RARE * (step > 0).sum())


def shift(columns: Columns) -> int | None:
    """By how many rows next_observations are shifted: -1, each is its own row's observation; 1, that of two rows on.
    None where they are not, or where it cannot be told."""
    if columns.next_obs is None or len(columns) < 4 or gaps(columns).mean() <= MOST / 2:
        return None
    inside = ~flagged(columns)
    for by in (-1, 1):
        rows = np.flatnonzero(inside[:-2] & (inside[1:-1] | (by == -1)))
        same = ~differ(columns.next_obs[rows], columns.obs[rows + 1 + by])
        if len(rows) > 2 and same.mean() > MOST:
            return by
    return None


def pieces(ends: np.ndarray) -> Iterator[slice]:
    """The rows of each trajectory that stops at `ends`."""
    stop = np.flatnonzero(ends) + 1
    return map(slice, np.r_[0, stop[:-1]], stop)


def copies(columns: Columns, ends: np.ndarray) -> np.ndarray:
    """Numbers of the trajectories of more than one step that repeat an earlier one bit by bit, [K] int."""
    alike: dict[tuple[int, bytes, bytes], list[tuple[int, slice]]] = {}
    for number, rows in enumerate(pieces(ends)):
        if rows.stop - rows.start > 1:
            key = (int(rows.stop - rows.start), columns.obs[rows.start].tobytes(), columns.action[rows][:2].tobytes())
            alike.setdefault(key, []).append((number, rows))
    found = []
    for group in alike.values():
        prints = [digest(columns, rows) for _, rows in group] if len(group) > 1 else []
        found += [group[i][0] for i, x in enumerate(prints) if x in prints[:i]]
    return np.array(sorted(found), int)


def digest(columns: Columns, rows: slice) -> bytes:
    """A hash of what was seen, done and given in these rows, and of the ends of the task."""
    made = blake2b()
    for x in (columns.obs, columns.action, columns.reward, columns.terminal):
        made.update(np.ascontiguousarray(x[rows]).data)
    return made.digest()

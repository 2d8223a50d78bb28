"""Where the recorded trajectories stop. numpy only; imports no JAX."""

import numpy as np

from stitchrl.data.columns import Columns

BLOCK_BYTES = 2**24  # compared at once, so that a million images need no second copy


def episode_ends(columns: Columns) -> np.ndarray:
    """True on the last recorded row of each trajectory: terminal, timeout, gap, or last row of the file.

    Returns bool [N]. A row that is both terminal and timeout is one end, and there the task ended.
    """
    ends = flagged(columns) | gaps(columns)
    ends[-1:] = True
    return ends


def flagged(columns: Columns) -> np.ndarray:
    """True on the rows with a terminal or a timeout; bool [N], an array of its own."""
    return columns.terminal.astype(bool) | (False if columns.timeout is None else columns.timeout.astype(bool))


def gaps(columns: Columns) -> np.ndarray:
    """True where no flag is set and yet the next row does not begin where this one stopped; bool [N].

    Found by next_obs[i] != obs[i + 1], so all False when the file has no next observations. Floats may differ
    by rounding (1e-6 + 1e-5 |x|): a recorder that stores one of the two at lower precision left no gap.
    """
    n, found = len(columns), np.zeros(len(columns), bool)
    if columns.next_obs is None or n < 2:
        return found
    rows = max(1, BLOCK_BYTES // max(1, columns.obs[:1].nbytes))
    for start in range(0, n - 1, rows):
        stop = min(start + rows, n - 1)
        found[start:stop] = differ(columns.next_obs[start:stop], columns.obs[start + 1 : stop + 1])
    return found & ~flagged(columns)


def lengths(ends: np.ndarray) -> np.ndarray:
    """Steps of each trajectory, int [E], from the `ends` of `episode_ends`."""
    return np.diff(np.flatnonzero(ends), prepend=-1)


def returns(reward: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Undiscounted sum of rewards of each trajectory, float64 [E]."""
    last = np.flatnonzero(ends)
    return np.add.reduceat(reward, np.r_[0, last[:-1] + 1], dtype=np.float64) if len(last) else np.zeros(0)


def differ(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rows in which two [R, ...] arrays are not the same observation; NaN differs from everything."""
    same = a == b
    if np.issubdtype(a.dtype, np.floating) and not same.all():
        with np.errstate(invalid='ignore', over='ignore'):
            same |= np.abs(a - b) <= 1e-6 + 1e-5 * np.abs(b)
    return ~same.all(axis=tuple(range(1, same.ndim)))

"""A repaired copy of a recording: what can be mended without inventing anything, and a log of it. Imports no JAX.

Nothing is interpolated and nothing is guessed unasked. Episodes that nothing was done to keep every bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stitchrl.data import mend, order
from stitchrl.data.check import Bound, bounds, check, misfits, refuse
from stitchrl.data.columns import Columns
from stitchrl.data.draft import Change, Draft
from stitchrl.data.episodes import flagged, gaps
from stitchrl.data.finding import Finding
from stitchrl.data.rearrange import number, rearrange
from stitchrl.errors import BadData


@dataclass(frozen=True)
class Asked:
    """What is a guess or a matter of taste, and is done on request only."""

    time_limits: bool = False  # terminals that look like a time limit become timeouts
    copies: bool = False  # episodes that repeat an earlier one are left out
    constants: bool = False  # observation dimensions that never change are left out
    cut: bool = False  # of an episode with NaN, keep the steps before it


def repair(
    columns: Columns, low: Bound = None, high: Bound = None, asked: Asked | None = None
) -> tuple[Columns, list[Change]]:
    """A copy that `check` finds no error in, and what was done, in order. Bounds as for `check`; they are kept in it.

    BadData names what nothing honest can be done about.
    """
    asked = asked or Asked()
    refuse(cannot(misfits(columns, low, high)))
    draft = Draft.of(columns)
    _state_bounds(draft, low, high)
    rearrange(draft)
    _drop_shifted(draft)
    _mark_ends(draft)
    mend.drop_not_finite(draft, asked.cut)
    mend.clip(draft)
    if asked.time_limits:
        mend.limits(draft)
    mend.one_end(draft)
    mend.drop_empty(draft)
    if asked.copies:
        mend.drop_copies(draft)
    if asked.constants:
        mend.drop_constants(draft)
    refuse(cannot(check(draft.columns)))
    return draft.columns, draft.changes


def cannot(findings: Sequence[Finding]) -> list[Finding]:
    """The findings, saying that they cannot be mended."""
    return [replace(finding, what=f'{finding.what} (--fix cannot mend this)') for finding in findings]


def _state_bounds(draft: Draft, low: Bound, high: Bound) -> None:
    """Bounds that were given go into the copy."""
    old = draft.columns
    if (low is None and high is None) or old.discrete:
        return
    given = bounds(old, low, high)[:2]
    new = [tuple(map(float, bound.astype(np.float32))) for bound in given]
    if new != [old.low, old.high]:
        draft.note('actions', f'bounds stated: {new[0]} to {new[1]}', np.zeros(0, int))
        draft.columns = replace(old, low=new[0], high=new[1])


def _drop_shifted(draft: Draft) -> None:
    """Successors that are not those of their rows: the order of the rows is a better witness."""
    by, columns = order.shift(draft.columns), draft.columns
    if by is None:
        return
    if not flagged(columns).any() and columns.episode is None:
        what = 'next_observations are shifted, and without them nothing says where episodes stop'
        raise BadData(f'next_observations: {what}. Fix: shift the column by one row')
    what = 'shifted by one row; the column is left out, the next row says what followed'
    draft.set('next_observations', what, np.arange(len(columns)), next_obs=None)


def _mark_ends(draft: Draft) -> None:
    """A timeout wherever a trajectory stops and nobody said so; with it, the rest has a number of its own."""
    while len(rows := np.flatnonzero(_unmarked(draft.columns))):
        columns = draft.columns
        timeout = np.zeros(len(columns), bool) if columns.timeout is None else columns.timeout.copy()
        timeout[rows] = True
        draft.set('timeouts', 'the trajectory stops here; marked as cut', rows, timeout=timeout)
        rows = rows[:-1] if rows[-1] == len(columns) - 1 else rows
        same = rows[order.numbers(columns)[rows] == order.numbers(columns)[rows + 1]]
        if columns.episode is not None and len(same):
            number(draft, same + 1, 'what follows a cut has a number of its own')


def _unmarked(columns: Columns) -> np.ndarray:
    """Where a trajectory stops without a flag, bool [N]; nowhere, where nothing tells."""
    ends = order.unmarked(columns) | order.late(columns)
    if columns.next_obs is not None:  # a gap beside a value that is not finite need not be one
        ends |= gaps(columns) & mend.finite(columns.next_obs) & np.r_[mend.finite(columns.obs[1:]), True]
    ends[-1] = columns.episode is not None or (ends | flagged(columns)).any()
    return ends & ~flagged(columns)

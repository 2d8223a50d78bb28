"""A recording that is being changed, and the log of what was done to it. numpy only; imports no JAX."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from stitchrl.data.columns import Columns

ROWS = ('obs', 'action', 'reward', 'terminal', 'timeout', 'next_obs', 'episode', 'time')


@dataclass(frozen=True)
class Change:
    """One thing that was done. `rows`: [first, behind the last] of each stretch of rows, as the source counts them."""

    field: str  # the column's name in a file
    what: str
    rows: tuple[tuple[int, int], ...]
    count: int  # rows in them
    before: int  # steps in the recording before it
    after: int  # and after it

    def __str__(self) -> str:
        where = f', row {self.rows[0][0]:,}' if self.rows else ''
        more = f' (first of {self.count:,})' if self.count > 1 else ''
        lost = f' ({self.before:,} steps before, {self.after:,} after)' if self.before != self.after else ''
        return f'{self.field}{where}{more}: {self.what}{lost}'


@dataclass
class Draft:
    """Columns as they are by now, `source`: where each row of them was in the beginning."""

    columns: Columns
    source: np.ndarray  # [N] int64
    changes: list[Change] = field(default_factory=list)

    @classmethod
    def of(cls, columns: Columns) -> 'Draft':
        """Nothing done yet."""
        return cls(columns, np.arange(len(columns)))

    def note(self, name: str, what: str, rows: np.ndarray, left: int | None = None) -> None:
        """Log something about these rows, indices of the draft; `left`: steps after it, where it changes that."""
        n, old = len(self.columns), np.sort(self.source[rows])
        self.changes.append(Change(name, what, ranges(old), len(old), n, n if left is None else left))

    def set(self, name: str, what: str, rows: np.ndarray, **values: np.ndarray | None) -> None:
        """Put other columns in place and log it."""
        self.note(name, what, rows)
        self.columns = replace(self.columns, **values)

    def drop(self, name: str, what: str, gone: np.ndarray) -> None:
        """Leave out the rows where `gone` [N] is true, and log it."""
        if gone.any():
            self.note(name, what, np.flatnonzero(gone), int((~gone).sum()))
            self.take(np.flatnonzero(~gone))

    def take(self, rows: np.ndarray) -> None:
        """These rows in this order."""
        self.columns, self.source = take(self.columns, rows), self.source[rows]


def take(columns: Columns, rows: np.ndarray | slice) -> Columns:
    """The rows of every column, values as they are."""
    arrays = {name: getattr(columns, name) for name in ROWS}
    return replace(columns, **{name: x[rows] for name, x in arrays.items() if x is not None})


def ranges(rows: Sequence[int] | np.ndarray) -> tuple[tuple[int, int], ...]:
    """Increasing numbers as [first, behind the last] of each stretch."""
    rows = np.asarray(rows, int)
    if len(rows) == 0:
        return ()
    breaks = np.flatnonzero(np.diff(rows) != 1)
    first, last = rows[np.r_[0, breaks + 1]], rows[np.r_[breaks, len(rows) - 1]]
    return tuple(zip(first.tolist(), (last + 1).tolist(), strict=True))

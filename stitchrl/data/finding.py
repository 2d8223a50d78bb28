"""One thing about one column of a recording, in words for a person. Imports no JAX."""

from dataclasses import dataclass

import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.formats.convert import NAMES

FIELDS = ('obs', 'action', 'reward', 'terminal', 'timeout', 'next_obs')  # what is learned from


@dataclass(frozen=True)
class Finding:
    """`row` is the first of the `count` rows it holds for; None where it is not about rows."""

    severity: str  # 'error' or 'warning'
    field: str  # the column's name in a file
    row: int | None
    count: int | None
    what: str
    fix: str

    def __str__(self) -> str:
        where = '' if self.row is None else f', row {self.row:,}'
        many = self.row is not None and self.count is not None and self.count > 1
        more = f' (first of {self.count:,})' if many else ''
        return f'{self.field}{where}{more}: {self.what}. Fix: {self.fix}'


def error(field: str, what: str, fix: str, rows: np.ndarray | None = None) -> Finding:
    """An error; `rows` are the indices it holds for."""
    return _finding('error', field, what, fix, rows)


def warning(field: str, what: str, fix: str, rows: np.ndarray | None = None) -> Finding:
    """A warning; `rows` are the indices it holds for."""
    return _finding('warning', field, what, fix, rows)


def _finding(severity: str, field: str, what: str, fix: str, rows: np.ndarray | None) -> Finding:
    first, count = (None, None) if rows is None else (int(rows[0]), len(rows))
    return Finding(severity, field, first, count, what, fix)


def named(columns: Columns) -> dict[str, np.ndarray]:
    """The arrays to learn from, those there are, by the names they have in a file."""
    arrays = {NAMES[field][0]: getattr(columns, field) for field in FIELDS}
    return {name: x for name, x in arrays.items() if x is not None}

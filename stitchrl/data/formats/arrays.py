"""Arrays in memory, held to the same rules as those in a file. Imports no JAX."""

from pathlib import Path
from typing import Any

import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.formats.convert import NAMES, assemble, convert, guard_dtype
from stitchrl.errors import BadData

WHERE = Path('Dataset.from_arrays')  # what messages begin with, where a reader has the path of its file


def columns_from(**arrays: Any) -> Columns:
    """Columns of arrays, or what becomes one, called as in `Columns`; None: there is no such column. Raises BadData."""
    given = {field: x for field, x in arrays.items() if x is not None}
    columns = {field: convert(WHERE, field, NAMES[field][0], _plain(field, x), []) for field, x in given.items()}
    return assemble(columns, {}, [])


def _plain(field: str, x: Any) -> np.ndarray:
    """An array of numbers. BadData for text, objects and rows of different lengths."""
    name = NAMES[field][0]
    try:
        x = np.asarray(x)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise BadData(f'{WHERE}: {name} is no array ({reason}). Fix: give every step as many numbers') from error
    if x.dtype.kind == 'V' and np.can_cast(x.dtype, np.float32):  # bfloat16 and smaller ones, which numpy does not know
        x = x.astype(np.float32)
    guard_dtype(WHERE, name, x.dtype)
    return x

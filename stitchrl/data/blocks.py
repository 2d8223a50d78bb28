"""A recording cut into blocks of so many rows, each a small dataset of its own. Imports no JAX.

    rows on disk   0  1  2  3 | 4  5  6  7 | 8  9          blocks of 4 rows
    block 1                     4  5  6  7   8             reads one row more: the successor of its last step

A trajectory that a block's border cuts goes on in the next block. Its last step before the border still bootstraps
from the row behind it, so the blocks hold the very steps of the whole recording, each once. Only sums over several
steps are shorter there, as they are at every cut.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.episodes import episode_ends
from stitchrl.data.formats.slices import Slices
from stitchrl.data.layout import Rows, unrolled

BLOCK = 4096, 2**16  # rows: at least, and at most
AT_ONCE = 16, 2**26  # blocks, and bytes, that a pass through the whole recording reads in one go; at least one block


class Blocks:
    """A random-access source: `blocks[i]` are the rows of a Dataset, of rows i x size .. (i + 1) x size on disk."""

    def __init__(self, slices: Slices, size: int | None = None):
        """`size`: rows; by default as many as the file keeps in one chunk, so that few chunks are unpacked in vain."""
        self.slices, (least, most) = slices, BLOCK
        self.size = size or min(max(least, slices.together), most)
        one = slices.read(0, 1)
        self.bytes = self.size * sum(x.nbytes for x in vars(one).values() if isinstance(x, np.ndarray))  # of a block
        self.stride = self.size * max(1, min(AT_ONCE[0], AT_ONCE[1] // max(self.bytes, 1)))

    def __len__(self) -> int:
        return -(-len(self.slices) // self.size)

    def __getitem__(self, i: int) -> Rows:
        columns = self.slices.read(i * self.size, (i + 1) * self.size + 1, extras=False)
        return unrolled(bordered(columns, self.size))[0]

    def stretches(self) -> Iterator[tuple[int, int, Columns]]:
        """All of it once: (first row, rows of several blocks, their columns with, but at the end, one row more)."""
        for start in range(0, len(self.slices), self.stride):
            count = min(self.stride, len(self.slices) - start)
            yield start, count, self.slices.read(start, start + count + 1)

    def values(self, field: str) -> Iterator[np.ndarray]:
        """All rows of one column, some at a time."""
        for start in range(0, len(self.slices), self.stride):
            yield self.slices.column(field, start, start + self.stride)


def bordered(columns: Columns, size: int) -> Columns:
    """The first `size` rows as a recording of its own. A row behind them tells where they lead to."""
    if len(columns) <= size:
        return columns
    kept = part(columns, 0, size)
    if episode_ends(columns)[size - 1]:
        return kept
    if columns.next_obs is not None:  # the same within rounding, but the whole recording holds this one
        return replace(kept, next_obs=np.concatenate([columns.next_obs[: size - 1], columns.obs[size : size + 1]]))
    kept = part(columns, 0, size + 1)  # whose last row, cut, becomes one that holds only an observation
    return replace(kept, terminal=np.concatenate([columns.terminal[:size], [False]]))


def part(columns: Columns, start: int, stop: int) -> Columns:
    """Rows start .. stop, or to the last one; views."""
    each = {name: value for name, value in vars(columns).items() if isinstance(value, np.ndarray)}
    return replace(columns, **{name: value[start:stop] for name, value in each.items()})

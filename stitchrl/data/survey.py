"""A recording that stays on the disk, and what passes through it tell before training. Imports no JAX.

No more than a few blocks are in memory at a time. Errors are looked for in all rows, warnings only in the first ones:
whether a share is too high or a column constant cannot be told from one block after another.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stitchrl.core.spec import Spec
from stitchrl.data.blocks import Blocks, part
from stitchrl.data.check import Bound, check, fingerprint, refuse
from stitchrl.data.columns import Columns
from stitchrl.data.finding import Finding
from stitchrl.data.formats.slices import slices
from stitchrl.data.tally import Tally
from stitchrl.errors import BadData


@dataclass(frozen=True)
class OnDisk:
    """A recording in blocks, in the recorder's own units, with what stands for the whole of it."""

    blocks: Blocks
    spec: Spec
    steps: int  # from which there is something to learn
    episodes: int
    rows: int  # of the block with the most, final rows included
    mean: np.ndarray  # of the observations that a step was taken from, float64, like one observation
    std: np.ndarray
    returns: tuple[float, float, float]  # lowest, mean and highest sum of an episode's rewards
    fingerprint: str  # that of the columns in memory
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        """Number of steps."""
        return self.steps

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """As of a Dataset."""
        return self.mean, self.std

    def return_range(self) -> tuple[float, float]:
        """As of a Dataset."""
        return self.returns[0], self.returns[2]

    def about(self) -> dict[str, Any]:
        """What data.json says of it."""
        return {
            'path': str(self.blocks.slices.path.absolute()),
            'fingerprint': self.fingerprint,
            'steps': self.steps,
            'episodes': self.episodes,
            'return_mean': self.returns[1],
            'return_max': self.returns[2],
            'spec': self.spec.to_json(),
            'notes': list(self.notes),
            'warnings': list(self.warnings),
        }


def survey(
    path: str | Path, format: str | None = None, low: Bound = None, high: Bound = None, size: int | None = None
) -> OnDisk:
    """The recording at `path` after two passes through it. Bounds as of Dataset.from_columns, `size` as of Blocks.

    Raises BadData with the rows of what must not be trained on, and for a format that cannot be read in parts.
    """
    blocks = Blocks(slices(path, format), size)
    blocks.slices.verify()
    told, warned = Tally(blocks.size), []
    for start, count, columns in blocks.stretches():
        found = findings(part(columns, 0, count), low, high)
        refuse_rows(found, start, count, len(blocks.slices))
        warned += [] if start else [str(finding) for finding in found]
        told.add(columns, count)
    if not told.marked:
        refuse(check(blocks.slices.read(0, 2 * blocks.size), low, high))  # which says that nothing ends
    if not told.steps:
        raise BadData(f'no step with a successor in {len(blocks.slices)} rows: nothing to learn from')
    first = blocks.slices.read(0, 1)
    return OnDisk(
        blocks=blocks,
        spec=told.spec(low, high),
        steps=told.steps,
        episodes=told.episodes,
        rows=told.rows,
        mean=np.asarray(told.mean),
        std=np.sqrt(told.squares / told.steps),
        returns=(told.lowest, told.total / told.episodes, told.highest),
        fingerprint=fingerprint(first, len(blocks.slices), blocks.values),  # column after column: another pass
        warnings=tuple(warned),
        notes=first.notes,
    )


def findings(columns: Columns, low: Bound, high: Bound) -> Sequence[Finding]:
    """Of rows that are part of a recording: they do not stop in the middle of an episode.

    Where nobody states bounds they follow from all rows, so here no action lies outside them.
    """
    ends = np.zeros(len(columns), bool) if columns.timeout is None else columns.timeout.copy()
    ends[-1:] = ~columns.terminal[-1:]
    if not columns.discrete and all(bound is None for bound in (low, high, columns.low, columns.high)):
        finite = columns.action[np.isfinite(columns.action)]
        high = 1 + float(np.abs(finite).max(initial=0))
        low = -high
    return check(replace(columns, timeout=ends), low, high)


def refuse_rows(found: Sequence[Finding], start: int, count: int, total: int) -> None:
    """BadData for errors in `count` rows from `start` on, by their numbers in the whole recording of `total` rows."""
    try:
        refuse([replace(x, row=None if x.row is None else x.row + start) for x in found])
    except BadData as error:
        rest = f'\nRows from {start + count:,} on were not looked at' if start + count < total else ''
        raise BadData(f'{error}{rest}') from None

"""From one format into another, with the same columns: read back and compared before the file gets its name.

npz, HDF5 and Parquet hold whatever `Columns` holds. Minari keeps each observation once and says of each episode how
it ended: what it cannot hold is refused, what it says on top is noted. Imports no JAX.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.data.check import fingerprint, misfits, refuse
from stitchrl.data.columns import Columns
from stitchrl.data.episodes import episode_ends
from stitchrl.data.formats import Choice, read, write
from stitchrl.errors import BadData, UsageError


def transfer(
    source: str | Path,
    target: str | Path,
    to: str | None = None,
    format: str | None = None,
    choice: Choice | None = None,
) -> Columns:
    """Write the recording at `source` to `target`, a name that is not taken; returns the columns that are there now.

    `to`: one of `write.KINDS`; None: told by the ending of `target`. `format`, `choice`: of `source`, as for `read`.
    Raises what `read` raises, and BadData where the columns do not fit together or the format cannot hold them.
    """
    source, target = Path(source), Path(target)
    kind = to or next((kind for kind, end in write.KINDS.items() if end == target.suffix), 'minari')
    if target.suffix and kind == 'minari' and to is None:
        known = ', '.join(f'{end} ({kind})' for kind, end in write.KINDS.items() if end)
        raise UsageError(f'{target}: {target.suffix} is not written; choose {known}, or a folder for Minari')
    write.check_out(target, kind, '')
    columns = read(source, format, choice or Choice())
    try:
        refuse(misfits(columns))
    except BadData as error:
        raise BadData(f'{source}: {error}') from error
    if kind == 'minari':
        columns = as_minari(source, columns)
    write.write(target, columns, spec_of(columns), kind, f'converted from {source.name}', '', Same(source, columns))
    return columns


class Same:
    """Reads a file back; BadData unless it holds these columns and nothing else."""

    def __init__(self, source: Path, columns: Columns):
        self.source, self.columns = source, columns

    def __call__(self, made: Path) -> None:
        back = read(made)
        if fingerprint(back) != fingerprint(self.columns) or not all(
            np.array_equal(getattr(back, field), getattr(self.columns, field), equal_nan=field == 'time')
            for field in ('episode', 'time')
            if getattr(self.columns, field) is not None
        ):
            fix = 'write another format; if none will do, report it'
            raise BadData(f'{self.source}: what was written reads back as something else. Fix: {fix}')


def as_minari(source: Path, columns: Columns) -> Columns:
    """The columns as a Minari dataset gives them back. BadData where it would lose something of the steps."""
    ends = episode_ends(columns)
    if columns.next_obs is not None and len(bad := np.flatnonzero(~ends[:-1] & _other(columns))):
        what = f'row {bad[0]:,} (first of {len(bad):,}): not exactly the observation of the next row'
        raise BadData(f'{source}: next_observations, {what}; Minari keeps it once. Fix: write npz, HDF5 or Parquet')
    if columns.episode is not None and len(np.unique(columns.episode)) < (np.diff(columns.episode) != 0).sum() + 1:
        fix = f'stitch data check {source} shows where, --fix mends it'
        raise BadData(f'{source}: an episode id comes back after another one, which Minari would hide. Fix: {fix}')
    none = np.zeros(len(columns), bool)
    timeout = none if columns.timeout is None else columns.timeout
    new = ends & ~columns.terminal & ~timeout
    notes = (
        [f'{int(new.sum()):,} episodes ended without a flag: their last steps are truncations now'] if new.any() else []
    )
    if columns.episode is not None or columns.time is not None:
        notes.append("the recorder's episode ids and clock are left out: Minari has no place for them")
    return replace(columns, timeout=timeout | new, episode=None, time=None, notes=(*columns.notes, *notes))


def _other(columns: Columns) -> np.ndarray:
    """Rows but the last whose next observation is not, bit by bit, the next row's observation; bool [N - 1]."""
    assert columns.next_obs is not None
    as_bytes = lambda x: np.ascontiguousarray(x).reshape(len(x), columns.obs[0].size).view(np.uint8)
    return (as_bytes(columns.next_obs[:-1]) != as_bytes(columns.obs[1:])).any(axis=1)


def spec_of(columns: Columns) -> Spec:
    """Shapes, and bounds where the file states them; else none, and nothing is made up."""
    obs = Observation(tuple(columns.obs.shape[1:]), str(columns.obs.dtype))
    if columns.discrete:
        return Spec(obs, Discrete(int(columns.action.max()) + 1))
    width = columns.action.shape[1]
    low, high = columns.low or (-np.inf,) * width, columns.high or (np.inf,) * width
    return Spec(obs, Continuous(width, tuple(low), tuple(high)))

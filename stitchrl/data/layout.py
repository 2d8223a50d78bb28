"""How the rows of a recording become the rows of a Dataset: T + 1 for an episode of T steps. Imports no JAX."""

from typing import Any, NamedTuple

import numpy as np

from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.data.check import bounds
from stitchrl.data.columns import Columns
from stitchrl.data.episodes import episode_ends
from stitchrl.errors import BadData, UsageError


class Rows(NamedTuple):
    """The arrays of a Dataset."""

    obs: np.ndarray  # [N, ...]
    action: np.ndarray  # [N, A] float32, or [N] int32
    reward: np.ndarray  # [N] float32
    mask: np.ndarray  # [N] float32
    ends: np.ndarray  # [N] float32
    starts: np.ndarray  # [M] int32


def unrolled(columns: Columns) -> tuple[Rows, int]:
    """(the rows of a dataset, steps dropped because they have no successor)."""
    rows, final, drop = layout(columns)
    spread = lambda x: np.where(final.reshape((-1,) + (1,) * (x.ndim - 1)), x.dtype.type(0), x[rows])
    obs = columns.obs[rows]
    if columns.next_obs is not None:
        obs[final] = columns.next_obs[rows[final]]
    mask = np.where(final, 1, ~columns.terminal[rows]).astype(np.float32)
    starts = np.flatnonzero(~final).astype(np.int32)
    return Rows(obs, spread(columns.action), spread(columns.reward), mask, final.astype(np.float32), starts), drop


def layout(columns: Columns) -> tuple[np.ndarray, np.ndarray, int]:
    """(source row, is it a final row, steps dropped) for each of the N rows of a dataset."""
    ends = episode_ends(columns)
    cut = ends & ~columns.terminal if columns.next_obs is None else np.zeros(len(ends), bool)
    first = np.concatenate([[True], ends[:-1]])
    count = np.where(cut & first, 0, np.where(ends & ~cut, 2, 1))  # a one-step episode without successor vanishes
    rows = np.repeat(np.arange(len(ends)), count)
    second = np.concatenate([[False], rows[1:] == rows[:-1]])
    return rows, second | cut[rows], int(cut.sum())


def spec_of(columns: Columns, horizon: int, low: Any, high: Any, actions: int | None = None) -> Spec:
    """The Spec of a recording: shapes from the columns, bounds and choices as `Dataset.from_columns` says."""
    obs = Observation(tuple(columns.obs.shape[1:]), str(columns.obs.dtype))
    if columns.discrete:
        return Spec(obs, Discrete(_choices(columns.action, actions)), horizon)
    if actions is not None:
        raise UsageError(f'actions={actions}: these are continuous (floats); choices are integers from 0')
    dim = columns.action.shape[1]
    low, high, _ = bounds(columns, low, high)
    if not (low < high).all():
        raise BadData(f'action bounds {low.tolist()} .. {high.tolist()}: each low must lie below its high')
    return Spec(obs, Continuous(dim, tuple(low.tolist()), tuple(high.tolist())), horizon)


def _choices(action: np.ndarray, stated: int | None) -> int:
    """How many there are: as stated, else one more than the largest seen."""
    if stated is None:
        return int(action.max()) + 1
    if not isinstance(stated, int | np.integer) or isinstance(stated, bool) or not 1 <= stated <= 2**31:
        raise UsageError(f'actions={stated!r}: expected how many choices there are, a whole number from 1')
    if len(beyond := np.flatnonzero(action >= stated)):
        where = f'actions, row {beyond[0]:,} (first of {len(beyond):,})'
        what = f'{action[beyond[0]]} is none of {stated} choices, which count from 0'
        raise BadData(f'{where}: {what}. Fix: actions={action.max() + 1} or more')
    return int(stated)

"""A recording as plain numpy columns: what readers return and `Dataset.from_columns` takes. Imports no JAX."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Columns:
    """One row per step, in time order, episodes one after another, in the recorder's own units.

    Two ends, two names: `terminal` marks a step with which the task itself ended; `timeout` a step after which
    the recording's episode stops for another reason (time limit, operator). Both may be set; then the task ended.
    """

    obs: np.ndarray  # [N, ...] float32 (uint8 for images)
    action: np.ndarray  # [N, A] float32, or [N] int32 for discrete actions
    reward: np.ndarray  # [N] float32
    terminal: np.ndarray  # [N] bool
    timeout: np.ndarray | None = None  # [N] bool; None: the file has no such column
    next_obs: np.ndarray | None = None  # like obs; None: the file has no such column
    low: tuple[float, ...] | None = None  # action bounds the file itself states
    high: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()  # what the reader decided, one sentence each
    episode: np.ndarray | None = None  # [N] int64, the recorder's own number; for checks, the ends are in the flags
    time: np.ndarray | None = None  # [N] float64 seconds, the recorder's own clock; for checks

    @property
    def discrete(self) -> bool:
        return np.issubdtype(self.action.dtype, np.integer)

    def __len__(self) -> int:
        return len(self.obs)

"""Filtered behaviour cloning: imitate only the best episodes.

    pi <- max E_{D'} log pi(a | s),     D' the top 10 % of episodes by undiscounted return

All or nothing for a whole episode: what was good in a bad one is lost. It is BC on `dataset.best(0.1)`; only this
number differs. Named %BC by Chen et al., 2021.
"""

from dataclasses import dataclass
from typing import Any

from stitchrl.algos.offline import bc


@dataclass(frozen=True)
class Config(bc.Config):
    """Settings of behaviour cloning, with the share that is imitated."""

    best: float = 0.1  # share of the episodes, by return, that is imitated


PRESETS: dict[str, tuple[str, dict[str, Any]]] = bc.PRESETS
ALGO = bc.BC

"""What an algorithm is that learns a game in stages, from recorded games to a player of its own."""

from abc import abstractmethod
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax

from stitchrl.core.agent import Agent, Info
from stitchrl.core.learner import Learner
from stitchrl.core.spec import Spec
from stitchrl.core.types import Position
from stitchrl.errors import UsageError


class Pupil(Agent):
    """An agent for the loop of an apprenticeship: it imitates a record, improves on that against what it was, and
    learns values from what it plays then.

    `cfg` has a name `game`; `steps`, the updates of all stages, and `parts`, how the three share them; of the record
    `games` and `drawn` (how many, and how many first moves are by chance); of the improvement `rivals` and `keep`
    (games of an update, updates after which it joins its past); of the values `positions` and `latest` (how many, and
    moves before them at most, None: most of a game)."""

    sigma: eqx.AbstractVar[Learner]  # obs [..., C, H, W] -> logits of moves as in the record, and something
    rho: eqx.AbstractVar[Learner]  # the same of moves that win

    @classmethod
    def seated(cls, cfg: Any, spec: Spec, game: str | None) -> Any:
        """The settings for a run: the name of the game, None where it has none. UsageError where they cannot be."""
        names = ('steps', 'batch', 'games', 'rivals', 'keep', 'positions')
        if low := [name for name in names if getattr(cfg, name) < 1]:
            raise UsageError(f'{low[0]} is {getattr(cfg, low[0])}; expected a whole number from 1 on')
        if min(cfg.parts) < 1 or min(cls.course(cfg)) < 1:
            raise UsageError(f'{cfg.steps} steps in parts of {cfg.parts}; expected at least 1 for each of three stages')
        last = (spec.horizon or 0) - 2
        if cfg.latest is not None and not 1 <= cfg.latest <= last:
            raise UsageError(f'latest is {cfg.latest}; expected 1 to {last}: a game has {last + 2} moves at most')
        return replace(cfg, game=cfg.game if game is None else game)

    @classmethod
    def course(cls, cfg: Any) -> tuple[int, int, int]:
        """Updates of each stage: imitation, improvement, values."""
        first, second = (cfg.steps * sum(cfg.parts[:n]) // sum(cfg.parts) for n in (1, 2))
        return first, second - first, cfg.steps - second

    @property
    @abstractmethod
    def teacher(self) -> Any:
        """The `planners.mcts.MCTS` whose games against itself are recorded."""

    def update(self, batch: Position, key: jax.Array, t: jax.Array) -> tuple['Pupil', Info]:
        """The first stage's."""
        return self.imitate(batch)

    @abstractmethod
    def imitate(self, batch: Position) -> tuple['Pupil', Info]:
        """One step towards the recorded moves."""

    @abstractmethod
    def promoted(self) -> 'Pupil':
        """What was imitated is where the improvement begins."""

    @abstractmethod
    def improve(self, batch: Position) -> tuple['Pupil', Info]:
        """One step on whole games of rho; moves that are not its own have no weight."""

    @abstractmethod
    def appraise(self, batch: Position) -> tuple['Pupil', Info]:
        """One step towards the outcomes of positions."""

"""What an algorithm is that learns a game by playing both sides of it."""

from abc import abstractmethod
from typing import Any, NamedTuple

import jax

from stitchrl.core.agent import Agent, Info


class Decision(NamedTuple):
    """What a player does in n positions, and what it would have others learn from that."""

    action: jax.Array  # [n] int32
    policy: jax.Array  # [n, A] probabilities
    value: jax.Array  # [n], for the player to move
    weight: jax.Array  # [n], of the policy in the loss


class Player(Agent):
    """An agent for the loop of self-play."""

    @classmethod
    def seated(cls, cfg: Any, game: str | None, updates: int) -> Any:
        """The settings for a run: the name of the game, None where it has none, and the number of updates to come."""
        return cfg

    @abstractmethod
    def draw(self, data: Any, key: jax.Array) -> Any:
        """The batch of one update, of a `data.games.Games`."""

    @abstractmethod
    def update(self, batch: Any, key: jax.Array, t: jax.Array) -> tuple['Player', Info]:
        """As of `Agent`."""

    @abstractmethod
    def play(self, boards: Any, keys: jax.Array, age: jax.Array, t: jax.Array) -> Decision:
        """Moves while it trains: positions with leading axis n, keys [n], moves played before in each game [n] int32; t
        counts the moves of the run."""

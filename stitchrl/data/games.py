"""Positions of games that are played side by side: rings in which a game's outcome is filled in once it is known.

row of one lane    ... 17   18   19  | 20   21   22
outcome                -1    1   -1  |  ?    ?    ?       `known` is 20: the game that began there still goes on
"""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.types import Position
from stitchrl.errors import UsageError


class Games(eqx.Module):
    """A ring of `size` positions for each of n lanes; number r of a lane lies at r mod size."""

    rows: Position  # leaves [n, size, ...]; obs bool
    player: jax.Array  # [n, size] int32, whose turn it was
    row: jax.Array  # [n] int32, number of the position to be written next
    known: jax.Array  # [n] int32, positions below it are of games that are over
    longest: int = eqx.field(static=True)  # moves of a game, at most

    @classmethod
    def create(cls, shape: tuple[int, ...], actions: int, capacity: int, lanes: int, longest: int) -> 'Games':
        """Empty, with room for `capacity` positions in all. UsageError where a lane cannot hold two games."""
        size = capacity // lanes
        if size < 2 * longest:
            raise UsageError(
                f'{capacity} positions for {lanes} games at once; expected at least {2 * longest * lanes}: two games '
                f'of {longest} moves each'
            )
        column = lambda *shape: jnp.zeros((lanes, size, *shape))
        rows = Position(
            obs=column(*shape).astype(bool),
            legal=column(actions).astype(bool),
            policy=column(actions),
            value=column(),
            outcome=column(),
            weight=column(),
        )
        none = jnp.zeros(lanes, jnp.int32)
        return cls(rows, column().astype(jnp.int32), none, jnp.copy(none), longest)

    @property
    def size(self) -> int:
        """Positions of one lane."""
        return self.player.shape[1]

    def add(self, position: Position, player: jax.Array, reward: jax.Array, over: jax.Array) -> 'Games':
        """One position of every lane, leaves [n, ...]; `reward` [n] is that of the player who moved there, and where it
        ends the game (`over` [n]) it is the outcome of all its positions, with the other sign for the other player."""
        lane, here = jnp.arange(len(self.row)), self.row % self.size
        rows = jax.tree.map(
            lambda column, new: column.at[lane, here].set(new.astype(column.dtype)), self.rows, position
        )
        players = self.player.at[lane, here].set(player)
        number = self.known[:, None] + jnp.arange(self.longest)[None]  # [n, longest], of the game's positions
        inside = over[:, None] & (number <= self.row[:, None])
        where = jnp.where(inside, number % self.size, self.size)
        same = jnp.take_along_axis(players, number % self.size, 1) == player[:, None]
        outcome = jnp.where(same, reward[:, None], -reward[:, None])
        rows = rows._replace(outcome=rows.outcome.at[lane[:, None], where].set(outcome, mode='drop'))
        return replace(
            self, rows=rows, player=players, row=self.row + 1, known=jnp.where(over, self.row + 1, self.known)
        )

    def counts(self) -> jax.Array:
        """[n] int32, positions of each lane whose outcome is known and that are still there."""
        return jnp.maximum(self.known - jnp.maximum(self.row - self.size, 0), 0)

    def sample(self, key: jax.Array, n: int) -> Position:
        """n positions of games that are over, uniform, with replacement."""
        counts = self.counts()
        upto = jnp.cumsum(counts)
        which = jr.randint(key, (n,), 0, jnp.maximum(upto[-1], 1))
        lane = jnp.minimum(jnp.searchsorted(upto, which, side='right'), len(counts) - 1)
        number = self.known[lane] - 1 - (which - (upto - counts)[lane])
        rows = jax.tree.map(lambda column: column[lane, number % self.size], self.rows)
        return rows._replace(obs=rows.obs.astype(jnp.float32))

"""Games and worlds searched in full: every action at every node, to a depth or to the end.

V(s) = max over legal a of r(s, a) + gamma m V(s'),    with -V(s') where the turn passes to the other player
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.envs.board import Rows
from stitchrl.envs.game import Board
from stitchrl.models.rules import Branching
from stitchrl.planners.mcts import Evaluate
from stitchrl.planners.planner import Info, Planner


class FullWidth(Planner):
    """A + A^2 + ... + A^depth steps per plan; legal or not, each is computed. One sample of a random model."""

    depth: int = eqx.field(static=True)
    evaluate: Evaluate | None = None  # of the states at full depth; None: nothing is to come
    gamma: float = eqx.field(static=True, default=1.0)

    def remember(self, n: int) -> Any:
        """Nothing."""
        return ()

    def plan(self, model: Branching, latent: Any, memory: Any, key: jax.Array) -> tuple[jax.Array, Any, Info]:
        """See `Planner.plan`."""
        values = self.values(model, jax.tree.map(lambda x: x[None], latent), key[None])[0]
        return values.argmax().astype(jnp.int32), memory, {'plan/value': values.max()}

    def values(self, model: Branching, latent: Any, keys: jax.Array, depth: int | None = None) -> jax.Array:
        """The value of each action, -inf of an illegal one, [B, A]. latent: leading axis B; keys [B]."""
        depth = self.depth if depth is None else depth
        batch, a = len(keys), model.actions
        legal, before = model.legal(latent), model.player(latent)
        rows, wide = jax.tree.map(lambda x: jnp.repeat(x, a, axis=0), (latent, before))
        k_step, k_below = jnp.moveaxis(
            jax.vmap(jr.split)(jax.vmap(lambda key: jr.split(key, a))(keys).reshape(-1)), 1, 0
        )
        after, reward, mask = model.each(rows, jnp.tile(jnp.arange(a, dtype=jnp.int32), batch), k_step)
        if depth > 1:
            value = self.values(model, after, k_below, depth - 1).max(-1)
        else:
            value = jnp.zeros(len(wide)) if self.evaluate is None else self.evaluate(model, after, k_below).value
        sign = jnp.where(model.player(after) == wide, 1.0, -1.0)
        to_come = jnp.where(mask > 0, self.gamma * mask * sign * value, 0.0)  # an end may have no legal action: -inf
        return jnp.where(legal, (reward + to_come).reshape(batch, a), -jnp.inf)


ROOM = 2048  # positions are stepped in multiples of so many, so that one program serves every level


class Solved(eqx.Module):
    """A game that is small enough to be solved once: every position that can arise, with the value of its moves."""

    codes: jax.Array  # [n] uint32, sorted
    values: jax.Array  # [n, A] float32 for the player to move, -inf of an illegal move

    @classmethod
    def create(cls, game: Rows) -> 'Solved':
        """All positions by number of moves, values from the last to the first; for boards of up to 16 fields."""
        play, legal = jax.jit(jax.vmap(jax.vmap(game.play, (None, 0)), (0, None))), jax.jit(jax.vmap(game.legal))
        boards, levels = jax.tree.map(lambda x: np.asarray(x)[None], game.start()), []
        while n := len(boards.mine):
            padded = jax.tree.map(lambda x: np.concatenate([x, np.zeros((-n % ROOM, *x.shape[1:]), x.dtype)]), boards)
            after, reward, over = jax.tree.map(
                lambda x: np.asarray(x)[:n], play(padded, np.arange(game.spec.action_dim))
            )
            may = np.asarray(legal(padded))[:n]
            levels.append((code(boards), may, code(after), reward, over))
            going = np.nonzero(may & ~over)
            first = np.unique(code(after)[going], return_index=True)[1]
            boards = Board(after.mine[going][first], after.theirs[going][first])
        return cls.from_levels(levels)

    @classmethod
    def from_levels(cls, levels: list[tuple[np.ndarray, ...]]) -> 'Solved':
        """Values of each level from those of the level below it."""
        codes, values = [], []
        best: dict[int, float] = {}
        for here, may, after, reward, over in reversed(levels):
            follow = np.vectorize(lambda x: best.get(int(x), 0.0), otypes=[np.float32])(after)  # noqa: B023
            value = np.where(may, np.where(over, reward, -follow), -np.inf)
            best = dict(zip(here.tolist(), value.max(1).tolist(), strict=True))
            codes, values = [*codes, here], [*values, value]
        order = np.argsort(np.concatenate(codes))
        return cls(jnp.asarray(np.concatenate(codes)[order]), jnp.asarray(np.concatenate(values)[order], jnp.float32))

    def __call__(self, boards: Board) -> jax.Array:
        """The value of each move, [B, A]; boards [B] that are not over."""
        return self.values[jnp.searchsorted(self.codes, code(boards))]

    def act(self, boards: Board, keys: jax.Array) -> jax.Array:
        """A best move, a random one of several, [B] int32."""
        values = self(boards)
        best = jnp.where(values == values.max(-1, keepdims=True), 0.0, -jnp.inf)
        return jax.vmap(jr.categorical)(keys, best).astype(jnp.int32)


def code(board: Board) -> Any:
    """A position of one word of 16 bits as a number, [...] uint32."""
    return board.mine[..., 0] | board.theirs[..., 0] << 16

"""Whole games between two policies on the device, every position kept."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.types import Position
from stitchrl.envs.game import Game

Policy = Callable[[Any, jax.Array, jax.Array], jax.Array]  # boards [n], keys [n], number of the move [] -> actions [n]


class Games(NamedTuple):
    """n games move by move, T the longest there can be."""

    positions: Position  # [T, n, ...]; policy: 1 for the move that was made; weight: 0 after the end
    player: jax.Array  # [T, n] int32, whose move it was
    result: jax.Array  # [n], of player 0: 1 won, 0 drawn, -1 lost


def duel(game: Game, ours: Policy, theirs: Policy, side: jax.Array, key: jax.Array, boards: Any = None) -> Games:
    """n games in which `ours` moves as player side[i], [n] int32. Both policies see all positions. boards: where the
    games go on from, positions that are not over; None: the start."""
    n = len(side)
    if boards is None:
        boards = jax.tree.map(lambda x: jnp.broadcast_to(x[None], (n, *x.shape)), game.start())

    def move(carry: Any, t: jax.Array) -> tuple[Any, Any]:
        boards, over, result = carry
        k_ours, k_theirs = jr.split(jr.fold_in(key, t))
        player, legal = jax.vmap(game.player)(boards), jax.vmap(game.legal)(boards)
        action = ours(boards, jr.split(k_ours, n), t)
        if theirs is not ours:
            action = jnp.where(player == side, action, theirs(boards, jr.split(k_theirs, n), t))
        after, reward, ended = jax.vmap(game.play)(boards, action)
        result = jnp.where(over, result, jnp.where(player == 0, reward, -reward))
        chosen, weight = jax.nn.one_hot(action, legal.shape[1]), 1.0 - over
        zeros = jnp.zeros(n)
        seen = Position(jax.vmap(game.observe)(boards), legal, chosen, zeros, zeros, weight)
        return (after, over | ended, result), (seen, player)

    start = (boards, jnp.zeros(n, bool), jnp.zeros(n))
    (_, _, result), (seen, player) = jax.lax.scan(move, start, jnp.arange(game.spec.horizon or 0))
    outcome = jnp.where(player == 0, result[None], -result[None])
    return Games(seen._replace(outcome=outcome), player, result)


def flat(positions: Position) -> Position:
    """[T, n, ...] as [T n, ...]."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), positions)


@partial(jax.jit, static_argnums=2)
def drawn(positions: Position, key: jax.Array, n: int) -> Position:
    """n rows [n, ...] of [N, ...] by chance in proportion to their weights, with replacement."""
    which = jr.choice(key, len(positions.weight), (n,), p=positions.weight / positions.weight.sum())
    return jax.tree.map(lambda x: x[which], positions)

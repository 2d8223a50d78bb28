"""Games between two players who choose moves: many at once, one move after another."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.envs.game import Game

Mover = Callable[[Any, jax.Array], Any]  # boards [n], keys [n] -> actions [n]; of games that are over, any


class Match(NamedTuple):
    """What came of n games."""

    result: np.ndarray  # [n] float32, for the player who began: 1 won, 0 drawn, -1 lost
    moves: np.ndarray  # [n, longest] int32; -1 after the end


def play_match(game: Game, first: Mover, second: Mover, n: int, key: jax.Array) -> Match:
    """n games in which `first` begins. Movers see all games, those that are over too, and may be any function; one
    that is compiled compiles once."""
    boards = jax.tree.map(lambda x: jnp.broadcast_to(x[None], (n, *x.shape)), game.start())
    over, result, moves = np.zeros(n, bool), np.zeros(n, np.float32), []
    play = jax.jit(jax.vmap(game.play))
    for number in range(game.spec.horizon or 0):
        mover, sign = ((first, 1.0), (second, -1.0))[number % 2]
        action = jnp.asarray(mover(boards, jr.split(jr.fold_in(key, number), n)), jnp.int32)
        after, reward, ended = play(boards, action)
        running = jnp.asarray(~over)
        keep = lambda new, old: jnp.where(running.reshape(-1, *(1,) * (new.ndim - 1)), new, old)  # noqa: B023
        boards = jax.tree.map(keep, after, boards)
        result += np.where(over, 0.0, sign * np.asarray(reward)).astype(np.float32)
        moves.append(np.where(over, -1, np.asarray(action)))
        over |= np.asarray(ended)
        if over.all():
            break
    return Match(result, np.stack(moves, 1))


def both_seats(game: Game, ours: Mover, theirs: Mover, n: int, key: jax.Array) -> np.ndarray:
    """Our results of n games in which we begin and of n in which they do, [2, n]: 1 won, 0 drawn, -1 lost."""
    k_first, k_second = jr.split(key)
    return np.stack(
        [play_match(game, ours, theirs, n, k_first).result, -play_match(game, theirs, ours, n, k_second).result]
    )

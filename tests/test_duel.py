"""Whole games between two policies: who moved, who won, what counts."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.envs.board import TicTacToe
from stitchrl.loops.duel import drawn, duel, flat

GAME = TicTacToe.create()


def script(*moves):
    """A policy that plays moves[i] as its i-th."""
    return lambda boards, keys, t: jnp.full(len(keys), jnp.array(moves)[t // 2], jnp.int32)


def test_games_by_hand():
    """Ours takes 0, 1, 2, theirs 3, 4, 5: who begins wins, after five moves."""
    ours, theirs = script(0, 1, 2, 6, 7), script(3, 4, 5, 8, 8)
    games = jax.jit(lambda key: duel(GAME, ours, theirs, jnp.array([0, 1], jnp.int32), key))(jr.key(0))
    assert games.result.tolist() == [1, 1]
    assert games.positions.weight.tolist() == [[1, 1]] * 5 + [[0, 0]] * 4
    assert games.player[:5].tolist() == [[0, 0], [1, 1]] * 2 + [[0, 0]]
    assert games.positions.outcome[:5].tolist() == [[1, 1], [-1, -1]] * 2 + [[1, 1]]
    assert games.positions.policy.argmax(-1)[:5].tolist() == [[0, 3], [3, 0], [1, 4], [4, 1], [2, 5]]
    assert not games.positions.obs[0].any()
    assert games.positions.obs[1, 0, 1, 0, 0] == 1, "the other's stone"
    assert games.positions.legal[1].sum(-1).tolist() == [8, 8]


def test_rows_are_drawn_by_weight():
    ours, theirs = script(0, 1, 2, 6, 7), script(3, 4, 5, 8, 8)
    games = duel(GAME, ours, theirs, jnp.array([0, 1], jnp.int32), jr.key(0))
    rows = drawn(flat(games.positions), jr.key(1), 500)
    assert (rows.weight == 1).all()
    counts = np.bincount(np.asarray(rows.obs.sum((1, 2, 3))).astype(int), minlength=9)
    assert (counts[:5] > 60).all()
    assert counts[5:].sum() == 0

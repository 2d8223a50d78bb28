"""Matches between movers whose games are known beforehand."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.envs.board import ConnectFour, TicTacToe
from stitchrl.loops.match import both_seats, play_match


def script(*moves):
    """A mover that plays these in turn."""
    left = list(moves)
    return lambda boards, keys: jnp.full(len(keys), left.pop(0), jnp.int32)


def test_results_are_those_of_who_began():
    first = play_match(TicTacToe.create(), script(0, 1, 2), script(3, 4), 2, jr.key(0))
    assert first.result.tolist() == [1, 1]
    assert first.moves.tolist() == [[0, 3, 1, 4, 2]] * 2
    second = play_match(ConnectFour.create(), script(0, 1, 0, 1), script(6, 6, 6, 6), 1, jr.key(0))
    assert second.result.tolist() == [-1]
    drawn = play_match(TicTacToe.create(), script(0, 2, 3, 7, 8), script(1, 4, 5, 6), 1, jr.key(0))
    assert drawn.result.tolist() == [0]


def test_a_game_that_is_over_stays_as_it_is_while_others_go_on():
    """Game 0 is won by its third stone; game 1 goes on to the last field, and its diagonal."""
    turns = iter([[0, 0], [3, 3], [1, 1], [4, 2], [2, 4], [5, 6], [6, 5], [7, 7], [8, 8]])
    mover = lambda boards, keys: np.array(next(turns))
    match = play_match(TicTacToe.create(), mover, mover, 2, jr.key(0))
    assert match.moves[0].tolist() == [0, 3, 1, 4, 2, *[-1] * (match.moves.shape[1] - 5)]
    assert match.moves[1].tolist() == [0, 3, 1, 2, 4, 6, 5, 7, 8]
    assert match.result.tolist() == [1, 1]


def test_keys_differ_between_moves_and_games():
    seen = []

    def mover(boards, keys):
        seen.append(np.asarray(jr.key_data(keys)))
        return jnp.full(len(keys), len(seen) - 1, jnp.int32)

    play_match(TicTacToe.create(), mover, mover, 3, jr.key(0))
    rows = np.concatenate(seen)
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_results_of_both_seats_are_ours():
    """Ours takes 0, 1, 2 in either seat, theirs 3, 4, 6: ours wins both. Turned round, theirs lost both."""
    ours, theirs = script(0, 1, 2, 0, 1, 2), script(3, 4, 3, 4, 6)
    assert both_seats(TicTacToe.create(), ours, theirs, 3, jr.key(0)).tolist() == [[1] * 3] * 2
    ours, theirs = script(0, 1, 2, 0, 1, 2), script(3, 4, 6, 3, 4)
    assert both_seats(TicTacToe.create(), theirs, ours, 2, jr.key(0)).tolist() == [[-1] * 2] * 2

"""The cheap core of each experiment on tree search, against exact numbers."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import tiny

from stitchrl.cli.claims import load
from stitchrl.envs.board import ConnectFour, TicTacToe
from stitchrl.planners.minimax import Solved

pytestmark = pytest.mark.usefixtures('quick_compiles')
GAME = TicTacToe.create()


def test_exponential_counts_what_is_known_of_two_games():
    """549,946 nodes of tic-tac-toe with the root. At random the first player wins .585 and loses .288 of the games."""
    module = load('exponential')
    assert module.positions_below(0, 0) == 549_945
    assert module.random_value(0, 0) == pytest.approx(0.58492 - 0.28810, abs=1e-5)
    assert module.after_random(0b011, 0b011000, 0b100) == 1
    game = ConnectFour.create()
    assert module.lines_of_play(game, (), 2).tolist() == [1, 7, 49]
    assert module.lines_of_play(game, module.FILLED, 2).tolist() == [1, 1, 1]


def test_exponential_errors_by_hand():
    """Two searches of one position: one chose move 1 and said .5, one move 0 and said 0."""
    module = load('exponential')
    best, chance = np.array([[0.0, 1.0]]), np.array([[0.25, 0.5]])
    off, from_chance, worse = module.errors(np.array([[0.5], [0.0]]), np.array([[1], [0]]), best, chance)
    assert off.tolist() == [[0.5], [0.0]]
    assert from_chance.tolist() == [[0.0], [0.25]]
    assert worse.tolist() == [[0.0], [1.0]], 'right about a move that is not the best'


def test_explore_exploit_asks_where_one_move_draws_and_where_one_wins_at_once():
    module = load('explore_exploit')
    solved = Solved.create(GAME)
    _, values = module.positions(solved, 0)
    assert len(values) == 472
    assert ((values == 0).sum(1) == 1).all()
    boards, values = module.at_once(GAME, *module.positions(solved, 1))
    won = jax.vmap(GAME.play)(boards, jnp.asarray(values.argmax(1), jnp.int32))[1]
    assert (won == 1).all()
    assert 100 < len(values) < 1216


def test_no_rollouts_plays_on_to_the_end():
    """Where one field is left the outcome is known: the mover wins, and it draws."""
    module = load('no_rollouts')
    agents = tiny.agents('alphazero', GAME.spec, 1, game='tictactoe', filters=4, side=3, hidden=(8,), simulations=4)
    agent = jax.tree.map(lambda x: x[0], agents)
    last = [GAME.after([0, 3, 8, 4, 7, 6, 5, 1]), GAME.after([0, 1, 2, 4, 3, 5, 7, 6])]
    boards = jax.tree.map(lambda *x: jnp.stack(x), *last)
    assert jax.jit(module.played_on)(agent, boards, jr.key(0)).tolist() == [1, 0]


def test_breadth_and_depth_random_games_have_the_length_that_is_known():
    """From the start of connect four, 21.3 moves in the mean."""
    module = load('breadth_and_depth')
    boards = jax.tree.map(lambda x: jnp.tile(x, (module.POINTS, 1)), module.GAME.start())
    assert float(module.to_the_end(boards, jr.key(0))) == pytest.approx(21.3, abs=0.6)

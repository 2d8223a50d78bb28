"""UCT against what is known: every hard position of tic-tac-toe, traps in connect four, games with the solution."""

from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.algos.search.uct import Config, flat_monte_carlo, uct
from stitchrl.envs.board import ConnectFour, TicTacToe
from stitchrl.envs.game import Board
from stitchrl.loops.match import play_match
from stitchrl.models.rules import Rules
from stitchrl.planners.minimax import FullWidth, Solved
from stitchrl.planners.tree import root

pytestmark = pytest.mark.usefixtures('quick_compiles')
GAME = TicTacToe.create()
CALM, HASTY = uct(Config(simulations=400, depth=10)), uct(Config(simulations=10, depth=10))
FLAT = flat_monte_carlo(Config(simulations=400))


@pytest.fixture(scope='module')
def solved():
    return Solved.create(GAME)


def chosen(planner, model, boards, seed=0):
    """The planner's actions."""
    keys = jr.split(jr.key(seed), len(boards.mine))
    return np.asarray(jax.jit(lambda boards, keys: planner.plans(model, boards, keys)[0])(boards, keys))


def hard(solved, worth):
    """Positions with three moves or more of which only one is worth `worth`, the best there is, and the values."""
    values = np.asarray(solved.values)
    best = values.max(1)
    only = ((values == best[:, None]).sum(1) == 1) & (np.isfinite(values).sum(1) > 2) & (best == worth)
    index = np.random.default_rng(0).permutation(np.flatnonzero(only))[:128]
    codes = np.asarray(solved.codes)[index]
    words = (jnp.asarray(word, jnp.uint32)[:, None] for word in (codes & 0xFFFF, codes >> 16))
    return Board(*words), values[index]


@pytest.mark.parametrize('worth', [1, 0])
def test_the_only_move_that_wins_and_the_only_one_that_draws(solved, worth):
    boards, values = hard(solved, worth)
    assert len(values) == 128
    right = lambda planner: (values[np.arange(128), chosen(planner, Rules(GAME), boards)] == worth).mean()
    assert right(CALM) > 0.98
    if worth == 0:
        assert right(FLAT) < 0.92, 'random play does not see what a good answer does'
        assert right(HASTY) < 0.92, 'ten simulations are too few'


TRAPS = [
    ([5, 2, 0, 4, 5, 1, 3, 2, 3, 0, 4, 1, 3], 3),
    ([6, 4, 3, 2, 3, 2, 6, 5, 3, 4, 4], 3),
    ([0, 5, 3, 5, 4, 6, 2, 0, 3, 0, 5], 1),
]


def test_traps_in_connect_four():
    """One move holds for four plies, as search in full shows. Random play after each move prefers another."""
    game = ConnectFour.create()
    boards = jax.tree.map(lambda *x: jnp.stack(x), *(game.after(moves) for moves, _ in TRAPS))
    holds = [move for _, move in TRAPS]
    values = jax.jit(lambda keys: FullWidth(4).values(Rules(game), boards, keys))(jr.split(jr.key(0), 3))
    assert (values.argmax(-1) == jnp.array(holds)).all()
    assert ((values == 0).sum(-1) == 1).all()
    deep = uct(Config(simulations=1500))
    assert chosen(deep, Rules(game), boards).tolist() == holds
    flat = chosen(flat_monte_carlo(Config(simulations=1500)), Rules(game), boards)
    assert (flat != np.array(holds)).all()


def test_games_against_the_solution(solved):
    """With enough simulations hardly a loss in either seat; with few, many."""
    perfect = jax.jit(lambda boards, keys: solved.act(boards, keys))
    lost = {}
    for name, planner in (('hasty', HASTY), ('calm', uct(Config(simulations=400, rollouts=4, depth=10)))):
        ours = jax.jit(lambda boards, keys, planner=planner: planner.plans(Rules(GAME), boards, keys)[0])
        first, second = play_match(GAME, ours, perfect, 40, jr.key(0)), play_match(GAME, perfect, ours, 40, jr.key(1))
        lost[name] = (first.result < 0).sum() + (second.result > 0).sum()
        assert (first.result <= 0).all(), 'nobody beats the solution'
        assert (second.result >= 0).all()
    assert lost['calm'] <= 4
    assert lost['hasty'] > 20


def test_flat_monte_carlo_learns_the_value_of_random_play():
    """A tree of one level: each move equally often, and the value of the moves is that of a race from there."""
    game, n, trees = GAME, 100, 32
    boards = jax.tree.map(lambda x: jnp.tile(x, (trees, 1)), game.after([0, 4]))
    run = jax.jit(partial(flat_monte_carlo(Config(simulations=7 * n)).search, Rules(game)))
    top = root(run(boards, jr.split(jr.key(0), trees)))
    assert (np.asarray(top.visits)[:, [1, 2, 3, 5, 6, 7, 8]] == n).all()
    for move in (1, 8):
        many = jax.tree.map(lambda x: jnp.tile(x, (n * trees, 1)), game.after([0, 4, move]))
        expected = -float(game.playouts(many, jr.split(jr.key(move), n * trees)).mean())
        assert abs(float(top.values[:, move].mean()) - expected) < 0.06

"""UCT against what is known: every hard position of tic-tac-toe, traps in connect four, games with the solution."""

from functools import cache, partial

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
N = 64  # positions, and games, at a time
CALM, HASTY = (uct(Config(simulations=s, rollouts=4, depth=10)) for s in (300, 5))
FLAT = flat_monte_carlo(Config(simulations=300, rollouts=4))


@pytest.fixture(scope='module')
def solved():
    return Solved.create(GAME)


@cache
def compiled(planner):
    """The planner in tic-tac-toe; for N boards."""
    return jax.jit(lambda boards, keys: planner.plans(Rules(GAME), boards, keys)[0])


def hard(solved, worth):
    """Positions with three moves or more of which only one is worth `worth`, the best there is, and the values."""
    values = np.asarray(solved.values)
    best = values.max(1)
    only = ((values == best[:, None]).sum(1) == 1) & (np.isfinite(values).sum(1) > 2) & (best == worth)
    index = np.random.default_rng(0).permutation(np.flatnonzero(only))[:N]
    codes = np.asarray(solved.codes)[index]
    words = (jnp.asarray(word, jnp.uint32)[:, None] for word in (codes & 0xFFFF, codes >> 16))
    return Board(*words), values[index]


@pytest.mark.parametrize('worth', [1, 0])
def test_the_only_move_that_wins_and_the_only_one_that_draws(solved, worth):
    boards, values = hard(solved, worth)
    assert len(values) == N
    keys = jr.split(jr.key(0), N)
    right = lambda planner: (values[np.arange(N), np.asarray(compiled(planner)(boards, keys))] == worth).mean()
    assert right(CALM) > 0.98
    if worth == 0:
        assert right(FLAT) < 0.92, 'random play does not see what a good answer does'
        assert right(HASTY) < 0.92, 'five simulations are too few'


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
    for planner, right in ((uct(Config(simulations=1500)), True), (flat_monte_carlo(Config(simulations=1500)), False)):
        plans = jax.jit(partial(planner.plans, Rules(game)))
        found = plans(boards, jr.split(jr.key(0), 3))[0]
        assert ((found == jnp.array(holds)) == right).all()


def test_games_against_the_solution(solved):
    """With enough simulations hardly a loss in either seat; with few, many."""
    perfect = jax.jit(lambda boards, keys: solved.act(boards, keys))
    lost = {}
    for name, planner in (('hasty', HASTY), ('calm', CALM)):
        ours = compiled(planner)
        first, second = play_match(GAME, ours, perfect, N, jr.key(0)), play_match(GAME, perfect, ours, N, jr.key(1))
        lost[name] = (first.result < 0).sum() + (second.result > 0).sum()
        assert (first.result <= 0).all(), 'nobody beats the solution'
        assert (second.result >= 0).all()
    assert lost['calm'] <= 4, lost
    assert lost['hasty'] > 30, lost


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

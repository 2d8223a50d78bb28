"""Search in full, and a game solved."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from trees import paper, wild

from stitchrl.envs.board import ConnectFour, TicTacToe
from stitchrl.models.rules import Rules
from stitchrl.planners.minimax import FullWidth, Solved

GAME = TicTacToe.create()
pytestmark = pytest.mark.usefixtures('quick_compiles')


@pytest.fixture(scope='module')
def solved():
    return Solved.create(GAME)


def one(board):
    return jax.tree.map(lambda x: x[None], board)


def test_tictactoe_is_a_draw_of_4520_positions(solved):
    assert len(solved.codes) == 4520, 'of 5478 that can arise, 958 are over'
    assert (solved(one(GAME.start())) == 0).all()


@pytest.mark.parametrize(
    ('moves', 'values'),
    [
        ([0], {4: 0, 1: -1, 8: -1}),  # the corner is answered in the middle
        ([4], {0: 0, 1: -1}),  # the middle in a corner
        ([0, 4, 8], {1: 0, 2: -1}),  # a fork is met at an edge
        ([0, 1, 3], {6: -1, 8: -1}),  # an edge beside it loses by force
        ([0, 3, 1, 4], {2: 1}),
    ],
)
def test_known_answers(solved, moves, values):
    found = solved(one(GAME.after(moves)))[0]
    assert {move: float(found[move]) for move in values} == values
    assert all(found[move] == -jnp.inf for move in moves)


def test_the_best_moves_are_played_evenly(solved):
    boards = jax.tree.map(lambda x: jnp.tile(x, (800, 1)), GAME.after([4]))
    moves = np.bincount(solved.act(boards, jr.split(jr.key(0), 800)), minlength=9)
    assert moves[[1, 3, 4, 5, 7]].sum() == 0
    assert np.abs(moves[[0, 2, 6, 8]] - 200).max() < 60


def test_full_width_agrees_with_the_solution_where_it_reaches_the_end(solved):
    boards = [GAME.after(moves) for moves in ([0, 4, 8, 2, 6], [1, 0, 3, 4, 8], [0, 1, 2, 4, 3])]
    batch = jax.tree.map(lambda *x: jnp.stack(x), *boards)
    found = jax.jit(lambda keys: FullWidth(4).values(Rules(GAME), batch, keys))(jr.split(jr.key(0), 3))
    assert (found == solved(batch)).all()


def test_full_width_on_paper():
    """After move 0 the other wins; after move 1 it draws. One step deep, the evaluation decides."""
    model, told = paper()
    key, start = jr.split(jr.key(0), 1), jnp.zeros(1, jnp.int32)
    values = jax.jit(lambda key: (FullWidth(2).values(model, start, key), FullWidth(1, told).values(model, start, key)))
    whole, short = values(key)
    assert whole.tolist() == [[-1, 0]]
    assert np.allclose(short, [[-0.2, 0.5]])
    action, _, info = jax.jit(lambda key: FullWidth(2).plan(model, jnp.int32(0), (), key))(jr.key(0))
    assert (int(action), float(info['plan/value'])) == (1, 0)


def test_full_width_masks_and_discounts():
    model, told = wild(3, 3, seed=4, share_legal=0.5)
    values = jax.jit(lambda key: FullWidth(3, told, 0.9).values(model, jnp.zeros(1, jnp.int32), key))(
        jr.split(jr.key(0), 1)
    )

    def by_recursion(state, depth):
        found = []
        for a in range(3):
            after, over = int(model.after[state, a]), model.mask[state, a] == 0
            below = 0 if over else (by_recursion(after, depth - 1).max() if depth > 1 else told.value[after])
            found.append(float(model.reward[state, a] - 0.9 * below) if model.may[state, a] else -np.inf)
        return np.array(found)

    assert np.allclose(values[0], by_recursion(0, 3), atol=1e-6)


def test_connect_four_threats():
    """An open three is lost for who is to move; who can win does."""
    game = ConnectFour.create()
    model, plan = Rules(game), FullWidth(3)
    open_three = game.after([2, 2, 3, 3, 4])
    values = jax.jit(lambda board, key: plan.values(model, board, key))(one(open_three), jr.split(jr.key(0), 1))
    assert (values <= 0).all()
    assert values.max() == -1 or set(np.flatnonzero(np.asarray(values[0]) == 0)) <= {1, 5}

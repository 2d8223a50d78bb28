"""Rules of the board games, by hand, against a plain NumPy referee, and their random games against moves one by one."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.stats import chi2_contingency

from stitchrl.envs.board import ConnectFour, TicTacToe
from stitchrl.envs.game import Board
from stitchrl.errors import UsageError
from stitchrl.models.rules import Branching, Rules

GAMES = {'tictactoe': TicTacToe.create(), 'connect four': ConnectFour.create()}
WAYS = ((0, 1), (1, 0), (1, 1), (1, -1))
pytestmark = pytest.mark.usefixtures('quick_compiles')
each = pytest.mark.parametrize('game', GAMES.values(), ids=GAMES)


def referee(stones: np.ndarray, line: int) -> bool:
    """Whether [H, W] bool holds a line, field by field."""
    height, width = stones.shape
    for y in range(height):
        for x in range(width):
            for dy, dx in WAYS:
                ends = y + (line - 1) * dy, x + (line - 1) * dx
                inside = 0 <= ends[0] < height and 0 <= ends[1] < width
                if inside and all(stones[y + k * dy, x + k * dx] for k in range(line)):
                    return True
    return False


def random_games(game, n, key):
    """Boards [n, T] on the way, the actions taken there, rewards and ends, all the same length."""

    def move(carry, k):
        board, over = carry
        noise = jr.uniform(k, (n, game.spec.action_dim))
        action = jnp.where(jax.vmap(game.legal)(board), noise, -1).argmax(-1)
        after, reward, ended = jax.vmap(game.play)(board, action)
        return (after, over | ended), (board, action, reward, ended, over)

    start = jax.tree.map(lambda x: jnp.tile(x, (n, 1)), game.start()), jnp.zeros(n, bool)
    return jax.tree.map(np.asarray, jax.jit(lambda keys: jax.lax.scan(move, start, keys)[1])(jr.split(key, 42)))


@each
def test_a_referee_agrees_on_every_position_of_random_games(game):
    boards, action, reward, ended, over = random_games(game, 12, jr.key(0))
    fields = jax.jit(jax.vmap(jax.vmap(game.fields)))
    mine, theirs = (np.asarray(fields(words)) for words in boards)
    legal = np.asarray(jax.vmap(jax.vmap(game.legal))(boards))
    player = np.asarray(jax.vmap(jax.vmap(game.player))(boards))
    seen = np.asarray(jax.vmap(jax.vmap(game.observe))(boards))
    kinds = set()
    for t, g in zip(*np.nonzero(~over), strict=True):
        taken = mine[t, g] | theirs[t, g]
        free = ~taken[-1] if game.line == 4 else ~taken.reshape(-1)
        assert (legal[t, g] == free).all()
        assert player[t, g] == t % 2
        assert (seen[t, g] == np.stack([mine[t, g], theirs[t, g]])).all()
        a = action[t, g]
        where = (taken[:, a].sum(), a) if game.line == 4 else divmod(a, 3)
        after = mine[t, g].copy()
        after[where] = True
        won, full = referee(after, game.line), taken.sum() + 1 == taken.size
        assert (reward[t, g], ended[t, g]) == (float(won), won | full)
        kinds.add((won, full))
        if not ended[t, g]:
            assert (theirs[t + 1, g] == after).all()
            assert (mine[t + 1, g] == theirs[t, g]).all()
    assert (True, False) in kinds


def lines(game):
    """Every line as fields [H, W]."""
    height, width = game.spec.obs.shape[1:]
    for y in range(height):
        for x in range(width):
            for dy, dx in WAYS:
                spots = [(y + k * dy, x + k * dx) for k in range(game.line)]
                if all(0 <= a < height and 0 <= b < width for a, b in spots):
                    fields = np.zeros((height, width), bool)
                    fields[tuple(zip(*spots, strict=True))] = True
                    yield fields


@each
def test_every_line_wins_and_no_line_less_a_stone(game):
    whole = np.stack(list(lines(game)))
    assert len(whole) == {3: 8, 4: 69}[game.line]
    broken = np.concatenate([np.where(np.cumsum(one).reshape(one.shape) == k, 0, one) for one in whole for k in (1, 2)])
    won = jax.jit(jax.vmap(game.won))
    assert won(jnp.asarray([game.pack(fields) for fields in whole])).all()
    parts = broken.reshape(-1, *whole.shape[1:])
    assert not won(jnp.asarray([game.pack(fields) for fields in parts])).any()


@each
def test_random_stones_win_as_the_referee_says(game):
    stones = np.random.default_rng(0).random((200, *game.spec.obs.shape[1:])) < 0.45
    words = jnp.asarray([game.pack(fields) for fields in stones])
    said = np.asarray(jax.vmap(game.won)(words))
    assert (said == [referee(fields, game.line) for fields in stones]).all()
    assert 0.1 < said.mean() < 0.9
    assert (np.asarray(jax.vmap(game.fields)(words)) == stones).all()


def test_columns_fill_from_the_ground_and_close():
    game = ConnectFour.create()
    board = game.after([2] * 6)
    assert not game.legal(board)[2]
    assert game.legal(board).sum() == 6
    assert np.asarray(game.observe(board))[:, :, 2].tolist() == [[1, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 1]]


def test_a_full_board_without_a_line_is_a_draw():
    game = TicTacToe.create()
    state = game.reset(jr.key(0))
    for move in (0, 1, 2, 4, 3, 5, 7, 6, 8):
        assert not state.terminated
        state = game.step(state, jnp.int32(move), jr.key(0))
    assert state.terminated
    assert state.reward == 0
    assert not game.success(state)


def test_a_forbidden_move_loses_and_leaves_the_board():
    game = TicTacToe.create()
    state = game.step(game.reset(jr.key(0)), jnp.int32(4), jr.key(0))
    lost = game.step(state, jnp.int32(4), jr.key(0))
    assert lost.terminated
    assert lost.reward == -1
    assert (lost.inner.mine == state.inner.mine).all()


@pytest.mark.parametrize(
    ('moves', 'words'), [([0, 0], 'move 2 of'), ([9], 'legal: '), ([0, 3, 1, 4, 2, 5], 'the game is over')]
)
def test_positions_that_cannot_be_are_refused(moves, words):
    with pytest.raises(UsageError, match=words):
        TicTacToe.create().after(moves)


POSITIONS = {
    'tictactoe': [(), (4,), (0, 4, 8)],
    'connect four': [(), (3, 3, 3), (0, 0, 0, 0, 0, 0, 6, 5), (3, 2, 3, 2, 3)],
}


@each
def test_races_end_as_random_games_do(game):
    """Results of races and of games played move by move come from one distribution; 20,000 of each."""
    name = next(name for name, other in GAMES.items() if other is game)
    model, n = Rules(game), 20_000
    race = jax.jit(game.playouts)
    loop = jax.jit(lambda boards, keys: Branching.playouts(model, boards, keys, 1.0, 42))
    for number, moves in enumerate(POSITIONS[name]):
        boards = jax.tree.map(lambda x: jnp.tile(x, (n, 1)), game.after(moves))
        keys = jr.split(jr.key(number), 2 * n)
        counts = [[int((x == r).sum()) for r in (-1, 0, 1)] for x in (race(boards, keys[:n]), loop(boards, keys[n:]))]
        table = np.array(counts)[:, np.sum(counts, 0) > 0]
        assert chi2_contingency(table).pvalue > 1e-3, (moves, counts)
    assert min(counts[0]) >= 0


def test_a_race_from_one_move_before_the_end():
    """Only field 8 is left. In the first game it completes nothing, in the second 0 4 8."""
    game = TicTacToe.create()
    last = jax.jit(lambda board: game.playouts(Board(*(jnp.tile(x, (8, 1)) for x in board)), jr.split(jr.key(0), 8)))
    assert (last(game.after([0, 1, 2, 4, 3, 5, 7, 6])) == 0).all()
    assert (last(game.after([0, 1, 4, 2, 3, 5, 7, 6])) == 1).all()


@each
def test_a_turned_game_is_the_same_game(game):
    """Every symmetry, in positions of random games: the turned view of what follows a move is what follows the turned
    move, and the moves that are legal turn with it."""
    boards, action, _, ended, over = random_games(game, 4, jr.key(3))
    t, g = (index[:40] for index in np.nonzero(~over & ~ended))
    boards, action = jax.tree.map(lambda x: x[t, g], boards), action[t, g]
    turns = game.symmetries()
    count, choices = len(turns.fields), np.arange(game.spec.action_dim)
    observe, recall, legal, play = (jax.jit(jax.vmap(f)) for f in (game.observe, game.recall, game.legal, game.play))
    after = play(boards, action)
    kinds = set()
    for which in range(count):
        row = jnp.full(len(t), which)
        one_hot = jnp.asarray(choices[None] == action[:, None])
        seen, may, moved = turns.of(row, observe(boards), legal(boards), one_hot)
        turned = recall(seen)
        assert (np.asarray(legal(turned)) == np.asarray(may)).all()
        there = play(turned, np.asarray(moved).argmax(1))
        for ours, theirs in ((observe(there[0]), turns.of(row, observe(after[0]))[0]), (there[1:], after[1:])):
            jax.tree.map(np.testing.assert_array_equal, ours, theirs)
        kinds.add(np.asarray(seen).tobytes())
    assert len(kinds) == count == {3: 8, 4: 2}[game.line]


@each
def test_a_position_is_recalled_from_what_is_seen(game):
    boards, *_, over = random_games(game, 4, jr.key(4))
    back = jax.jit(jax.vmap(jax.vmap(game.recall)))(jax.vmap(jax.vmap(game.observe))(boards))
    for ours, theirs in zip(back, boards, strict=True):
        np.testing.assert_array_equal(np.asarray(ours)[~over], theirs[~over])

"""Games of pgx beside our own, and Go."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import tiny

from stitchrl import envs
from stitchrl.algos.search.uct import Config, uct
from stitchrl.cli import main
from stitchrl.core.boundary import Boundary
from stitchrl.envs import pgx as ours
from stitchrl.envs.board import ConnectFour
from stitchrl.envs.versus import Versus
from stitchrl.errors import MissingExtra, UsageError
from stitchrl.loops.evaluate import evaluate
from stitchrl.models.rules import Rules
from stitchrl.report.stones import label, owners

pytestmark = pytest.mark.usefixtures('quick_compiles')


def needed():
    pytest.importorskip('pgx', reason='these games are of pgx; pip install "stitchrl[games]"')


@pytest.fixture(scope='module')
def go():
    needed()
    return ours.Pgx.create('go_9x9')


@pytest.fixture(scope='module')
def play(go):
    return jax.jit(go.play)


def walked(game, moves, play):
    """The position after the moves, and the last move's reward and end."""
    board, reward, over = game.start(), 0.0, False
    for move in moves:
        assert not over
        assert bool(game.legal(board)[move]), move
        board, reward, over = play(board, jnp.int32(move))
    return board, float(reward), bool(over)


def test_the_same_games_as_our_own():
    """64 random games, move by move: whose turn, what is legal, what is seen, who wins and when."""
    needed()
    game, own, n = ours.Pgx.create('connect_four'), ConnectFour.create(), 64

    @jax.jit
    def step(boards, others, key):
        legal, legal_own = jax.vmap(game.legal)(boards), jax.vmap(own.legal)(others)
        action = jr.categorical(key, jnp.where(legal_own, 0.0, -1e9)).astype(jnp.int32)
        seen = [legal, jax.vmap(game.player)(boards), jax.vmap(game.observe)(boards)]
        seen_own = [legal_own, jax.vmap(own.player)(others), jax.vmap(own.observe)(others)]
        (boards, *ends), (others, *ends_own) = jax.vmap(game.play)(boards, action), jax.vmap(own.play)(others, action)
        return boards, others, (*seen, *ends), (*seen_own, *ends_own)

    boards, others = (jax.tree.map(lambda x: jnp.tile(x, (n, *(1,) * x.ndim)), g.start()) for g in (game, own))
    over = np.zeros(n, bool)
    for t in range(own.spec.horizon):
        boards, others, theirs, mine = jax.device_get(step(boards, others, jr.key(t)))
        theirs = (*theirs[:2], theirs[2][:, :, ::-1], *theirs[3:])  # pgx counts rows from above
        for a, b in zip(theirs, mine, strict=True):
            np.testing.assert_array_equal(a[~over], b[~over])
        over |= mine[-1]
    assert over.all()


def test_go_captures_and_forbids_suicide(go, play):
    """Black takes a white stone in the corner (0) by 1 and 9; white may not give it back there."""
    board, _, _ = walked(go, [1, 0, 9], play)
    assert owners(go, board)[0, :2].tolist() == [-1, 0]
    assert not bool(go.legal(board)[0])
    assert int(go.player(board)) == 1
    assert label(go, 81) == 'pass'


def test_go_two_passes_end_and_komi_decides(go, play):
    """On an empty board white wins by komi: the pass that ends it wins for white and would lose for black."""
    _, reward, over = walked(go, [81, 81], play)
    assert (reward, over) == (1, True), 'white passed last'
    _, reward, over = walked(go, [81, 40, 81, 81], play)
    assert (reward, over) == (1, True), 'white has all of the board'
    _, reward, over = walked(go, [40, 81, 81], play)
    assert (reward, over) == (1, True), 'black has all of it'
    _, reward, over = walked(go, [81, 40, 39, 81, 81], play)
    assert (reward, over) == (-1, True), 'one stone each: komi is against black, who passed last'


def test_a_position_holds_no_observation_and_the_past_matters(go):
    assert go.start().observation == ()
    with pytest.raises(UsageError, match='does not tell the position'):
        go.recall(go.observe(go.start()))


@pytest.fixture(scope='module')
def followed(go):
    return jax.jit(go.found), jax.jit(go.kept)


def test_who_remembers_finds_the_other_s_move(go, play, followed):
    """Two games: one in which it begins, one in which the other does; in both the other captures, then passes."""
    found, kept = followed
    boards, _ = jax.vmap(lambda move: play(go.start(), move)[:2])(jnp.array([40, 1]))
    boards = jax.tree.map(lambda start, moved: jnp.stack([start, moved[1]]), go.start(), boards)
    memory = go.remember(2)
    for own, theirs in ((jnp.array([0, 0]), [1, 9]), (jnp.array([80, 80]), [9, 20]), (jnp.array([79, 79]), [81, 81])):
        known = found(memory, jax.vmap(go.observe)(boards))
        jax.tree.map(np.testing.assert_array_equal, jax.device_get(known), jax.device_get(boards))
        memory, boards = kept(known, own), jax.vmap(lambda board, move: play(board, move)[0])(boards, own)
        boards = jax.vmap(lambda board, move: play(board, move)[0])(boards, jnp.array(theirs))
    wrong = found(kept(known, jnp.array([78, 78])), jax.vmap(go.observe)(boards))  # control: another move was its own
    assert (np.asarray(wrong._x.board) != np.asarray(boards._x.board)).any()


def test_an_agent_that_learned_go_is_judged_move_by_move(go):
    """Every move it makes is legal, or the game would be lost at once."""
    agents = tiny.agents('alphazero', go.spec, 1, game='go_9x9', filters=2, hidden=(4,), judged=2)
    episodes = evaluate(agents, Boundary.blank(go.spec), Versus.create('go_9x9/random'), 0, 3)
    assert episodes.lengths.min() > 10


def test_symmetries_of_go_move_stones_and_moves_alike(go, play):
    turns = go.symmetries()
    assert turns.actions.shape == (8, 82)
    assert (turns.actions[:, 81] == 81).all()
    board, _, _ = walked(go, [3, 40, 10], play)
    which = jnp.arange(8)
    obs = jnp.tile(go.observe(board)[None], (8, 1, 1, 1))
    seen, legal = turns.of(which, obs, jnp.tile(go.legal(board)[None], (8, 1)))
    for k in range(8):
        moved = [int(np.flatnonzero(turns.actions[k] == move)[0]) for move in (3, 40, 10)]
        there, _, _ = walked(go, moved, play)
        np.testing.assert_array_equal(go.observe(there), seen[k])
        np.testing.assert_array_equal(go.legal(there), legal[k])


def test_a_search_plays_go(go):
    board = go.start()
    planner = uct(Config(simulations=4))
    plans = jax.jit(lambda boards, keys: planner.plans(Rules(go), boards, keys))
    action, tree, _ = plans(jax.tree.map(lambda x: x[None], board), jr.split(jr.key(0), 1))
    assert bool(go.legal(board)[action[0]])
    assert tree.visits[:, 0].sum() == 4


def test_othello_turns_stones():
    needed()
    game = ours.Pgx.create('othello')
    start = game.start()
    assert np.flatnonzero(game.legal(start)).tolist() == [19, 26, 37, 44]
    board, reward, over = jax.jit(game.play)(start, jnp.int32(19))
    assert np.bincount(owners(game, board).ravel() + 1).tolist() == [59, 4, 1]
    assert (int(game.player(board)), float(reward), bool(over)) == (1, 0, False)
    assert label(game, 64) == 'pass'


def test_what_is_no_such_game_and_what_is_missing(monkeypatch, capsys):
    with pytest.raises(UsageError, match='did you mean go_9x9'):
        ours.Pgx.create('go9x9')
    monkeypatch.setitem(__import__('sys').modules, 'pgx', None)
    with pytest.raises(MissingExtra, match=r'go_9x9 is a game of pgx.*stitchrl\[games\]'):
        ours.Pgx.create()
    monkeypatch.setattr(envs, 'rules', envs.rules.__wrapped__)  # not one that was made before
    assert main(['play', 'othello']) == 3
    assert 'othello is a game of pgx' in capsys.readouterr().err

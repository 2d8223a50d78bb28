"""A game as an environment for one: whose stones are whose, who is rewarded, who is there to play against."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl import envs
from stitchrl.envs.versus import Versus
from stitchrl.errors import UsageError

pytestmark = pytest.mark.usefixtures('quick_compiles')


def lowest(boards, keys):
    """The opponent that always takes the first free field."""
    game = envs.rules('tictactoe')
    return jax.vmap(game.legal)(boards).argmax(-1).astype(jnp.int32)


def against_lowest():
    game = envs.rules('tictactoe')
    return Versus(game, game.spec, jax.tree_util.Partial(lowest))


def first(env, begins):
    """A start in which we begin, or do not."""
    for seed in range(20):
        state = env.reset(jr.key(seed))
        if (state.obs.sum() == 0) == begins:
            return state
    raise AssertionError('both must come about')


def played(env, state, *moves):
    for move in moves:
        assert not state.terminated
        state = env.step(state, jnp.int32(move), jr.key(0))
    return state


def test_a_win_a_loss_and_what_is_forbidden():
    env = against_lowest()
    state = played(env, first(env, True), 4)
    assert (np.asarray(state.obs[0]).nonzero(), float(state.obs[1, 0, 0])) == ((np.array([1]), np.array([1])), 1.0)
    won = played(env, state, 3, 5)  # the middle row; the other held 0 and 1
    assert (float(won.reward), bool(won.terminated), bool(env.success(won))) == (1.0, True, True)
    lost = played(env, first(env, False), 4, 8)  # 0, then 1, then 2: the lowest row
    assert (float(lost.reward), bool(lost.terminated), bool(env.success(lost))) == (-1.0, True, False)
    wrong = played(env, first(env, False), 0)
    assert (float(wrong.reward), bool(wrong.terminated)) == (-1.0, True)


def test_a_draw_is_no_failure():
    """The other takes 0, 2, 4, 5 and 7, we the rest."""
    state = played(against_lowest(), first(against_lowest(), False), 1, 3, 6, 8)
    assert (float(state.reward), bool(state.terminated)) == (0.0, True)
    assert bool(Versus.success(against_lowest(), state))


@pytest.mark.parametrize('name', ['tictactoe/random', 'tictactoe', 'tictactoe/uct-2'])
def test_opponents_play_whole_games(name):
    env = envs.make(name)
    spec = env.spec

    def one(key):
        def step(carry, t):
            state, over = carry
            k_act, k_step = jr.split(jr.fold_in(key, t))
            may = env.game.legal(state.inner)
            action = jr.categorical(k_act, jnp.where(may, 0.0, -1e9))
            after = env.step(state, action, k_step)
            state = jax.tree.map(lambda new, old: jnp.where(over, old, new), after, state)
            return (state, over | after.terminated), None

        start = env.reset(key)
        return jax.lax.scan(step, (start, start.terminated), jnp.arange(spec.horizon))[0]

    state, over = jax.jit(jax.vmap(one))(jr.split(jr.key(0), 20))
    assert over.all()
    assert set(np.asarray(state.reward).tolist()) <= {-1.0, 0.0, 1.0}
    if name == 'tictactoe':
        assert (np.asarray(state.reward) <= 0).all()  # nobody beats exact play
    assert len(set(np.asarray(state.obs.sum((1, 2, 3)) % 2).tolist())) == 2  # either side begins


@pytest.mark.parametrize('name', ['tictactoe/nobody', 'connect_four/minimax', 'connect_four/uct-0', 'connect_four/uct'])
def test_an_opponent_that_is_not_there_is_named(name):
    with pytest.raises(UsageError, match='no such opponent; known: random'):
        envs.make(name)


def test_a_game_that_is_not_there_is_named():
    with pytest.raises(UsageError, match="'tictacto' is not a game; did you mean tictactoe"):
        envs.rules('tictacto')

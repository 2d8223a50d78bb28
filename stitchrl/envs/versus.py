"""A game as an environment for one: the other player is part of the world. Who begins is a matter of chance."""

from collections.abc import Callable
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl import envs
from stitchrl.core.spec import Spec
from stitchrl.envs.env import Env, State
from stitchrl.envs.game import Game
from stitchrl.errors import UsageError

Opponent = Callable[[Any, jax.Array], jax.Array]  # boards [n], keys [n] -> legal actions [n]
DEFAULT = {'tictactoe': 'minimax', 'connect_four': 'uct-400'}
KNOWN = 'random, minimax (of tictactoe), uct-N with N simulations a move'


class Versus(Env):
    """The reward is 1 for a win, -1 for a loss or a move that the rules forbid."""

    game: Game
    spec: Spec = eqx.field(static=True)
    opponent: Opponent

    @classmethod
    def create(cls, name: str) -> 'Versus':
        """GAME or GAME/OPPONENT. UsageError for an opponent that the game does not have."""
        title, _, other = name.partition('/')
        game = envs.rules(title)
        return cls(game, game.spec, opponent(title, other or DEFAULT.get(title, 'random')))

    def reset(self, key: jax.Array) -> State:
        """The empty board, or the board after the other's first move."""
        k_side, k_other = jr.split(key)
        start = self.game.start()
        after, _, _ = self.answer(start, k_other)
        board = jax.tree.map(lambda a, b: jnp.where(jr.bernoulli(k_side), a, b), start, after)
        no = jnp.zeros((), bool)
        return State(self.game.observe(board), jnp.zeros(()), no, no, board)

    def step(self, state: State, action: jax.Array, key: jax.Array) -> State:
        """The move and the answer to it."""
        ours = self.game.step(state, action, key)
        board, reward, over = self.answer(ours.inner, key)
        choose = lambda then, now: jnp.where(ours.terminated, then, now)
        board = jax.tree.map(choose, ours.inner, board)
        reward, over = choose(ours.reward, -reward), ours.terminated | over
        return State(self.game.observe(board), reward, over, jnp.zeros((), bool), board)

    def success(self, state: State) -> jax.Array:
        """The game is over and not lost."""
        return state.terminated & (state.reward >= 0)

    def answer(self, board: Any, key: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
        """What the other player does, as of `Game.play`."""
        action = self.opponent(jax.tree.map(lambda x: x[None], board), key[None])[0]
        return self.game.play(board, action)


class Chance(eqx.Module):
    """Any legal move."""

    game: Game

    def __call__(self, boards: Any, keys: jax.Array) -> jax.Array:
        logits = jnp.where(jax.vmap(self.game.legal)(boards), 0.0, -1e9)
        return jax.vmap(jr.categorical)(keys, logits).astype(jnp.int32)


class Best(eqx.Module):
    """Any of the best moves, of a game that is solved."""

    solved: Any

    def __call__(self, boards: Any, keys: jax.Array) -> jax.Array:
        return self.solved.act(boards, keys)


class Searcher(eqx.Module):
    """What a search decides."""

    game: Game
    planner: Any

    def __call__(self, boards: Any, keys: jax.Array) -> jax.Array:
        from stitchrl.models.rules import Rules

        return self.planner.plans(Rules(self.game), boards, keys)[0]


@cache
def opponent(title: str, name: str) -> Opponent:
    """An opponent of a game by name; the same object each time, so that what is compiled for it serves again."""
    game, (kind, _, number) = envs.rules(title), name.partition('-')
    if name == 'random':
        return Chance(game)
    if name == 'minimax' and title == 'tictactoe':
        from stitchrl.planners.minimax import Solved

        return Best(Solved.create(game))
    if kind == 'uct' and number.isdigit() and int(number) > 0:
        from stitchrl.algos.search.uct import Config, uct

        return Searcher(game, uct(Config(simulations=int(number))))
    raise UsageError(f'{title}/{name}: no such opponent; known: {KNOWN}')

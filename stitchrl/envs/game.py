"""Games of two players who move in turn and see everything. A game is an `Env` whose rules stand apart from it.

The rules are pure functions of a position, which is nothing but stones: search walks over positions, and no
observation is made for it. Around them `reset` and `step` make the game an environment like any other, in which each
player in turn is the one who acts: the observation is the mover's view, the reward is the mover's.
"""

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from stitchrl.core.spec import Spec
from stitchrl.envs.env import Env, State
from stitchrl.errors import UsageError


class Board(NamedTuple):
    """A position as bits. Which bit is which field is the game's affair; W words of 32 bits."""

    mine: jax.Array  # [W] uint32, stones of the player to move
    theirs: jax.Array  # [W] uint32


class Symmetries(NamedTuple):
    """Turns and mirror images under which a game is what it was; number 0 leaves all as it is."""

    fields: np.ndarray  # [G, H, W] int, where in the flat board the stone comes from that then lies there
    actions: np.ndarray  # [G, A] int, which move becomes this one

    def of(self, which: jax.Array, obs: jax.Array, *by_action: jax.Array) -> tuple[jax.Array, ...]:
        """Views [B, C, H, W] and numbers for each action [B, A], row b seen through symmetry which[b]; [B] int32."""
        flat = obs.reshape(*obs.shape[:2], -1)
        fields = jnp.asarray(self.fields.reshape(len(self.fields), -1))[which]
        seen = jnp.take_along_axis(flat, fields[:, None], 2).reshape(obs.shape)
        actions = jnp.asarray(self.actions)[which]
        return seen, *(jnp.take_along_axis(x, actions, 1) for x in by_action)


class Game(Env):
    """Rules, and the environment around them. All functions are for one position; `vmap` makes them for many."""

    spec: eqx.AbstractVar[Spec]  # horizon: moves of the longest game

    @abstractmethod
    def start(self) -> Any:
        """The position before the first move."""

    @abstractmethod
    def play(self, board: Any, action: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
        """A legal move: the position after it, seen by the other player; 1.0 where it wins for who moved, -1.0 where it
        loses (as to pass may in Go), else 0.0; and whether the game is over."""

    @abstractmethod
    def legal(self, board: Any) -> jax.Array:
        """Which moves there are, [A] bool. Of a game that is over: what the fields alone would allow."""

    @abstractmethod
    def player(self, board: Any) -> jax.Array:
        """Whose turn it is, [] int32, 0 or 1."""

    @abstractmethod
    def observe(self, board: Any) -> jax.Array:
        """[2, H, W] float32: the mover's stones, the other's."""

    @abstractmethod
    def playouts(self, boards: Any, keys: jax.Array) -> jax.Array:
        """Games played to their end by two players who move at random, from n positions that are not over: 1 where
        the player to move wins, -1 where the other does, else 0. boards, keys: leading axis n. [n] float32."""

    def symmetries(self) -> Symmetries:
        """None but the identity, where the game knows of no others."""
        height, width = self.spec.obs.shape[-2:]
        return Symmetries(np.arange(height * width).reshape(1, height, width), np.arange(self.spec.action_dim)[None])

    def recall(self, obs: jax.Array) -> Any:
        """The position that looks like this; of a game whose past matters UsageError."""
        raise UsageError(f'{type(self).__name__}: what is seen does not tell the position; remember it, see `found`')

    def remember(self, n: int) -> Any:
        """What who plays n games has to remember from their start on, leading axis n; () where a view tells all."""
        return ()

    def found(self, memory: Any, obs: jax.Array) -> Any:
        """The positions that look like this [n, ...] to who remembers so much, its turn in each."""
        return jax.vmap(self.recall)(obs)

    def kept(self, boards: Any, action: jax.Array) -> Any:
        """What to remember after these moves [n] in positions [n, ...]."""
        return ()

    def reset(self, key: jax.Array) -> State:
        """The first move is due. Nothing is random, `key` is not used."""
        del key
        no, board = jnp.zeros((), bool), self.start()
        return State(self.observe(board), jnp.zeros(()), no, no, board)

    def step(self, state: State, action: jax.Array, key: jax.Array) -> State:
        """One move. Its reward is 1 where it wins; a move that the rules forbid loses at once, with reward -1."""
        del key
        board, reward, over = self.play(state.inner, action)
        allowed = self.legal(state.inner)[action]
        board = jax.tree.map(lambda new, old: jnp.where(allowed, new, old), board, state.inner)
        reward, no = jnp.where(allowed, reward, -1.0), jnp.zeros((), bool)
        return State(self.observe(board), reward, over | ~allowed, no, board)

    def after(self, moves: list[int] | tuple[int, ...]) -> Any:
        """The position after these moves. UsageError names a move that is not legal, or that comes too late."""
        board, over = self.start(), False
        for number, move in enumerate(moves, 1):
            if over or not (0 <= move < self.spec.action_dim and bool(self.legal(board)[move])):
                why = 'the game is over' if over else f'legal: {jnp.flatnonzero(self.legal(board)).tolist()}'
                raise UsageError(f'move {number} of {list(moves)} cannot be {move}: {why}')
            board, _, over = self.play(board, jnp.int32(move))
        return board

"""Games of pgx as games of ours: Go and Othello.

A position is pgx's state without its observation, which is made only where it is asked for. pgx broadcasts ranks in
ways that strict JAX forbids, so what is traced of it is traced with promotion allowed. Koyamada et al., 2023.
"""

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from itertools import count
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.spec import Discrete, Observation, Spec
from stitchrl.envs.game import Game, Symmetries
from stitchrl.errors import MissingExtra, UsageError, meant

# Two players with stones who see everything -> moves of the longest game, at most.
KNOWN = {'connect_four': 42, 'go_9x9': 162, 'go_19x19': 722, 'othello': 120, 'tic_tac_toe': 9}
TURNED = ('go_9x9', 'go_19x19', 'othello', 'tic_tac_toe')  # the same in all eight views of the board


def lenient(method: Callable) -> Callable:
    """The method with rank promotion allowed while it is traced."""

    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        with jax.numpy_rank_promotion('allow'):
            return method(*args, **kwargs)

    return call


class Pgx(Game):
    """A game by pgx's name for it. Action numbers are pgx's; the one after those of the fields is to pass."""

    spec: Spec = eqx.field(static=True)
    env: Any = eqx.field(static=True)
    seed: int = eqx.field(static=True)  # with which player 0 begins: pgx draws who does

    @classmethod
    def create(cls, name: str = 'go_9x9') -> 'Pgx':
        """UsageError for a game that is not of this kind, MissingExtra without pgx."""
        if name not in KNOWN:
            raise UsageError(f'{name!r} is no game of pgx for two with stones{meant(name, KNOWN)}')
        try:
            pgx = import_module('pgx')
        except ImportError as error:
            raise MissingExtra(f'{name} is a game of pgx; install it with: pip install "stitchrl[games]"') from error
        env = pgx.make(name)
        height, width, channels = env.observation_shape
        init = lenient(jax.jit(env.init))
        seed = next(i for i in count() if int(init(jr.key(i)).current_player) == 0)
        spec = Spec(Observation((channels, height, width)), Discrete(env.num_actions), KNOWN[name])
        return cls(spec, env, seed)

    @lenient
    def start(self) -> Any:
        """See `Game.start`."""
        return jax.jit(self.env.init)(jr.key(self.seed)).replace(observation=())

    @lenient
    def play(self, board: Any, action: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
        """See `Game.play`; the reward is -1 where the move loses, as the second pass in a row may."""
        after = self.env.step(board, action)
        return after.replace(observation=()), after.rewards[board.current_player], after.terminated | after.truncated

    def legal(self, board: Any) -> jax.Array:
        """See `Game.legal`."""
        return board.legal_action_mask

    def player(self, board: Any) -> jax.Array:
        """See `Game.player`."""
        return board.current_player.astype(jnp.int32)

    @lenient
    def observe(self, board: Any) -> jax.Array:
        """[C, H, W] float32, pgx's planes: the mover's stones, the other's; of Go also earlier boards and who moves."""
        return jnp.moveaxis(self.env.observe(board), -1, 0).astype(jnp.float32)

    def playouts(self, boards: Any, keys: jax.Array) -> jax.Array:
        """See `Game.playouts`, move by move."""
        from stitchrl.models.rules import Branching, Rules

        return Branching.playouts(Rules(self), boards, keys, 1.0, self.spec.horizon or 0)

    def remember(self, n: int) -> Any:
        """See `Game.remember`: the positions themselves, for the past matters and is not seen."""
        return jax.tree.map(lambda x: jnp.tile(x[None], (n, *(1,) * x.ndim)), self.start())

    def found(self, memory: Any, obs: jax.Array) -> Any:
        """See `Game.found`: the position remembered, or that after the other's move which looks like this."""

        def one(board: Any, obs: jax.Array) -> Any:
            after, _, _ = jax.vmap(self.play, (None, 0))(board, jnp.arange(self.spec.action_dim))
            alike = (jax.vmap(self.observe)(after) == obs[None]).all((1, 2, 3)) & self.legal(board)
            here, move = (self.observe(board) == obs).all(), alike.argmax()
            return jax.tree.map(lambda now, then: jnp.where(here, now, then[move]), board, after)

        return jax.vmap(one)(memory, obs)

    def kept(self, boards: Any, action: jax.Array) -> Any:
        """See `Game.kept`."""
        return jax.vmap(self.play)(boards, action)[0]

    def symmetries(self) -> Symmetries:
        """Four turns of the board and of its mirror image; to pass is to pass in all of them."""
        height, width = self.spec.obs.shape[-2:]
        if self.env.id not in TURNED:
            return super().symmetries()
        grid = np.arange(height * width).reshape(height, width)
        fields = np.stack([np.rot90(side, k) for side in (grid, grid[:, ::-1]) for k in range(4)])
        others = np.arange(height * width, self.spec.action_dim)
        return Symmetries(fields, np.stack([np.concatenate([one.reshape(-1), others]) for one in fields]))

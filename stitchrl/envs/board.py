"""Tic-tac-toe and connect four on bitboards; their random games are races (`envs/race.py`)."""

from abc import abstractmethod
from functools import reduce
from operator import or_, xor
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from stitchrl.core.spec import Discrete, Observation, Spec
from stitchrl.envs.game import Board, Game, Symmetries
from stitchrl.envs.race import LATE, WAYS, alone, even_ranks, later, uniforms

LINES = (0o7, 0o70, 0o700, 0o111, 0o222, 0o444, 0o421, 0o124)  # of tic-tac-toe
SMALL = np.arange(9).reshape(1, 3, 3)  # tic-tac-toe, [1, y, x]: bit 3 y + x
SIX = 6 * np.arange(7)[None] + np.arange(6)[:, None]  # [y, x]: bit 6 x + y
# Connect four: two words of five columns each, 0 to 4 and 2 to 6. No line of four crosses a word, no shift carries.
LARGE = np.stack([np.where(SIX < 30, SIX, -1), np.maximum(SIX - 12, -1)])  # [2, y, x]
# Step along a line -> where in a word a line of four may begin: one up, one right, both, right and down.
BEGINS = {1: 0o0707070707, 6: 0o7777, 7: 0o0707, 5: 0o7070}


def some(words: jax.Array) -> jax.Array:
    """Whether any bit of any word is set, [] bool. Not a reduction, which would end the compiler's fusion."""
    return reduce(or_, words) != 0


class Rows(Game):
    """What games of so many stones in a row share. Fields are [y, x], y upwards."""

    spec: eqx.AbstractVar[Spec]
    bits: eqx.AbstractClassVar[np.ndarray]  # [W, H, W'] int: where each word keeps each field, -1 where it does not
    line: eqx.AbstractClassVar[int]  # stones in a row that win

    @abstractmethod
    def place(self, taken: jax.Array, action: jax.Array) -> jax.Array:
        """The new stone alone, [W] uint32; taken: all stones."""

    @abstractmethod
    def won(self, words: jax.Array) -> jax.Array:
        """Whether these stones of one player hold a line, [] bool."""

    @abstractmethod
    def times(self, free: jax.Array, keys: jax.Array) -> jax.Array:
        """When each free field is taken in a random game, [H, W, n] positive; free [H, W, n] bool, keys [n]."""

    def start(self) -> Board:
        """Empty."""
        none = jnp.zeros(len(self.bits), jnp.uint32)
        return Board(none, none)

    def fields(self, words: jax.Array) -> jax.Array:
        """Stones in words as [H, W] bool."""
        found = jnp.zeros(self.bits.shape[1:], bool)
        for word, bits in zip(words, self.bits, strict=True):
            found |= (bits >= 0) & (word >> np.maximum(bits, 0).astype(np.uint32) & 1 == 1)
        return found

    def pack(self, fields: Any) -> Any:
        """The inverse of `fields`, of NumPy's arrays or of JAX's: [H, W] bool as words."""
        weights = np.where(self.bits >= 0, 1 << np.maximum(self.bits, 0), 0).astype(np.uint32)
        return (weights * fields[None]).sum((1, 2)).astype(np.uint32)

    def play(self, board: Board, action: jax.Array) -> tuple[Board, jax.Array, jax.Array]:
        """See `Game.play`."""
        taken = board.mine | board.theirs
        new = self.place(taken, action)
        mine, won = board.mine | new, self.won(board.mine | new)
        left = ~(taken | new) & self.pack(np.ones(self.bits.shape[1:], bool))
        return Board(board.theirs, mine), won.astype(jnp.float32), won | ~some(left)

    def player(self, board: Board) -> jax.Array:
        """0 moves when both have equally many stones."""
        once = np.concatenate([np.ones_like(self.bits[:1], bool), (self.bits[:-1] < 0)])  # each field in one word
        masks = np.concatenate([self.pack(fields)[i : i + 1] for i, fields in enumerate(once)])
        stones = jax.lax.population_count((board.mine | board.theirs) & masks)
        return (reduce(xor, stones) & 1).astype(jnp.int32)

    def observe(self, board: Board) -> jax.Array:
        """See `Game.observe`."""
        return jnp.stack([self.fields(board.mine), self.fields(board.theirs)]).astype(jnp.float32)

    def recall(self, obs: jax.Array) -> Board:
        """See `Game.recall`: nothing but the stones matters."""
        return Board(*(self.pack(stones > 0) for stones in obs))

    def playouts(self, boards: Board, keys: jax.Array) -> jax.Array:
        """See `Game.playouts`; as a race. The games lie along the last axis, where the processor has its lanes."""
        mine, theirs = (jax.vmap(self.fields, out_axes=-1)(words) for words in boards)
        free = ~(mine | theirs)
        times = alone(jnp.where(free, self.times(free, keys), 0.0))
        even = alone(even_ranks(jnp.where(free, times, LATE)))
        owned = jnp.concatenate([mine | (free & even), theirs | (free & ~even)], -1)
        ours, yours = jnp.split(self.first(jnp.where(owned, jnp.tile(times, 2), LATE)), 2)
        return jnp.sign(yours - ours)

    def first(self, times: jax.Array) -> jax.Array:
        """When the first line is complete whose fields are taken at `times` [H, W, n]; LATE where none is. [n]"""
        ends = [later(later(times, way, 1), way, self.line - 2) for way in WAYS]  # pairs, then pairs of pairs
        return jnp.concatenate([end.reshape(-1, times.shape[-1]) for end in ends]).min(0)


class TicTacToe(Rows):
    """Three in a row on 3 x 3. Action 3 y + x."""

    spec: Spec = eqx.field(static=True)
    bits: ClassVar[np.ndarray] = SMALL
    line: ClassVar[int] = 3

    @classmethod
    def create(cls) -> 'TicTacToe':
        """The game."""
        return cls(Spec(Observation((2, 3, 3)), Discrete(9), 9))

    def symmetries(self) -> Symmetries:
        """Four turns of the board and of its mirror image."""
        grid = np.arange(9).reshape(3, 3)
        fields = np.stack([np.rot90(side, k) for side in (grid, grid[:, ::-1]) for k in range(4)])
        return Symmetries(fields, fields.reshape(8, 9))

    def legal(self, board: Board) -> jax.Array:
        """The free fields."""
        return ~self.fields(board.mine | board.theirs).reshape(9)

    def place(self, taken: jax.Array, action: jax.Array) -> jax.Array:
        """On the field named."""
        return (jnp.uint32(1) << action.astype(jnp.uint32)).reshape(1)

    def won(self, words: jax.Array) -> jax.Array:
        """One of the eight lines."""
        return reduce(or_, (words[0] & line == line for line in LINES))

    def times(self, free: jax.Array, keys: jax.Array) -> jax.Array:
        """Independent and alike, so every order is as probable."""
        return uniforms(keys, (3, 3))


class ConnectFour(Rows):
    """Four in a row on 7 columns of 6 fields. Action: the column in which the stone falls."""

    spec: Spec = eqx.field(static=True)
    bits: ClassVar[np.ndarray] = LARGE
    line: ClassVar[int] = 4

    @classmethod
    def create(cls) -> 'ConnectFour':
        """The game."""
        return cls(Spec(Observation((2, 6, 7)), Discrete(7), 42))

    def symmetries(self) -> Symmetries:
        """The board and its mirror image."""
        grid = np.arange(42).reshape(6, 7)
        return Symmetries(np.stack([grid, grid[:, ::-1]]), np.stack([grid[0], grid[0, ::-1]]))

    def legal(self, board: Board) -> jax.Array:
        """The columns whose top field is free."""
        return ~self.fields(board.mine | board.theirs)[5]

    def place(self, taken: jax.Array, action: jax.Array) -> jax.Array:
        """The lowest free field of the column: a carry runs through the stones below it."""
        column = action - np.array([0, 2])  # within each word
        inside = (column >= 0) & (column < 5)
        ground = jnp.where(inside, jnp.uint32(1) << (6 * jnp.clip(column, 0, 4)).astype(jnp.uint32), jnp.uint32(0))
        return (taken + ground) & (ground * 63) & ~taken

    def won(self, words: jax.Array) -> jax.Array:
        """Pairs of neighbours, then pairs of pairs, where a line can begin."""
        found = jnp.zeros_like(words)
        for step, begins in BEGINS.items():
            pairs = words & words >> step
            found |= pairs & pairs >> 2 * step & begins
        return some(found)

    def times(self, free: jax.Array, keys: jax.Array) -> jax.Array:
        """Events of seven Poisson processes: gaps of mean 1, summed upwards over the free fields of a column."""
        gaps = -jnp.log1p(-uniforms(keys, (6, 7)))
        return jnp.cumsum(jnp.where(free, gaps, 0.0), 0)

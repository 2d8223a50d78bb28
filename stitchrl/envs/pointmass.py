"""A point in a maze that moves in steps of one length and drifts: the offline homework of Berkeley's CS 285.

    p' = p + stride (move(a) + noise eps),   eps ~ N(0, 1)^2, in ten parts, first along x, then along y;
                                             a part that would end in a wall is not made
    r = 1 and the task ends where |p' - goal| < 1 cell, else r = 0

As there: five actions, noise of half a move, a fixed start, the position in [0, 1]^2 as the observation. The mazes
are drawn anew with the same sizes and limits. There a step costs 1 and the one to the goal nothing, which is what
the reward rule `minus_one` makes of these rewards; and there a time limit counts as an end of the task, here it
does not.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.spec import Discrete, Observation, Spec
from stitchrl.envs.env import Env, State
from stitchrl.envs.gridworld import ACTIONS, MOVES
from stitchrl.envs.maps import distances, read_map
from stitchrl.errors import UsageError

NOISE = 0.5  # standard deviation of the drift along each axis, in moves
PARTS = 10  # of a step
NEAR = 1.0  # cells from the goal's middle where the task ends

EASY = """
    #######
    #S....#
    #####.#
    #####.#
    #####.#
    #####G#
    #######
"""
MEDIUM = """
    ########
    #S.#...#
    ##.#.#.#
    #..#.#G#
    #.##.###
    #....#.#
    ###....#
    ########
"""
HARD = """
    #############
    #S....#.....#
    #.....#.....#
    #...........#
    #.....#.....#
    #.....#.....#
    ##.####.....#
    #.....###.###
    #.....#.....#
    #.....#.....#
    #...........#
    #.....#....G#
    #############
"""
SIZES = {'easy': (EASY, 0.5, 50), 'medium': (MEDIUM, 1.0, 150), 'hard': (HARD, 0.5, 100)}  # map, stride, horizon


class Inner(NamedTuple):
    """Where the point is."""

    position: jax.Array  # [2], (x, y) in cells of the map
    t: jax.Array  # [], int32, steps since reset


class PointMass(Env):
    """The task. Observation: position [2] within the maze, in [0, 1]. Action: an index into `gridworld.ACTIONS`."""

    walls: jax.Array  # [H, W] bool, [y, x], y upwards
    start: jax.Array  # [2], middle of the start cell (x, y)
    goal: jax.Array  # [2], middle of the goal cell
    spec: Spec = eqx.field(static=True)
    stride: float = eqx.field(static=True)  # length of a move, in cells
    noise: float = eqx.field(static=True)
    anywhere: bool = eqx.field(static=True)  # begin anywhere on the floor instead of at the start

    @classmethod
    def create(cls, name: str = 'medium', noise: float = NOISE, anywhere: bool = False) -> 'PointMass':
        """A task of the table `SIZES`. UsageError for a name not in it or a negative noise."""
        if name not in SIZES:
            raise UsageError(f'no point mass {name!r}; choose one of {", ".join(SIZES)}')
        if noise < 0:
            raise UsageError(f'noise is {noise}; a standard deviation is at least 0')
        text, stride, horizon = SIZES[name]
        walls, *ends = read_map(text)
        start, goal = (jnp.array([x + 0.5, y + 0.5], jnp.float32) for y, x in ends)
        spec = Spec(Observation((2,)), Discrete(len(ACTIONS)), horizon)
        return cls(
            spec=spec,
            walls=jnp.asarray(walls),
            start=start,
            goal=goal,
            stride=stride,
            noise=noise,
            anywhere=anywhere,
        )

    @property
    def size(self) -> np.ndarray:
        """Cells inside the outer wall, (x, y), [2] float32."""
        return np.array(self.walls.shape[::-1], np.float32) - 2

    def reset(self, key: jax.Array) -> State:
        """Begin in the middle of the start cell, or with `anywhere` anywhere in any cell but the goal's."""
        position = self.start
        if self.anywhere:
            k_cell, k_spot = jr.split(key)
            x, y = self.goal.astype(jnp.int32)
            free = (~self.walls).at[y, x].set(False)
            cell = jr.categorical(k_cell, jnp.where(free.ravel(), 0.0, -jnp.inf))
            corner = jnp.stack([cell % self.walls.shape[1], cell // self.walls.shape[1]])
            position = corner + jr.uniform(k_spot, (2,))
        return self.begin(position)

    def begin(self, position: jax.Array) -> State:
        """Begin at `position` [2], in cells of the map."""
        no = jnp.zeros((), bool)
        return State(self.observe(position), jnp.zeros(()), no, no, Inner(position, jnp.zeros((), jnp.int32)))

    def observe(self, position: jax.Array) -> jax.Array:
        """What is seen at `position` [2], [2] in [0, 1]."""
        return (position - 1) / jnp.asarray(self.size)

    def step(self, state: State, action: jax.Array, key: jax.Array) -> State:
        """One move, `action` [] an index into `ACTIONS`."""
        move = jnp.asarray(MOVES)[action, ::-1] + self.noise * jr.normal(key, (2,))
        position = jax.lax.fori_loop(
            0, PARTS, lambda _, p: self.slide(p, self.stride / PARTS * move), state.inner.position
        )
        reached, t = jnp.linalg.norm(position - self.goal) < NEAR, state.inner.t + 1
        truncated = t >= self.spec.horizon
        return State(self.observe(position), reached.astype(jnp.float32), reached, truncated, Inner(position, t))

    def slide(self, position: jax.Array, way: jax.Array) -> jax.Array:
        """`position` [2] moved by `way` [2], first along x and then along y, each unless a wall is there."""
        for axis in range(2):
            after = position.at[axis].add(way[axis])
            x, y = jnp.floor(after).astype(jnp.int32)
            position = jnp.where(self.walls[y, x], position, after)
        return position

    @property
    def grid(self) -> tuple[int, int]:
        """Squares of one stride's side within the maze: rows and columns."""
        parts = round(1 / self.stride)
        return (self.walls.shape[0] - 2) * parts, (self.walls.shape[1] - 2) * parts

    def place(self, obs: jax.Array) -> jax.Array:
        """The square that holds observations [..., 2]: its number [...] int32, row by row from below."""
        rows, columns = self.grid
        x, y = (jnp.clip(jnp.floor(obs[..., i] * n), 0, n - 1) for i, n in enumerate((columns, rows)))
        return (y * columns + x).astype(jnp.int32)

    def distances(self) -> np.ndarray:
        """Moves between squares to the goal's on the shortest way, [rows, columns]; -1 in walls."""
        parts = round(1 / self.stride)
        walls = np.kron(np.asarray(self.walls)[1:-1, 1:-1], np.ones((parts, parts), bool))
        x, y = ((np.asarray(self.goal) - 1) * parts).astype(int) + 1
        return distances(np.pad(walls, 1, constant_values=True), (y, x))[1:-1, 1:-1]

"""A disc that slides through a maze of unit cells: sees two numbers, gives two, one reward at the goal.

    p' = slide(p + SPEED a),    r = 1 and the task ends where p' lies in the goal cell, else r = 0

Walls have no friction: of a push against a wall the part along the wall remains, and at a wall's corner the
disc rolls off. The only pushes that move nothing are those straight at a wall or into a nook.
Coordinates are cells: x to the right, y upwards, the lower left corner of the map at (0, 0).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.spec import Continuous, Observation, Spec
from stitchrl.envs.env import Env, State
from stitchrl.envs.maps import distances, read_map
from stitchrl.errors import UsageError

RADIUS = 0.3  # of the disc, in cells; under a half, or it would not fit between walls
SPEED = 0.5  # cells per step along each axis, at most
SUBSTEPS = 3  # parts of a step, each shorter than RADIUS, so that the middle of the disc never enters a wall
ROOM = 0.5 - RADIUS  # how far from the middle of a cell the disc fits whatever the walls around

MAZES = {
    'umaze': """
        #####
        #S..#
        ###.#
        #G..#
        #####
    """,
    'medium': """
        ########
        #S.##..#
        #..#...#
        ##...###
        #..#...#
        #.#..#.#
        #...#.G#
        ########
    """,
    'junctions': """
        ###########
        #...#.....#
        #.#.#.#.#.#
        #.#...#.#.#
        #...#.#..G#
        #.#.#...#.#
        #.#...#.#.#
        #S..#.....#
        ###########
    """,
}


class PointMaze(Env):
    """The task. Observation: position [2], in cells. Action: [2] in [-1, 1]."""

    walls: jax.Array  # [H, W] bool, [y, x], y upwards
    start: jax.Array  # [2], middle of the start cell (x, y)
    goal: jax.Array  # [2], middle of the goal cell
    spec: Spec = eqx.field(static=True)

    @classmethod
    def create(cls, name: str = 'junctions', horizon: int = 100) -> 'PointMaze':
        """A maze of the table `MAZES`; UsageError for a name that is not in it."""
        if name not in MAZES:
            raise UsageError(f'no maze {name!r}; choose one of {", ".join(MAZES)}, or use `from_text`')
        return cls.from_text(MAZES[name], horizon)

    @classmethod
    def from_text(cls, text: str, horizon: int = 100) -> 'PointMaze':
        """A maze drawn with `#`, `.`, `S`, `G` (see `read_map`); `horizon` is the time limit in steps."""
        if horizon < 1:
            raise UsageError(f'horizon is {horizon}; an episode needs at least 1 step')
        walls, *ends = read_map(text)
        start, goal = (jnp.array([x + 0.5, y + 0.5], jnp.float32) for y, x in ends)
        spec = Spec(Observation((2,)), Continuous(2, (-1.0, -1.0), (1.0, 1.0)), horizon)
        return cls(spec=spec, walls=jnp.asarray(walls), start=start, goal=goal)

    def reset(self, key: jax.Array) -> State:
        """Begin near the middle of the start cell, up to ROOM away along each axis."""
        return self.begin(self.start + jr.uniform(key, (2,), minval=-ROOM, maxval=ROOM))

    def begin(self, position: jax.Array) -> State:
        """Begin at `position` [2], at least RADIUS away from every wall."""
        no = jnp.zeros((), bool)
        return State(position, jnp.zeros(()), no, no, jnp.zeros((), jnp.int32))

    def step(self, state: State, action: jax.Array, key: jax.Array) -> State:
        """Push the disc. Actions outside [-1, 1] are clipped. Nothing is random here: `key` is not used."""
        del key
        position, move = state.obs, SPEED / SUBSTEPS * jnp.clip(action, -1, 1)
        for _ in range(SUBSTEPS):
            position = slide(self.walls, position, move)
        reached = (cell_of(position) == cell_of(self.goal)).all()
        t = state.inner + 1
        return State(position, reached.astype(jnp.float32), reached, t >= self.spec.horizon, t)

    def distances(self) -> np.ndarray:
        """Moves between cells to the goal on the shortest way, [H, W] int32, [y, x]; -1 in walls."""
        x, y = np.asarray(cell_of(self.goal))
        return distances(np.asarray(self.walls), (int(y), int(x)))


def cell_of(position: jax.Array) -> jax.Array:
    """The cell (x, y) that holds `position` [..., 2], int32."""
    return jnp.floor(position).astype(jnp.int32)


def slide(walls: jax.Array, position: jax.Array, move: jax.Array) -> jax.Array:
    """Where a disc at `position` [2] ends up, [2], when pushed by `move` [2], shorter than RADIUS."""
    p = position + move
    cell = cell_of(p)
    near = jax.lax.dynamic_slice(walls, (cell[1] - 1, cell[0] - 1), (3, 3))
    return roll_off(hold(p, cell, near), cell, near)


def hold(p: jax.Array, cell: jax.Array, near: jax.Array) -> jax.Array:
    """Keep the disc out of walls beside, above and below its cell; `near` [3, 3] are the cells around."""
    low = jnp.where(jnp.stack([near[1, 0], near[0, 1]]), cell + RADIUS, cell)
    high = jnp.where(jnp.stack([near[1, 2], near[2, 1]]), cell + (1 - RADIUS), cell + 1)
    return jnp.clip(p, low, high)


def roll_off(p: jax.Array, cell: jax.Array, near: jax.Array) -> jax.Array:
    """Push the disc straight away from the wall's corner that it overlaps; only one can be that near."""
    corners = cell[None] + jnp.array([(0, 0), (1, 0), (0, 1), (1, 1)])
    away = p[None] - corners  # [4, 2]
    wall = jnp.stack([near[0, 0], near[0, 2], near[2, 0], near[2, 2]])
    gap = jnp.linalg.norm(away, axis=-1)
    overlaps = wall & (gap < RADIUS)
    push = jnp.where(overlaps, RADIUS / jnp.where(overlaps, gap, RADIUS) - 1, 0.0)
    return p + (push[:, None] * away).sum(0)

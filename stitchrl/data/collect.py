"""Recordings of the maze: short segments of many ways, as columns. Nothing here learns."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.rollouts import BATCH, Rows, whole
from stitchrl.envs.env import State
from stitchrl.envs.maps import distances
from stitchrl.envs.pointmaze import RADIUS, SPEED, PointMaze, cell_of, slide
from stitchrl.errors import UsageError

KINDS = ('stitch', 'cut', 'along')
REACH = 4  # cells from a segment's start to its target at most
LENGTH = 40  # steps after which a segment is cut in any case
NOISE = 0.5  # standard deviation of the noise on the controller's action


class Plan(NamedTuple):
    """What the maze's controller needs to know about its C free cells."""

    index: jax.Array  # [H, W], the number of the cell at [y, x]
    low: jax.Array  # [C, 2], lower left corner of the rectangle where the disc fits
    size: jax.Array  # [C, 2], of that rectangle
    ahead: jax.Array  # [C, C], ahead[target, cell]: the cell to go to next
    allowed: jax.Array  # [C, C] bool, allowed[start, target]
    ring: jax.Array  # [C] int32; a walk never enters a ring from one with a higher number


def segments(maze: PointMaze, key: jax.Array, transitions: int, kind: str = 'stitch') -> Columns:
    """Short noisy walks between cells a few moves apart: whole segments, `transitions` rows or a few more.

    'stitch': between any two cells, so junctions are crossed in all directions, and no walk joins start and
    goal but chains of walks do. 'cut': the same, but the streets around the goal's neighbourhood only lead
    away, so no chain joins them. 'along': every target lies on a shortest way from its start to the goal.
    A walk that does not reach the goal is cut (timeout). UsageError: unknown kind, start and goal too near.
    """
    return whole(partial(walks, maze, plan_of(maze, kind)), key, transitions, maze.spec.action)


@jax.jit
def walks(maze: PointMaze, plan: Plan, key: jax.Array) -> Rows:
    """Segments in the maze, [BATCH, LENGTH, ...]."""
    return jax.vmap(partial(walk, maze, plan))(jr.split(key, BATCH))


def walk(maze: PointMaze, plan: Plan, key: jax.Array) -> Rows:
    """One segment: from anywhere in a random cell, steered to one spot in each cell on the way."""
    k_start, k_target, k_place, k_aim, k_steps = jr.split(key, 5)
    start = pick(k_start, plan.allowed.any(1))
    target = pick(k_target, plan.allowed[start])
    place, aim = jr.uniform(k_place, (2,)), jr.uniform(k_aim, (2,))

    def one(carry: tuple[State, jax.Array], k: jax.Array) -> tuple[tuple[State, jax.Array], Rows]:
        state, alive = carry
        k_noise, k_step = jr.split(k)
        here = number_of(plan, state.obs)
        ahead = plan.ahead[target, here]
        way = plan.low[ahead] + aim * plan.size[ahead] - state.obs
        push = way / jnp.maximum(jnp.linalg.norm(way), SPEED)
        action = jnp.clip(push + NOISE * jr.normal(k_noise, (2,)), -1, 1)
        after = maze.step(state, action, k_step)
        there = number_of(plan, after.obs)
        keep = alive & (plan.ring[there] >= plan.ring[here])
        row = Rows(state.obs, action, after.reward, after.terminated, after.obs, keep)
        return (after, keep & (there != target) & ~after.terminated), row

    begin = maze.begin(slide(maze.walls, plan.low[start] + place * plan.size[start], jnp.zeros(2)))
    return jax.lax.scan(one, (begin, jnp.array(True)), jr.split(k_steps, LENGTH))[1]


def pick(key: jax.Array, choices: jax.Array) -> jax.Array:
    """One of the marked entries of `choices` [C] bool, all equally likely; [] int32."""
    return jr.categorical(key, jnp.where(choices, 0.0, -jnp.inf))


def number_of(plan: Plan, position: jax.Array) -> jax.Array:
    """The number of the cell that holds `position` [2]."""
    x, y = cell_of(position)
    return plan.index[y, x]


def plan_of(maze: PointMaze, kind: str) -> Plan:
    """Shortest ways between all cells, and which pairs of cells a segment of this kind may join."""
    if kind not in KINDS:
        raise UsageError(f'no kind of segments {kind!r}; choose one of {", ".join(KINDS)}')
    walls = np.asarray(maze.walls)
    cells = np.argwhere(~walls)  # [C, 2], (y, x)
    index = np.zeros(walls.shape, np.int32)
    index[~walls] = np.arange(len(cells))
    apart = np.stack([distances(walls, (int(y), int(x)))[~walls] for y, x in cells])  # [target, cell]
    ahead = np.where(apart == 1, apart[:, None], len(cells)).argmin(-1)
    x, y = np.asarray(cell_of(maze.start))
    allowed, ring = choices(apart, maze.distances()[~walls], int(index[y, x]), kind)
    return Plan(*map(jnp.asarray, (index, *free_space(walls, cells), ahead, allowed, ring)))


def choices(apart: np.ndarray, left: np.ndarray, start: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """`allowed` [start, target] and `ring` [C], given moves `apart` [C, C] and moves `left` [C] to the goal.

    'cut' has three rings: near the goal walks go anywhere, around it only straight away from the goal, beyond
    anywhere again. The streets that only lead away are what the goal's value would have to leak through.
    """
    if left[start] <= REACH:
        raise UsageError(f'start and goal are {left[start]} cells apart; segments need more than {REACH}')
    allowed = (apart > 0) & (apart <= REACH) & (left > 0)[:, None] & (left >= 0)
    ring = np.zeros(len(left), np.int32)
    if kind == 'along':
        allowed &= apart == left[:, None] - left
    if kind == 'cut':
        ring = np.digitize(left, (REACH + 1, 2 * REACH + 1)).astype(np.int32)
        away = apart == left - left[:, None]
        allowed &= away | ((ring[:, None] == ring) & (ring != 1))
    return allowed, ring


def free_space(walls: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower left corner and size (x, y), both [C, 2], of the part of each cell where the disc fits."""
    y, x = cells.T
    low = cells[:, ::-1] + RADIUS * np.stack([walls[y, x - 1], walls[y - 1, x]], 1)
    high = cells[:, ::-1] + 1 - RADIUS * np.stack([walls[y, x + 1], walls[y + 1, x]], 1)
    return low.astype(np.float32), (high - low).astype(np.float32)

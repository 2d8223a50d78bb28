"""Recordings made in the package's own worlds, as columns. Nothing here learns."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.envs.gridworld import distances
from stitchrl.envs.pointmaze import ROOM, SPEED, PointMaze, cell_of
from stitchrl.errors import UsageError

KINDS = ('stitch', 'cut', 'along')
REACH = 4  # cells from a segment's start to its target at most
LENGTH = 48  # steps after which a segment is cut in any case
NOISE = 0.5  # standard deviation of the noise on the controller's action
BATCH = 1024  # segments walked at once


class Plan(NamedTuple):
    """What the controller needs to know. C free cells; Z marks the neighbourhood of the goal that 'cut' seals."""

    middle: jax.Array  # [C, 2], position of each cell's middle
    index: jax.Array  # [H, W], the number of the cell at [y, x]
    ahead: jax.Array  # [C, C], ahead[target, cell]: the cell to walk to next
    allowed: jax.Array  # [C, C] bool, allowed[start, target]
    sealed: jax.Array  # [C] bool, cells that must not be entered from outside them


class Walk(NamedTuple):
    obs: jax.Array  # [L, 2]
    action: jax.Array  # [L, 2]
    reward: jax.Array  # [L]
    terminal: jax.Array  # [L] bool
    next_obs: jax.Array  # [L, 2]
    keep: jax.Array  # [L] bool, steps before the segment was cut


def segments(maze: PointMaze, key: jax.Array, transitions: int, kind: str = 'stitch') -> Columns:
    """Short noisy walks between cells a few moves apart, as whole segments of `transitions` rows or a few more.

    'stitch': between any two cells, so junctions are crossed in all directions and no walk joins start and goal,
    but chains of walks do. 'cut': the same without any step into the goal's neighbourhood from outside it, so no
    chain leads from the start to the goal. 'along': every target lies on a shortest way to the goal.
    """
    plan = plan_of(maze, kind)
    parts, rows, batch = [], 0, 0
    while rows < transitions:
        part = jax.tree.map(np.asarray, walks(maze, plan, jr.fold_in(key, batch)))
        parts.append(part)
        rows += int(part.keep.sum())
        batch += 1
    walk = jax.tree.map(lambda *columns: np.concatenate(columns), *parts)
    count = 1 + int(np.searchsorted(walk.keep.sum(1).cumsum(), transitions))
    return columns_of(jax.tree.map(lambda column: column[:count], walk))


def columns_of(walk: Walk) -> Columns:
    """Segments [N, L, ...] one after another, without the steps that were cut."""
    last = walk.keep & ~np.pad(walk.keep[:, 1:], ((0, 0), (0, 1)))
    obs, action, reward, terminal, next_obs, timeout = (
        column[walk.keep] for column in (*walk[:5], last & ~walk.terminal)
    )
    return Columns(obs, action, reward, terminal, timeout, next_obs, (-1.0, -1.0), (1.0, 1.0))


def plan_of(maze: PointMaze, kind: str) -> Plan:
    if kind not in KINDS:
        raise UsageError(f'no kind of segments {kind!r}; choose one of {", ".join(KINDS)}')
    walls = np.asarray(maze.walls)
    cells = np.argwhere(~walls)  # [C, 2] in (y, x)
    index = np.zeros(walls.shape, np.int32)
    index[~walls] = np.arange(len(cells))
    apart = np.stack([distances(walls, tuple(cell))[~walls] for cell in cells])  # [target, cell]
    to_goal = maze.distances()[~walls]
    start = index[tuple(np.floor(maze.start[::-1]).astype(int))]
    if to_goal[start] <= REACH:
        raise UsageError(f'start and goal are {to_goal[start]} cells apart; segments need more than {REACH}')
    allowed = (apart > 0) & (apart <= REACH) & (to_goal > 0)[:, None]
    sealed = np.zeros(len(cells), bool)
    if kind == 'along':
        allowed &= apart == to_goal[:, None] - to_goal
    if kind == 'cut':
        sealed = to_goal <= REACH
        allowed &= sealed[:, None] | ~sealed
    near = apart == 1
    ahead = np.where(near[None], apart[:, None, :], len(cells)).argmin(-1)
    return Plan(*(jnp.asarray(a) for a in (cells[:, ::-1] + np.float32(0.5), index, ahead, allowed, sealed)))


@jax.jit
def walks(maze: PointMaze, plan: Plan, key: jax.Array) -> Walk:
    return jax.vmap(partial(walk, maze, plan))(jr.split(key, BATCH))


def walk(maze: PointMaze, plan: Plan, key: jax.Array) -> Walk:
    """One segment: to the target by way of the cells between, steered to one random place in each cell."""
    k_start, k_target, k_place, k_aim, k_steps = jr.split(key, 5)
    start = pick(k_start, plan.allowed.any(1))
    target = pick(k_target, plan.allowed[start])
    place, aim = (jr.uniform(k, (2,), minval=-ROOM, maxval=ROOM) for k in (k_place, k_aim))

    def cell(position: jax.Array) -> jax.Array:
        x, y = cell_of(position)
        return plan.index[y, x]

    def one(carry, key):
        state, alive = carry
        k_noise, k_step = jr.split(key)
        here = cell(state.obs)
        way = plan.middle[plan.ahead[target, here]] + aim - state.obs
        push = way / jnp.maximum(jnp.linalg.norm(way), SPEED)
        action = jnp.clip(push + NOISE * jr.normal(k_noise, (2,)), -1, 1)
        after = maze.step(state, action, k_step)
        there = cell(after.obs)
        keep = alive & ~(plan.sealed[there] & ~plan.sealed[here])
        row = Walk(state.obs, action, after.reward, after.terminated, after.obs, keep)
        return (after, keep & (there != target) & ~after.terminated), row

    begin = maze.state(plan.middle[start] + place), jnp.bool_(True)
    return jax.lax.scan(one, begin, jr.split(k_steps, LENGTH))[1]


def pick(key: jax.Array, choices: jax.Array) -> jax.Array:
    """One of the marked entries of `choices` [C] bool, all equally likely."""
    return jr.categorical(key, jnp.where(choices, 0.0, -jnp.inf))

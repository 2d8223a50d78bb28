"""Recordings made in the package's own worlds, as columns. Nothing here learns."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.spec import Continuous, Discrete
from stitchrl.data.columns import Columns
from stitchrl.envs.env import Env, State
from stitchrl.envs.maps import distances
from stitchrl.envs.pointmaze import RADIUS, SPEED, PointMaze, cell_of, slide
from stitchrl.errors import UsageError

KINDS = ('stitch', 'cut', 'along')
REACH = 4  # cells from a segment's start to its target at most
LENGTH = 40  # steps after which a segment is cut in any case
NOISE = 0.5  # standard deviation of the noise on the controller's action
BATCH = 1024  # episodes played at once

Space = Continuous | Discrete


class Rows(NamedTuple):
    """One episode of at most L steps; `keep` is a run of ones, then zeros where it is over."""

    obs: jax.Array  # [L, ...]
    action: jax.Array  # [L, A] or [L] int32
    reward: jax.Array  # [L]
    terminal: jax.Array  # [L] bool
    next_obs: jax.Array  # [L, ...]
    keep: jax.Array  # [L] bool


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


def random_transitions(env: Env, key: jax.Array, transitions: int) -> Columns:
    """Episodes of uniformly random actions from `env.reset`: whole ones, `transitions` rows or a few more."""
    horizon = env.spec.horizon
    if horizon is None:
        raise UsageError('the environment states no horizon, and random episodes may never end; set one')
    return whole(partial(plays, env, horizon), key, transitions, env.spec.action)


def whole(play: Callable[[jax.Array], Rows], key: jax.Array, transitions: int, action: Space) -> Columns:
    """Call `play` (key -> Rows with a leading axis of episodes) until there are enough rows."""
    parts: list[Rows] = []
    rows = 0
    while rows < transitions:
        parts.append(jax.tree.map(np.asarray, play(jr.fold_in(key, len(parts)))))
        rows += int(parts[-1].keep.sum())
    every = jax.tree.map(lambda *columns: np.concatenate(columns), *parts)
    count = 1 + int(np.searchsorted(every.keep.sum(1).cumsum(), transitions))
    return columns_of(jax.tree.map(lambda column: column[:count], every), action)


def columns_of(rows: Rows, action: Space) -> Columns:
    """Episodes [N, L, ...] one after another, without the steps that are not kept."""
    last = rows.keep & ~np.pad(rows.keep[:, 1:], ((0, 0), (0, 1)))
    low, high = (action.low, action.high) if isinstance(action, Continuous) else (None, None)
    kept = jax.tree.map(lambda column: column[rows.keep], rows)
    timeout = np.asarray(last & ~rows.terminal)[rows.keep]
    return Columns(kept.obs, kept.action, kept.reward, kept.terminal, timeout, kept.next_obs, low, high)


@partial(jax.jit, static_argnums=1)
def plays(env: Env, horizon: int, key: jax.Array) -> Rows:
    """Episodes of random actions, [BATCH, horizon, ...]."""
    return jax.vmap(partial(play, env, horizon))(jr.split(key, BATCH))


def play(env: Env, horizon: int, key: jax.Array) -> Rows:
    """One episode of random actions."""

    def one(carry: tuple[State, jax.Array], k: jax.Array) -> tuple[tuple[State, jax.Array], Rows]:
        state, alive = carry
        k_action, k_step = jr.split(k)
        action = random_action(env.spec.action, k_action)
        after = env.step(state, action, k_step)
        row = Rows(state.obs, action, after.reward, after.terminated, after.obs, alive)
        return (after, alive & ~after.terminated & ~after.truncated), row

    k_reset, k_steps = jr.split(key)
    begin = env.reset(k_reset), jnp.array(True)
    return jax.lax.scan(one, begin, jr.split(k_steps, horizon))[1]


def random_action(action: Space, key: jax.Array) -> jax.Array:
    """Uniform in the action space: [A] float32, or [] int32."""
    if isinstance(action, Discrete):
        return jr.randint(key, (), 0, action.n)
    return jr.uniform(key, (action.dim,), minval=jnp.array(action.low), maxval=jnp.array(action.high))


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

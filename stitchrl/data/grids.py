"""Recordings of worlds with five moves, made by tables of chances, and which actions such a recording knows.

random   any action with the same chance
expert   the move of a shortest way, three times in ten any action instead
replay   as a learner's buffer fills up: the same walker, its share of random actions falling from 1 to .1
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.rollouts import policy_transitions
from stitchrl.envs.gridworld import ACTIONS, MOVES, GridWorld
from stitchrl.envs.maps import distances
from stitchrl.envs.pointmass import PointMass
from stitchrl.errors import UsageError

SETS = {'random': 100_000, 'expert': 20_000, 'replay': 100_000}  # transitions
EXPERT = 0.3  # share of the expert's actions that are random
LEVELS = 10  # parts of the replay set, each by a walker of its own

World = GridWorld | PointMass


class Tabular(eqx.Module):
    """A policy that draws from a table: in place i action a with chance[i, a]."""

    world: Any
    chance: jax.Array  # [P, A], rows sum to 1

    def __call__(self, obs: jax.Array, key: jax.Array) -> jax.Array:
        """[] int32."""
        return jr.categorical(key, jnp.log(self.chance[self.world.place(obs)])).astype(jnp.int32)


def collect(world: World, kind: str, key: jax.Array, transitions: int | None = None) -> Columns:
    """One of `SETS`, or `transitions` rows of its kind (or a few more). UsageError for an unknown kind.

    No learner fills the replay set: a scripted walker stands in for it, so its mistakes are random ones only.
    """
    if kind not in SETS:
        raise UsageError(f'no set {kind!r}; choose one of {", ".join(SETS)}')
    count = transitions or SETS[kind]
    shares = {'random': [1.0], 'expert': [EXPERT], 'replay': np.linspace(1, 0.1, LEVELS)}[kind]
    parts = [
        policy_transitions(world, walker(world, share), jr.fold_in(key, i), -(-count // len(shares)))
        for i, share in enumerate(shares)
    ]
    return joined(parts)


def walker(world: World, share: float) -> Tabular:
    """The move that shortens the way, and with probability `share` any of the five actions instead."""
    best = np.eye(len(ACTIONS))[shortest(world)]
    return Tabular(world, jnp.asarray((1 - share) * best + share / len(ACTIONS), jnp.float32))


def shortest(world: World) -> np.ndarray:
    """The first move of a shortest way from each place, [P] int; 0, which is to stay, where there is none."""
    left = steps_left(world)
    beside = np.pad(np.where(left < 0, left.size, left), 1, constant_values=left.size)
    rows, columns = left.shape
    after = np.stack([beside[1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns] for dy, dx in MOVES])
    return np.where(left < 0, 0, after.argmin(0)).ravel()


def steps_left(world: World) -> np.ndarray:
    """Moves to the goal from each place, [rows, columns]; -1 in walls."""
    if isinstance(world, PointMass):
        return world.distances()
    walls = np.asarray(world.walls)
    y, x = divmod(int(world.goal), walls.shape[1])
    return distances(walls, (y, x))


def joined(parts: list[Columns]) -> Columns:
    """Recordings of discrete actions one after another."""
    column = lambda name: np.concatenate([getattr(part, name) for part in parts])
    first = column('obs'), column('action'), column('reward'), column('terminal')
    return Columns(*first, timeout=column('timeout'), next_obs=column('next_obs'))


def support(grid: GridWorld, share: float, seed: int) -> np.ndarray:
    """A random `share` of all pairs (s, a), [S, A] bool, that still joins start and goal.

    Pairs of walls and of the goal do not count. First a random walk's way from start to goal, its detours left
    out; then one action for every other state, so that whoever follows the data never runs out of actions; then
    any others until the share is reached. UsageError for a share that is too small for that, or above 1.
    """
    left = steps_left(grid).ravel()
    floor, rng = np.flatnonzero(left > 0), np.random.default_rng(seed)
    count = round(share * len(floor) * len(ACTIONS))
    if not len(floor) <= count <= len(floor) * len(ACTIONS):
        raise UsageError(f'share {share}: expected {1 / len(ACTIONS)} (one action a state) to 1')
    allowed = np.zeros((len(left), len(ACTIONS)), bool)
    allowed[floor, rng.integers(len(ACTIONS), size=len(floor))] = True
    way = wander(grid, rng)
    allowed[list(way)] = np.eye(len(ACTIONS), dtype=bool)[list(way.values())]
    others = rng.permutation(np.flatnonzero(~allowed & (left > 0)[:, None]))
    allowed.ravel()[others[: count - len(floor)]] = True
    return allowed


def wander(grid: GridWorld, rng: np.random.Generator) -> dict[int, int]:
    """A random way from start to goal that visits no state twice: the action that leaves each state on it."""
    state, goal, way = int(grid.start), int(grid.goal), {}
    left, ahead = steps_left(grid).ravel(), MOVES @ np.array([np.asarray(grid.walls).shape[1], 1])
    while state != goal:
        action = int(rng.integers(1, len(ACTIONS)))
        if left[state + ahead[action]] >= 0:
            way[state] = action
            state += int(ahead[action])
    trodden, state = {}, int(grid.start)
    while state != goal:
        trodden[state] = way[state]
        state += int(ahead[way[state]])
    return trodden


def within(grid: GridWorld, allowed: np.ndarray, key: jax.Array, transitions: int) -> Columns:
    """Episodes from `grid.reset` that draw from the `allowed` actions [S, A] with the same chance."""
    chance = allowed / np.maximum(allowed.sum(1, keepdims=True), 1)
    return policy_transitions(grid, Tabular(grid, jnp.asarray(chance, jnp.float32)), key, transitions)

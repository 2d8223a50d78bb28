"""A model that was learned without rewards serves any reward that is given later.

A maze with four hooks, whose floor turns pushes the further round the deeper one is in it, and a goal at the end of
each. Random actions from anywhere; an ensemble learns from them how the disc moves, and no reward. CEM plans from the
middle, over the same model, to each goal in turn; the reward, the distance to the goal, is given when planning begins.
Beside it four ensembles a seed that each learned one of the rewards along with the motion, and were given none.

Prediction. The share of episodes that end within a cell of the goal is with the one model at most 0.2 below that with
the four (24). With an ensemble that learned from the same steps but those in the fourth hook it is further below, on
the way to the goal there.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.algos.modelled.mpc import MPC, Config
from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.data.rollouts import random_transitions
from stitchrl.envs.env import Env, State
from stitchrl.envs.pointmaze import ROOM, PointMaze
from stitchrl.loops.evaluate import evaluate
from stitchrl.models.ensemble import Dynamics
from stitchrl.models.fit import Fit, fit, rows_of
from stitchrl.models.model import Rewarded
from stitchrl.planners.cem import CEM
from stitchrl.report.claim import Check, Claim, paired, words
from stitchrl.report.figures import Panel, maze
from stitchrl.report.statistics import interval

STATEMENTS = (24,)
SEEDS, ROWS, STEPS, EPISODES = 5, 10_000, 40, 2
HOOKS = """
    ###########
    #G...#....#
    ####.#.####
    ####.#.####
    ####...####
    ####.S.####
    ####...####
    ####.#.####
    ####.#.####
    #....#....#
    ###########
"""
GOALS = np.array([(1.5, 9.5), (9.5, 9.5), (9.5, 1.5), (1.5, 1.5)], np.float32)
LAST = len(GOALS) - 1  # the hook that a model never saw: left of 4 and below 2
MIDDLE = jnp.array([5.5, 5.5])
WAY = 1.5  # from the middle to the hooks, sideways
STRAIGHT, ROUND = 1.2, 2.7  # where, sideways, the floor begins to turn pushes, and turns them all the way round


class Hooks(Env):
    """A disc that slides through the maze, where pushes are turned in the hooks; nothing is paid."""

    maze: PointMaze
    free: jax.Array  # [C, 2], middles of the cells where an episode begins
    spec: Spec = eqx.field(static=True)

    @classmethod
    def create(cls, anywhere: bool) -> 'Hooks':
        """Episodes begin anywhere, or in the middle."""
        inside = PointMaze.from_text(HOOKS, STEPS)
        cells = np.argwhere(~np.asarray(inside.walls))[:, ::-1] + 0.5
        return cls(maze=inside, free=jnp.asarray(cells, jnp.float32) if anywhere else MIDDLE[None], spec=inside.spec)

    def reset(self, key: jax.Array) -> State:
        k_cell, k_place = jr.split(key)
        cell = self.free[jr.randint(k_cell, (), 0, len(self.free))]
        return self.maze.begin(cell + jr.uniform(k_place, (2,), minval=-ROOM, maxval=ROOM))

    def at(self, obs: jax.Array) -> State:
        return self.maze.begin(obs)

    def step(self, state: State, action: jax.Array, key: jax.Array) -> State:
        off = jnp.abs(state.obs[0] - MIDDLE[0])
        angle = jnp.pi * jnp.clip((off - STRAIGHT) / (ROUND - STRAIGHT), 0, 1)
        sin, cos = jnp.sin(angle), jnp.cos(angle)
        turned = jnp.stack([cos * action[0] - sin * action[1], sin * action[0] + cos * action[1]])
        after = self.maze.step(state, jnp.clip(turned, -1, 1), key)
        return State(after.obs, jnp.zeros(()), jnp.zeros((), bool), after.inner >= STEPS, after.inner)


class Near(eqx.Module):
    """The reward of a goal [2]: how little is missing, in cells."""

    goal: jax.Array

    def __call__(self, batch: Transition) -> jax.Array:
        return -jnp.linalg.norm(batch.next_obs - jnp.broadcast_to(self.goal, batch.next_obs.shape), axis=-1)


def recorded(seed: int) -> Transition:
    """Random steps from anywhere, [ROWS, ...]."""
    data = Dataset.from_columns(random_transitions(Hooks.create(True), jr.key(24 + seed), ROWS))
    return jax.tree.map(lambda x: x[:ROWS], rows_of(data))


def without(rows: Transition, goal: int) -> tuple[Transition, int]:
    """The rows that do not touch a goal's hook, in front, and how many they are."""
    side = np.sign(GOALS[goal] - np.asarray(MIDDLE))
    inside = lambda p: ((np.asarray(p) - np.asarray(MIDDLE)) * side[None] > [WAY, WAY]).all(1)
    order = np.argsort(inside(rows.obs) | inside(rows.next_obs), kind='stable')
    kept = int((~(inside(rows.obs) | inside(rows.next_obs))).sum())
    return jax.tree.map(lambda x: x[order], rows), kept


@jax.jit
def fitted(env: Hooks, rows: Transition, count: jax.Array, key: jax.Array) -> Dynamics:
    """An ensemble from the first `count` rows, reward and all."""
    k_model, k_fit = jr.split(key)
    fresh = Dynamics.create(env.spec, k_model, (64, 64), 3, 3, lr=3e-3)
    return fit(fresh, rows, count, k_fit, Fit(batch=64, epochs=60, patience=10))[0]


def played(model: Any, goal: Any, given: bool = True, episodes: int = EPISODES) -> np.ndarray:
    """Where a planner goes over a model; `given`: it is told the reward. [episodes, STEPS + 1, 2]."""
    env = Hooks.create(False)
    planner = CEM.create(env.spec, 20, 100, None, 3, colour=1.0, particles=3)
    agent = MPC.of(Rewarded(model, Near(jnp.asarray(goal))) if given else model, planner, Config(horizon=20))
    agents, boundary = jax.tree.map(lambda x: x[None], agent), jax.device_put(Boundary.blank(env.spec))
    made = evaluate(agents, boundary, env, 24, episodes, trace=True)
    assert made.paths is not None
    return made.paths[0]


def gained(paths: np.ndarray, goal: Any) -> float:
    """Reward a step beyond that of standing still where it began."""
    off = np.linalg.norm(paths - goal, axis=-1)
    return float((off[:, :1] - off[:, 1:]).mean())


def raced(seed: int, hidden: tuple[int, ...], episodes: int = EPISODES) -> dict[str, list[np.ndarray]]:
    """Paths to each goal over one model, over a model for each reward; to each of `hidden` without its hook."""
    env, rows, k = Hooks.create(True), recorded(seed), jr.key(seed)
    blank = rows._replace(reward=jnp.zeros(ROWS))
    own = [fitted(env, rows._replace(reward=Near(jnp.asarray(goal))(rows)), jnp.int32(ROWS), k) for goal in GOALS]
    one, known = fitted(env, blank, jnp.int32(ROWS), k), [without(blank, goal) for goal in hidden]
    less = [fitted(env, some, jnp.int32(count), k) for some, count in known]
    return {
        'one': [played(one, goal, True, episodes) for goal in GOALS],
        'own': [played(model, goal, False, episodes) for model, goal in zip(own, GOALS, strict=True)],
        'less': [played(model, GOALS[goal], True, episodes) for model, goal in zip(less, hidden, strict=True)],
    }


def arrived(paths: np.ndarray, goal: Any) -> np.ndarray:
    """Which episodes end within a cell of the goal, [EPISODES]."""
    return np.linalg.norm(paths[:, -1] - goal, axis=-1) < 1


def scores(races: list[dict[str, list[np.ndarray]]], name: str, score: Any, goals: np.ndarray = GOALS) -> np.ndarray:
    """A score of every episode to every goal, or the mean of each goal, [seeds, ...]."""
    return np.array([np.ravel([score(*one) for one in zip(race[name], goals, strict=True)]) for race in races])


def run() -> Claim:
    """Five recordings, six ensembles from each."""
    races = [raced(seed, (LAST,)) for seed in range(SEEDS)]
    rates = {name: scores(races, name, arrived) for name in ('one', 'own')}
    blind = scores(races, 'less', arrived, GOALS[LAST:])
    checks = (
        Check(
            (24,),
            'share of goals reached with one model for all rewards less that with a model for each',
            paired(rates['one'], rates['own'], rate=True),
            above=-0.2,
            control=paired(blind, rates['own'][:, LAST * EPISODES :], rate=True),
            without='never in the fourth hook, to the goal there',
        ),
    )
    share = scores(races, 'one', gained).sum(1) / scores(races, 'own', gained).sum(1)
    note = f'Of the reward that the four gain over standing still, the one gains the share {words(interval(share))}.'
    return Claim(checks, draw(races), CAPTION, ALT, (note,))


def draw(races: list[dict[str, list[np.ndarray]]]) -> bytes:
    """Where all of them went."""
    titles = {'one': 'One model, rewards given later', 'own': 'Four models, a reward each'}
    titles['less'] = 'Control: never down left before'
    panels = []
    for name, title in titles.items():
        solved = scores(races, name, arrived, GOALS[LAST:] if name == 'less' else GOALS).ravel().tolist()
        paths = [path for race in races for way in race[name] for path in way]
        panels.append(Panel(title, f'{sum(solved)} of {len(solved)} arrive', paths=paths, solved=solved))
    return maze(PointMaze.from_text(HOOKS), panels, columns=3)


CAPTION = (
    'From the middle to the ends of hooks, two episodes of five seeds to each. In the hooks the floor turns pushes, '
    'up to all the way round.'
)
ALT = 'Three mazes with paths: two in which they reach all four corners, one in which they stop at the mouth of a hook.'

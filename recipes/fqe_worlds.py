"""Ten policies of graded quality in two worlds, what they truly earn there, and recordings of some of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.algos.offline.fqe import Config
from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Spec
from stitchrl.data.columns import Columns
from stitchrl.data.dataset import Dataset
from stitchrl.data.grids import walker
from stitchrl.data.rollouts import Uniform, policy_transitions
from stitchrl.data.scripted import Steered
from stitchrl.envs.gridworld import GridWorld
from stitchrl.envs.pointmaze import PointMaze
from stitchrl.report.rollout import play

POLICIES, RECORDED = 10, (3, 6, 9)  # how many; those whose steps are recorded
GAMMA = 0.95
STEPS = 240  # of a true return: 0.95^240 is 5e-6


class Mixed(eqx.Module):
    """The rule's action, or with a chance any action of the space."""

    rule: Any
    chance: jax.Array
    spec: Spec = eqx.field(static=True)

    def __call__(self, obs: jax.Array, key: jax.Array) -> jax.Array:
        k_which, k_any, k_rule = jr.split(key, 3)
        other = Uniform(self.spec.action)(obs, k_any)
        return jnp.where(jr.bernoulli(k_which, self.chance), other, self.rule(obs, k_rule))

    def remember(self, n: int) -> Any:
        return ()

    def act(self, memory: Any, obs: jax.Array, key: jax.Array) -> tuple[jax.Array, Any]:
        return jax.vmap(self)(obs, jr.split(key, len(obs))), memory


class World(NamedTuple):
    """A place, ten policies as one, and how Q is fitted there."""

    env: Any
    policies: Mixed
    cfg: Config


def graded(env: Any, rule: Any) -> Mixed:
    """The rule with a share of random actions from 0 to 1."""
    rules = jax.tree.map(lambda x: jnp.broadcast_to(x, (POLICIES, *jnp.shape(x))), rule)
    return Mixed(rules, jnp.linspace(0, 1, POLICIES), env.spec)


def grid(**settings: Any) -> World:
    """Four rooms where one move in ten slips; a linear Q of one-hot states, which is a table."""
    env = GridWorld.create('rooms', horizon=100, slip=0.1)
    cfg = Config(hidden=(), lr=0.02, batch=128, period=25, gamma=GAMMA)
    return World(env, graded(env, walker(env, 0.0)), replace(cfg, **settings))


def maze(name: str = 'umaze', **settings: Any) -> World:
    """A disc pushed through a maze, with some noise on every push; small networks."""
    env = PointMaze.create(name, 100)
    cfg = Config(hidden=(64, 64), lr=1e-3, batch=128, period=25, gamma=GAMMA)
    return World(env, graded(env, Steered.to(env, env.goal, 0.3)), replace(cfg, **settings))


def truths(world: World, episodes: int) -> np.ndarray:
    """[P, E]: discounted returns that were played, past the time limit."""
    boundary = Boundary.blank(world.env.spec)
    return play(world.policies, boundary, world.env, 0, episodes, STEPS).discounted(GAMMA)


def exact(world: World) -> np.ndarray:
    """[P]: (1 - gamma P)^-1 r at the start of a grid world."""
    env, rule, found = world.env, np.asarray(world.policies.rule.chance[0], np.float64), []
    for share in np.linspace(0, 1, POLICIES):
        chance = (1 - share) * rule + share / rule.shape[1]
        p = np.einsum('sa,sat->st', chance, env.transition_matrix())
        value = np.linalg.solve(np.eye(len(p)) - GAMMA * p, (chance * env.reward_matrix()).sum(1))
        found.append(value[int(env.start)])
    return np.array(found)


def recording(world: World, steps: int, recorded: Sequence[int] = RECORDED) -> Dataset:
    """About `steps` steps of some of the policies, in episodes from where the true ones begin."""
    alone = lambda i: jax.tree.map(lambda x: x[i], world.policies)
    parts = [policy_transitions(world.env, alone(i), jr.key(i), steps // len(recorded)) for i in recorded]
    column = lambda name: np.concatenate([getattr(part, name) for part in parts])
    names = ('obs', 'action', 'reward', 'terminal', 'timeout', 'next_obs')
    return Dataset.from_columns(Columns(*map(column, names), low=parts[0].low, high=parts[0].high))

"""Learning a model while acting: act for a while, fit to all that was seen, act again with what was learned.

    round 0: random actions, fit        round 1, 2, ..: the agent acts, then is fitted to everything so far

With `refit` off the model of round 0 stays: it is then asked about states that random actions never reached. One
environment for each of S agents, all in one program; knows no algorithm and no environment by name, only that an agent
has `fit(rows, count, key)` beside what every agent has.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.core.types import Transition
from stitchrl.envs.env import Env, State
from stitchrl.loops.evaluate import like
from stitchrl.loops.online import uniform

ACT, WORLD, FIT = 1, 2, 3  # the random numbers of a round


class Stage(NamedTuple):
    """What goes on from round to round. Every leaf has a leading axis of S agents."""

    agents: Any
    world: State
    memory: Any  # [S, 1, ...]
    rows: Transition  # [S, capacity, ...], all that was seen, in order
    total: jax.Array  # [S], return of the episode that is going


class Round(NamedTuple):
    """What a round gave."""

    steps: int  # taken so far by each agent
    returns: list[list[float]]  # of the episodes that ended in it, for each agent
    info: dict[str, np.ndarray]  # of the fit, [S, ...]; empty where there was none


def rounds(
    agents: Any, env: Env, boundary: Boundary, seed: int, steps: int, count: int, refit: bool = True
) -> Iterator[tuple[Any, Round]]:
    """`count` rounds of `steps` steps: (agents [S, ...], what the round gave) after each. `boundary` is the agents'."""
    seeds = jax.tree.leaves(agents)[0].shape[0]
    roots = jax.vmap(jr.key)(seed + jnp.arange(seeds))
    stage = begin(agents, env, roots, steps * count)
    for i in range(count):
        stage, (over, total) = played(stage, env, boundary, roots, jnp.int32(i), steps, i == 0)
        info: dict[str, jax.Array] = {}
        if i == 0 or refit:
            fitted, info = learned(stage.agents, stage.rows, jnp.int32(steps * (i + 1)), roots)
            stage = stage._replace(agents=fitted)
        ended, returns = np.asarray(over), np.asarray(total)
        each = [returns[s][ended[s]].tolist() for s in range(seeds)]
        yield stage.agents, Round(steps * (i + 1), each, jax.device_get(info))


@partial(jax.jit, static_argnums=3)
def begin(agents: Any, env: Env, roots: jax.Array, capacity: int) -> Stage:
    """Before the first round: nothing seen."""

    def one(agent: Agent, root: jax.Array) -> Stage:
        world = env.reset(jr.fold_in(root, WORLD))
        blank = lambda x: jnp.zeros((capacity, *x.shape), x.dtype)
        action = uniform(env.spec, root, 1)[0]
        zero = jnp.zeros(capacity)
        rows = Transition(blank(world.obs), blank(action), zero, blank(world.obs), zero, zero, blank(action))
        return Stage(agent, world, agent.remember(1), rows, jnp.zeros(()))

    return jax.vmap(one)(agents, roots)


@partial(jax.jit, static_argnums=(5, 6))
def played(
    stage: Stage, env: Env, boundary: Boundary, roots: jax.Array, number: jax.Array, steps: int, random: bool
) -> tuple[Stage, tuple[jax.Array, jax.Array]]:
    """Round `number` of `steps` steps -> stage, and for each step whether an episode ended with it and the return of
    the episode so far, [S, steps]."""

    def one(stage: Stage, root: jax.Array, t: jax.Array) -> tuple[Stage, tuple[jax.Array, jax.Array]]:
        k_act, k_world = (jr.fold_in(jr.fold_in(root, stream), t) for stream in (ACT, WORLD))
        k_step, k_reset = jr.split(k_world)
        obs = boundary.obs(stage.world.obs)
        if random:
            action, memory = uniform(env.spec, k_act, 1), stage.memory
        else:
            action, memory = stage.agents.act(stage.memory, obs[None], k_act, t)
        after = env.step(stage.world, boundary.action_out(action)[0], k_step)
        reward, mask = boundary.reward(after.reward), 1.0 - after.terminated
        row = Transition(obs, action[0], reward, boundary.obs(after.obs), mask, mask, jnp.zeros_like(action[0]))
        over, total = after.terminated | after.truncated, stage.total + after.reward
        choose = lambda new, old: jnp.where(like(over[None], new[None])[0], new, old)
        stage = stage._replace(
            world=jax.tree.map(choose, env.reset(k_reset), after),
            memory=jax.tree.map(choose, stage.agents.remember(1), memory),
            rows=jax.tree.map(lambda column, x: column.at[t].set(x), stage.rows, row),
            total=jnp.where(over, 0, total),
        )
        return stage, (over, total)

    tick = lambda stage, t: jax.vmap(one, in_axes=(0, 0, None))(stage, roots, t)
    stage, seen = jax.lax.scan(tick, stage, number * steps + jnp.arange(steps))
    return stage, jax.tree.map(lambda x: x.swapaxes(0, 1), seen)


@jax.jit
def learned(agents: Any, rows: Transition, count: jax.Array, roots: jax.Array) -> tuple[Any, Any]:
    """Every agent fitted to the first `count` of its rows, and what the fits say, [S, ...]."""

    def one(agent: Any, rows: Transition, root: jax.Array) -> tuple[Any, Any]:
        return agent.fit(rows, count, jr.fold_in(jr.fold_in(root, FIT), count))

    return jax.vmap(one)(agents, rows, roots)

"""Training and judging in memory, for experiments that keep their numbers and no run."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.algos import algorithm
from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.core.learner import copy
from stitchrl.data.dataset import Dataset
from stitchrl.data.replay import Replay
from stitchrl.envs.env import Env, State
from stitchrl.loops.chunk import Chunk
from stitchrl.loops.evaluate import Episodes, evaluate
from stitchrl.loops.offline import create, updates
from stitchrl.loops.plan import Plan
from stitchrl.loops.settings import configure
from stitchrl.loops.stream import Stream

CHUNK = 500
FROM_SCRATCH, GO_ON = Plan(), Plan(random_steps=0)


class Trained(NamedTuple):
    """S agents and what they learned from."""

    agents: Agent  # every leaf with a leading axis [S]
    boundary: Boundary
    data: Dataset | None  # in the agent's units, on the device
    info: dict[str, np.ndarray]  # metrics of the last chunk, name -> [S]
    replay: Replay | None = None  # what they met online, every leaf [S, ...], in the agent's units

    def play(self, env: Any, episodes: int = 20, seed: int = 1000, trace: bool = False) -> Episodes:
        """Greedy episodes of every agent."""
        return evaluate(self.agents, self.boundary, env, seed, episodes, trace)

    def online(
        self,
        env: Any,
        steps: int,
        seed: int = 0,
        plan: Plan = GO_ON,
        capacity: int | None = None,
        every: int | None = None,
        watch: Callable[[Chunk], Any] = lambda part: None,
    ) -> 'Trained':
        """The same agents after `steps` more steps each in an environment, a multiple of `plan.lanes`.

        `plan.mix` of every batch comes from `data`. The ring keeps `capacity` rows, by default all. `watch` is called
        after every `every` steps, in which it may use the chunk's agents.
        """
        rows = capacity or 2 * steps + 4 * plan.lanes  # an episode takes a row more than steps
        data = self.data if plan.mix else None
        plan = replace(plan, refresh=getattr(self.agents.cfg, 'refresh', 0))
        stream = Stream(env, jax.device_put(self.boundary), data, plan, rows, seed)
        last = None
        for part in stream.chunks(
            stream.fresh(copy(self.agents)), 0, steps // plan.lanes, (every or steps) // plan.lanes
        ):
            last = part
            watch(part)
        return self if last is None else self._replace(agents=last.agents, info=last.info, replay=last.state.replay)


def trained(
    algo: str,
    data: Dataset,
    seeds: int = 5,
    seed: int = 0,
    alter: Callable[[Agent], Agent] = lambda agents: agents,
    **settings: Any,
) -> Trained:
    """`seeds` agents of an algorithm after all their updates; `settings` are fields of its Config.

    `alter` changes the fresh agents before they learn anything.

    Nothing is written and nothing stops at values that are not finite: an experiment may be about them.
    UsageError for unknown settings.
    """
    cfg, agent = configure(algo, 'default', settings), algorithm(algo).ALGO
    chosen = agent.select(data, cfg)
    boundary = Boundary.fit(chosen, cfg.normalise, cfg.reward)
    inward = jax.device_put(boundary.inward(chosen))
    begun = Trained(alter(create(agent, data.spec, cfg, seed, seeds)), boundary, inward, {})
    last = None
    for part in updates(begun.agents, inward, seed, cfg.steps, min(CHUNK, cfg.steps)):
        last = part
    return begun if last is None else begun._replace(agents=last.agents, info=last.info)


def learned(
    algo: str,
    env: Any,
    seeds: int = 5,
    seed: int = 0,
    plan: Plan = FROM_SCRATCH,
    capacity: int | None = None,
    every: int | None = None,
    watch: Callable[[Chunk], Any] = lambda part: None,
    **settings: Any,
) -> Trained:
    """The counterpart online: `seeds` agents after the `steps` of their Config in an environment, from scratch.

    As `trained` and `Trained.online`. UsageError for unknown settings.
    """
    cfg, agent = configure(algo, 'default', settings), algorithm(algo).ALGO
    boundary = Boundary.without_data(env.spec, cfg.normalise, cfg.reward)
    begun = Trained(create(agent, env.spec, cfg, seed, seeds), boundary, None, {})
    return begun.online(env, cfg.steps, seed, plan, capacity, every, watch)


@partial(jax.jit, static_argnames=('gamma', 'steps', 'explores'))
def worth(
    agent: Agent,
    boundary: Boundary,
    env: Env,
    start: State,
    action: jax.Array,
    key: jax.Array,
    gamma: float,
    steps: int,
    explores: bool = False,
) -> jax.Array:
    """What `action` [n, ...] at `start` [n] is really worth, [n]: the discounted reward, in the agent's units, of it
    and of `steps` - 1 actions of one agent after it, whether greedy or as it explores. Time limits stop nothing."""
    n, t = len(action), jnp.int32(2**30) if explores else None

    def one(carry: Any, k: jax.Array) -> Any:
        state, memory, action, weight, total = carry
        k_step, k_act = jr.split(k)
        after = jax.vmap(env.step)(state, boundary.action_out(action), jr.split(k_step, n))
        total = total + weight * boundary.reward(after.reward)
        action, memory = agent.act(memory, boundary.obs(after.obs), k_act, t)
        return (after, memory, action, weight * gamma * ~after.terminated, total), None

    carry = start, agent.remember(n), action, jnp.ones(n), jnp.zeros(n)
    return jax.lax.scan(one, carry, jr.split(key, steps))[0][-1]

"""Training and judging in memory, for experiments that keep their numbers and no run."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from stitchrl.algos import algorithm
from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.data.dataset import Dataset
from stitchrl.loops.evaluate import Episodes, evaluate
from stitchrl.loops.offline import create, updates
from stitchrl.loops.settings import configure

CHUNK = 500


class Trained(NamedTuple):
    """S agents and what they learned from."""

    agents: Agent  # every leaf with a leading axis [S]
    boundary: Boundary
    data: Dataset  # in the agent's units, on the device
    info: dict[str, np.ndarray]  # metrics of the last chunk, name -> [S]

    def play(self, env: Any, episodes: int = 20, seed: int = 1000, trace: bool = False) -> Episodes:
        """Greedy episodes of every agent."""
        return evaluate(self.agents, self.boundary, env, seed, episodes, trace)


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
    agents, info = alter(create(agent, data.spec, cfg, seed, seeds)), {}
    for chunk in updates(agents, inward, seed, cfg.steps, min(CHUNK, cfg.steps)):
        agents, info = chunk.agents, chunk.info
    return Trained(agents, boundary, inward, info)

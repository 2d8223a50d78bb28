"""UCT: upper confidence bounds in a tree, random play below it. Nothing is learned.

    a = argmax Q(s, a) + c sqrt(ln N(s) / n(s, a)),    actions not tried yet first
    Q(s, a) = mean of the returns of the simulations that took a in s, each played to its end at random

Kocsis and Szepesvari, 2006.
"""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.models.rules import Branching
from stitchrl.planners.mcts import MCTS, Leaf
from stitchrl.planners.select import by_value, evenly, ucb1


@dataclass(frozen=True)
class Config:
    """Numbers of the search."""

    simulations: int = 1000
    c: float = 1.4  # weight of exploration; returns between -1 and 1
    gamma: float = 1.0  # discount
    depth: int = 64  # of the longest walk in the tree
    rollouts: int = 1  # of one simulation, whose mean it takes
    steps: int = 200  # after which a random roll-out is cut; games are never


class Rollouts(eqx.Module):
    """The value of a state: what random play happened to earn from it, in the mean over `count` roll-outs."""

    gamma: float = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    count: int = eqx.field(static=True, default=1)

    def __call__(self, model: Branching, latent: Any, keys: jax.Array) -> Leaf:
        """See `planners.mcts.Evaluate`."""
        if self.count > 1:
            latent = jax.tree.map(lambda x: jnp.repeat(x, self.count, axis=0), latent)
            keys = jax.vmap(lambda key: jr.split(key, self.count))(keys).reshape(-1)
        value = model.playouts(latent, keys, self.gamma, self.steps).reshape(-1, self.count).mean(-1)
        return Leaf(value, jnp.zeros((len(value), 0)))


def uct(cfg: Config = Config()) -> MCTS:
    """The planner. Its static fields are functions made anew by every call: make it once and keep it."""
    return MCTS(ucb1(cfg.c), Rollouts(cfg.gamma, cfg.steps, cfg.rollouts), cfg.simulations, cfg.gamma, cfg.depth)


def flat_monte_carlo(cfg: Config = Config()) -> MCTS:
    """The baseline without a tree: every action equally often, the best mean of random play after it."""
    return MCTS(
        evenly, Rollouts(cfg.gamma, cfg.steps, cfg.rollouts), cfg.simulations, cfg.gamma, depth=1, choose=by_value
    )

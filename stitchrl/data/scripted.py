"""A controller that knows the maze, to record what it does at any level of noise."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.data.collect import Plan, number_of, plan_of
from stitchrl.envs.pointmaze import SPEED, PointMaze


class Steered(eqx.Module):
    """A policy for `rollouts.policy_transitions`: straight to the middle of the next cell on a shortest way.

    In the cell it goes to, to the middle of that.

    action = clip(push + noise N(0, 1), -1, 1)
    """

    plan: Plan
    target: jax.Array  # [], number of the cell it goes to
    noise: jax.Array  # [], deviation of the noise on the push

    @classmethod
    def to(cls, maze: PointMaze, place: Any, noise: float) -> 'Steered':
        """To the cell that holds `place` (x, y), which must be free."""
        plan = plan_of(maze, 'stitch')
        return cls(plan, number_of(plan, jnp.asarray(place, jnp.float32)), jnp.float32(noise))

    def __call__(self, obs: jax.Array, key: jax.Array) -> jax.Array:
        """[2], in [-1, 1]."""
        here = number_of(self.plan, obs)
        ahead = jnp.where(here == self.target, here, self.plan.ahead[self.target, here])
        way = self.plan.low[ahead] + self.plan.size[ahead] / 2 - obs
        push = way / jnp.maximum(jnp.linalg.norm(way), SPEED)
        return jnp.clip(push + self.noise * jr.normal(key, (2,)), -1, 1)

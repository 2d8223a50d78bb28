"""A true device environment as a model: what planning is worth when nothing has to be learned."""

from typing import Any

import jax
import jax.random as jr

from stitchrl.core.boundary import Boundary
from stitchrl.envs.env import Env, State
from stitchrl.errors import UsageError
from stitchrl.models.model import WorldModel


class Simulator(WorldModel):
    """The environment itself, in the agent's units. The latent is its `State`; time limits are not part of it.

    From an observation alone it can only begin where the environment has `at(obs) -> State`.
    """

    env: Env
    boundary: Boundary

    @classmethod
    def create(cls, env: Env, boundary: Boundary | None = None) -> 'Simulator':
        """boundary: the agent's; None: only the bounds of the actions. UsageError where a state cannot be had from
        an observation."""
        if not hasattr(env, 'at'):
            raise UsageError(
                f'{type(env).__name__} has no `at(obs) -> State`, so it cannot be planned in from what is observed; '
                'give it one, or learn a model'
            )
        boundary = Boundary.blank(env.spec) if boundary is None else boundary
        return cls(env, jax.device_put(boundary))

    def observe(self, latent: Any, action: Any, obs: jax.Array, key: jax.Array) -> State:
        mean, std = (x.reshape((1,) * (obs.ndim - x.ndim) + x.shape) for x in (self.boundary.mean, self.boundary.std))
        return jax.vmap(self.env.at)(obs * std + mean)  # pyright: ignore[reportAttributeAccessIssue]

    def step(self, latent: State, action: jax.Array, key: jax.Array) -> tuple[State, jax.Array, jax.Array]:
        keys = jr.split(key, action.shape[0])
        after = jax.vmap(self.env.step)(latent, self.boundary.action_out(action), keys)
        return after, self.boundary.reward(after.reward), 1.0 - after.terminated

    def seen(self, latent: State) -> jax.Array:
        return self.boundary.obs(latent.obs)

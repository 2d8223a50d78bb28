"""Models small enough to plan in by hand."""

from typing import Any

import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.models.model import WorldModel

ONE = Spec(Observation((1,)), Continuous(1, (-1.0,), (1.0,)))
THREE = Spec(Observation((1,)), Discrete(3))


class Line(WorldModel):
    """s' = s + a on a line, a continuous or an index less 1; r = -(s' - goal)^2 + bonus; over beyond `edge`; the
    reward is no number beyond `hole`; `noise` times a normal is added to s'."""

    goal: Any = 0.0
    edge: Any = jnp.inf
    hole: Any = jnp.inf
    bonus: Any = 0.0
    noise: Any = 0.0

    def observe(self, latent, action, obs, key):
        return obs

    def step(self, latent, action, key):
        move = action - 1.0 if action.ndim == 1 else action[:, 0]
        after = latent[:, 0] + move + self.noise * jr.normal(key, move.shape)
        reward = jnp.where(after > self.hole, jnp.nan, self.bonus - (after - self.goal) ** 2)
        return after[:, None], reward, (after <= self.edge).astype(jnp.float32)

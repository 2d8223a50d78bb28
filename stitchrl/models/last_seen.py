"""A table of what happened last: the model of Dyna-Q, for worlds that do the same thing every time.

    s', r, m <- those of the last step in which a was taken in s

States are observations one-hot. An action that was never taken in a state ends the task and pays nothing. Where a world
is random, `models.table` keeps all that happened. Sutton, 1990.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition
from stitchrl.errors import UsageError
from stitchrl.models.model import Info, WorldModel


class LastSeen(WorldModel):
    """Latent: the observation [B, S], one-hot."""

    after: jax.Array  # [S, A] int32
    reward: jax.Array  # [S, A]
    mask: jax.Array  # [S, A]

    @classmethod
    def create(cls, spec: Spec) -> 'LastSeen':
        """Nothing seen. UsageError unless observations are vectors and actions discrete."""
        size = states(spec), spec.action_dim
        return cls(jnp.zeros(size, jnp.int32), jnp.zeros(size), jnp.zeros(size))

    def observe(self, latent: Any, action: Any, obs: jax.Array, key: jax.Array) -> jax.Array:
        return obs

    def step(self, latent: jax.Array, action: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        at = latent.argmax(-1), action
        return jax.nn.one_hot(self.after[at], latent.shape[-1]), self.reward[at], self.mask[at]

    def update(self, batch: Transition, key: jax.Array) -> tuple['LastSeen', Info]:
        """Write the rows [B, ...] down, of the same s and a one. Told: how far the rewards it knew were off."""
        at = batch.obs.argmax(-1), batch.action
        off = jnp.abs(batch.reward - self.reward[at]).mean()
        table = replace(
            self,
            after=self.after.at[at].set(batch.next_obs.argmax(-1).astype(jnp.int32)),
            reward=self.reward.at[at].set(batch.reward),
            mask=self.mask.at[at].set(batch.mask),
        )
        return table, {'model/loss': off}


def states(spec: Spec) -> int:
    """How many there are. UsageError unless an observation can be one-hot, by its shape, and actions are discrete."""
    if not spec.discrete or len(spec.obs.shape) != 1:
        raise UsageError(f'a table needs discrete actions and observations one-hot, these are {spec.obs.shape}')
    return spec.obs.shape[0]


def onehot(obs: Any) -> Any:
    """Which observations [..., S] are one-hot, [...] bool; of NumPy or of JAX."""
    return ((obs == 0) | (obs == 1)).all(-1) & (obs.sum(-1) == 1)

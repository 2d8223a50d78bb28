"""A world of few states, learned by counting.

    p(s' | s, a) = n(s, a, s') / n(s, a),    r(s, a, s') and the chance that the task goes on: means over the same steps

A state is an observation that was seen; nothing is said of others. An action that was never taken in a state ends the
task and pays nothing, so that nobody plans with what nobody knows.
"""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.data.dataset import Dataset
from stitchrl.data.sampling import transitions
from stitchrl.errors import UsageError
from stitchrl.models.model import WorldModel

MOST = 2**27  # entries of a table: half a gigabyte


class Table(WorldModel):
    """Latent: the number of a state, [B] int32."""

    obs: jax.Array  # [S, ...], what is seen in each state
    logits: jax.Array  # [S, A, S], log p(s' | s, a); 0 and -inf where (s, a) was never seen
    reward: jax.Array  # [S, A, S]
    mask: jax.Array  # [S, A, S]

    @classmethod
    def create(cls, data: Dataset) -> 'Table':
        """Counts of a recording. UsageError for actions that are not discrete, and for too many states."""
        if not data.spec.discrete:
            raise UsageError('a table needs discrete actions; `models.ensemble` learns the others')
        rows = jax.device_get(transitions(data, jnp.asarray(data.starts), 1, 1.0))
        flat = lambda x: np.asarray(x).reshape(len(x), -1)
        both = np.concatenate([flat(rows.obs), flat(rows.next_obs)])
        states, number = np.unique(both, axis=0, return_inverse=True)
        s, after, n, a = *number.reshape(2, -1), len(states), data.spec.action_dim
        if n * a * n > MOST:
            raise UsageError(f'{n:,} states and {a} actions are too many for a table; `models.ensemble` generalises')
        count, total, goes_on = np.zeros((3, n, a, n), np.float32)
        for table, weight in ((count, 1.0), (total, rows.reward), (goes_on, rows.mask)):
            np.add.at(table, (s, rows.action, after), weight)
        mean = lambda table: jnp.asarray(table / np.maximum(count, 1))
        none = count.sum(-1) == 0
        count[np.nonzero(none)[0], np.nonzero(none)[1], np.nonzero(none)[0]] = 1  # it stays; total and mask are 0
        shares = count / count.sum(-1, keepdims=True)
        logits = np.log(shares, where=shares > 0, out=np.full_like(shares, -np.inf))
        seen = states.reshape(n, *rows.obs.shape[1:]).astype(np.float32)
        return cls(jnp.asarray(seen), jnp.asarray(logits), mean(total), mean(goes_on))

    def observe(self, latent: Any, action: Any, obs: jax.Array, key: jax.Array) -> jax.Array:
        """The state that looks most like it."""
        off = (obs.reshape(len(obs), 1, -1) - self.obs.reshape(1, len(self.obs), -1)) ** 2
        return off.sum(-1).argmin(1).astype(jnp.int32)

    def step(self, latent: jax.Array, action: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """See `WorldModel.step`."""
        after = jr.categorical(key, self.logits[latent, action]).astype(jnp.int32)
        return after, self.reward[latent, action, after], self.mask[latent, action, after]

    def seen(self, latent: jax.Array) -> jax.Array:
        """[B, ...]."""
        return self.obs[latent]

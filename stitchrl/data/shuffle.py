"""A shuffle buffer on the device: some blocks of a recording, sampled as if they were all of it.

    slot       0          1          2                  3 slots
    blocks     0 1 2      then 3 takes slot 0, 4 slot 1, 5 slot 2, 6 slot 0, ...

Blocks come in an order that is shuffled anew in every epoch. One comes in for as many rows as a block has that an
agent draws: over an epoch of draws every row stays for its share of them.
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition, Window
from stitchrl.data.layout import Rows
from stitchrl.data.sampling import transitions, windows
from stitchrl.errors import UsageError


class Shuffle(eqx.Module):
    """`slots` blocks of at most `size` rows, each of which closes with an end; what lies behind it is not sampled."""

    obs: Any  # [slots x size, ...]
    action: Any  # [slots x size, A] float32, or [slots x size] int32
    reward: Any  # [slots x size]
    mask: Any  # [slots x size]
    ends: Any  # [slots x size]
    starts: Any  # [slots, size] int32, of each slot the rows from which a step was taken, `counts` of them
    counts: Any  # [slots] int32
    spec: Spec = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, slots: int, size: int) -> 'Shuffle':
        """One with nothing in it."""
        n = slots * size
        if n >= 2**31:
            raise UsageError(f'a buffer of {n:,} rows: expected fewer than {2**31:,}; take fewer --buffer-rows')
        shape, kind = ((n,), jnp.int32) if spec.discrete else ((n, spec.action_dim), jnp.float32)
        return cls(
            obs=jnp.zeros((n, *spec.obs.shape), spec.obs.dtype),
            action=jnp.zeros(shape, kind),
            reward=jnp.zeros(n, jnp.float32),
            mask=jnp.zeros(n, jnp.float32),
            ends=jnp.zeros(n, jnp.float32),
            starts=jnp.zeros((slots, size), jnp.int32),
            counts=jnp.zeros(slots, jnp.int32),
            spec=spec,
        )

    def rows(self, key: jax.Array, n: int) -> jax.Array:
        """n rows from which a step was taken, uniform over all slots' steps, with replacement: [n] int32."""
        upto = jnp.cumsum(self.counts)
        which = jr.randint(key, (n,), 0, jnp.maximum(upto[-1], 1))
        slot = jnp.searchsorted(upto, which, side='right').astype(jnp.int32)
        return self.starts[slot, which - (upto - self.counts)[slot]]

    def ahead(self, row: jax.Array, k: jax.Array) -> jax.Array:
        """The row k steps later, or the very last one."""
        return jnp.minimum(row + k, len(self.reward) - 1)

    def seen(self, row: jax.Array) -> jax.Array:
        """Observations of rows [...], [..., *obs]."""
        return self.obs[row]

    def sample(self, key: jax.Array, n: int, steps: int = 1, gamma: float = 0.99) -> Transition:
        """n transitions over up to `steps` steps, uniform over steps, with replacement. Stops early at an end."""
        return transitions(self, self.rows(key, n), steps, gamma)

    def windows(self, key: jax.Array, n: int, length: int) -> Window:
        """n windows of `length` rows that start at any step; past the end the final row is repeated, inside = 0."""
        return windows(self, self.rows(key, n), length)

    def with_labels(self, labels: dict[str, Any]) -> 'Shuffle':
        """As of a Dataset. An agent that labels a whole recording is refused before."""
        assert not labels
        return self


def padded(rows: Rows, size: int) -> tuple[Rows, np.int32]:
    """A block filled up to `size` rows, `starts` too, and how many of these there are."""
    fill = lambda x: np.concatenate([x, np.zeros((size - len(x), *x.shape[1:]), x.dtype)])
    return Rows(*map(fill, rows)), np.int32(len(rows.starts))


@partial(jax.jit, donate_argnums=0)
def put(buffer: Shuffle, rows: Rows, count: jax.Array, slot: jax.Array) -> Shuffle:
    """The buffer, in place, with a `padded` block in a slot [] int32."""
    first = slot * len(rows.reward)
    into = lambda x, new: jax.lax.dynamic_update_slice_in_dim(x, new, first, 0)
    return Shuffle(
        obs=into(buffer.obs, rows.obs),
        action=into(buffer.action, rows.action),
        reward=into(buffer.reward, rows.reward),
        mask=into(buffer.mask, rows.mask),
        ends=into(buffer.ends, rows.ends),
        starts=buffer.starts.at[slot].set(rows.starts + first),
        counts=buffer.counts.at[slot].set(count),
        spec=buffer.spec,
    )

"""Imagined steps: a ring of single transitions, written in blocks, the newest of which are sampled."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition


class Pool(eqx.Module):
    """`rows` [N, ...] hold no order in time: what follows a step lies beside it, in `next_obs`."""

    rows: Transition
    written: jax.Array  # [] int32, rows written so far, modulo a multiple of N once that is large

    @classmethod
    def create(cls, spec: Spec, size: int) -> 'Pool':
        """Empty, with room for `size` rows."""
        obs, action = (
            (lambda: jnp.zeros((size, *spec.obs.shape), spec.obs.dtype)),
            lambda: jnp.zeros((size, *dim), kind),
        )
        dim, kind = ((), jnp.int32) if spec.discrete else ((spec.action_dim,), jnp.float32)
        flat = lambda: jnp.zeros(size)  # each column in a buffer of its own
        return cls(Transition(obs(), action(), flat(), obs(), flat(), flat(), action()), jnp.int32(0))

    @property
    def size(self) -> int:
        """N."""
        return self.rows.reward.shape[0]

    def add(self, rows: Transition) -> 'Pool':
        """A block of rows [B, ...] in the place of the oldest; N is a multiple of B, and all blocks are of one size."""
        at, count = self.written % self.size, len(rows.reward)
        put = lambda column, new: jax.lax.dynamic_update_slice_in_dim(column, new.astype(column.dtype), at, 0)
        written = self.written + count
        written = jnp.where(written >= 2 * self.size, written - self.size, written)  # never beyond int32
        return replace(self, rows=jax.tree.map(put, self.rows, rows), written=written)

    def sample(self, key: jax.Array, n: int, newest: jax.Array) -> Transition:
        """n of the `newest` [] rows, or of all where there are fewer: uniform, with replacement."""
        among = jnp.clip(jnp.minimum(self.written, newest), 1, self.size)
        back = 1 + jr.randint(key, (n,), 0, among)
        return jax.tree.map(lambda column: column[(self.written - back) % self.size], self.rows)

"""Batches from a recording and a ring together, for going on online after learning from data."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.types import Transition, Window
from stitchrl.data.dataset import Dataset
from stitchrl.data.replay import Replay


class Blend(eqx.Module):
    """The share `mix` of every batch, rounded to rows, comes from the recording and the rest from the ring."""

    data: Dataset
    replay: Replay
    mix: float = eqx.field(static=True)

    def sample(self, key: jax.Array, n: int, steps: int = 1, gamma: float = 0.99) -> Transition:
        """n transitions, as of either part; the recording's first."""
        return self.both(key, n, lambda part, k, count: part.sample(k, count, steps, gamma))

    def windows(self, key: jax.Array, n: int, length: int) -> Window:
        """n windows, as of either part; the recording's first."""
        return self.both(key, n, lambda part, k, count: part.windows(k, count, length))

    def history(self) -> tuple[Transition, jax.Array]:
        """All steps of both, the recording's first, and how many there are; those after them are none."""
        (old, n_old), (new, n_new) = self.data.history(), self.replay.history()
        return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), old, new), n_old + n_new

    def both(self, key: jax.Array, n: int, draw: Any) -> Any:
        """draw(part, key, rows) of both parts, one after the other."""
        k_data, k_ring = jr.split(key)
        old = round(n * self.mix)
        parts = draw(self.data, k_data, old), draw(self.replay, k_ring, n - old)
        return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), *parts)


def source(data: Dataset | None, replay: Replay, mix: float) -> Any:
    """Where an update draws from."""
    return replay if data is None or mix == 0 else Blend(data, replay, mix)

"""How batches are cut from rows in time order, whether they lie in a recording or in a ring. See `data.dataset`."""

from typing import Any, Protocol

import jax
import jax.numpy as jnp

from stitchrl.core.types import Transition, Window


class InTime(Protocol):
    """Columns whose rows follow one another in time; each episode closes with a row whose `ends` is 1."""

    action: Any  # [N, A] or [N] int32
    reward: Any  # [N]
    mask: Any  # [N]
    ends: Any  # [N]

    def ahead(self, row: jax.Array, k: jax.Array) -> jax.Array:
        """The row k steps later, k >= 0; nothing is said of rows past the end of an episode."""
        ...

    def seen(self, row: jax.Array) -> jax.Array:
        """Observations of rows [...], [..., *obs]."""
        ...


def transitions(data: InTime, row: jax.Array, steps: int, gamma: float) -> Transition:
    """From rows [B] over up to `steps` steps, fewer where the episode ends or was cut."""
    zero, one = jnp.zeros(row.shape), jnp.ones(row.shape)
    last, reward, mask, power, going = row, zero, one, one, one
    for _ in range(steps):
        reward = reward + going * power * data.reward[last]
        mask = mask * jnp.where(going > 0, data.mask[last], 1.0)
        power = power * jnp.where(going > 0, gamma, 1.0)
        last = data.ahead(last, (going > 0).astype(last.dtype))
        going = going * (1 - data.ends[last])
    return Transition(data.seen(row), data.action[row], reward, data.seen(last), mask, power * mask, data.action[last])


def windows(data: InTime, start: jax.Array, length: int) -> Window:
    """`length` rows from each of `start` [B]; past the end the final row is repeated, inside = 0."""
    start, offset = start[:, None], jnp.arange(length)[None]
    ends = data.ends[data.ahead(start, offset)]
    stop = jnp.where(ends.any(1), ends.argmax(1), length - 1)[:, None]  # offset of the first final row
    rows = data.ahead(start, jnp.minimum(offset, stop))
    inside = (offset <= stop).astype(jnp.float32)
    return Window(data.seen(rows), data.action[rows], data.reward[rows], data.mask[rows], data.ends[rows], inside)

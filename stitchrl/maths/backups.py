"""What Q is taught: targets of one step (or of several summed into one), from the values of what comes after."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from stitchrl.core.types import Transition
from stitchrl.maths.dists import take

Backup = Literal['own', 'mean', 'min', 'doubleq']


def bootstrap(batch: Transition, value: jax.Array) -> jax.Array:
    """r + gamma m v: value [..., B] of the next observation -> target [..., B]."""
    shape = (1,) * (value.ndim - 1) + batch.reward.shape
    return batch.reward.reshape(shape) + batch.discount.reshape(shape) * value


def greedy_target(batch: Transition, values: jax.Array, by: jax.Array) -> jax.Array:
    """r + gamma m v(s', argmax_a by(s', a)): values and by [B, n] at the next observation -> [B].

    DQN chooses by the values themselves (Mnih et al., 2015), double DQN by those of another network (van Hasselt et
    al., 2016).
    """
    return bootstrap(batch, take(values, by.argmax(-1)))


def combined(q: jax.Array, backup: Backup) -> jax.Array:
    """Which of K target critics teaches which critic: q [K, B] -> [K, B].

    own: each itself. mean, min: all together. doubleq: even critics learn from critic 1, odd ones from critic 0.
    """
    if backup == 'own':
        return q
    if backup == 'doubleq':
        return jnp.stack([q[1 - i % 2] for i in range(len(q))])
    one = q.mean(0) if backup == 'mean' else q.min(0)
    return jnp.broadcast_to(one, q.shape)


def smoothed_target(
    actor: Callable[..., jax.Array],
    critic: Callable[..., jax.Array],
    batch: Transition,
    eps: jax.Array,
    clip: float,
) -> jax.Array:
    """r + gamma m min_i Q_i'(s', a') with a' = clip(pi'(s') + clip(eps, +-c), +-1); eps [B, A] -> [B].

    Fujimoto, van Hoof and Meger, 2018: the noise lets no sharp peak of Q' be the target.
    """
    action = jnp.clip(actor(batch.next_obs) + jnp.clip(eps, -clip, clip), -1, 1)
    return bootstrap(batch, critic(batch.next_obs, action).min(0))

"""Pieces of losses that more than two algorithms use."""

from typing import Any

import jax
import jax.numpy as jnp


def expectile(u: jax.Array, tau: float) -> jax.Array:
    """|tau - 1{u < 0}| u^2, elementwise: tau 0.5 is half the squared error, towards 1 only positive u count.

    Newey and Powell, 1987. With u = target - prediction, the minimiser is the tau-expectile of the target.
    """
    return jnp.where(u < 0, 1 - tau, tau) * u**2


def squared_errors(q: jax.Array, y: jax.Array) -> jax.Array:
    """Sum over K critics of E (y - Q)^2: q [K, B], y [B] -> []."""
    return ((y[None] - q) ** 2).mean(1).sum()


def advantage_weight(advantage: jax.Array, beta: float, most: float) -> jax.Array:
    """min(exp(beta A), most), elementwise: the weight of an action that is imitated.

    The policy that maximises E A - KL(pi || mu) / beta is mu exp(beta A) / Z (Peters et al., 2010; Peng et al., 2019).
    """
    return jnp.minimum(jnp.exp(beta * advantage), most)


def huber(u: jax.Array) -> jax.Array:
    """u^2 / 2 where |u| <= 1, |u| - 1/2 beyond, elementwise: the slope is u, cut to [-1, 1]. Huber, 1964."""
    size = jnp.abs(u)
    return jnp.where(size <= 1, u**2 / 2, size - 0.5)


def temperature_loss(temperature: Any, entropy: jax.Array, wanted: float) -> tuple[jax.Array, dict[str, jax.Array]]:
    """log T (entropy - wanted): T falls while the policy is more random than wanted. Haarnoja et al., 2018b."""
    loss = temperature.log * jax.lax.stop_gradient(entropy - wanted)
    return loss, {'temperature/loss': loss, 'temperature/value': temperature()}

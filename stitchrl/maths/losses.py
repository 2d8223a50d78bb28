"""Pieces of losses that more than two algorithms use."""

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

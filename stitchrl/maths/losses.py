"""Pieces of losses that more than two algorithms use."""

import jax
import jax.numpy as jnp


def expectile(u: jax.Array, tau: float) -> jax.Array:
    """|tau - 1{u < 0}| u^2, elementwise: tau 0.5 is half the squared error, towards 1 only positive u count.

    Newey and Powell, 1987. With u = target - prediction, the minimiser is the tau-expectile of the target.
    """
    return jnp.where(u < 0, 1 - tau, tau) * u**2

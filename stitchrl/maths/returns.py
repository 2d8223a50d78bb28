"""Returns along a recording, for all of its rows at once."""

import jax
import jax.numpy as jnp


def lambda_returns(
    reward: jax.Array, mask: jax.Array, ends: jax.Array, value: jax.Array, gamma: float, lam: float
) -> jax.Array:
    """TD(lambda) returns of a dataset's columns, all [N], in time order and with a row for each final observation.

        R_i = r_i + gamma m_i ((1 - lambda) V_{i+1} + lambda R_{i+1}),      R = V on final rows

    mask is 0 where the task ended: then R_i = r_i. Where a recording was cut, the value of its final observation
    stands for what was not seen. Sutton, 1988. The recursion is linear, R_i = a_i + b_i R_{i+1}, and maps compose:
    logarithmic depth instead of N steps.
    """
    after = jnp.concatenate([value[1:], value[-1:]])
    final = ends > 0
    a = jnp.where(final, value, reward + gamma * (1 - lam) * mask * after)
    b = jnp.where(final, 0.0, gamma * lam * mask)
    compose = lambda later, earlier: (earlier[0] + earlier[1] * later[0], earlier[1] * later[1])
    return jax.lax.associative_scan(compose, (a, b), reverse=True)[0]

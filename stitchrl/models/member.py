"""One network of an ensemble, and the scales it works in. See `models.ensemble` for the equations."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.nets.dense import Dense, swish

LOW, HIGH = -10.0, 0.5  # first bounds of the log-variance


class Guess(NamedTuple):
    """What a member says, in scaled units."""

    mean: jax.Array  # [..., D]
    var: jax.Array  # [..., D]
    end: jax.Array  # [...], logit of the task ending with this step; a constant where that is not learned


class Member(eqx.Module):
    """x [..., I] -> Guess: swish between layers, soft bounds on the log-variance that are learned."""

    layers: tuple[Dense, ...]
    low: jax.Array  # [D]
    high: jax.Array  # [D]
    ends: bool = eqx.field(static=True)

    def __init__(self, n_in: int, hidden: tuple[int, ...], dim: int, ends: bool, *, key: jax.Array):
        sizes = (n_in, *hidden, 2 * dim + ends)
        keys = jr.split(key, len(sizes) - 1)
        self.layers = tuple(Dense(a, b, 'uniform', key=k) for a, b, k in zip(sizes, sizes[1:], keys, strict=False))
        self.low, self.high, self.ends = jnp.full(dim, LOW, jnp.float32), jnp.full(dim, HIGH, jnp.float32), ends

    def __call__(self, x: jax.Array) -> Guess:
        for layer in self.layers[:-1]:
            x = swish(layer(x))
        out, dim = self.layers[-1](x), self.low.shape[-1]
        end = out[..., -1] if self.ends else jnp.full(out.shape[:-1], -jnp.inf)
        return Guess(out[..., :dim], variance(out[..., dim : 2 * dim], self.low, self.high), end)


def variance(raw: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    """exp of the log-variance raw [..., D] softly bounded by low [D] and high [D], e^low + e^high sigmoid(raw - high):
    what two softplus one after the other come to, for less."""
    low, high = (jnp.broadcast_to(x, raw.shape) for x in (low, high))
    return jnp.exp(low) + jnp.exp(high) * jax.nn.sigmoid(raw - high)


class Scale(eqx.Module):
    """Moments of inputs and targets."""

    x_mean: jax.Array  # [I]
    x_std: jax.Array
    y_mean: jax.Array  # [D]
    y_std: jax.Array

    def x(self, x: jax.Array) -> jax.Array:
        """Inputs [..., I] to zero mean and unit deviation."""
        return (x - jnp.broadcast_to(self.x_mean, x.shape)) / jnp.broadcast_to(self.x_std, x.shape)

    def y(self, y: jax.Array) -> jax.Array:
        """Targets [..., D] likewise."""
        return (y - jnp.broadcast_to(self.y_mean, y.shape)) / jnp.broadcast_to(self.y_std, y.shape)

    def y_out(self, y: jax.Array) -> jax.Array:
        """Back to the agent's units."""
        return jnp.broadcast_to(self.y_mean, y.shape) + y * jnp.broadcast_to(self.y_std, y.shape)

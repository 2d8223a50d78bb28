"""Layers that act on the last axis, with any leading axes. Every leaf is an array."""

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

Init = Literal['orthogonal', 'uniform']
NARROW = 16  # outputs


class Dense(eqx.Module):
    """x [..., in] -> x W + b [..., out]."""

    weight: jax.Array  # [in, out]
    bias: jax.Array  # [out]

    def __init__(self, n_in: int, n_out: int, init: Init = 'orthogonal', *, key: jax.Array):
        """'orthogonal': gain sqrt(2), zero bias. 'uniform': both within 1/sqrt(in), PyTorch's default."""
        k_weight, k_bias = jr.split(key)
        if init == 'orthogonal':
            self.weight = orthogonal(k_weight, n_in, n_out)
            self.bias = jnp.zeros(n_out)
        else:
            bound = n_in**-0.5
            self.weight = jr.uniform(k_weight, (n_in, n_out), minval=-bound, maxval=bound)
            self.bias = jr.uniform(k_bias, (n_out,), minval=-bound, maxval=bound)

    def __call__(self, x: jax.Array) -> jax.Array:
        return affine(x, self.weight, self.bias)


@jax.custom_vjp
def affine(x: jax.Array, weight: jax.Array, bias: jax.Array) -> jax.Array:
    """x [..., in] -> x W + b [..., out], with a gradient of its own.

    JAX's derivative asks for the transpose of the weight's gradient and turns it round; on CPU that product is
    half as fast as x^T g.
    """
    y = product(x, weight)
    return y + jnp.broadcast_to(bias, y.shape)  # strict rank promotion asks for the broadcast


def product(x: jax.Array, weight: jax.Array) -> jax.Array:
    """x W. Within `jax.default_matmul_precision('bfloat16')` both are rounded to bfloat16 and summed in float32, on a
    CPU too, where JAX takes no notice of it: one with units for such products is faster for it. Few inputs or
    outputs gain nothing and stay as they are, and so does the gradient."""
    asked = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    if asked != 'bfloat16' or min(weight.shape) <= NARROW:
        return x @ weight
    return jnp.matmul(x.astype(jnp.bfloat16), weight.astype(jnp.bfloat16), preferred_element_type=jnp.float32)


def affine_forward(x: jax.Array, weight: jax.Array, bias: jax.Array) -> tuple[jax.Array, Any]:
    """The output and what the gradient needs."""
    return affine(x, weight, bias), (x, weight)


def affine_backward(kept: Any, g: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """g [..., out] -> gradients of x, W and b."""
    x, weight = kept
    rows, g_rows = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
    return g @ weight.T, across(rows, g_rows), g_rows.sum(0)


def across(x: jax.Array, g: jax.Array) -> jax.Array:
    """x^T g of x [B, in] and g [B, out]. With few outputs, as heads have, a CPU takes several times as long for it as
    for g^T x; the barrier keeps XLA from making the one of the other."""
    return x.T @ g if g.shape[-1] > NARROW else jax.lax.optimization_barrier(g.T @ x).T


affine.defvjp(affine_forward, affine_backward)


@jax.custom_vjp
def swish(x: jax.Array) -> jax.Array:
    """x sigmoid(x), with a gradient that keeps x alone: JAX's keeps the sigmoid as well, and to read that back takes a
    CPU longer than to make it anew."""
    return x * sigmoid(x)


def sigmoid(x: jax.Array) -> jax.Array:
    """1 / (1 + e^-x) by way of tanh, which costs a CPU less; exact to 1e-7 of 1, not of itself."""
    return 0.5 * jnp.tanh(0.5 * x) + 0.5


def swish_backward(x: jax.Array, g: jax.Array) -> tuple[jax.Array]:
    """g -> gradient of x."""
    s = sigmoid(x)
    return (g * (s + x * s * (1 - s)),)


swish.defvjp(lambda x: (swish(x), x), swish_backward)


def orthogonal(key: jax.Array, n_in: int, n_out: int, gain: float = 2**0.5) -> jax.Array:
    """gain x a uniformly random matrix with orthonormal rows or columns, [n_in, n_out].

    The polar factor of a normal matrix, by Newton-Schulz iterations: products only. (JAX's own initialiser takes
    a QR, whose batched CPU kernel waits on the thread pool it occupies: vmapped over seeds on two cores it hangs.)
    Each step multiplies small singular values by 1.5, so 50 lift even 1e-6 of the largest to 1.
    """
    x = jr.normal(key, (n_in, n_out))
    x = x if n_in <= n_out else x.T
    x = x / jnp.linalg.norm(x)
    x = jax.lax.fori_loop(0, 50, lambda _, x: 1.5 * x - 0.5 * (x @ x.T) @ x, x)
    return gain * (x if n_in <= n_out else x.T)


class MLP(eqx.Module):
    """x [..., in] -> [..., out]: ReLU between layers, none after the last."""

    layers: tuple[Dense, ...]

    def __init__(self, n_in: int, hidden: tuple[int, ...], n_out: int, init: Init = 'orthogonal', *, key: jax.Array):
        sizes = (n_in, *hidden, n_out)
        keys = jr.split(key, len(sizes) - 1)
        self.layers = tuple(Dense(a, b, init, key=k) for a, b, k in zip(sizes, sizes[1:], keys, strict=False))

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        return self.layers[-1](x)


class Ensemble(eqx.Module):
    """n networks of one shape, held and evaluated as one: outputs get a leading axis [n, ...]."""

    members: Any

    def __init__(self, make: Callable[..., Any], n: int, *, key: jax.Array):
        """`make(key=...)` builds one member."""
        self.members = jax.vmap(lambda k: make(key=k))(jr.split(key, n))

    def __call__(self, *args: jax.Array) -> jax.Array:
        """Each member is given inputs of its own: of shared ones JAX makes one product with the first layers of all,
        and turns the result round on the way there and back, which takes a CPU longer than the product."""
        n = len(jax.tree.leaves(self.members)[0])
        each = [jnp.broadcast_to(x, (n, *x.shape)) for x in args]
        return jax.vmap(lambda member, *args: member(*args))(self.members, *each)

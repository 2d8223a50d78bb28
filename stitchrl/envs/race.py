"""A random game as a race.

Give every empty field a random time, and let the stones fall in the order of the times: the winner is who owns the line
that is complete first. In tic-tac-toe the times are independent. In connect four each column is a Poisson process of
rate 1 with as many events as it has room: whichever columns are open, the next event belongs to each of them with the
same probability, as a random move does. So a whole game is a few array operations, without a loop over its moves;
`tests/test_board.py` compares it with moves drawn one by one.
"""

import math
from functools import reduce
from operator import xor

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

LATE = np.float32(1e30)  # after every game
WAYS = ((0, 1), (1, 0), (1, 1), (1, -1))  # (y, x): the directions of a line


def even_ranks(times: jax.Array) -> jax.Array:
    """Whether an even number of fields comes before each, [H, W, n] bool; times [H, W, n]."""
    flat = times.reshape(-1, times.shape[-1])
    parities = (flat[i : i + 1] < flat for i in range(len(flat)))
    return reduce(xor, parities, jnp.ones(flat.shape, bool)).reshape(times.shape)


alone = jax.lax.optimization_barrier  # computed once, not again in each place that uses it


def uniforms(keys: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Uniform on [0, 1), a key for each of n, [*shape, n]. Drawn flat and turned afterwards: the processor's lanes want
    long rows."""
    drawn = jax.vmap(lambda key: jr.uniform(key, (math.prod(shape),)))(keys)
    return alone(drawn).T.reshape(*shape, -1)


def later(times: jax.Array, way: tuple[int, int], k: int) -> jax.Array:
    """The later time of each field and of the one k steps along; [H, W, n], smaller where the board ends."""
    (height, width), (dy, dx) = times.shape[:2], (k * way[0], k * way[1])
    here = times[: height - dy, max(0, -dx) : width - max(0, dx)]
    return jnp.maximum(here, times[dy:, max(0, dx) : width - max(0, -dx)])

"""A board to a policy and a value, in one network. Every leaf is an array.

On a processor a product of matrices does twice as many operations per second as convolutions by patches, and a dense
network takes far fewer for the same board: a layer of small windows, laid side by side and joined by dense layers, gave
20 times the evaluations of four convolutions of 32 filters. A tower of residual convolutions is there for larger boards
and for accelerators. He et al., 2016; Silver et al., 2018.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.nets.dense import MLP
from stitchrl.nets.image import Conv

ILLEGAL = -1e9  # a logit that no softmax sees; finite, so that a board without a move does not make a NaN
FIRST = 0.1  # weights of the last layer begin so much smaller: the first policy is nearly even, the first value near 0


class Block(eqx.Module):
    """x [..., H, W, C] + two convolutions of it."""

    first: Conv
    second: Conv

    def __init__(self, filters: int, *, key: jax.Array):
        k_first, k_second = jr.split(key)
        self.first = Conv(filters, filters, 3, 1, key=k_first)
        self.second = Conv(filters, filters, 3, 1, key=k_second)

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.nn.relu(x + self.second(bordered(jax.nn.relu(self.first(bordered(x))))))


class BoardNet(eqx.Module):
    """Boards [..., C, H, W] -> logits [..., A] and the value [...] for the player to move, between -1 and 1."""

    stem: Conv
    tower: tuple[Block, ...]
    dense: MLP
    actions: int = eqx.field(static=True)

    def __init__(
        self,
        shape: tuple[int, ...],
        actions: int,
        filters: int = 64,
        side: int = 4,
        blocks: int = 0,
        hidden: tuple[int, ...] = (256, 256),
        *,
        key: jax.Array,
    ):
        """shape: (C, H, W). side: of the windows of the first layer. With blocks the board is framed by empty fields
        and the windows are 3 x 3 from the first on."""
        channels, height, width = shape
        k_stem, k_dense, *keys = jr.split(key, blocks + 2)
        side = 3 if blocks else min(side, height, width)
        self.stem = Conv(channels, filters, side, 1, key=k_stem)
        self.tower = tuple(Block(filters, key=k) for k in keys)
        places = height * width if blocks else (height - side + 1) * (width - side + 1)
        dense = MLP(places * filters, hidden, actions + 1, key=k_dense)
        self.dense = eqx.tree_at(lambda mlp: mlp.layers[-1].weight, dense, replace_fn=lambda weight: FIRST * weight)
        self.actions = actions

    def __call__(self, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = jnp.moveaxis(obs, -3, -1)
        x = jax.nn.relu(self.stem(bordered(x) if self.tower else x))
        for block in self.tower:
            x = block(x)
        out = self.dense(x.reshape(*x.shape[:-3], -1))
        return out[..., : self.actions], jnp.tanh(out[..., self.actions])


class Drawn(eqx.Module):
    """Moves drawn from a network's policy; see `models.rules.Act`."""

    net: BoardNet

    def __call__(self, model: Any, latent: Any, keys: jax.Array) -> jax.Array:
        logits = among(self.net(model.seen(latent))[0], model.legal(latent))
        return jax.vmap(jr.categorical)(keys, logits).astype(jnp.int32)


def bordered(x: jax.Array) -> jax.Array:
    """[..., H, W, C] with a frame of zeros, one field wide."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 3) + [(1, 1), (1, 1), (0, 0)])


def among(logits: jax.Array, legal: jax.Array) -> jax.Array:
    """Logits [..., A] in which no move is possible that is not legal; all are even where none is."""
    return jnp.where(legal, logits, ILLEGAL)

"""The convolutional torso of DQN for stacked frames. Every leaf is an array. Mnih et al., 2015."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.errors import UsageError
from stitchrl.nets.dense import MLP, Dense, Init, affine

FILTERS = ((32, 8, 4), (64, 4, 2), (64, 3, 1))  # how many, their side, the stride
SMALLEST = 36  # side of the smallest image of which three such layers leave something


class Conv(eqx.Module):
    """x [..., H, W, in] -> a filter's answers wherever it fits whole [..., H', W', out], H' = (H - side) // stride + 1.

    The stride divides the side.
    """

    weight: jax.Array  # [side, side, in, out]
    bias: jax.Array  # [out]
    stride: int = eqx.field(static=True)

    def __init__(self, n_in: int, n_out: int, side: int, stride: int, init: Init = 'orthogonal', *, key: jax.Array):
        """Begins as the Dense layer that it is at every place, with side x side x in inputs."""
        place = Dense(side * side * n_in, n_out, init, key=key)
        self.weight = place.weight.reshape(side, side, n_in, n_out)
        self.bias = place.bias
        self.stride = stride

    def __call__(self, x: jax.Array) -> jax.Array:
        side, stride = len(self.weight), self.stride
        tiles = self.weight.reshape(side // stride, stride, side // stride, stride, *self.weight.shape[2:])
        rows = tiles.swapaxes(1, 2).reshape(-1, len(self.bias))
        return affine(patches(x, side, stride), rows, self.bias)


def patches(x: jax.Array, side: int, stride: int) -> jax.Array:
    """What lies under a filter at each place: [..., H, W, C] -> [..., H', W', side x side x C], tile after tile.

    With it a convolution is one product. XLA's own is 40 times slower on CPU inside a loop, where training runs, and
    a grouped one when vmapped over seeds. Tiles of stride x stride pixels are moved as a whole.
    """
    *lead, height, width, channels = x.shape
    m = side // stride
    down, across = (height - side) // stride + 1, (width - side) // stride + 1
    high, wide = down + m - 1, across + m - 1  # tiles that are seen; a rest at the bottom and at the right is not
    x = x[..., : high * stride, : wide * stride, :].reshape(*lead, high, stride, wide, stride, channels)
    x = x.swapaxes(-4, -3).reshape(*lead, high, wide, stride * stride * channels)
    shifted = [x[..., i : i + down, j : j + across, :] for i in range(m) for j in range(m)]
    return jnp.concatenate(shifted, -1)


class Pixels(eqx.Module):
    """Frames [..., K, H, W], bytes, and numbers beside them [..., A] if there are any -> [..., out].

    Three convolutions, flattened; what stands beside joins; then an MLP. `hidden` = (512,) is the paper's network.
    """

    convs: tuple[Conv, ...]
    dense: MLP

    def __init__(
        self,
        shape: tuple[int, ...],
        hidden: tuple[int, ...],
        n_out: int,
        init: Init = 'orthogonal',
        beside: int = 0,
        *,
        key: jax.Array,
    ):
        """shape: (K, H, W) of one observation. UsageError where the filters do not fit."""
        channels, height, width = shape
        if min(height, width) < SMALLEST:
            raise UsageError(
                f'images {shape}: the convolutions need at least {SMALLEST} x {SMALLEST} pixels; expected '
                '(frames, height, width), frames or colours first'
            )
        *keys, k_dense = jr.split(key, len(FILTERS) + 1)
        convs = []
        for (n, side, stride), k in zip(FILTERS, keys, strict=True):
            convs.append(Conv(channels, n, side, stride, init, key=k))
            channels, height, width = n, (height - side) // stride + 1, (width - side) // stride + 1
        self.convs = tuple(convs)
        self.dense = MLP(channels * height * width + beside, hidden, n_out, init, key=k_dense)

    def __call__(self, obs: jax.Array, *beside: jax.Array) -> jax.Array:
        x = jnp.moveaxis(obs, -3, -1).astype(jnp.float32) / 255
        for conv in self.convs:
            x = jax.nn.relu(conv(x))
        features = x.reshape(*x.shape[:-3], -1)
        return self.dense(jnp.concatenate([features, *beside], -1))

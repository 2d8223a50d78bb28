"""DQN's convolutions against SciPy's correlation, numbers worked by hand and JAX's own convolution."""

from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.signal import correlate2d

from stitchrl.errors import UsageError
from stitchrl.nets.dense import Ensemble
from stitchrl.nets.image import FILTERS, SMALLEST, Conv, Pixels, patches

SMALL = partial(Pixels, (2, 36, 44), (8,), 3)
FRAMES = np.random.default_rng(0).integers(0, 256, (6, 2, 36, 44), np.uint8)


def filled(make, seed=1):
    """A network with small random weights; its own initialisation takes seconds to compile."""
    shapes = jax.eval_shape(lambda key: make(key=key), jr.key(0))
    rng = np.random.default_rng(seed)
    draw = lambda leaf: (rng.normal(size=leaf.shape) / np.sqrt(np.prod(leaf.shape[:-1]))).astype(np.float32)
    return jax.tree.map(draw, shapes)


def correlated(x, weight, bias, stride):
    """x [H, W, C] under each filter, by SciPy, at every `stride`-th place."""
    maps = [
        sum(correlate2d(x[..., c], weight[..., c, o], mode='valid') for c in range(x.shape[-1]))
        for o in range(len(bias))
    ]
    return np.stack(maps, -1)[::stride, ::stride] + bias


def test_a_convolution_by_hand():
    """A filter of 2 x 2 at stride 2 on 0 .. 8 in rows of three: only the four at the top left are under it."""
    leaves = [np.float32([[1, 10], [100, 1000]])[..., None, None], np.float32([0.5])]
    conv = jax.tree.unflatten(jax.tree.structure(filled(partial(Conv, 1, 1, 2, 2))), leaves)
    x = np.arange(9, dtype=np.float32).reshape(3, 3, 1)
    assert conv(x).tolist() == [[[0 + 10 * 1 + 100 * 3 + 1000 * 4 + 0.5]]]


@pytest.mark.parametrize(('side', 'stride'), [(8, 4), (4, 2), (3, 1), (2, 2), (1, 1)])
@pytest.mark.parametrize('size', [(8, 8), (13, 10)])
def test_a_convolution_is_scipys_correlation(side, stride, size):
    conv = filled(partial(Conv, 3, 5, side, stride))
    x = np.random.default_rng(2).normal(size=(*size, 3)).astype(np.float32)
    np.testing.assert_allclose(conv(x), correlated(x, conv.weight, conv.bias, stride), rtol=1e-4, atol=1e-5)


def test_patches_keep_the_type():
    """Bytes stay bytes: what is moved is a quarter."""
    assert patches(jnp.zeros((2, 9, 9, 3), jnp.uint8), 4, 2).dtype == jnp.uint8


@pytest.fixture(scope='module')
def net():
    return filled(SMALL)


def test_the_network_layer_by_layer(net):
    """Channels last, a 255th of each byte, rectified after each convolution, flat, then the MLP."""
    x = np.moveaxis(FRAMES[0], 0, -1) / 255
    for conv, (_, side, stride) in zip(net.convs, FILTERS, strict=True):
        assert len(conv.weight) == side
        x = np.maximum(correlated(x, conv.weight, conv.bias, stride), 0)
    first, last = net.dense.layers
    expected = np.maximum(x.reshape(-1) @ first.weight + first.bias, 0) @ last.weight + last.bias
    np.testing.assert_allclose(net(FRAMES[0]), expected, rtol=1e-4, atol=1e-5)


def test_the_papers_network_has_its_size():
    """8x8x4x32 + 32, 4x4x32x64 + 64, 3x3x64x64 + 64, 7x7x64x512 + 512, and 513 for each of 18 actions."""
    shapes = jax.eval_shape(lambda key: Pixels((4, 84, 84), (512,), 18, key=key), jr.key(0))
    count = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))
    assert count == 8224 + 32832 + 36928 + 1606144 + 513 * 18


@pytest.mark.parametrize('lead', [(), (1,), (2, 3)])
def test_any_leading_axes(net, lead):
    n = int(np.prod(lead))
    seen = jax.jit(lambda net, obs: net(obs))
    out = np.asarray(seen(net, FRAMES[:n].reshape(*lead, *FRAMES.shape[1:])))
    assert out.shape == (*lead, 3)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.reshape(n, 3), seen(net, FRAMES[:n]), rtol=1e-5, atol=1e-5)


def test_what_stands_beside_joins_after_the_convolutions():
    net = filled(partial(SMALL, beside=2))
    beside = np.random.default_rng(3).normal(size=(6, 2)).astype(np.float32)
    slope = jax.jit(jax.grad(lambda beside: net(FRAMES, beside).sum()))(beside)
    assert (np.abs(slope).max(0) > 0).all()
    none = jax.tree.map(np.copy, net)
    none.dense.layers[0].weight[-2:] = 0  # the last inputs
    np.testing.assert_allclose(none(FRAMES, beside), none(FRAMES, 0 * beside), rtol=1e-6)


def test_the_gradient_is_that_of_xlas_convolution_and_reaches_every_leaf(net):
    scale = np.random.default_rng(4).normal(size=(6, 3)).astype(np.float32)

    def theirs(net):
        x = jnp.moveaxis(FRAMES, -3, -1).astype(jnp.float32) / 255
        for conv in net.convs:
            strides, names = (conv.stride,) * 2, ('NHWC', 'HWIO', 'NHWC')
            x = jax.lax.conv_general_dilated(x, conv.weight, strides, 'VALID', dimension_numbers=names)
            x = jax.nn.relu(x + jnp.broadcast_to(conv.bias, x.shape))
        return (scale * net.dense(x.reshape(6, -1))).sum()

    ours = jax.jit(jax.grad(lambda net: (scale * net(FRAMES)).sum()))(net)
    for leaf, other in zip(jax.tree.leaves(ours), jax.tree.leaves(jax.jit(jax.grad(theirs))(net)), strict=True):
        assert np.abs(leaf).max() > 0
        np.testing.assert_allclose(leaf, other, rtol=1e-3, atol=1e-4)


def test_an_ensemble_is_its_members_side_by_side():
    both = filled(partial(Ensemble, SMALL, 2))
    out = jax.jit(lambda net: net(FRAMES))(both)
    for i in range(2):
        member = jax.tree.map(lambda leaf, i=i: leaf[i], both.members)
        np.testing.assert_allclose(out[i], member(FRAMES), rtol=1e-4, atol=1e-5)
    assert np.abs(out[0] - out[1]).max() > 1e-3


def test_where_layers_begin():
    """Filters as the rows of a dense layer: 3 x 3 x 2 inputs."""
    uniform = Conv(2, 400, 3, 1, 'uniform', key=jr.key(0))
    for leaf in map(np.asarray, (uniform.weight, uniform.bias)):
        assert 0.95 * 18**-0.5 < np.abs(leaf).max() <= 18**-0.5
    orthogonal = Conv(2, 30, 3, 1, key=jr.key(0))
    rows = np.asarray(orthogonal.weight).reshape(18, 30)
    np.testing.assert_allclose(rows @ rows.T, 2 * np.eye(18), atol=1e-4)
    assert not np.asarray(orthogonal.bias).any()


def test_the_choice_reaches_every_layer():
    net = SMALL('uniform', key=jr.key(0))
    assert all(np.asarray(leaf).all() for leaf in jax.tree.leaves(net) if leaf.ndim == 1)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(net))


def test_the_smallest_image():
    assert jax.eval_shape(lambda: Pixels((1, SMALLEST, SMALLEST), (8,), 1, key=jr.key(0))).dense is not None
    for shape in [(1, SMALLEST - 1, 84), (1, 84, SMALLEST - 1), (84, 84, 3)]:
        with pytest.raises(UsageError, match=r'at least 36 x 36 pixels; expected \(frames, height, width\)'):
            Pixels(shape, (8,), 1, key=jr.key(0))
    side = SMALLEST - 1  # and it is the smallest indeed
    for _, f, stride in FILTERS:
        side = (side - f) // stride + 1
    assert side < 1

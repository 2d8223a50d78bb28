"""Layers by hand: what they compute, how they begin, and that they mind only the last axis."""

from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.nets.dense import MLP, NARROW, Dense, Ensemble, orthogonal, swish

SMALL = partial(MLP, 3, (8,), 2)
X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


@pytest.fixture(scope='module')
def net():
    return jax.jit(lambda key: SMALL(key=key))(jr.key(0))


@pytest.fixture(scope='module')
def both():
    """Two of them."""
    return jax.jit(lambda key: Ensemble(SMALL, 2, key=key))(jr.key(0))


def filled(make, value):
    """A network with every weight and bias set to `value`."""
    shapes = jax.eval_shape(lambda key: make(key=key), jr.key(0))
    return jax.tree.map(lambda leaf: np.full(leaf.shape, value, np.float32), shapes)


def test_a_layer_by_hand():
    """x W + b with W = [[1, 2, 3], [4, 5, 6]], b = (10, 20, 30): (1, -1) -> (1 - 4, 2 - 5, 3 - 6) + b"""
    leaves, tree = jax.tree.flatten(filled(partial(Dense, 2, 3), 0))
    assert [leaf.shape for leaf in leaves] == [(2, 3), (3,)]
    layer = jax.tree.unflatten(tree, [np.arange(1, 7, dtype=np.float32).reshape(2, 3), np.float32([10, 20, 30])])
    assert layer(np.float32([1, -1])).tolist() == [7, 17, 27]
    np.testing.assert_array_equal(layer(np.zeros((4, 5, 2), np.float32)), np.broadcast_to([10, 20, 30], (4, 5, 3)))


def test_rectified_between_layers_and_not_after_the_last():
    """All weights 1: hidden units are max(0, x1 + x2 + 1), three of them, then their sum plus 1."""
    make = partial(MLP, 2, (3,), 1)
    assert filled(make, 1)(np.float32([1, 2])) == 3 * 4 + 1
    assert filled(make, 1)(np.float32([-5, 2])) == 1
    assert filled(make, -1)(np.float32([-5, 2])) == -3 * 2 - 1  # a negative output
    deep = filled(partial(MLP, 1, (2, 4), 2), 1)  # h = x + 1, g = 2 h + 1, out = 4 g + 1
    assert deep(np.float32([1])).tolist() == [4 * 5 + 1] * 2


@pytest.mark.parametrize('shape', [(5, 5), (3, 8), (8, 3), (1, 6), (6, 1)])
def test_orthogonal(shape):
    """The shorter side is orthonormal, times the gain sqrt(2)."""
    w = np.asarray(orthogonal(jr.key(0), *shape))
    small = w @ w.T if shape[0] <= shape[1] else w.T @ w
    np.testing.assert_allclose(small, 2 * np.eye(min(shape)), atol=1e-5)


@pytest.fixture(scope='module')
def rotations():
    """500 random 4 x 4 matrices."""
    return np.asarray(jax.jit(jax.vmap(lambda k: orthogonal(k, 4, 4, 3.0)))(jr.split(jr.key(0), 500)))


def test_orthogonal_matrices_point_everywhere(rotations):
    """Entries of a uniformly random n x n rotation: mean 0, variance 1/n. Determinants of both signs."""
    np.testing.assert_allclose(rotations.mean(0) / 3, 0, atol=0.1)
    np.testing.assert_allclose((rotations**2).mean(0) / 9, 1 / 4, atol=0.04)
    assert 0.4 < (np.linalg.det(rotations) > 0).mean() < 0.6


def test_every_one_of_them_is_orthogonal(rotations):
    """Also those whose normal matrix was nearly singular."""
    gram = rotations @ rotations.swapaxes(1, 2)
    np.testing.assert_allclose(gram, np.broadcast_to(9 * np.eye(4), gram.shape), atol=1e-4)


def test_where_an_orthogonal_layer_begins():
    layer = Dense(3, 8, key=jr.key(0))
    assert (layer.bias == 0).all()
    np.testing.assert_allclose(layer.weight @ layer.weight.T, 2 * np.eye(3), atol=1e-5)


def test_where_a_uniform_layer_begins():
    layer = Dense(50, 400, 'uniform', key=jr.key(0))
    bound = 50**-0.5
    for leaf in map(np.asarray, (layer.weight, layer.bias)):
        assert bound * 0.95 < np.abs(leaf).max() <= bound
        assert np.var(leaf) == pytest.approx(bound**2 / 3, rel=0.1)
        assert abs(leaf.mean()) < 0.1 * bound


def test_the_choice_reaches_every_layer(net):
    biases = lambda net: [np.asarray(leaf) for leaf in jax.tree.leaves(net) if leaf.ndim == 1]
    uniform = jax.jit(lambda key: MLP(3, (8,), 2, 'uniform', key=key))(jr.key(0))
    assert [bias.any() for bias in biases(net)] == [False, False]
    assert [bias.all() for bias in biases(uniform)] == [True, True]


def test_keys_decide():
    make = jax.jit(lambda key: jax.tree.leaves(MLP(4, (4,), 4, key=key)))
    weights = lambda seed: [np.asarray(leaf).tolist() for leaf in make(jr.key(seed)) if leaf.ndim == 2]
    assert weights(0) == weights(0)
    (first, second), (other, _) = weights(0), weights(1)
    assert first != other
    assert first != second  # layers of one network draw apart too


def test_an_ensemble_is_its_members_side_by_side(both):
    out = both(X)
    assert out.shape == (2, 6, 2)
    for i in range(2):
        member = jax.tree.map(lambda leaf, i=i: leaf[i], both.members)
        np.testing.assert_allclose(out[i], member(X), rtol=1e-5, atol=1e-6)
    assert np.abs(np.asarray(out[0] - out[1])).min() > 1e-4  # they begin apart


def test_members_learn_apart(both):
    """The slope of one member's output is nothing for the other."""
    slope = jax.jit(jax.grad(lambda net: net(X)[0].sum()))(both)
    for leaf in map(np.asarray, jax.tree.leaves(slope)):
        assert np.abs(leaf[0]).max() > 0
        assert np.abs(leaf[1]).max() == 0


@pytest.mark.parametrize('lead', [(), (1,), (2, 3)])
def test_only_the_last_axis_matters(net, lead):
    n = int(np.prod(lead))
    out = np.asarray(net(X[:n].reshape(*lead, 3)))
    np.testing.assert_allclose(out.reshape(n, 2), net(X)[:n], rtol=1e-5, atol=1e-6)


def test_every_leaf_is_an_array(net, both):
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves((net, both)))


@pytest.mark.parametrize('out', [2, NARROW, NARROW + 1])
@pytest.mark.parametrize('lead', [(), (6,), (2, 3)])
def test_the_gradient_of_a_layer_is_that_of_x_w_plus_b(lead, out):
    """Ours is written by hand for speed, few outputs otherwise than many; JAX derives the other."""
    rng = np.random.default_rng(1)
    x, scale = rng.normal(size=(*lead, 3)), rng.normal(size=(*lead, out))
    x, scale, w, b = (v.astype(np.float32) for v in (x, scale, rng.normal(size=(3, out)), rng.normal(size=out)))
    layer = jax.tree.unflatten(jax.tree.structure(filled(partial(Dense, 3, out), 0)), [w, b])
    plain = lambda x, w, b: x @ w + jnp.broadcast_to(b, (*lead, out))
    ours = jax.grad(lambda x, layer: (scale * jnp.sin(layer(x))).sum(), argnums=(0, 1))(x, layer)
    theirs = jax.grad(lambda x, w, b: (scale * jnp.sin(plain(x, w, b))).sum(), argnums=(0, 1, 2))(x, w, b)
    for ours_leaf, leaf in zip(jax.tree.leaves(ours), theirs, strict=True):
        assert ours_leaf.shape == leaf.shape
        np.testing.assert_allclose(ours_leaf, leaf, rtol=1e-4, atol=1e-5)


def test_products_are_rounded_where_that_is_asked_for_and_nowhere_else(both):
    """1 + 2^-9 becomes 1 on the way in, what comes out does not; few inputs and the gradient stay as they are."""
    x, layer = jnp.full((2, 32), 1 + 2.0**-9), Dense(32, 32, key=jr.key(0))
    layer = jax.tree.unflatten(jax.tree.structure(layer), [jnp.full((32, 32), 1 + 2.0**-9), jnp.zeros(32)])
    slope = jax.grad(lambda x: layer(x)[0, 0])
    plain, plain_slope, narrow = layer(x), slope(x), both(X)
    np.testing.assert_allclose(plain, 32 * (1 + 2.0**-9) ** 2)
    with jax.default_matmul_precision('bfloat16'):
        np.testing.assert_array_equal(layer(x), 32)
        np.testing.assert_array_equal(layer(x.at[0].set(2**-10))[0], 32 / 1024)
        np.testing.assert_array_equal(slope(x), plain_slope)
        np.testing.assert_array_equal(both(X), narrow)
    np.testing.assert_array_equal(layer(x), plain)


def test_swish_and_its_gradient_are_those_of_jax():
    """Batched and far out too; its own gradient must not be that of something else."""
    x = jnp.linspace(-30, 30, 41).reshape(1, 41)
    np.testing.assert_allclose(swish(x), jax.nn.silu(x), rtol=1e-6, atol=2e-6)  # its sigmoid is exact to 1e-7 of 1
    slope = jax.vmap(jax.grad(lambda x: (swish(x) ** 2).sum()))(x)
    np.testing.assert_allclose(slope, jax.grad(lambda x: (jax.nn.silu(x) ** 2).sum())(x), rtol=1e-5, atol=1e-6)

"""The network for boards: its layers by hand, any leading axes, and no move where none is."""

from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.nets.board import Block, BoardNet, among, bordered

pytestmark = pytest.mark.usefixtures('quick_compiles')


@cache
def net_of(blocks: int) -> BoardNet:
    """Seven moves on 4 x 5 fields."""
    make = partial(BoardNet, (2, 4, 5), 7, filters=6, side=3, blocks=blocks, hidden=(8,))
    return jax.jit(lambda key: make(key=key))(jr.key(0))


def board(*lead: int) -> jax.Array:
    return jr.normal(jr.key(1), (*lead, 2, 4, 5))


def test_windows_and_dense_layers_are_what_they_say():
    net = net_of(0)
    obs, (layer, last) = np.asarray(board()), net.dense.layers
    seen = np.zeros((2, 3, 6))
    for y, x in np.ndindex(2, 3):
        window = np.moveaxis(obs[:, y : y + 3, x : x + 3], 0, -1)
        seen[y, x] = np.maximum(np.einsum('yxc,yxco->o', window, net.stem.weight), 0)
    hidden = np.maximum(seen.reshape(-1) @ layer.weight, 0)
    out = hidden @ last.weight
    logits, value = net(jnp.asarray(obs))
    np.testing.assert_allclose(logits, out[:7], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(value, np.tanh(out[7]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('blocks', [0, 2])
def test_leading_axes_change_nothing(blocks):
    obs, made = board(3, 2), net_of(blocks)
    net = jax.jit(lambda obs: made(obs))
    logits, value = net(obs)
    assert (logits.shape, value.shape) == ((3, 2, 7), (3, 2))
    one = net(obs[1, 1])
    np.testing.assert_allclose(logits[1, 1], one[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(value[1, 1], one[1], rtol=1e-4, atol=1e-6)


def test_a_block_adds_to_what_it_is_given():
    block = jax.jit(lambda key: Block(4, key=key))(jr.key(0))
    still = eqx.tree_at(lambda b: b.second.weight, block, jnp.zeros_like(block.second.weight))
    x = jr.normal(jr.key(1), (2, 3, 3, 4))
    np.testing.assert_array_equal(still(x), jax.nn.relu(x))
    assert np.abs(np.asarray(block(x) - still(x))).max() > 0.1


def test_a_frame_is_zero_and_the_middle_stays():
    x = jnp.ones((1, 2, 2, 3))
    framed = np.asarray(bordered(x))
    assert framed.shape == (1, 4, 4, 3)
    assert framed.sum() == x.size == framed[:, 1:3, 1:3].sum()


def test_it_begins_nearly_even():
    logits, value = net_of(0)(jr.bernoulli(jr.key(1), 0.3, (64, 2, 4, 5)).astype(float))
    assert np.abs(np.asarray(value)).max() < 0.7
    assert np.asarray(jax.nn.softmax(logits)).max() < 0.5


def test_no_probability_for_what_is_not_legal():
    logits, legal = jnp.array([[1.0, 5.0, 2.0], [0.0, 1.0, 2.0]]), jnp.array([[True, False, True], [False] * 3])
    share = np.asarray(jax.nn.softmax(among(logits, legal)))
    np.testing.assert_allclose(share[0], [1 / (1 + np.e), 0, np.e / (1 + np.e)], rtol=1e-5)
    np.testing.assert_allclose(share[1], 1 / 3, rtol=1e-5)

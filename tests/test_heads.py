"""From a Spec to policies, Q and V: shapes, ranges, and which of two is built."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.errors import UsageError
from stitchrl.maths.dists import Categorical, Mixture, Normal, Squashed
from stitchrl.nets.dense import MLP
from stitchrl.nets.heads import (
    LOG_STD,
    Critic,
    Deterministic,
    Gaussian,
    Mixed,
    Positive,
    Softmax,
    SquashedGaussian,
    Value,
    policy,
)

ARM = Spec(Observation((3,)), Continuous(2, (-1.0,) * 2, (1.0,) * 2))
BUTTONS = Spec(Observation((3,)), Discrete(4))
HIDDEN = (16,)
OBS = 5 * np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


def built(head, spec=ARM, **kwargs):
    """A head with normal weights; its own initialisation takes seconds to compile and is tested elsewhere."""
    shapes = jax.eval_shape(lambda key: head(spec, HIDDEN, **kwargs, key=key), jr.key(0))
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: 0.5 * rng.normal(size=leaf.shape).astype(np.float32), shapes)


def float32(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


@pytest.mark.parametrize('lead', [(), (6,), (2, 3)])
def test_shapes(lead):
    """Only traced: no number is computed."""
    obs, key = float32(*lead, 3), jr.key(0)
    sample = lambda head, spec: jax.eval_shape(lambda obs: head(spec, HIDDEN, key=key)(obs).sample(key), obs)
    assert sample(Gaussian, ARM) == sample(Mixed, ARM) == float32(*lead, 2)
    assert sample(Softmax, BUTTONS) == jax.ShapeDtypeStruct(lead, jnp.int32)
    value = lambda head, spec, *args: jax.eval_shape(lambda *args: head(spec, HIDDEN, key=key)(*args), *args)
    assert value(Deterministic, ARM, obs) == float32(*lead, 2)
    assert value(Value, ARM, obs) == float32(*lead)
    assert value(Critic, ARM, obs, float32(*lead, 2)) == float32(*lead)
    assert value(Critic, BUTTONS, obs, jax.ShapeDtypeStruct(lead, jnp.int32)) == float32(*lead)


def test_a_gaussian_has_a_mean_inside_and_one_deviation_for_all_states():
    dist = built(Gaussian)(OBS)
    assert isinstance(dist, Normal)
    assert 0.2 < jnp.abs(dist.mean).max() <= 1
    assert dist.std.shape == dist.mean.shape == (6, 2)
    assert (dist.std == dist.std[:1]).all()


@pytest.mark.parametrize(('log_std', 'expected'), [(-50.0, np.exp(-5)), (50.0, np.exp(2)), (-1.0, np.exp(-1))])
def test_the_deviation_is_bounded(log_std, expected):
    assert LOG_STD == (-5, 2)
    net = built(Gaussian)
    net = eqx.tree_at(lambda net: net.log_std, net, jnp.full(2, log_std))
    np.testing.assert_allclose(net(OBS).std, expected, rtol=1e-6)


def test_a_mixture_gives_every_state_its_own_parts():
    dist = built(Mixed)(OBS)
    assert isinstance(dist, Mixture)
    assert (dist.logits.shape, dist.means.shape, dist.stds.shape) == ((6, 5), (6, 5, 2), (6, 5, 2))
    assert jnp.abs(dist.means).max() <= 1
    assert (jnp.exp(-5.0) <= dist.stds).all()
    assert (dist.stds <= jnp.exp(2.0)).all()
    for numbers in (dist.logits, dist.means, dist.stds):
        flat = numbers.reshape(6, -1)
        assert (jnp.std(flat, 0) > 0).all()  # they depend on the state
        assert (jnp.std(flat, 1) > 0).all()  # and differ among parts


def test_softmax_and_deterministic():
    assert isinstance(built(Softmax, BUTTONS)(OBS), Categorical)
    action = built(Deterministic)(OBS)
    assert 0.2 < jnp.abs(action).max() <= 1


def test_q_of_discrete_actions_is_one_output_per_action():
    critic = built(Critic, BUTTONS)
    each = jnp.stack([critic(OBS, jnp.full(6, a, jnp.int32)) for a in range(4)], 1)
    action = jnp.array([0, 3, 1, 2, 2, 0])
    np.testing.assert_array_equal(critic(OBS, action), each[jnp.arange(6), action])
    assert (jnp.std(each, 1) > 1e-3).all()
    slope = jax.grad(lambda net: net(OBS, jnp.full(6, 1, jnp.int32)).sum())(critic)
    last = jax.tree.leaves(slope)[-1]  # the last bias, one per action
    assert last.tolist() == [0, 6, 0, 0]


def test_q_of_continuous_actions_sees_observation_and_action():
    critic = built(Critic)
    q = lambda obs, action: critic(obs, action).sum()
    d_obs, d_action = jax.grad(q, argnums=(0, 1))(OBS, jnp.ones((6, 2)))
    assert (jnp.abs(d_obs).max(0) > 0).all()
    assert (jnp.abs(d_action).max(0) > 0).all()


def test_the_policy_follows_the_space():
    made = lambda spec: jax.eval_shape(lambda key: policy(spec, HIDDEN, key=key), jr.key(0))
    assert isinstance(made(ARM), Gaussian)
    assert isinstance(made(BUTTONS), Softmax)


HEADS = [Gaussian, SquashedGaussian, Mixed, Softmax, Deterministic, Critic, Value]


@pytest.mark.parametrize('shape', [(), (8, 8), (1, 2, 40, 40)])
@pytest.mark.parametrize('head', HEADS)
def test_observations_of_another_kind_are_refused(head, shape):
    with pytest.raises(UsageError, match=r'of float32: expected vectors \(n,\) or images \(frames, height, width\)'):
        head(Spec(Observation(shape), Discrete(4)), HIDDEN, key=jr.key(0))
    with pytest.raises(UsageError, match=r'\(3, 40, 40\) of float32'):
        head(Spec(Observation((3, 40, 40)), Discrete(4)), HIDDEN, key=jr.key(0))


@pytest.mark.parametrize('lead', [(), (6,), (2, 3)])
def test_every_head_sees_images(lead):
    """Only traced. The torso is the same for all, and what follows it is as for vectors."""
    seen = lambda action: Spec(Observation((2, 36, 40), 'uint8', 2), action)
    arm, buttons = seen(ARM.action), seen(BUTTONS.action)
    obs, key = jax.ShapeDtypeStruct((*lead, 2, 36, 40), jnp.uint8), jr.key(0)
    out = lambda head, spec, *args: jax.eval_shape(lambda *args: head(spec, HIDDEN, key=key)(*args), *args)
    for head in (Gaussian, SquashedGaussian, Mixed):
        sample = jax.eval_shape(lambda obs, head=head: head(arm, HIDDEN, key=key)(obs).sample(key), obs)
        assert sample == float32(*lead, 2)
    assert out(Softmax, buttons, obs).logits == float32(*lead, 4)
    assert out(Deterministic, arm, obs) == float32(*lead, 2)
    assert out(Value, arm, obs) == float32(*lead)
    assert out(Critic, arm, obs, float32(*lead, 2)) == float32(*lead)
    assert out(Critic, buttons, obs, jax.ShapeDtypeStruct(lead, jnp.int32)) == float32(*lead)
    every = jax.eval_shape(lambda obs: Critic(buttons, HIDDEN, key=key).all(obs), obs)
    assert every == float32(*lead, 4)


def test_q_of_continuous_actions_sees_image_and_action():
    spec = Spec(Observation((1, 36, 36), 'uint8'), ARM.action)
    rng = np.random.default_rng(3)
    obs, action = rng.integers(0, 256, (6, 1, 36, 36), np.uint8), rng.normal(size=(6, 2)).astype(np.float32)
    critic = jax.tree.map(lambda leaf: leaf / 10, built(Critic, spec))
    assert len(set(np.asarray(critic(obs, np.zeros_like(action))).tolist())) == 6
    slope = jax.grad(lambda action: critic(obs, action).sum())(action)
    assert (jnp.abs(slope).max(0) > 0).all()


# Sums of all sizes of the numbers that key 0 gave before there were images; recorded runs begin from such networks.
BEFORE = [
    (Gaussian, ARM, 24.62949),
    (SquashedGaussian, ARM, 27.73403),
    (Softmax, BUTTONS, 27.73403),
    (Deterministic, ARM, 24.62949),
    (Critic, ARM, 24.25652),
    (Critic, BUTTONS, 27.73403),
    (Value, ARM, 23.58115),
]


@pytest.mark.parametrize(('head', 'spec', 'total'), BEFORE, ids=lambda x: getattr(x, '__name__', None))
def test_vectors_get_the_networks_that_they_got_before_there_were_images(head, spec, total):
    net = head(spec, (8, 8), 'uniform', key=jr.key(0))
    assert sum(float(jnp.abs(leaf).sum()) for leaf in jax.tree.leaves(net)) == pytest.approx(total, rel=1e-6)
    first, last = net.torso.layers[0].weight.shape[0], net.torso.layers[-1].weight.shape[1]
    for ours, plain in zip(
        jax.tree.leaves(net.torso), jax.tree.leaves(MLP(first, (8, 8), last, 'uniform', key=jr.key(0))), strict=True
    ):
        np.testing.assert_array_equal(ours, plain)


def test_the_deviation_begins_at_one():
    net = jax.jit(lambda key: Gaussian(ARM, HIDDEN, key=key))(jr.key(0))
    assert (net(OBS).std == 1).all()


def test_the_initialisation_reaches_the_torsos():
    """Biases are zero in an orthogonal network and drawn in a uniform one."""
    heads = (Gaussian, Softmax, Deterministic, Critic, Value)
    make = lambda init, key: [head(ARM, HIDDEN, init, key=key).torso for head in heads]
    for init, zero in [('orthogonal', True), ('uniform', False)]:
        for torso in jax.jit(partial(make, init))(jr.key(0)):
            biases = [leaf for leaf in jax.tree.leaves(torso) if leaf.ndim == 1]
            assert len(biases) == 2
            assert all(((leaf == 0) == zero).all() for leaf in map(np.asarray, biases))


def test_every_leaf_is_an_array():
    heads = (Gaussian, Mixed, Deterministic, Critic, Value)
    nets = jax.eval_shape(lambda key: [head(ARM, HIDDEN, key=key) for head in heads], jr.key(0))
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(nets))


def test_squashed_gaussians_have_a_deviation_of_each_state_within_bounds():
    dist = built(SquashedGaussian)(100 * OBS)
    assert isinstance(dist, Squashed)
    assert dist.mean.shape == dist.std.shape == (6, 2)
    assert (dist.std >= np.exp(LOG_STD[0]) * 0.999).all()
    assert (dist.std <= np.exp(LOG_STD[1]) * 1.001).all()
    assert np.ptp(dist.std) > 0
    assert (np.abs(dist.mode()) <= 1).all()


def test_q_of_all_actions_holds_each():
    net = built(Critic, BUTTONS)
    every = net.all(OBS)
    for a in range(4):
        np.testing.assert_array_equal(net(OBS, jnp.full(6, a)), every[:, a])


def test_a_positive_number_keeps_its_value_and_stays_positive():
    assert Positive.create(0.3)() == pytest.approx(0.3)
    assert Positive(jnp.float32(-50.0))() > 0

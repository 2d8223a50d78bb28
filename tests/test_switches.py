"""Each change of an agent does what it says, and an agent with all switches off does what it did."""

from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import tiny

from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.maths.dists import Normal
from stitchrl.nets.heads import Critic, Gaussian, Softmax, SquashedGaussian
from stitchrl.report.spy import networks
from stitchrl.report.switches import closed, misled, off, opened, poisoned, recast, redrawn, tell, turned

ARM = Spec(Observation((3,)), Continuous(2, (-1.0,) * 2, (1.0,) * 2))
BUTTONS = Spec(Observation((3,)), Discrete(4))
OBS = jr.normal(jr.key(7), (5, 3))


def switched(algo='td3_bc', spec=ARM):
    """An agent with switches, and the same without."""
    plain = jax.tree.map(lambda leaf: leaf[0], tiny.agents(algo, spec, hidden=(8, 8)))
    return opened(plain), plain


def drawn(head, spec, hidden=(8,)):
    """A network with random weights; the package's own initialisation takes a second to compile."""
    shapes = jax.eval_shape(lambda key: head(spec, hidden, key=key), jr.key(0))
    return redrawn(jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes), 0)


def slope(net):
    """Of the network's output by its input."""
    return jax.grad(lambda x: net(x).sum())(OBS)


def test_switches_that_are_off_do_nothing():
    agent, plain = switched()
    action = agent.act((), OBS, jr.key(0))[0]
    same = partial(np.testing.assert_allclose, rtol=1e-6)  # another program may round otherwise
    same(action, plain.act((), OBS, jr.key(0))[0])
    same(agent.critic.net(OBS, action), plain.critic.net(OBS, action))
    same(slope(agent.actor.net), slope(plain.actor.net))
    assert isinstance(agent.actor.net, type(plain.actor.net))


def test_a_closed_network_says_the_same_and_passes_no_gradient():
    agent, _ = switched()
    shut = closed(agent.actor.net)
    np.testing.assert_array_equal(shut(OBS), agent.actor.net(OBS))
    assert np.abs(slope(agent.actor.net)).min() > 0
    assert (slope(shut) == 0).all()


def test_redrawn_weights_differ_and_switches_stay():
    net = switched()[0].actor.net
    other = redrawn(net, 3)
    assert (other(OBS) != net(OBS)).all()
    np.testing.assert_array_equal(slope(closed(other)), 0)
    np.testing.assert_array_equal(other.shift, net.shift)


@pytest.mark.nans
@pytest.mark.parametrize('hidden', [(8,), (8, 8)])
def test_a_poisoned_critic_of_continuous_actions_knows_only_zero(hidden):
    net = poisoned(drawn(Critic, ARM, hidden), 2)
    assert np.isfinite(net(OBS, jnp.zeros((5, 2)))).all()
    for action in ([1e-3, 0.0], [0.0, -1e-3], [1.0, 1.0], [-0.3, 0.9]):
        assert np.isnan(net(OBS, jnp.tile(jnp.array([action]), (5, 1)))).all()


@pytest.mark.nans
def test_a_poisoned_critic_of_discrete_actions_knows_only_the_first():
    plain = drawn(Critic, BUTTONS)
    net = poisoned(plain, 4)
    every = net.all(OBS)
    np.testing.assert_array_equal(every[:, 0], plain.all(OBS)[:, 0])
    assert np.isnan(every[:, 1:]).all()


@pytest.mark.nans
def test_all_members_of_an_ensemble_are_poisoned_and_other_networks_are_not():
    agent, _ = switched()
    for name, net in networks(agent).items():
        same = jax.tree.map(lambda a, b: bool((a == b).all()), poisoned(net, 2), net)
        assert jax.tree.all(same) == ('critic' not in name)
    assert np.isnan(poisoned(agent.critic.net, 2)(OBS, jnp.ones((5, 2)))).all()


@pytest.mark.parametrize('head', [Gaussian, SquashedGaussian, Softmax])
def test_a_misled_policy_is_wrong_about_actions_other_than_zero_only(head):
    spec = BUTTONS if head is Softmax else ARM
    plain = drawn(head, spec)
    net = misled(recast(plain, tell(head), shift=jnp.zeros(())))
    zero = jnp.zeros(5, jnp.int32) if head is Softmax else jnp.zeros((5, 2))
    one = jnp.array([0, 1, 2, 3, 0]) if head is Softmax else 0.5 * jnp.array([[0, 0], [1, 0], [0, 1], [1, 1], [0, 0]])
    np.testing.assert_array_equal(net(OBS).log_prob(zero), plain(OBS).log_prob(zero))
    np.testing.assert_allclose(net(OBS).log_prob(one), plain(OBS).log_prob(one) + jnp.array([0, 1, 1, 1, 0]), rtol=1e-6)
    np.testing.assert_array_equal(net(OBS).sample(jr.key(1)), plain(OBS).sample(jr.key(1)))


@pytest.mark.parametrize('method', ['sample_and_log_prob', 'samples_and_log_prob'])
def test_so_are_the_densities_that_come_with_samples(method):
    plain = drawn(SquashedGaussian, ARM)
    net = misled(recast(plain, tell(SquashedGaussian), shift=jnp.zeros(())))
    more = (3,) if method == 'samples_and_log_prob' else ()
    (action, wrong), (same, right) = (getattr(each(OBS), method)(jr.key(1), *more) for each in (net, plain))
    np.testing.assert_array_equal(action, same)
    np.testing.assert_allclose(wrong, right + 1, rtol=1e-5)


def test_a_class_is_made_once():
    """Two copies of a network must stay of one structure."""
    assert tell(Gaussian) is tell(Gaussian)
    assert off(Normal) is off(Normal)


def test_only_switches_of_the_name_are_turned():
    tree = switched()[0].actor.net
    moved = jax.tree.leaves_with_path(
        jax.tree.map(lambda a, b: bool((a != b).any()), turned(tree, '.shift', 1.0), tree)
    )
    assert [jax.tree_util.keystr(path) for path, flag in moved if flag] == ['.shift']

"""Behaviour cloning: its losses by hand, how it acts, and what a mixture head is for."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.algos.offline.bc import BC, Config, likelihood, squared_error
from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.loops.offline import UPDATE, begin, create, many, roots
from stitchrl.maths.dists import Categorical, Normal

ARM = Spec(Observation((2,)), Continuous(1, (-1.0,), (1.0,)))
BUTTONS = Spec(Observation((2,)), Discrete(3))
SMALL = {'hidden': (16,), 'lr': 0.01, 'batch': 32, 'steps': 200}


def batch(action, obs=None):
    """A batch of which only observations and actions matter."""
    action = np.asarray(action)
    obs = np.zeros((len(action), 2), np.float32) if obs is None else obs
    nothing = np.zeros(len(action), np.float32)
    return Transition(obs, action, nothing, obs, nothing, nothing, action)


def test_likelihood_of_a_normal_by_hand():
    """-log N(x; 0, 2) = x^2 / 8 + log 2 + log(2 pi) / 2; the actions 0, 2, -4 give x^2 / 8 = 0, 0.5, 2."""
    actor = lambda obs: Normal(jnp.zeros((3, 1)), jnp.full((3, 1), 2.0))
    loss, info = likelihood(actor, batch(np.float32([[0], [2], [-4]])))
    assert loss == pytest.approx(2.5 / 3 + np.log(2) + 0.5 * np.log(2 * np.pi))
    assert info == {'actor/loss': loss}


def test_likelihood_of_a_softmax_by_hand():
    """Probabilities 1/2, 1/4, 1/4 in each row; the actions 0, 1, 2 cost log 2, log 4, log 4."""
    actor = lambda obs: Categorical(jnp.log(jnp.broadcast_to(jnp.array([0.5, 0.25, 0.25]), (3, 3))))
    loss, _ = likelihood(actor, batch(np.int32([0, 1, 2])))
    assert loss == pytest.approx(np.log(2 * 4 * 4) / 3)


def test_squared_error_by_hand():
    """The mean over rows and dimensions: (0 + 1 + 4 + 0 + 0 + 1) / 6."""
    actor = lambda obs: jnp.array([[0.0, 0], [1, 1], [2, 2]])
    loss, info = squared_error(actor, batch(np.float32([[0, 1], [3, 1], [2, 1]])))
    assert loss == 1
    assert info == {'actor/loss': 1}


def made(head='gaussian', spec=ARM, seed=0):
    """An agent with random weights; the package's own initialisation is tested elsewhere, slow to compile."""
    shapes = jax.eval_shape(lambda key: BC.create(spec, Config(head=head, **SMALL), key), jr.key(0))
    rng = np.random.default_rng(seed)
    draw = lambda leaf: jnp.asarray(0.3 * rng.normal(size=leaf.shape) * (leaf.dtype == np.float32), leaf.dtype)
    agent = jax.tree.map(draw, shapes)
    zeros = jax.tree.map(jnp.zeros_like, agent.actor.opt)
    return BC(type(agent.actor)(agent.actor.net, zeros, agent.actor.tx), agent.cfg)


OBS = np.random.default_rng(5).normal(size=(6, 2)).astype(np.float32)


def test_greedy_is_the_mode_and_exploring_is_a_sample():
    agent = made()
    greedy, memory = agent.act((), OBS, jr.key(0))
    np.testing.assert_array_equal(greedy, agent.actor.net(OBS).mean)
    np.testing.assert_array_equal(greedy, agent.act((), OBS, jr.key(1))[0])
    sampled = agent.act((), OBS, jr.key(0), jnp.int32(0))[0]
    np.testing.assert_array_equal(sampled, np.clip(agent.actor.net(OBS).sample(jr.key(0)), -1, 1))
    assert memory == agent.remember(6) == ()


def test_a_deterministic_policy_has_one_action():
    agent = made('deterministic')
    action = agent.act((), OBS, jr.key(0))[0]
    np.testing.assert_array_equal(action, agent.actor.net(OBS))
    np.testing.assert_array_equal(action, agent.act((), OBS, jr.key(1), jnp.int32(3))[0])


def test_discrete_actions_are_always_a_softmax():
    agent = made('mixture', BUTTONS)
    assert isinstance(agent.actor.net(OBS), Categorical)
    action = agent.act((), OBS, jr.key(0))[0]
    assert action.dtype == jnp.int32
    assert action.shape == (6,)


def test_distance_to_the_data_by_hand():
    """Squared for continuous actions, the share of misses for discrete ones."""
    agent = made('deterministic')
    own = np.asarray(agent.actor.net(OBS))
    assert agent.inspect(batch(own + 0.5, OBS), jr.key(0))['actor/distance'] == pytest.approx(0.25, rel=1e-4)
    agent = made(spec=BUTTONS)
    own = np.array(agent.actor.net(OBS).mode())
    own[:2] = (own[:2] + 1) % 3
    assert agent.inspect(batch(own, OBS), jr.key(0))['actor/distance'] == pytest.approx(2 / 6)


def test_an_unknown_head_is_refused():
    with pytest.raises(UsageError, match='expected gaussian, deterministic or mixture'):
        BC.create(ARM, Config(head='beta'), jr.key(0))


def test_what_is_imitated():
    data = Dataset.from_arrays(np.zeros((4, 2)), np.zeros((4, 1)), [1, 3, 2, 0], np.ones(4))
    assert BC.select(data, Config()) is data
    assert BC.select(data, Config(best=0.5)).returns().tolist() == [3, 2]


def fork(n=64):
    """At one and the same place half of the recorders turned left (-0.8), half right (0.8)."""
    action = np.where(np.arange(n) % 2, 0.8, -0.8)[:, None]
    return Dataset.from_arrays(np.ones((n, 2)), action, np.zeros(n), np.ones(n))


@pytest.mark.parametrize('head', ['gaussian', 'deterministic', 'mixture'])
def test_one_gaussian_averages_and_a_mixture_keeps_apart(head):
    data = fork()
    agents = create(BC, data.spec, Config(head=head, **SMALL), seed=0, seeds=1)
    data = jax.device_put(data)
    (agents, _), _ = many(begin(agents, data), data, roots(0, 1, UPDATE), jnp.int32(0), 200)
    agent = jax.tree.map(lambda x: x[0], agents)
    action = float(agent.act((), jnp.ones((1, 2)), jr.key(0))[0][0, 0])
    if head == 'mixture':
        assert abs(action) == pytest.approx(0.8, abs=0.05)  # one of the two
    else:
        assert abs(action) < 0.2  # what nobody did

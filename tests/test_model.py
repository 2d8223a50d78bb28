import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from toy_models import Line

from stitchrl.core.boundary import Boundary
from stitchrl.envs.cartpole import CartPole
from stitchrl.envs.pendulum import Pendulum
from stitchrl.errors import UsageError
from stitchrl.models.linear import Linear
from stitchrl.models.model import Rewarded, Valued
from stitchrl.models.simulator import Simulator
from stitchrl.planners.planner import imagine

KEY = jr.key(0)


def test_a_reward_of_ones_own_sees_the_whole_step():
    model = Rewarded(
        Line(edge=0.5), lambda batch: batch.obs[:, 0] + 10 * batch.action[:, 0] + 100 * batch.next_obs[:, 0]
    )
    after, reward, mask = model.step(jnp.array([[1.0], [0.0]]), jnp.array([[0.5], [0.25]]), KEY)
    np.testing.assert_allclose(after, [[1.5], [0.25]])
    np.testing.assert_allclose(reward, [1 + 5 + 150, 2.5 + 25])
    np.testing.assert_allclose(mask, [0, 1])


def test_wrappers_pass_on_what_is_not_theirs():
    """One may be put on the other, under jit."""
    both = Valued(Rewarded(Line(), lambda batch: jnp.ones(len(batch.mask))), lambda obs: 5 * obs[:, 0])
    values = jax.jit(imagine)(both, jnp.zeros(1), jnp.full((2, 3, 1), 0.5), KEY)
    np.testing.assert_allclose(values, [3 + 7.5, 3 + 7.5])
    np.testing.assert_array_equal(Rewarded(both, jnp.zeros_like).value(jnp.ones((2, 1))), [5, 5])
    np.testing.assert_array_equal(both.observe(None, None, jnp.ones((2, 1)), KEY), np.ones((2, 1)))


def test_a_model_that_does_not_learn_says_so():
    with pytest.raises(NotImplementedError, match='Line does not learn'):
        Rewarded(Line(), jnp.zeros_like).loss(None, KEY)


def test_the_simulator_is_the_environment_in_the_agents_units():
    env = Pendulum.create()
    border = Boundary.blank(env.spec)
    border = Boundary(
        jnp.array([0.1, 0.2, 0.3]),
        jnp.array([1.0, 2.0, 3.0]),
        border.low,
        border.high,
        jnp.float32(0.5),
        jnp.float32(1),
    )
    model, states = Simulator.create(env, border), jax.vmap(env.reset)(jr.split(KEY, 4))
    latent = model.observe(None, None, border.obs(states.obs), KEY)
    action = jnp.array([[-1.0], [-0.25], [0.5], [1.0]])
    latent, reward, mask = model.step(latent, action, KEY)
    true = jax.vmap(env.step)(states, 2 * action, jr.split(KEY, 4))
    np.testing.assert_allclose(model.seen(latent), border.obs(true.obs), atol=1e-5)
    np.testing.assert_allclose(reward, 0.5 * (true.reward + 1), atol=1e-5)
    np.testing.assert_array_equal(mask, np.ones(4))


def test_the_simulator_needs_a_state_from_an_observation():
    with pytest.raises(UsageError, match=r'CartPole has no `at\(obs\)'):
        Simulator.create(CartPole.create())


def test_the_best_plan_of_one_step_by_hand():
    """s' = s + 2 a, r = -(s'^2 + a^2): a = -2 s / 5, and the return is -s^2 / 5."""
    model = Linear(*(jnp.array([[x]]) for x in (1.0, 2.0, 1.0, 1.0)))
    plan, total = model.best([1.0], 1)
    np.testing.assert_allclose(plan, [[-0.4]])
    assert total == pytest.approx(-0.2)


def test_no_plan_is_better_than_the_best():
    model, start = Linear.carts(2), jnp.array([0.2, -0.1, 0.1, 0.0])
    plan, total = model.best(start, 8)
    plans = plan + np.concatenate([np.zeros((1, 8, 2)), 0.01 * np.random.default_rng(0).normal(size=(50, 8, 2))])
    values = imagine(model, start, jnp.float32(plans), KEY)
    assert values[0] == pytest.approx(total, rel=1e-4)
    assert (values[1:] < values[0]).all()

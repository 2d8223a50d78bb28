import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from toy_models import Line

from stitchrl.models.model import Valued
from stitchrl.planners.planner import imagine, rest, worth

KEY = jr.key(0)


def test_imagined_returns_by_hand():
    """From 0, moves (1, -0.5) and (0.5, 0.5); the goal at 1: rewards (0, -.25) and (-.25, 0)."""
    plans = jnp.array([[[1.0], [-0.5]], [[0.5], [0.5]]])
    np.testing.assert_allclose(imagine(Line(goal=1.0), jnp.zeros(1), plans, KEY), [-0.25, -0.25])
    np.testing.assert_allclose(imagine(Line(goal=1.0), jnp.zeros(1), plans, KEY, gamma=0.5), [-0.125, -0.25])


def test_nothing_counts_after_the_end():
    """The step that ends the task still does, the value behind the plan does not."""
    plans, model = jnp.array([[[1.0], [-1.0]], [[0.5], [0.5]]]), Line(edge=0.8, bonus=10.0)
    np.testing.assert_allclose(imagine(model, jnp.zeros(1), plans, KEY), [9, 9.75 + 9])
    valued = Valued(model, lambda obs: 100 + obs[:, 0])
    np.testing.assert_allclose(imagine(valued, jnp.zeros(1), plans, KEY), [9, 9.75 + 9])
    np.testing.assert_allclose(imagine(valued, jnp.zeros(1), plans[1:, :1], KEY, gamma=0.5), [9.75 + 50.25])


def test_particles_are_averaged():
    """E (s + eps)^2 = s^2 + 0.25 after one step with noise 0.5, whatever the number of candidates."""
    plans = jnp.array([[[0.0]], [[1.0]], [[-1.0]]])
    values = jax.jit(imagine, static_argnums=4)(Line(noise=0.5), jnp.zeros(1), plans, KEY, 20_000)
    np.testing.assert_allclose(values, [-0.25, -1.25, -1.25], atol=0.03)


def test_discrete_plans():
    plans = jnp.array([[2, 2], [0, 1]])
    np.testing.assert_allclose(imagine(Line(goal=2.0), jnp.zeros(1), plans, KEY), [-1, -9 - 9])


@pytest.mark.nans
def test_what_is_no_number_loses():
    assert worth(jnp.array([jnp.nan, -3.0, jnp.inf, -jnp.inf])).argmax() == 1
    values = worth(imagine(Line(hole=0.5), jnp.zeros(1), jnp.array([[[1.0]], [[0.2]]]), KEY, particles=2))
    np.testing.assert_allclose(values, [-np.inf, -0.04], rtol=1e-5)


def test_what_is_left_of_a_plan():
    np.testing.assert_array_equal(rest(jnp.array([[1.0], [2.0], [3.0]])), [[2], [3], [0]])

"""Pieces of losses by hand and against scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from stitchrl.maths.losses import advantage_weight, expectile, huber, squared_errors, temperature_loss
from stitchrl.nets.heads import Positive


def test_expectile_by_hand():
    u = jnp.array([-2.0, -1.0, 0.0, 1.0, 3.0])
    np.testing.assert_allclose(expectile(u, 0.9), [0.1 * 4, 0.1 * 1, 0, 0.9 * 1, 0.9 * 9], rtol=1e-6)
    np.testing.assert_allclose(expectile(u, 0.5), 0.5 * u**2)  # half the squared error


def test_its_slope_by_hand():
    """2 |tau - 1{u < 0}| u"""
    slope = jax.vmap(jax.grad(lambda u: expectile(u, 0.8)))(jnp.array([-2.0, 0.0, 3.0]))
    np.testing.assert_allclose(slope, [2 * 0.2 * -2, 0, 2 * 0.8 * 3], rtol=1e-6)


slope_at = jax.grad(lambda c, targets, tau: expectile(targets - c, tau).sum())
COMPILED = jax.jit(slope_at)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=20), st.sampled_from([0.1, 0.5, 0.7, 0.9]))
def test_the_best_constant_is_the_expectile_of_the_targets(targets, tau):
    """The loss is convex in the constant c, so c is its minimiser exactly where the slope changes sign."""
    targets = np.array(targets)
    best = scipy.stats.expectile(targets, tau)
    targets = np.pad(targets, (0, 20 - len(targets)), constant_values=best)  # one shape; slope 0 at the minimiser
    slope = lambda c: float(COMPILED(jnp.float32(c), jnp.asarray(targets, jnp.float32), tau))
    tolerance = 1e-4 * max(1, np.abs(targets).max())
    assert slope(best) == pytest.approx(0, abs=10 * tolerance)
    assert slope(best - 0.1) < 0 < slope(best + 0.1)


@pytest.mark.parametrize('tau', [0.1, 0.5, 0.9])
def test_descending_the_loss_arrives_at_the_expectile(tau):
    targets = jnp.array([-1.0, 0.0, 0.5, 4.0])
    step = lambda _, c: c - 0.1 * slope_at(c, targets, tau)
    found = jax.lax.fori_loop(0, 300, step, jnp.float32(0))
    assert found == pytest.approx(scipy.stats.expectile(np.asarray(targets, float), tau), abs=1e-4)


def test_squared_errors_by_hand():
    """y = 1, 2 against 0, 2 and 1, 4: means 1/2 and 2."""
    assert squared_errors(jnp.array([[0.0, 2.0], [1.0, 4.0]]), jnp.array([1.0, 2.0])) == pytest.approx(2.5)


def test_advantage_weight_by_hand():
    got = advantage_weight(jnp.array([-1.0, 0.0, 0.5, 9.0]), 2.0, 5.0)
    np.testing.assert_allclose(got, [np.exp(-2), 1, np.e, 5], rtol=1e-6)


def test_huber_by_hand():
    """Half the square up to 1, then as steep as there; the slope is u cut to [-1, 1]."""
    u = jnp.array([-3.0, -1.0, -0.5, 0.0, 0.5, 4.0])
    np.testing.assert_allclose(huber(u), [2.5, 0.5, 0.125, 0, 0.125, 3.5])
    np.testing.assert_allclose(jax.vmap(jax.grad(huber))(u), [-1, -1, -0.5, 0, 0.5, 1])


def test_the_temperature_falls_while_the_policy_is_too_random():
    slope = lambda entropy: jax.grad(temperature_loss, has_aux=True)(Positive.create(), jnp.float32(entropy), -2)[0].log
    assert slope(0.0) == pytest.approx(2)  # descent: log T goes down
    assert slope(-3.0) == pytest.approx(-1)

"""What Q is taught, by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stitchrl.core.types import Transition
from stitchrl.maths.backups import bootstrap, combined, greedy_target, smoothed_target


def column(*values):
    return jnp.array(values, jnp.float32)[:, None]


BATCH = Transition(
    obs=column(1, 2, -1),
    action=column(0.5, -0.5, 1),
    reward=jnp.array([1.0, 0.0, 2.0]),
    next_obs=column(2, -1, 1),
    mask=jnp.array([1.0, 1.0, 0.0]),
    discount=jnp.array([0.5, 0.5, 0.0]),
    next_action=column(0, 0, 0),
)


def test_bootstrap_by_hand():
    """r + gamma m v; nothing is expected after the end of the task, in none of the critics."""
    np.testing.assert_allclose(bootstrap(BATCH, jnp.array([4.0, -2, 9])), [3, -1, 2])
    two = bootstrap(BATCH, jnp.array([[4.0, -2, 9], [0, 2, 7]]))
    np.testing.assert_allclose(two, [[3, -1, 2], [1, 1, 2]])


def test_the_action_is_chosen_by_one_and_valued_by_the_other():
    """Chosen are 1, 0, 1, valued 10, -4, 7."""
    values, by = jnp.array([[20.0, 10], [-4, 0], [1, 7]]), jnp.array([[3.0, 4], [1, 0], [0, 1]])
    np.testing.assert_allclose(greedy_target(BATCH, values, by), [1 + 5, -2, 2])
    np.testing.assert_allclose(greedy_target(BATCH, values, values), [1 + 10, 0, 2])  # its own maximum


Q4 = np.array([[1.0, 5], [2, -1], [4, 0], [9, 8]])


@pytest.mark.parametrize(
    ('backup', 'rows'),
    [
        ('own', Q4),
        ('mean', [[4, 3]] * 4),
        ('min', [[1, -1]] * 4),
        ('doubleq', Q4[[1, 0, 1, 0]]),
    ],
)
def test_which_critic_teaches_which(backup, rows):
    np.testing.assert_allclose(combined(jnp.asarray(Q4), backup), rows)


@pytest.mark.parametrize('backup', ['own', 'mean', 'min'])
def test_one_critic_teaches_itself(backup):
    np.testing.assert_allclose(combined(jnp.array([[3.0, 1.0]]), backup), [[3, 1]])


def test_mean_and_doubleq_of_two_have_the_same_average():
    two = jnp.asarray(Q4[:2])
    np.testing.assert_allclose(combined(two, 'mean').mean(0), combined(two, 'doubleq').mean(0))


class Policy(eqx.Module):
    """pi(s) = w s."""

    w: jax.Array

    def __call__(self, obs):
        return self.w * obs


def twins(obs, action):
    """Q = a and Q = -a."""
    return jnp.stack([action[..., 0], -action[..., 0]])


def smoothed(eps, clip=0.5):
    return smoothed_target(Policy(jnp.float32(0.5)), twins, BATCH, eps, clip)


def test_target_without_noise_by_hand():
    """pi'(s') = s'/2 = 1, -1/2, 1/2;  Q' = (a', -a'), the smaller -1, -1/2, -1/2;  y = 1 - 1/2, -1/4, 2."""
    assert smoothed(jnp.zeros((3, 1))).tolist() == [0.5, -0.25, 2]


def test_smoothing_noise_by_hand():
    """The noise -1, 0.8, 0.1 is cut to -0.5, 0.5, 0.1, so a' = 0.5, 0, 0.6 and the smaller Q' -0.5, 0, -0.6. Of
    0.4, -0.4, 0 nothing is cut, but the action 1.4 is, to 1; the others are -0.9 and 0.5."""
    np.testing.assert_allclose(smoothed(column(-1, 0.8, 0.1)), [1 - 0.25, 0, 2])
    np.testing.assert_allclose(smoothed(column(0.4, -0.4, 0)), [1 - 0.5, 0 - 0.45, 2])

"""TD(lambda) returns: by hand, and against the recursion in plain Python."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stitchrl.maths.returns import lambda_returns

#           ends as a task      cut
REWARD = [1.0, 2.0, 0.0, 3.0, 4.0, 0.0]
MASK = [1.0, 0.0, 1.0, 1.0, 1.0, 1.0]
ENDS = [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]
VALUE = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]


def returns(gamma, lam, value=VALUE):
    columns = [jnp.array(x) for x in (REWARD, MASK, ENDS, value)]
    return np.asarray(lambda_returns(*columns, gamma, lam))


def test_by_hand():
    """gamma = lambda = 1/2. Cut: 4 + .5 (.5 60 + .5 60) = 34, then 3 + .5 (.5 50 + .5 34) = 24.
    Ended: 2, then 1 + .5 (.5 20 + .5 2) = 6.5."""
    np.testing.assert_allclose(returns(0.5, 0.5), [6.5, 2, 30, 24, 34, 60])


def test_lambda_0_is_one_step_and_lambda_1_the_whole_episode():
    np.testing.assert_allclose(returns(0.5, 0.0), [11, 2, 30, 28, 34, 60])
    np.testing.assert_allclose(returns(0.5, 1.0), [2, 2, 30, 3 + 0.5 * 34, 34, 60])


def test_the_value_after_a_true_end_counts_for_nothing():
    changed = [*VALUE[:2], -1e6, *VALUE[3:]]
    np.testing.assert_array_equal(returns(0.9, 0.7)[:2], returns(0.9, 0.7, changed)[:2])


@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0, 1), st.integers(1, 60))
def test_against_the_recursion(seed, gamma, lam, n):
    rng = np.random.default_rng(seed)
    reward, value = rng.normal(size=(2, n)).astype(np.float32)
    mask, ends = (rng.random((2, n)) < [[0.8], [0.3]]).astype(np.float32)
    ends[-1] = 1
    expected, after = np.zeros(n), 0.0
    for i in reversed(range(n)):
        if ends[i]:
            expected[i] = value[i]
        else:
            expected[i] = reward[i] + gamma * mask[i] * ((1 - lam) * value[i + 1] + lam * after)
        after = expected[i]
    got = lambda_returns(*map(jnp.asarray, (reward, mask, ends, value)), gamma, lam)
    assert np.asarray(got) == pytest.approx(expected, abs=1e-4)

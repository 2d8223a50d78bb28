"""The border between the user's units and the agent's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stitchrl.core.boundary import EDGE, MIN_STD, Boundary
from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError

LOW, HIGH = (-2.0, 0.0), (2.0, 10.0)


def recording(seed=0, low=LOW, high=HIGH):
    """Three episodes of four steps, the last cut. A column of the observation is constant."""
    rng = np.random.default_rng(seed)
    obs = np.stack([rng.normal(5, 3, 12), np.full(12, 7.0)], 1)
    action = rng.uniform(low, high, (12, len(low)))
    last = np.arange(12) % 4 == 3
    terminal = last & (np.arange(12) < 8)
    return Dataset.from_arrays(obs, action, np.arange(12.0), terminal, last, np.roll(obs, -1, 0), low=low, high=high)


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(0.1, 100)), min_size=1, max_size=3), st.integers(0, 99))
def test_actions_survive_the_way_in_and_out(bounds, seed):
    low = np.array([a for a, _ in bounds])
    high = low + np.array([b for _, b in bounds])
    spec = Spec(Observation((1,)), Continuous(len(low), tuple(low.tolist()), tuple(high.tolist())))
    border = Boundary.blank(spec)
    raw = np.random.default_rng(seed).uniform(low, high, (5, len(low))).astype(np.float32)
    inner = border.action_in(raw)
    assert np.abs(inner).max() <= 1 + 1e-3 * np.abs([low, high]).max() / (high - low).min()
    np.testing.assert_allclose(border.action_out(inner), raw, atol=1e-5 * np.abs([low, high]).max())


def test_actions_by_hand():
    border = Boundary.blank(recording().spec)
    raw = np.array([[-2, 0], [2, 10], [0, 5], [1, 7.5]], np.float32)
    assert border.action_in(raw).tolist() == [[-1, -1], [1, 1], [0, 0], [0.5, 0.5]]
    inner = np.array([[-1, -1], [0.5, 0.5], [3, -7]], np.float32)  # the last lies outside and is clipped
    assert border.action_out(inner).tolist() == [[-2, 0], [1, 7.5], [2, 0]]


def test_observations_by_hand():
    border = Boundary(
        np.float32([1, 2]),
        np.float32([2, 4]),
        np.float32([-1]),
        np.float32([1]),
        np.float32(1),
        np.float32(0),
    )
    assert border.obs(np.float32([3, 2])).tolist() == [1, 0]
    batch = np.ones((3, 5, 2), np.float32)
    np.testing.assert_array_equal(border.obs(batch), np.broadcast_to([0, -0.25], (3, 5, 2)))


def test_normalised_steps_have_zero_mean_and_unit_deviation():
    data = recording()
    border = Boundary.fit(data, normalise=True)
    steps = np.asarray(data.obs)[data.starts]
    np.testing.assert_allclose(border.mean, steps.mean(0), rtol=1e-6)
    np.testing.assert_allclose(border.std, steps.std(0) + MIN_STD, rtol=1e-6)
    inner = border.inward(data).obs[data.starts]
    np.testing.assert_allclose(inner.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(inner.std(0), [1, 0], atol=1e-3)  # the constant column stays finite
    assert np.isfinite(border.inward(data).obs).all()


def test_without_normalisation_observations_pass_unchanged():
    data = recording()
    np.testing.assert_array_equal(Boundary.fit(data).inward(data).obs, data.obs)


def test_actions_of_the_data_stay_inside_the_open_interval():
    data = recording()
    data = data.with_columns(action=np.where(data.action > 1, HIGH, LOW).astype(np.float32))
    inner = Boundary.fit(data).inward(data).action[data.starts]
    assert np.abs(inner).min() == np.abs(inner).max() == np.float32(EDGE)
    assert np.arctanh(np.abs(inner, dtype=np.float32)).max() < np.inf


@pytest.mark.parametrize('reward', ['raw', 'range', 'minus_one'])
def test_final_rows_keep_no_action_and_no_reward(reward):
    data = recording()
    inner = Boundary.fit(data, normalise=True, reward=reward).inward(data)
    final = data.ends > 0
    assert (inner.action[final] == 0).all()
    assert (inner.reward[final] == 0).all()
    for name in ('mask', 'ends', 'starts'):
        np.testing.assert_array_equal(getattr(inner, name), getattr(data, name))
    assert inner.obs.dtype == inner.action.dtype == inner.reward.dtype == np.float32


def test_reward_rules_by_hand():
    data = recording()  # episode returns 0+1+2+3 = 6, 4+5+6+7 = 22, 8+9+10+11 = 38; their range is 32
    steps = np.arange(12.0)
    for rule, expected in {'raw': steps, 'minus_one': steps - 1, 'range': steps * 1000 / 32}.items():
        inner = Boundary.fit(data, reward=rule).inward(data)
        np.testing.assert_allclose(inner.reward[data.starts], expected, rtol=1e-6)
    assert np.ptp(Boundary.fit(data, reward='range').inward(data).returns()) == pytest.approx(1000)


def test_a_range_of_nothing_is_refused():
    flat = recording().relabel(lambda data: np.ones(len(data.obs)))
    with pytest.raises(UsageError, match='all are 4; use raw'):
        Boundary.fit(flat, reward='range')
    with pytest.raises(UsageError, match='expected raw, range or minus_one'):
        Boundary.fit(flat, reward='scaled')


def test_discrete_actions_pass_unchanged():
    data = Dataset.from_arrays(np.zeros((4, 1)), np.array([0, 2, 1, 0]), np.ones(4), np.arange(4) == 3)
    border = Boundary.fit(data, normalise=True)
    inner = border.inward(data)
    assert inner.action.dtype == np.int32
    assert inner.action.tolist() == [0, 2, 1, 0, 0]
    assert border.action_out(np.int32([2])).tolist() == [2]


def test_it_works_inside_compiled_programs_with_any_leading_axes():
    data = recording()
    border = Boundary.fit(data, normalise=True)
    out = jax.jit(lambda b, obs, action: (b.obs(obs), b.action_out(action)))
    obs, action = out(border, jnp.asarray(data.obs[:6]).reshape(2, 3, 2), jnp.full((2, 3, 2), 0.5))
    np.testing.assert_allclose(obs.reshape(6, 2), border.obs(data.obs[:6]), rtol=1e-5)
    np.testing.assert_allclose(action, np.broadcast_to([1, 7.5], (2, 3, 2)))
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(border))


def images():
    """One episode of five steps of 2 x 3 x 4 bytes."""
    obs = np.random.default_rng(0).integers(0, 256, (6, 2, 3, 4), np.uint8)
    step = lambda *values: np.float32([*values, 0])
    spec = Spec(Observation((2, 3, 4), 'uint8'), Discrete(3), 5)
    ends = np.float32([0, 0, 0, 0, 0, 1])
    return Dataset(obs, np.zeros(6, np.int32), step(1, 2, 3, 4, 5), np.ones(6, np.float32), ends, np.arange(5), spec)


def test_images_pass_as_the_bytes_they_are():
    data = images()
    border = Boundary.fit(data, reward='minus_one')
    assert border.obs(data.obs) is data.obs
    inner = border.inward(data)
    assert inner.obs.dtype == np.uint8
    np.testing.assert_array_equal(inner.obs, data.obs)
    assert inner.reward.tolist() == [0, 1, 2, 3, 4, 0]
    assert jax.eval_shape(lambda b, obs: b.obs(obs), border, data.obs).dtype == np.uint8


def test_images_are_not_normalised():
    with pytest.raises(UsageError, match=r'normalise: images are kept as bytes .* leave it off'):
        Boundary.fit(images(), normalise=True)


def test_bytes_that_are_no_image_become_numbers():
    border = Boundary.blank(Spec(Observation((3,), 'uint8'), Discrete(3)))
    assert border.obs(np.uint8([1, 2, 255])).tolist() == [1, 2, 255]
    assert border.obs(np.uint8([1, 2, 255])).dtype == np.float32

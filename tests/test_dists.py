"""Distributions against scipy's."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stitchrl.maths.dists import Categorical, Mixture, Normal, Squashed, epsilon_greedy, inside, take

seeds = st.integers(0, 10_000)


def normal(seed, shape=(4, 3)):
    rng = np.random.default_rng(seed)
    mean, std, x = rng.normal(size=shape), rng.uniform(0.1, 3, shape), rng.normal(size=shape) * 2
    return [v.astype(np.float32) for v in (mean, std, x)]


@given(seeds)
def test_normal_log_prob(seed):
    mean, std, x = normal(seed)
    expected = scipy.stats.norm(mean, std).logpdf(x).sum(-1)
    np.testing.assert_allclose(Normal(mean, std).log_prob(x), expected, rtol=1e-4, atol=1e-4)


def test_a_deviation_shared_by_all_rows():
    mean, std, x = normal(0)
    expected = Normal(mean, np.broadcast_to(std[:1], mean.shape)).log_prob(x)
    np.testing.assert_allclose(Normal(mean, std[:1]).log_prob(x), expected, rtol=1e-6)


def test_normal_samples_and_mode():
    mean, std = np.float32([1, -2]), np.float32([0.5, 3])
    dist = Normal(jnp.broadcast_to(mean, (5000, 2)), jnp.broadcast_to(std, (5000, 2)))
    x = np.asarray(dist.sample(jr.key(0)))
    for i in range(2):
        assert scipy.stats.kstest(x[:, i], scipy.stats.norm(mean[i], std[i]).cdf).pvalue > 0.01
    assert abs(np.corrcoef(x.T)[0, 1]) < 0.05
    np.testing.assert_array_equal(dist.mode()[0], mean)


def mixture(seed, rows=4, parts=3, dim=2):
    rng = np.random.default_rng(seed)
    logits, means = rng.normal(size=(rows, parts)) * 2, rng.normal(size=(rows, parts, dim))
    stds, x = rng.uniform(0.1, 2, (rows, parts, dim)), rng.normal(size=(rows, dim))
    return [v.astype(np.float32) for v in (logits, means, stds, x)]


@given(seeds)
def test_mixture_log_prob(seed):
    logits, means, stds, x = mixture(seed)
    weights = scipy.special.softmax(logits.astype(float), -1)
    density = scipy.stats.norm(means, stds).pdf(x[:, None]).prod(-1)
    expected = np.log((weights * density).sum(-1))
    np.testing.assert_allclose(Mixture(logits, means, stds).log_prob(x), expected, rtol=1e-4, atol=1e-4)


def test_a_mixture_of_equal_parts_is_one_normal():
    mean, std, x = normal(1)
    parts = lambda v: np.repeat(v[:, None], 3, 1)
    mixed = Mixture(np.float32([[0, 5, -5]] * 4), parts(mean), parts(std))
    np.testing.assert_allclose(mixed.log_prob(x), Normal(mean, std).log_prob(x), rtol=1e-5)


def test_far_from_every_part_the_logarithm_stays_finite():
    logits, means, stds, _ = mixture(2)
    dist, far = Mixture(logits, means, stds), jnp.full((4, 2), 100.0)
    assert np.isfinite(dist.log_prob(far)).all()
    assert np.isfinite(jax.grad(lambda x: dist.log_prob(x).sum())(far)).all()


def test_mixture_samples_come_from_the_parts_in_their_shares():
    logits = np.log(np.float32([0.2, 0.8]))
    means, stds = np.float32([[-3], [2]]), np.float32([[0.5], [1]])
    many = lambda v: jnp.broadcast_to(v, (5000, *v.shape))
    x = np.asarray(Mixture(many(logits), many(means), many(stds)).sample(jr.key(0)))[:, 0]
    cdf = lambda x: 0.2 * scipy.stats.norm(-3, 0.5).cdf(x) + 0.8 * scipy.stats.norm(2, 1).cdf(x)
    assert scipy.stats.kstest(x, cdf).pvalue > 0.01


def test_the_mode_of_a_mixture_is_its_highest_peak():
    """By hand: weight over deviation is 0.6 / 3 = 0.2 for the broad part, 0.4 / 0.5 = 0.8 for the other."""
    broad_wins_by_weight = Mixture(np.log(np.float32([0.6, 0.4])), np.float32([[-1], [1]]), np.float32([[3], [0.5]]))
    assert broad_wins_by_weight.mode().tolist() == [1]
    equal_width = Mixture(np.log(np.float32([0.6, 0.4])), np.float32([[-1], [1]]), np.float32([[0.5], [0.5]]))
    assert equal_width.mode().tolist() == [-1]


def test_picking_a_part_row_by_row():
    logits, means, stds, _ = mixture(3)
    which = np.array([2, 0, 1, 2])
    picked = Mixture(logits, means, stds).pick(means, which)
    np.testing.assert_array_equal(picked, means[np.arange(4), which])


@given(
    arrays(np.float32, (4, 5), elements=st.floats(-5, 5, width=32)),
    st.lists(st.integers(0, 4), min_size=4, max_size=4),
)
@settings(max_examples=50)
def test_categorical_log_prob(logits, action):
    action = np.array(action, np.int32)
    for row, x, got in zip(logits, action, Categorical(logits).log_prob(action), strict=True):
        p = scipy.special.softmax(row.astype(float))
        assert got == pytest.approx(scipy.stats.multinomial(1, p).logpmf(np.eye(5)[x]), abs=1e-4)


def test_categorical_samples_and_mode():
    p = np.array([0.1, 0.6, 0.05, 0.25])
    dist = Categorical(jnp.broadcast_to(jnp.log(p) + 7, (8000, 4)))  # logits need not be normalised
    x = dist.sample(jr.key(0))
    assert x.dtype == dist.mode().dtype == jnp.int32
    assert scipy.stats.chisquare(np.bincount(x, minlength=4), 8000 * p).pvalue > 0.01
    assert dist.mode()[0] == 1


@pytest.mark.parametrize('lead', [(), (2, 3)])
def test_leading_axes(lead):
    """The same numbers whatever the leading axes; samples have the shape of an action."""
    logits, means, stds, x = (jnp.asarray(v)[:, None].repeat(6, 1)[0] for v in mixture(4))
    shape = lambda v: v[0] if lead == () else v.reshape(*lead, *v.shape[1:])
    for dist, one, value, event in [
        (Normal(shape(means[:, 0]), shape(stds[:, 0])), Normal(means[0, 0], stds[0, 0]), shape(x), (2,)),
        (Mixture(*map(shape, (logits, means, stds))), Mixture(logits[0], means[0], stds[0]), shape(x), (2,)),
        (Categorical(shape(logits)), Categorical(logits[0]), jnp.ones(lead, jnp.int32), ()),
    ]:
        first = jnp.int32(1) if event == () else x[0]
        np.testing.assert_allclose(dist.log_prob(value), jnp.full(lead, one.log_prob(first)), rtol=1e-5)
        assert dist.sample(jr.key(0)).shape == dist.mode().shape == (*lead, *event)


def test_continuous_actions_are_cut_and_discrete_ones_pass():
    assert inside(jnp.array([-3.0, 0.5, 2])).tolist() == [-1, 0.5, 1]
    assert inside(jnp.array([0, 5])).tolist() == [0, 5]


def test_take():
    values = jnp.arange(6.0).reshape(2, 3)
    assert take(values, jnp.array([2, 0])).tolist() == [2, 3]
    assert take(values[0], jnp.int32(1)) == 1


def squashed(seed, shape=(5, 2)):
    mean, std, _ = normal(seed, shape)
    return Squashed(jnp.asarray(mean), jnp.asarray(std))


@given(seeds)
def test_squashed_log_prob_against_the_rule_of_change(seed):
    """p(tanh u) = p(u) / (1 - tanh^2 u), at double precision in scipy."""
    dist = squashed(seed)
    u = np.float64(dist.mean) + 0.7 * np.float64(dist.std)
    u = np.clip(u, -3, 3)
    expected = scipy.stats.norm(dist.mean, dist.std).logpdf(u) - np.log(1 - np.tanh(u) ** 2)
    np.testing.assert_allclose(dist.log_prob(jnp.asarray(np.tanh(u), jnp.float32)), expected.sum(-1), atol=5e-2)


def test_a_squashed_sample_comes_with_its_density_also_at_the_edge():
    dist = Squashed(jnp.array([[0.3, -0.2], [20.0, 0.0]]), jnp.ones((2, 2)))
    action, log_prob = dist.sample_and_log_prob(jr.key(0))
    assert action[1, 0] == 1  # rounded; log_prob of it would be infinite
    assert np.isfinite(log_prob).all()
    np.testing.assert_allclose(log_prob[0], Squashed(dist.mean[0], dist.std[0]).log_prob(action[0]), rtol=1e-3)
    assert log_prob[1] > 30  # nearly all of the mass sits on a sliver of width exp(-2 x 20)


def test_a_squashed_density_integrates_to_one():
    x = np.linspace(-0.9999, 0.9999, 20001, dtype=np.float32)
    for mean, std in [(0.0, 0.5), (1.0, 1.0), (-0.5, 0.2)]:
        dist = Squashed(jnp.full((len(x), 1), mean), jnp.full((len(x), 1), std))
        assert np.exp(dist.log_prob(jnp.asarray(x)[:, None])).sum() * (x[1] - x[0]) == pytest.approx(1, abs=0.01)


def test_several_squashed_samples_are_independent_and_follow_the_distribution():
    dist = Squashed(jnp.full((1, 1), 0.4), jnp.full((1, 1), 0.8))
    action, log_prob = dist.samples_and_log_prob(jr.key(0), 3000)
    assert action.shape == (3000, 1, 1)
    assert log_prob.shape == (3000, 1)
    assert scipy.stats.kstest(np.arctanh(action[:, 0, 0]), scipy.stats.norm(0.4, 0.8).cdf).pvalue > 0.01


def test_epsilon_greedy_takes_any_action_in_a_share_of_the_rows():
    """With epsilon 0.6 each of 3 actions gets 0.2, the best 0.4 more."""
    q = jnp.broadcast_to(jnp.array([0.0, 2.0, 1.0]), (6000, 3))
    share = np.bincount(epsilon_greedy(q, 0.6, jr.key(0)), minlength=3) / 6000
    np.testing.assert_allclose(share, [0.2, 0.6, 0.2], atol=0.02)
    assert (epsilon_greedy(q, 0.0, jr.key(0)) == 1).all()
    assert epsilon_greedy(q, jnp.float32(0.5), jr.key(0)).dtype == jnp.int32


def test_scored_samples_have_the_density_and_the_score():
    """The action is a constant; d log pi / d mean = (x - mean) / std^2 before the tanh."""
    dist = Squashed(jnp.array([[0.3, -1.0]]), jnp.array([[0.5, 0.8]]))
    action, log_prob = dist.scored_samples(jr.key(0), 4)
    assert action.shape == (4, 1, 2)
    np.testing.assert_allclose(log_prob, jax.vmap(dist.log_prob)(action), rtol=1e-4)
    moved = lambda mean, i: Squashed(mean, dist.std).scored_samples(jr.key(0), 4)[i].sum()
    assert not jax.grad(moved)(dist.mean, 0).any()
    score = ((jnp.arctanh(action) - dist.mean[None]) / dist.std[None] ** 2).sum(0)
    np.testing.assert_allclose(jax.grad(moved)(dist.mean, 1), score, rtol=1e-3)


def test_scored_samples_at_the_edge_stay_finite():
    """tanh rounds to 1 far out, where its inverse is infinite."""
    dist = Squashed(jnp.array([[30.0]]), jnp.array([[1.0]]))
    action, log_prob = dist.scored_samples(jr.key(0), 3)
    assert (action == 1).all()
    assert np.isfinite(log_prob).all()

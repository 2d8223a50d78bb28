import numpy as np
import pytest
from scipy import stats

from stitchrl.errors import UsageError
from stitchrl.report.contrast import apart, difference, improvement
from stitchrl.report.statistics import Interval, interval, wilson


def ends(found):
    return found.low, found.high


def test_a_difference_by_hand():
    # Means 10 and 2, standard error sqrt(2/3) = 0.81650, 4 degrees of freedom; t(0.975, 4) = 2.77645.
    found = difference([9, 10, 11], [1, 2, 3])
    assert found.mean == 8
    assert ends(found) == pytest.approx((8 - 2.26694, 8 + 2.26694), abs=1e-4)
    assert found.method == "Welch's t-interval"


def test_a_difference_agrees_with_scipy_and_seeds_count_once():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(3, 1, (5, 7)), rng.normal(2, 6, (3, 20))
    expected = stats.ttest_ind(ours.mean(1), theirs.mean(1), equal_var=False).confidence_interval(0.9)
    assert ends(difference(ours, theirs, level=0.9)) == pytest.approx((expected.low, expected.high))


def test_swapping_the_sides_turns_the_sign():
    rng = np.random.default_rng(1)
    for seeds in (3, 12):
        a, b = rng.normal(0, 1, (seeds, 4)), rng.normal(1, 2, (seeds, 4))
        one, other = difference(a, b), difference(b, a)
        assert (one.mean, *ends(one)) == pytest.approx((-other.mean, -other.high, -other.low))


def test_rates_are_never_further_apart_than_1_and_returns_as_far_as_they_like():
    """Mean difference 0.6, standard error sqrt(0.06 + 0) = 0.24495, 4 degrees of freedom; t(0.975, 4) = 2.77645."""
    ours, theirs = [1, 1, 1, 0, 0], [0.0] * 5
    half = 2.77645 * 0.06**0.5
    assert ends(difference(ours, theirs)) == pytest.approx((0.6 - half, 0.6 + half), abs=1e-5)
    assert ends(difference(ours, theirs, rate=True)) == pytest.approx((0.6 - half, 1.0), abs=1e-5)
    assert ends(difference(theirs, ours, rate=True)) == pytest.approx((-1.0, half - 0.6), abs=1e-5)


def test_rates_that_do_not_vary_between_seeds_are_joined_from_wilson_intervals():
    found = difference([[1] * 8] * 3, [[0] * 8] * 3, rate=True)
    low, high = wilson(1.0, 24)[0], wilson(0.0, 24)[1]
    assert ends(found) == pytest.approx((1 - np.hypot(1 - low, high), 1.0))
    assert found.method == 'Wilson over episodes, within-seed'


def test_ten_seeds_are_compared_by_their_interquartile_means():
    rng = np.random.default_rng(2)
    a, b = rng.normal(5, 1, (10, 4)), rng.normal(0, 1, (12, 4))
    a[0] = 1e6  # one seed gone astray
    found = difference(a, b)
    assert found.method == 'bootstrap of the IQM'
    assert found.mean == pytest.approx(interval(a).mean - interval(b).mean)
    assert 3 < found.low < found.mean < 7


@pytest.mark.parametrize(('ours', 'theirs'), [([[1.0, 2]], [[1.0, 2]] * 3), ([5.0, 5], [4.0, 4])])
def test_no_interval_where_nothing_shows_the_spread(ours, theirs):
    found = difference(ours, theirs)
    assert ends(found) == (None, None)
    assert found.method.startswith('no interval')


def test_joined_intervals_cover_what_they_promise():
    rng = np.random.default_rng(3)
    pairs = [(rng.normal(0, 1, 10), rng.normal(0, 3, 12)) for _ in range(300)]
    found = [difference(a, b) for a, b in pairs]
    assert 0.9 <= np.mean([one.low <= 0 <= one.high for one in found]) <= 0.99


def test_probability_of_improvement_counts_pairs_and_half_of_the_ties():
    assert improvement([1, 2, 3], [2, 2, 0]).mean == pytest.approx((1 + 2 + 3) / 9)
    assert improvement([1, 1], [1, 1]).mean == 0.5
    ours, theirs = np.random.default_rng(0).normal(size=(2, 6))
    assert improvement(ours, theirs).mean == pytest.approx(stats.mannwhitneyu(ours, theirs).statistic / 36)


def test_its_interval_by_hand():
    # p = 1, m = n = 2, so N = 1; the lower end solves (1 - q)^2 = t^2 V(q) with t(0.975, 2) = 4.30265.
    found = improvement([3, 4], [1, 2])
    q, t = found.low, 4.30265
    variance = q * (1 - q) * (1 + (1 - q) / (2 - q) + q / (1 + q)) / 4
    assert (1 - q) ** 2 == pytest.approx(t**2 * variance, abs=2e-3)
    assert found.high == 1.0
    assert improvement([1, 2], [3, 4]).high == pytest.approx(1 - q)


@pytest.mark.parametrize('seeds', [2, 3, 5, 9, 20])
@pytest.mark.parametrize(('shift', 'spread'), [(0, 1), (0, 4), (1, 1), (2, 1)])
def test_its_interval_covers_what_it_promises(seeds, shift, spread):
    # With the normal's quantile instead of t it covers 84 % with 3 seeds of unequal spread.
    rng = np.random.default_rng(4)
    true = stats.norm.cdf(shift / np.hypot(1, spread))
    found = [improvement(rng.normal(shift, 1, seeds), rng.normal(0, spread, seeds)) for _ in range(400)]
    assert np.mean([one.low <= true <= one.high for one in found]) >= 0.92


def test_one_seed_gets_no_interval():
    assert ends(improvement([5.0], [1.0, 2])) == (None, None)


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(UsageError, match='seed 1'):
        difference([1, 2], [1, float('nan')])
    with pytest.raises(UsageError, match='a rate in'):
        difference([1, 2], [1, 0], rate=True)


@pytest.mark.parametrize(
    ('low', 'high', 'told'), [(1, 2, True), (-2, -1, False), (-1, 1, None), (0, 1, None), (None, None, None)]
)
def test_a_difference_decides_only_where_its_interval_leaves_out_0(low, high, told):
    assert apart(Interval(0.0, low, high, '', 3, None)) is told

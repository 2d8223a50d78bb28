import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from stitchrl.data.references import REFERENCES
from stitchrl.errors import UsageError
from stitchrl.report.statistics import (
    Interval,
    best,
    interval,
    iqm,
    last_mean,
    lower_bound,
    normalised,
    wilson,
)


def rows(scores, field='return'):
    """Rows of eval.jsonl from scores [S][N][E]; evaluation n is at step 100 n."""
    return [
        {'seed': s, 'step': 100 * n, 'episode': e, field: value}
        for s, curve in enumerate(scores)
        for n, episodes in enumerate(curve)
        for e, value in enumerate(episodes)
    ]


def test_t_interval_by_hand():
    # Mean 2, standard deviation 1, t(0.975, 2) = 4.30265, so half the width is 4.30265 / sqrt(3) = 2.48414.
    found = interval([1, 2, 3])
    assert (found.mean, found.method, found.seeds, found.episodes) == (2, 't-interval', 3, None)
    assert (found.low, found.high) == pytest.approx((2 - 2.48414, 2 + 2.48414), abs=1e-5)


def test_t_interval_agrees_with_scipy_on_the_means_of_seeds():
    scores = np.random.default_rng(0).normal(50, 9, (6, 20))
    found = interval(scores, level=0.9)
    means = scores.mean(1)
    expected = stats.t.interval(0.9, 5, means.mean(), stats.sem(means))
    assert (found.low, found.high) == pytest.approx(expected)


def test_more_episodes_of_the_same_seeds_do_not_narrow_the_interval():
    few = interval([[1.0] * 5, [2.0] * 5, [3.0] * 5])
    many = interval([[1.0] * 500, [2.0] * 500, [3.0] * 500])
    assert (few.low, few.high) == pytest.approx((many.low, many.high))


def test_only_what_is_said_to_be_a_rate_is_clipped():
    scores = [1.0, 1.0, 0.9, 0.2]
    clipped, plain = interval(scores, rate=True), interval(scores)
    assert clipped.high == 1.0
    assert plain.high > 1.1
    assert clipped.low == plain.low > 0
    assert interval([0.0, 0.0, 0.1, 0.8], rate=True).low == 0.0


@pytest.mark.parametrize('scores', [[0.7], [[1.0, 0.0, 1.0]], [[1.0, 1.0, 1.0]]])
def test_one_seed_never_gets_an_interval(scores):
    found = interval(scores, rate=True)
    assert (found.low, found.high, found.method) == (None, None, 'no interval from one seed')
    assert found.mean == pytest.approx(np.mean(scores))


@pytest.mark.parametrize(('successes', 'trials'), [(50, 50), (0, 50), (40, 50), (1, 3)])
def test_wilson_agrees_with_scipy(successes, trials):
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, 'wilson')
    assert wilson(successes / trials, trials) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize('seeds', [5, 12])
def test_equal_rates_get_a_wilson_interval_over_episodes(seeds):
    # All of n succeeded: the lower end is n / (n + 1.96^2).
    found = interval(np.ones((seeds, 10)), rate=True)
    assert found.low == pytest.approx(10 * seeds / (10 * seeds + 1.959964**2))
    assert found.high == 1.0
    assert found.method == 'Wilson over episodes, within-seed'


def test_equal_rates_need_not_be_one_nor_fall_on_the_same_episodes():
    found = interval([[1, 0, 1, 1], [1, 1, 0, 1]], rate=True)
    assert (found.low, found.high) == pytest.approx(wilson(0.75, 8))


@pytest.mark.parametrize(('scores', 'rate'), [([0.5, 0.5, 0.5], True), ([[-200.0] * 4] * 12, False)])
def test_equal_scores_without_a_count_of_successes_get_no_interval(scores, rate):
    found = interval(scores, rate=rate)
    assert (found.low, found.method) == (None, 'no interval, all seeds scored the same')


@pytest.mark.parametrize(
    ('size', 'told'),
    [
        (0.0, '0.00'),
        (0.00123, '0.0012'),
        (0.052, '0.052'),
        (0.5, '0.50'),
        (9.99, '9.99'),
        (99.5, '99.5'),
        (2e3, '2000'),
    ],
)
def test_a_score_is_told_to_two_figures_at_least(size, told):
    assert str(Interval(size, None, None, 'no interval', 1, 1)).split()[0] == told


def test_interquartile_mean_by_hand():
    assert iqm(np.array([100, 1, 2, 3, 4, 5, 6, -100])) == (2 + 3 + 4 + 5) / 4
    assert iqm(np.array([[9.0, 1, 2], [4, 4, 7]])).tolist() == [4, 5]  # 3 // 4 = 0: nothing is dropped


def test_interquartile_mean_agrees_with_scipy():
    values = np.random.default_rng(0).normal(size=(5, 13))
    assert iqm(values) == pytest.approx(stats.trim_mean(values, 0.25, axis=1))


def test_ten_seeds_get_a_bootstrap_of_the_iqm_that_repeats():
    scores = np.random.default_rng(0).normal(size=(10, 4))
    scores[0] = 1e6  # one seed gone astray: the mean follows it, the interquartile mean does not
    found = interval(scores, seed=1)
    assert found.method == 'bootstrap of the IQM'
    assert found.mean == pytest.approx(iqm(scores.mean(1)))
    assert found.low < found.mean < found.high
    assert abs(found.mean) < 1
    assert found == interval(scores, seed=1)
    assert found != interval(scores, seed=2)
    assert interval(scores[:9]).method == 't-interval'


def test_bootstrap_agrees_with_scipy_where_there_is_one_level():
    scores = np.random.default_rng(3).normal(size=24)
    ours = interval(scores, resamples=20_000)
    theirs = stats.bootstrap((scores,), iqm, n_resamples=20_000, method='percentile', rng=0)
    expected = theirs.confidence_interval
    assert (ours.low, ours.high) == pytest.approx((expected.low, expected.high), abs=0.02)


def test_bootstrap_draws_episodes_too():
    # Every seed has the same mean but for a hair; all the noise is within seeds.
    scores = np.tile([0.0, 10.0], (10, 4)) + 1e-6 * np.arange(10)[:, None]
    found = interval(scores)
    assert found.high - found.low > 1


def share_covered(seeds, spread, noise, trials, **options):
    """How often the interval holds the true mean 0, for seeds and episodes with normal scores."""
    rng = np.random.default_rng(7)
    found = [
        interval(rng.normal(0, spread, (seeds, 1)) + rng.normal(0, noise, (seeds, 8)), **options) for _ in range(trials)
    ]
    return np.mean([i.low <= 0 <= i.high for i in found])


@pytest.mark.parametrize('seeds', [2, 3, 5, 9])
def test_t_intervals_cover_what_they_promise(seeds):
    # 4000 trials: the standard error is 0.35 %. A normal quantile instead of t would cover 70 to 91 %.
    assert share_covered(seeds, 1, 1, 4000) == pytest.approx(0.95, abs=0.012)
    assert share_covered(seeds, 1, 1, 4000, level=0.8) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(('seeds', 'spread', 'noise'), [(10, 1, 1), (10, 1, 3), (20, 1, 1)])
def test_bootstrap_intervals_cover_about_what_they_promise(seeds, spread, noise):
    # Resampling only episodes within the seeds would cover 50 % with noise 1 and 85 % with noise 3.
    assert 0.9 <= share_covered(seeds, spread, noise, 400, resamples=400) <= 0.99


def test_lower_bound_by_hand():
    # Means 10 and 2; the variance of each is 1/3, so the difference has standard error sqrt(2/3) = 0.81650
    # and (2/3)^2 / ((1/3)^2 / 2 + (1/3)^2 / 2) = 4 degrees of freedom; t(0.95, 4) = 2.13185.
    assert lower_bound([9, 10, 11], [1, 2, 3]) == pytest.approx(8 - 2.13185 * 0.81650, abs=1e-4)


def test_lower_bound_agrees_with_scipy():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(3, 1, 5), rng.normal(2, 6, 3)
    expected = stats.ttest_ind(ours, theirs, equal_var=False, alternative='greater')
    assert lower_bound(ours, theirs, 0.9) == pytest.approx(expected.confidence_interval(0.9).low)


def test_lower_bound_lies_below_the_difference_as_often_as_promised():
    # Pooling the variances of these two would cover 82 %.
    rng = np.random.default_rng(5)
    pairs = [(rng.normal(0, 1, 8), rng.normal(0, 6, 3)) for _ in range(4000)]
    assert np.mean([lower_bound(a, b) <= 0 for a, b in pairs]) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(('ours', 'theirs'), [([1], [1, 2]), ([1, 2], [1]), ([1, 1], [2, 2])])
def test_lower_bound_is_none_where_nothing_shows_the_spread(ours, theirs):
    assert lower_bound(ours, theirs) is None


def test_lower_bound_refuses_what_is_not_a_number():
    with pytest.raises(UsageError, match='seed 1'):
        lower_bound([1, 2], [1, float('nan')])


def test_last_mean_takes_the_last_evaluations_of_each_seed():
    curves = [[[99, 99], [1, 3], [5, 7]], [[-99, -99], [2, 2], [2, 4]]]
    found = last_mean(rows(curves), k=2)
    assert found == interval([[1, 3, 5, 7], [2, 2, 2, 4]])
    assert (found.mean, found.episodes) == (np.mean([4, 2.5]), 4)
    assert last_mean(rows(curves), k=7).episodes == 6
    with pytest.raises(UsageError, match='k is 0'):
        last_mean(rows(curves), k=0)


def test_last_mean_of_successes_is_a_rate():
    found = last_mean(rows([[[True, True]]] * 3, 'success'), field='success', rate=True)
    assert found.method == 'Wilson over episodes, within-seed'


def test_best_is_each_seeds_own_and_marked():
    found = best(rows([[[1, 1], [9, 7], [2, 2]], [[5, 5], [0, 0], [1, 1]]]))
    assert found.mean == (8 + 5) / 2
    assert found.method == 't-interval, best chosen in hindsight'


def test_normalised_is_0_for_random_and_100_for_the_expert():
    hopper = REFERENCES['hopper']
    assert normalised(np.array(hopper), hopper).tolist() == [0, 100]
    assert normalised(1607.0138475, hopper) == pytest.approx(50)


@pytest.mark.parametrize(
    ('found', 'text'),
    [
        (
            Interval(0.93, 0.88, 0.98, 't-interval', 5, 50),
            '0.93 [0.88, 0.98] (5 seeds x 50 episodes, t-interval)',
        ),
        (Interval(86.25, 80, 92, 't-interval', 3, None, 0.9), '86.2 [80.0, 92.0] (3 seeds, t-interval 90 %)'),
        (
            Interval(3158.4, -20, 6000, 't-interval', 2, 9),
            '3158 [-20, 6000] (2 seeds x 9 episodes, t-interval)',
        ),
        (interval([[1, 0]]), '0.50 (1 seed x 2 episodes, no interval from one seed)'),
    ],
)
def test_an_interval_prints_as_one_would_write_it(found, text):
    assert str(found) == text


def test_importing_it_brings_neither_jax_nor_scipy():
    code = 'import sys, stitchrl.report.statistics; sys.exit(any(m in sys.modules for m in ("jax", "scipy")))'
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0

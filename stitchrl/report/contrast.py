"""What two runs' seeds allow one to say of their difference.

Episodes of one seed share its luck, so a seed counts once, by the mean of its episodes. As in `statistics`, under
10 seeds on either side the difference is one of means with a t-interval; from 10 on it is one of interquartile
means. One seed on either side never gets an interval.
"""

from typing import Any

import numpy as np

from stitchrl.report.scores import table
from stitchrl.report.statistics import MANY, RATES_APART, Interval, equal, interval, student, welch, within

GRID = 4001  # probabilities that are tried as the ends of an interval


def difference(ours: Any, theirs: Any, *, rate: bool = False, level: float = 0.95) -> Interval:
    """How much higher `ours` score than `theirs`, each [S] or [S, E] as for `interval`, and a two-sided interval.

    Welch's t-interval of the means (Welch, 1947). Where both have 10 seeds, or neither side's seeds differ, the
    intervals of the two scores are joined (Zou and Donner, 2008): [d - sqrt((a - la)^2 + (ub - b)^2), d +
    sqrt((ua - a)^2 + (b - lb)^2)]. `rate`: scores are rates, their difference lies in [-1, 1]. Raises UsageError as
    `interval` does.
    """
    a, b = table(ours, rate=rate).mean(1), table(theirs, rate=rate).mean(1)
    gap, seeds = float(a.mean() - b.mean()), min(len(a), len(b))
    if seeds < 2:
        return Interval(gap, None, None, 'no interval from one seed', seeds, None, level)
    if seeds < MANY and not (equal(a) and equal(b)):
        half = welch(a, b, (1 + level) / 2)
        found = Interval(gap, gap - half, gap + half, "Welch's t-interval", seeds, None, level)
    else:
        found = joined(interval(ours, rate=rate, level=level), interval(theirs, rate=rate, level=level), seeds)
    return within(found, RATES_APART) if rate else found


def joined(a: Interval, b: Interval, seeds: int) -> Interval:
    """a - b from the intervals of two independent scores; none where one of them has none."""
    gap = a.mean - b.mean
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Interval(gap, None, None, (a if a.low is None else b).method, seeds, None, a.level)
    low = gap - np.hypot(a.mean - a.low, b.high - b.mean)
    high = gap + np.hypot(a.high - a.mean, b.mean - b.low)
    methods = ' and '.join(dict.fromkeys((a.method, b.method)))
    return Interval(gap, float(low), float(high), methods, seeds, None, a.level)


def improvement(ours: Any, theirs: Any, level: float = 0.95) -> Interval:
    """Probability that a seed of `ours`, each [S] or [S, E], scores above one of `theirs`; equal scores are half.

    With m and n seeds the estimate p has about the variance

        V(q) = q (1 - q) (1 + N (1 - q) / (2 - q) + N q / (1 + q)) / (m n),    N = (m + n) / 2 - 1

    under a true q, and the interval holds every q with (p - q)^2 <= t^2 V(q) (Newcombe, 2006, method 5), here with
    Student's t of m + n - 2 degrees of freedom instead of the normal's quantile, which covers 84 % with 3 seeds.
    It is never of width 0: three seeds all above three others are told apart at [0.34, 1.00] only.
    """
    a, b = table(ours).mean(1), table(theirs).mean(1)
    m, n = len(a), len(b)
    estimate = float((np.sign(a[:, None] - b[None]) / 2 + 0.5).mean())
    if min(m, n) < 2:
        return Interval(estimate, None, None, 'no interval from one seed', min(m, n), None, level)
    q, half = np.linspace(0, 1, GRID), (m + n) / 2 - 1
    variance = q * (1 - q) * (1 + half * (1 - q) / (2 - q) + half * q / (1 + q)) / (m * n)
    inside = q[(estimate - q) ** 2 <= student((1 + level) / 2, m + n - 2) ** 2 * variance + 1e-12]
    return Interval(estimate, float(inside[0]), float(inside[-1]), 'score interval', min(m, n), None, level)


def apart(gap: Interval) -> bool | None:
    """Of a difference: True where it lies above 0, False where below, None where the interval leaves it open."""
    if gap.low is None or gap.high is None or gap.low <= 0 <= gap.high:
        return None
    return gap.low > 0

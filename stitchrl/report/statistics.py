"""What a handful of seeds allows one to say.

Episodes of one seed share its luck, so an interval is over seeds. Under 10 seeds it is a t-interval on the
seeds' means; from 10 seeds a two-level percentile bootstrap of the interquartile mean (Agarwal et al., 2021).
Where all seeds have the same rate, which shows nothing of the spread between seeds, it is a Wilson interval
over episodes and says so: a lower limit to what is unknown, for it knows of no other seeds, and takes episodes that
begin alike, as those of all agents of a run do, for independent ones. One seed never gets an interval.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stitchrl.data.references import Reference
from stitchrl.report.scores import curves, last, table

MANY = 10  # seeds from which a bootstrap over them is worth its name
RATE, RATES_APART = (0.0, 1.0), (-1.0, 1.0)  # where a rate lies, and the difference of two


@dataclass(frozen=True)
class Interval:
    """A score and the range that covers the true one in `level` of repetitions, None if unknown."""

    mean: float  # over seeds; their interquartile mean where the method says IQM
    low: float | None
    high: float | None
    method: str
    seeds: int
    episodes: int | None  # per seed; None where only the seeds' means were given
    level: float = 0.95

    def __str__(self) -> str:
        size = max(abs(x) for x in (self.mean, self.low, self.high) if x is not None)
        digits = decimals(size)
        counts = f'{self.seeds} seed' + 's' * (self.seeds > 1)
        counts += f' x {self.episodes} episodes' if self.episodes else ''
        if self.low is None:
            return f'{self.mean:.{digits}f} ({counts}, {self.method})'
        span = f'[{self.low:.{digits}f}, {self.high:.{digits}f}]'
        level = '' if self.level == 0.95 else f' {100 * self.level:g} %'
        return f'{self.mean:.{digits}f} {span} ({counts}, {self.method}{level})'


def interval(scores: Any, *, rate: bool = False, level: float = 0.95, seed: int = 0, resamples: int = 2000) -> Interval:
    """Mean and two-sided interval of scores [S], one per seed, or [S, E], one per seed and episode.

    `rate`: the scores are successes or rates in [0, 1]; a t-interval is then clipped to it, and equal seeds
    get a Wilson interval. `seed` and `resamples` are the bootstrap's, which covers 92 to 99 % where 95 % are
    asked for, the most where the noise is in the episodes. Raises UsageError as `scores.table` does.
    """
    values = table(scores, rate=rate)
    means, count = values.mean(1), len(values)
    episodes = values.shape[1] if np.ndim(scores[0]) else None
    mean, ends = float(means.mean()), (None, None)
    if count == 1:
        method = 'no interval from one seed'
    elif equal(means) and not (rate and episodes):
        method = 'no interval, all seeds scored the same'
    elif equal(means):
        ends, method = wilson(mean, values.size, level), 'Wilson over episodes, within-seed'
    elif count < MANY:
        half = student((1 + level) / 2, count - 1) * float(means.std(ddof=1)) / count**0.5
        ends, method = (mean - half, mean + half), 't-interval'
    else:
        mean, method = float(iqm(means)), 'bootstrap of the IQM'
        ends = bootstrap(values, level, seed, resamples)
    found = Interval(mean, *ends, method, count, episodes, level)
    return within(found, RATE) if rate else found


def within(found: Interval, bounds: tuple[float, float]) -> Interval:
    """The interval without what the quantity cannot be: a t-interval knows no bounds of RATE or RATES_APART."""
    if found.low is None or found.high is None:
        return found
    return replace(found, low=max(found.low, bounds[0]), high=min(found.high, bounds[1]))


def decimals(size: float) -> int:
    """Digits behind the point for a score of this size: two figures of a small one, none of one in the thousands."""
    if 0 < size < 0.1:
        return 1 - math.floor(math.log10(size))
    return 2 if size < 10 else 1 if size < 1000 else 0


def iqm(values: np.ndarray) -> np.ndarray:
    """Interquartile mean over the last axis: a quarter of them, rounded down, is dropped at each end."""
    cut = values.shape[-1] // 4
    return np.sort(values, -1)[..., cut : values.shape[-1] - cut].mean(-1)


def wilson(rate: float, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Two-sided interval for a probability, from the rate seen in independent trials (Wilson, 1927)."""
    from scipy.special import ndtri  # here, because it takes longer to import than most commands take to run

    z2 = float(ndtri((1 + level) / 2)) ** 2
    centre = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    half = (z2 * (rate * (1 - rate) / trials + z2 / (4 * trials**2))) ** 0.5 / (1 + z2 / trials)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def lower_bound(ours: Any, theirs: Any, level: float = 0.95) -> float | None:
    """One-sided lower bound of mean(ours) - mean(theirs) over seeds, each [S] or [S, E] (Welch, 1947).

    The true difference lies above it in `level` of repetitions, whatever the two spreads. None where there
    can be none: one side has a single seed, or neither varies.
    """
    a, b = table(ours).mean(1), table(theirs).mean(1)
    if min(len(a), len(b)) < 2 or (equal(a) and equal(b)):
        return None
    return float(a.mean() - b.mean()) - welch(a, b, level)


def welch(a: np.ndarray, b: np.ndarray, probability: float) -> float:
    """How far mean(a) - mean(b) of values [S] and [R] strays upwards, in `probability` of repetitions, at most.

    Two or more values on each side, of which some differ (Welch, 1947).
    """
    va, vb = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    return student(probability, freedom) * float(va + vb) ** 0.5


def last_mean(rows: Iterable[Mapping[str, Any]], k: int = 5, field: str = 'return', **options: Any) -> Interval:
    """The score of a run: per seed the mean over its last k evaluations, or over all where it has fewer.

    `rows` as in eval.jsonl, one per episode; options as for `interval`.
    """
    return interval(last(rows, k, field), **options)


def best(rows: Iterable[Mapping[str, Any]], field: str = 'return', **options: Any) -> Interval:
    """Each seed's best evaluation. Chosen by its result, so it is marked; shown beside `last_mean`."""
    scores = curves(rows, field)[1]
    found = interval(scores[np.arange(len(scores)), scores.mean(2).argmax(1)], **options)
    return replace(found, method=f'{found.method}, best chosen in hindsight')


def normalised(returns: Any, reference: Reference) -> Any:
    """Returns, a number or an array, on D4RL's scale: 0 is random, 100 is expert (see `references.find`)."""
    return 100 * (returns - reference.random) / (reference.expert - reference.random)


def equal(means: np.ndarray) -> bool:
    """Whether values are the same but for rounding."""
    return bool(np.ptp(means) <= 1e-12 * abs(means).max())


def student(probability: float, freedom: float) -> float:
    """The quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def bootstrap(values: np.ndarray, level: float, seed: int, resamples: int) -> tuple[float, float]:
    """Draw seeds, then episodes of each drawn seed, both with replacement; quantiles of their IQM."""
    rng = np.random.default_rng(seed)
    count, episodes = values.shape
    means = np.zeros((resamples, count))
    for slot in range(count):
        drawn = rng.integers(count, size=(resamples, 1))
        means[:, slot] = values[drawn, rng.integers(episodes, size=(resamples, episodes))].mean(1)
    low, high = np.quantile(iqm(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

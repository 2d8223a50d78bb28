"""What an experiment on a statement returns, and the one rule that turns its intervals into a verdict.

A verdict is never typed. A prediction names a quantity and the range it must lie in; the quantity is measured
with an interval; where the whole interval lies in the range the prediction holds, where all of it lies outside
it does not, and anything between is undecided. The same quantity measured without what is said to cause it, the
negative control, must lie outside: where it does not, the experiment shows nothing, and is undecided too.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from stitchrl.errors import UsageError
from stitchrl.report.statistics import RATES_APART, Interval, interval, wilson, within

Verdict = Literal['holds', 'does not hold', 'undecided']
EXACT = 'exact'


@dataclass(frozen=True)
class Check:
    """One prediction and what came out."""

    statements: tuple[int, ...]  # of the course, by number
    prediction: str  # a sentence
    found: Interval
    above: float = -np.inf  # the quantity is predicted to lie between these two
    below: float = np.inf
    control: Interval | None = None  # the quantity where its cause is taken away
    without: str = ''  # what the control lacks, or has instead
    unit: str = 'seed'  # what the intervals are over, where it is no seed

    def __post_init__(self) -> None:
        if not self.above < self.below or (self.above, self.below) == (-np.inf, np.inf):
            raise UsageError(
                f'{self.prediction!r} predicts a number above {self.above} and below {self.below}: no test'
            )
        if (self.control is None) != (not self.without):
            raise UsageError(f'{self.prediction!r}: give a control together with what it is `without`')

    @property
    def control_verdict(self) -> Verdict | None:
        """What the rule says of the control, which is meant to fail; None where the check has none."""
        return None if self.control is None else lies(self.control, self.above, self.below)

    @property
    def verdict(self) -> Verdict:
        verdict = lies(self.found, self.above, self.below)
        return verdict if verdict != 'holds' or self.control_verdict in (None, 'does not hold') else 'undecided'

    @property
    def mark(self) -> str:
        """The predicted range in words."""
        parts = [f'above {self.above:.4g}'] * (self.above > -np.inf) + [f'below {self.below:.4g}'] * (
            self.below < np.inf
        )
        return ' and '.join(parts)

    def to_json(self) -> dict[str, Any]:
        bounds = {'above': self.above, 'below': self.below}
        return {
            'statements': list(self.statements),
            'prediction': self.prediction,
            'predicted': {name: bound for name, bound in bounds.items() if np.isfinite(bound)},
            'mark': self.mark,
            'found': asdict(self.found) | {'words': words(self.found, self.unit)},
            'verdict': self.verdict,
            'control': None
            if self.control is None
            else asdict(self.control)
            | {'words': words(self.control, self.unit), 'without': self.without, 'verdict': self.control_verdict},
        }


@dataclass(frozen=True)
class Claim:
    """The outcome of one experiment: checks, at least one of them with a negative control, and a figure."""

    checks: Sequence[Check]
    figure: bytes  # a PNG
    caption: str
    alt: str  # what the figure shows, for those who cannot see it
    notes: Sequence[str] = ()  # what else came out

    def __post_init__(self) -> None:
        if all(check.control is None for check in self.checks):
            raise UsageError('an experiment needs a negative control; give at least one check its `control`')

    @property
    def verdict(self) -> Verdict:
        return overall([check.verdict for check in self.checks])

    @property
    def statements(self) -> tuple[int, ...]:
        return tuple(sorted({number for check in self.checks for number in check.statements}))


def lies(found: Interval, above: float, below: float) -> Verdict:
    """'holds' where all of the interval lies strictly between the bounds, 'does not hold' where none of it does.

    Without an interval (one seed) nothing is decided. A mean that is not finite never holds.
    """
    if not np.isfinite(found.mean):
        return 'does not hold'
    if found.low is None or found.high is None:
        return 'undecided'
    if above < found.low and found.high < below:
        return 'holds'
    return 'does not hold' if found.high <= above or found.low >= below else 'undecided'


def overall(verdicts: Sequence[Verdict]) -> Verdict:
    """All must hold; one that does not hold outweighs those that are undecided."""
    if 'does not hold' in verdicts:
        return 'does not hold'
    return 'undecided' if 'undecided' in verdicts else 'holds'


def exact(value: float) -> Interval:
    """A number that was computed, not sampled: its interval is itself."""
    return Interval(float(value), float(value), float(value), EXACT, 0, None)


def paired(ours: Any, theirs: Any, *, rate: bool = False) -> Interval:
    """Interval of the mean difference ours - theirs over seeds, both [S] or [S, E], seed i of both alike.

    `rate`: scores are rates, their difference lies in [-1, 1]. Where every seed shows the same difference, nothing is
    seen of the spread between seeds; the interval is then over episodes, by both sides' Wilson intervals (Newcombe,
    1998), and says so.
    """
    a, b = np.asarray(ours, float), np.asarray(theirs, float)
    means = lambda scores: scores.reshape(len(scores), -1).mean(1)
    found = interval(means(a) - means(b))
    if not rate:
        return found
    if found.low is None and a.ndim > 1:
        (low_a, high_a), (low_b, high_b) = (wilson(x.mean(), x.size) for x in (a, b))
        down = np.hypot(a.mean() - low_a, high_b - b.mean())
        up = np.hypot(high_a - a.mean(), b.mean() - low_b)
        how = 'Newcombe over episodes, within-seed'
        found = Interval(found.mean, float(found.mean - down), float(found.mean + up), how, found.seeds, a.shape[1])
    return within(found, RATES_APART)


def words(found: Interval, unit: str = 'seed') -> str:
    """An interval for a table, with as many digits as it needs. `unit`: what it is over."""
    if found.method == EXACT:
        return f'{found.mean:.4g} (exact)'
    counts = f'{found.seeds} {unit}' + 's' * (found.seeds > 1)
    if found.low is None:
        return f'{found.mean:.3g} ({counts}, {found.method})'
    return f'{found.mean:.3g} [{found.low:.3g}, {found.high:.3g}] ({counts}, {found.method})'


def record(
    name: str, story: str, statements: Sequence[int], claim: Claim, seconds: float, cpu: float
) -> dict[str, Any]:
    """Everything as JSON: prediction, verdicts, numbers, and what somebody needs to see the same.

    `story` is the experiment's docstring: first line the claim, then the prediction. `seconds` by the clock, `cpu`
    of all cores together, which a busy machine does not lengthen. UsageError where the checks cover other
    statements than the experiment names.
    """
    from stitchrl.runs.directory import system

    if tuple(sorted(statements)) != claim.statements:
        raise UsageError(f'claim {name} names statements {tuple(statements)} but checks {claim.statements}')
    title, _, rest = story.strip().partition('\n')
    return {
        'name': name,
        'title': title,
        'prediction': rest.strip(),
        'statements': list(claim.statements),
        'verdict': claim.verdict,
        'checks': [check.to_json() for check in claim.checks],
        'notes': list(claim.notes),
        'figure': f'{name}.png',
        'caption': claim.caption,
        'alt': claim.alt,
        'command': f'stitch claims run {name}',
        'seconds': round(seconds, 1),
        'cpu_seconds': round(cpu, 1),
        'system': system(),
    }

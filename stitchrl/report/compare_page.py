"""A comparison of runs as a page."""

from pathlib import Path

from stitchrl.report import figures, page
from stitchrl.report.compare import LAST, Comparison, Row, learned
from stitchrl.report.contrast import apart
from stitchrl.report.statistics import Interval

HOW = (
    f'A score is the mean of the last {LAST} evaluations. Seeds are clusters: intervals are over seeds, at 95 %.',
    'A difference whose interval holds 0 is not decided by these runs. A probability of improvement of 0.5 means '
    'that neither is better; it is about seeds, not episodes.',
    'The two may disagree: the difference takes scores of seeds to be about normal, the probability assumes nothing of '
    'them and needs more seeds.',
)


def write(path: str | Path, found: Comparison, command: str) -> Path:
    """Table, differences, learning curves, warnings. Returns the path."""
    first = found.rows[0].entry.name
    title = ' and '.join(row.entry.name for row in found.rows) if len(found.rows) == 2 else f'{len(found.rows)} runs'
    series = {row.entry.name: learned(row.entry, found.field) for row in found.rows}
    rate = found.field == 'success'
    label = 'success rate' if rate else found.field
    draw = lambda inches: figures.curves(series, ylabel=label, rate=rate, inches=inches)
    picture = page.Picture(
        draw(figures.WIDE_CHART),
        f'{label.capitalize()} during training: each seed a thin line, their mean thick, its 95 % interval shaded.',
        'Learning curves of the compared runs.',
        draw(figures.NARROW_CHART),
    )
    top = max(found.rows, key=lambda row: row.score.mean)
    headline = f'{top.entry.name} has the highest mean: {number(top.score)}'
    tables = [scores(found, label), differences(found, first)]
    told, reproduce = verdicts(found, first), {'command': command}
    title = f'{title} compared'
    return page.write(path, title, told, tables, [picture], notes(found), reproduce, headline=headline)


def verdicts(found: Comparison, first: str) -> list[page.Verdict]:
    """A sentence for each run but the first; none is a statement put to the test beforehand."""
    return [page.Verdict(sentence(row, first), apart(row.difference)) for row in found.rows[1:] if row.difference]


def sentence(row: Row, first: str) -> str:
    """How a run stands to the first, in words."""
    gap = row.difference
    if gap is None or gap.low is None:
        return f'{row.entry.name} against {first}: no interval, so nothing is decided'
    words = {True: 'scores higher than', False: 'scores lower than', None: 'is not told apart from'}[apart(gap)]
    return f'{row.entry.name} {words} {first}: difference {number(gap)}'


def number(one: Interval | None) -> str:
    """Number and interval without how they were made."""
    return '' if one is None else str(one).partition(' (')[0]


def scores(found: Comparison, label: str) -> page.Table:
    """The score of each run on one scale."""
    low, high = scale([row.score for row in found.rows], found.field == 'success')
    header = ['run', label]
    ruled = any(row.normalised for row in found.rows)
    rows = []
    for row in found.rows:
        cells = [row.entry.label, page.Whisker(row.score, low, high)]
        rows.append([*cells, number(row.normalised)] if ruled else cells)
    return page.Table('Scores, on one scale.', [*header, 'normalised (D4RL)'] if ruled else header, rows)


def scale(shown: list[Interval], rate: bool = False) -> tuple[float, float]:
    """A range that holds all intervals: [0, 1] for rates, else from 0 where nothing is negative."""
    ends = [x for one in shown for x in (one.mean, one.low, one.high) if x is not None]
    if rate:
        return 0.0, 1.0
    low, high = min(*ends, 0.0), max(ends)
    return low, high if high > low else low + 1


def differences(found: Comparison, first: str) -> page.Table:
    """What each run gains over the first."""
    gaps = [row.difference for row in found.rows if row.difference]
    most = max(abs(x) for gap in gaps for x in (gap.mean, gap.low, gap.high) if x is not None) or 1.0
    header = ('run', f'gain over {first}', f'probability to beat {first}')
    rows = [
        (row.entry.name, page.Whisker(row.difference, -most, most), page.Whisker(row.improvement))
        for row in found.rows
        if row.difference and row.improvement
    ]
    return page.Table('Differences; the middle of each scale means no difference.', header, rows)


def notes(found: Comparison) -> list[str]:
    """Warnings first, then how the numbers were made."""
    return [f'Warning: {text}.' for text in found.warnings] + list(HOW)

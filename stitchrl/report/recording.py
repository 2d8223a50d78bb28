"""A recording as sections of a page: what it holds, how episodes went, what is wrong with it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stitchrl.data.check import Bound, misfits
from stitchrl.data.columns import Columns
from stitchrl.data.episodes import episode_ends, lengths, returns
from stitchrl.data.finding import Finding
from stitchrl.data.formats.convert import human
from stitchrl.data.inspect import ENDS, SHOWN, SOURCES
from stitchrl.data.summary import SAMPLE, summary
from stitchrl.report import page, plots


def write(
    path: str | Path,
    columns: Columns,
    findings: Sequence[Finding],
    low: Bound = None,
    high: Bound = None,
    title: str = 'recording',
    command: str = '',
) -> Path:
    """The inspection of a recording as a page; arguments as for `data.inspect.inspect`. Returns the path."""
    told, broken = summary(columns, low, high), bool(misfits(columns, low, high))
    sections = [verdict_text(told), *([] if broken else episodes(columns, told))]
    sections += [] if broken else spaces(columns, told)
    sections += [page.Section('Columns', told['notes'], [layout(told)])]
    errors = sum(finding.severity == 'error' for finding in findings)
    headline = f'{errors} error{"s" * (errors != 1)}: not fit to train on' if errors else 'Fit to train on'
    return page.write(
        path, title, verdicts(findings), sections=sections, headline=headline, reproduce=reproduce(told, command)
    )


def reproduce(told: dict[str, Any], command: str) -> dict[str, Any]:
    """How to see the same."""
    from stitchrl import __version__

    return {'command': command, 'fingerprint (sha256)': told['fingerprint'], 'stitchrl': __version__}


def verdict_text(told: dict[str, Any]) -> page.Section:
    """The size of it, in a sentence."""
    count = f', {told["episodes"]["count"]:,} episodes' if 'episodes' in told else ''
    return page.Section('', [f'{told["steps"]:,} steps{count}, {human(told["bytes"])} in memory.'])


def verdicts(findings: Sequence[Finding]) -> list[page.Verdict]:
    """Every finding, errors as what does not hold, warnings as what is open."""
    if not findings:
        return [page.Verdict('Nothing to report: every check passed.', True)]
    return [page.Verdict(str(finding), False if finding.severity == 'error' else None) for finding in findings]


def episodes(columns: Columns, told: dict[str, Any], marks: Mapping[str, float] | None = None) -> list[page.Section]:
    """Returns and lengths; `marks`: {name: return} to show among the recorded returns."""
    ends = episode_ends(columns)
    total, long = returns(columns.reward, ends), lengths(ends)
    total = total[np.isfinite(total)]
    pictures = []
    if total.size:
        picture = plots.histogram(total, 'return of an episode', 'episodes', marks)
        pictures.append(page.Picture(picture, 'Returns, undiscounted.', "A histogram of the episodes' returns."))
    picture = plots.histogram(long, 'steps of an episode', 'episodes')
    pictures.append(page.Picture(picture, 'Lengths.', "A histogram of the episodes' lengths."))
    return [page.Section('Episodes', (), [spread(told), stops(told)], pictures, beside=True)]


def spread(told: dict[str, Any]) -> page.Table:
    """Least, middle and most of lengths and returns."""
    keys = ('min', 'median', 'mean', 'max')
    about = told['episodes']
    rows = [(name, *(number(about[name][key]) for key in keys)) for name in ('length', 'return') if about[name]]
    return page.Table(f'{about["count"]:,} episodes.', ('', *keys), rows)


def stops(told: dict[str, Any]) -> page.Table:
    """Why episodes ended."""
    rows = [(ENDS[name], f'{count:,}') for name, count in told['ends'].items() if count]
    return page.Table('How they end.', ('', 'episodes'), rows)


def spaces(columns: Columns, told: dict[str, Any]) -> list[page.Section]:
    """Actions, with how many lie at a bound, and observations."""
    sections = []
    if told['actions']:
        sections.append(actions(columns, told['actions']))
    if told['observations']:
        table = numbers('Observations, per dimension.', told['observations'])
        sections.append(page.Section('Observations', rest(told['observations']['min']), [table]))
    return sections


def actions(columns: Columns, about: dict[str, Any]) -> page.Section:
    """Choices with their shares, or a histogram and a row of numbers per dimension."""
    if 'choices' in about:
        names, alt = [f'action {choice}' for choice in about['choices'][:SHOWN]], 'A bar for each action.'
        picture = plots.shares(names, about['counts'][:SHOWN], '')
        caption = f'How often each of {len(about["choices"])} actions was taken.'
        return page.Section('Actions', rest(about['choices']), (), [page.Picture(picture, caption, alt)])
    values = columns.action[:: max(1, len(columns) // SAMPLE)]
    values = values[np.isfinite(values).all(1)]
    low, high = np.asarray(about['low']), np.asarray(about['high'])
    wide, narrow = (plots.dimensions(values, low, high, about['saturated'], across) for across in (plots.ACROSS, 2))
    caption = f'How often each value occurs; {SOURCES[about["bounds"]]}.'
    more = {'at a bound': [f'{share:.1%}' for share in about['saturated']]}
    table, alt = numbers('Actions, per dimension.', about, more), 'A histogram for each dimension of the actions.'
    return page.Section('Actions', rest(about['min']), [table], [page.Picture(wide, caption, alt, narrow)])


def numbers(caption: str, about: dict[str, Any], more: Mapping[str, Sequence[str]] | None = None) -> page.Table:
    """Least, mean, most and deviation of each dimension."""
    keys, more = ('min', 'mean', 'max', 'std'), dict(more or {})
    rows = [
        (f'dimension {d}', *(number(about[key][d]) for key in keys), *(texts[d] for texts in more.values()))
        for d in range(min(SHOWN, len(about['min'])))
    ]
    return page.Table(caption, ('', *keys, *more), rows)


def rest(values: Sequence[Any]) -> list[str]:
    """What is not shown."""
    return [f'The first {SHOWN} of {len(values):,}; all with --json.'] if len(values) > SHOWN else []


def layout(told: dict[str, Any]) -> page.Table:
    """The columns as they are stored."""
    rows = []
    for name, column in told['columns'].items():
        values = f'true in {column["true"]:,}' if 'true' in column else 'none finite'
        if 'min' in column:
            values = f'{number(column["min"])} to {number(column["max"])}'
        shape = ' x '.join(f'{size:,}' for size in column['shape'])
        rows.append((name, column['what'], shape, column['dtype'], values))
    return page.Table('As they lie in memory.', ('column', 'what it is', 'shape', 'type', 'values'), rows)


def number(value: float) -> str:
    """Four digits, and separators where the number is large."""
    if value == 0 or not math.isfinite(value):
        return f'{value:g}'
    return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.4g}'

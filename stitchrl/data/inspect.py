"""A recording on the screen: what each column is, ranges, episodes, returns, findings. Imports no JAX."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from stitchrl.data.check import Bound
from stitchrl.data.columns import Columns
from stitchrl.data.finding import Finding
from stitchrl.data.formats.convert import human
from stitchrl.data.summary import summary

SHOWN = 16  # dimensions or choices in a table; the rest is in the summary
BAR, WIDTH = 40, 72  # columns of the longest bar; of a bar, its name and its number in a window of eighty
SOURCES = {
    'stated': 'bounds as stated',
    'assumed': 'no bounds stated, [-1, 1] assumed',
    'observed': 'no bounds stated, those seen are taken',
}
ENDS = {
    'terminal': 'the task ended',
    'timeout': 'a time limit or an operator cut it',
    'gap': 'nobody marked it, but the next row begins elsewhere',
    'cut': 'the recording stopped in the middle',
}


def inspect(
    columns: Columns,
    findings: Sequence[Finding],
    low: Bound = None,
    high: Bound = None,
    title: str = 'recording',
) -> Group:
    """A rich renderable of `summary(columns)` and the findings of `check`, for rich's Console.print."""
    told = summary(columns, low, high)
    facts = f'{told["steps"]:,} steps, {human(told["bytes"])} in memory, sha256 {told["fingerprint"][:12]}'
    parts: list[RenderableType] = [Text.assemble((title, 'bold'), '\n', (facts, 'dim')), *_columns(told)]
    if 'episodes' in told:
        parts += [*_dimensions(told), *_actions(told), *_episodes(told)]
    return Group(*parts, *_findings(findings))


def _heading(words: str, detail: str = '') -> Text:
    return Text.assemble('\n', (words, 'bold cyan'), (f'  {detail}' if detail else '', 'dim'))


def _table(*headings: str) -> Table:
    """A table without lines; > before a heading aligns it to the right, ~ lets the column wrap."""
    header = any(heading.strip('>') for heading in headings)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style='dim', show_header=header)
    for heading in headings:
        side = 'right' if heading.startswith('>') else 'left'
        table.add_column(heading.strip('>~'), justify=side, no_wrap='~' not in heading)
    return table


def _indent(table: RenderableType) -> Padding:
    return Padding.indent(table, 2)


def _columns(told: dict[str, Any]) -> Iterator[RenderableType]:
    yield _heading('Columns')
    table = _table('', '~what it is', '>shape', 'type', 'values')
    for name, column in told['columns'].items():
        values = f'true in {column["true"]:,}' if 'true' in column else 'none finite'
        if 'min' in column:
            values = f'{column["min"]:.4g} to {column["max"]:.4g}'
        shape = ' x '.join(map(str, column['shape']))
        table.add_row(name, column['what'], shape, column['dtype'], values)
    yield _indent(table)
    for note in told['notes']:
        yield _indent(Text(f'- {note}', 'dim'))


def _dimensions(told: dict[str, Any]) -> Iterator[RenderableType]:
    numbers = told['observations']
    if numbers:
        yield _heading('Observations', 'per dimension')
        yield from _numbers(numbers, {})


def _actions(told: dict[str, Any]) -> Iterator[RenderableType]:
    numbers = told['actions']
    if 'choices' in numbers:
        yield _heading('Actions', f'{len(numbers["choices"])} different choices')
        yield from _bars([str(choice) for choice in numbers['choices']], numbers['counts'])
    elif numbers:
        yield _heading('Actions', f'per dimension; {SOURCES[numbers["bounds"]]}')
        spaces = [f'[{low:.4g}, {high:.4g}]' for low, high in zip(numbers['low'], numbers['high'], strict=True)]
        shares = [f'{share:.1%}' for share in numbers['saturated']]
        yield from _numbers(numbers, {'bounds': spaces, 'at a bound': shares})


def _numbers(numbers: dict[str, Any], more: dict[str, list[str]]) -> Iterator[RenderableType]:
    table = _table('>dim', '>min', '>mean', '>max', '>std', 'histogram', *(f'>{name}' for name in more))
    for d in range(min(SHOWN, len(numbers['min']))):
        row = [f'{numbers[name][d]:.3g}' for name in ('min', 'mean', 'max', 'std')]
        table.add_row(str(d), *row, numbers['histogram'][d], *(texts[d] for texts in more.values()))
    yield _indent(table)
    yield from _rest(len(numbers['min']))


def _rest(n: int) -> Iterator[RenderableType]:
    if n > SHOWN:
        yield _indent(Text(f'and {n - SHOWN:,} more, all in --json', 'dim'))


def _episodes(told: dict[str, Any]) -> Iterator[RenderableType]:
    yield _heading('Episodes', f'{told["episodes"]["count"]:,}')
    table = _table('', '>min', '>median', '>mean', '>max')
    for name in ('length', 'return'):
        spread = told['episodes'][name]
        table.add_row(name, *(f'{spread[key]:,.5g}' if spread else 'none' for key in ('min', 'median', 'mean', 'max')))
    yield _indent(table)
    yield _heading('Ends')
    table = _table('>', '')
    for name, count in told['ends'].items():
        table.add_row(f'{count:,}', ENDS[name], style='' if count else 'dim')
    yield _indent(table)
    if 'next_observations' not in told['columns']:
        what = 'no next_observations: where an episode was cut, its last step has no successor and is not used'
        yield _indent(Text(what, 'dim'))
    yield _heading('Returns', 'undiscounted, number of episodes')
    spread, edges = told['episodes']['return'], told['histogram']['edges']
    alike = [f'{spread["mean"]:,.5g}' if spread else 'none']
    yield from _bars(alike if len(edges) == 2 else _ranges(edges), told['histogram']['counts'])


def _ranges(edges: list[float]) -> list[str]:
    """The bins in words, with digits enough to tell them apart; huge and tiny numbers as powers of ten."""
    most = max(map(abs, edges))
    digits = 2 - math.floor(math.log10(edges[-1] - edges[0]))
    form = f',.{max(0, digits)}f'
    if not 1e-3 <= most < 1e7:
        form = f'.{digits + math.floor(math.log10(most))}e'
    return [f'{a:{form}} to {b:{form}}' for a, b in pairwise(edges)]


def _bars(names: list[str], counts: list[int]) -> Iterator[RenderableType]:
    table, most = _table('>', '', '>'), max(1, *counts)
    longest = min(BAR, WIDTH - max(map(len, names)) - len(f'{most:,}'))
    for name, count in list(zip(names, counts, strict=True))[:SHOWN]:
        table.add_row(name, Text(_bar(longest * count / most), 'green'), f'{count:,}')
    yield _indent(table)
    yield from _rest(len(names))


def _bar(length: float) -> str:
    """A bar `length` characters long, in eighths; something that is there is never drawn as nothing."""
    eighths = round(8 * length) or (1 if length else 0)
    return '█' * (eighths // 8) + (' ▏▎▍▌▋▊▉'[eighths % 8] if eighths % 8 else '')


def _findings(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    yield _heading('Findings', 'rows count from 0')
    table = Table.grid(padding=(0, 2, 0, 0))
    for finding in findings:
        colour = 'red' if finding.severity == 'error' else 'yellow'
        words, fix = str(finding).rsplit(' Fix: ', 1)
        table.add_row(Text(finding.severity, f'bold {colour}'), Text.assemble(words, (f'\nfix: {fix}', 'dim')))
    yield _indent(table if findings else Text('nothing to report', 'green'))

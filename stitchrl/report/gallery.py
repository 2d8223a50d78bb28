"""All experiments on one page: as HTML that holds its pictures, and as Markdown for the documentation."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stitchrl.report import page as pages

SIGNS = {'holds': '✓ holds', 'does not hold': '✗ does not hold', 'undecided': '? undecided'}
HOLDS = {'holds': True, 'does not hold': False, 'undecided': None}
HEADER = ('statements', 'prediction', 'predicted', 'found', 'control', 'verdict')


def read(folder: Path) -> list[dict[str, Any]]:
    """The records that lie in a folder, in the order of the first statement each covers."""
    found = [json.loads(path.read_text('utf-8')) for path in folder.glob('*.json')]
    return sorted(found, key=lambda told: (told['statements'], told['name']))


def cells(check: Mapping[str, Any]) -> tuple[str, ...]:
    """A check as a row under HEADER."""
    control = check['control']
    told = 'none' if control is None else f'{control["without"]}: {control["words"]}'
    return numbers(check), check['prediction'], check['mark'], check['found']['words'], told, SIGNS[check['verdict']]


def page(records: Sequence[Mapping[str, Any]], path: Path, images: Path) -> Path:
    """One HTML file: first what came out of each experiment, then each one's prediction, checks and figure."""
    verdicts = [pages.Verdict(f'{r["title"]} ({numbers(r)})', HOLDS[r['verdict']]) for r in records]
    sections = [section_of(r, (images / r['figure']).read_bytes()) for r in records]
    facts = {'command': '\n'.join(r['command'] for r in records)} | {r['name']: machine(r) for r in records}
    return pages.write(path, 'The claims', verdicts, reproduce=facts, sections=sections)


def section_of(told: Mapping[str, Any], picture: bytes) -> pages.Section:
    """One experiment on the page."""
    table = pages.Table(f'What came out: {told["verdict"]}.', HEADER, [cells(check) for check in told['checks']])
    drawn = pages.Picture(picture, told['caption'], told['alt'])
    paragraphs = [' '.join(part.split()) for part in told['prediction'].split('\n\n')]
    return pages.Section(told['title'], [*paragraphs, *told['notes']], [table], [drawn])


def numbers(told: Mapping[str, Any]) -> str:
    """The statements that a record or a check covers."""
    return ', '.join(map(str, told['statements']))


def machine(told: Mapping[str, Any]) -> str:
    """Where and with what it ran, in a line."""
    system = told['system']
    packages = ', '.join(f'{name} {system["packages"][name]}' for name in ('jax', 'equinox', 'numpy'))
    spent = f'{told["seconds"]:g} s ({told["cpu_seconds"]:g} s of processors)'
    return f'{spent}, {system["machine"]}, {system["device"]}, Python {system["python"]}, {packages}'


def markdown(records: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """docs/claims.md, with the figures beside it in images/claims."""
    head = ['# The claims', '', INTRO, '', '| claim | statements | verdict | seconds |', '|---|---|---|---|']
    head += [f'| {link(r)} | {numbers(r)} | {SIGNS[r["verdict"]]} | {r["seconds"]:g} |' for r in records]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join([*head, *(section(r) for r in records)]) + '\n', encoding='utf-8')
    return path


def link(told: Mapping[str, Any]) -> str:
    """To a section of the same page."""
    return f'[{told["title"]}](#{anchor(told)})'


def anchor(told: Mapping[str, Any]) -> str:
    """A section's heading."""
    return told['name'].replace('_', '-')


def section(told: Mapping[str, Any]) -> str:
    """One experiment."""
    rows = ['| ' + ' | '.join(escape(cell) for cell in cells(check)) + ' |' for check in told['checks']]
    parts = [
        f'\n## {anchor(told)}\n\n**{told["title"]}** {SIGNS[told["verdict"]]}.\n',
        told['prediction'] + '\n',
        f'![{told["alt"]}](images/claims/{told["figure"]})\n',
        told['caption'] + '\n',
        '| ' + ' | '.join(HEADER) + ' |\n' + '|---' * len(HEADER) + '|',
        *rows,
        '',
        *(f'- {note}' for note in told['notes']),
        f'\n`{told["command"]}`: {machine(told)}. Code: [`claims/{told["name"]}.py`](../claims/{told["name"]}.py)',
    ]
    return '\n'.join(parts)


def escape(cell: str) -> str:
    """Bars would end a cell of a Markdown table."""
    return cell.replace('|', '\\|')


INTRO = (
    'What the course says, each statement put to the test by an experiment of at most three minutes on two cores. A '
    'prediction names a quantity and the range it must lie in. It holds where the whole interval lies in the range, '
    'does not hold where all of it lies outside, and is undecided between. The negative control is the same quantity '
    'without what is said to cause it, and must lie outside; where it does not, the experiment shows nothing. Ranges '
    'were written down before the first run and not moved after it; what was added then is said below the table. This '
    'page is written by `stitch claims run --all --record`.'
)

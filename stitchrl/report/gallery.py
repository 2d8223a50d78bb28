"""All experiments on one page: as HTML that holds its pictures, and as Markdown for the documentation."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stitchrl.report import page as pages

SIGNS = {'holds': '✓ holds', 'does not hold': '✗ does not hold', 'undecided': '? undecided'}
HEADER = ('statements', 'prediction', 'predicted', 'found', 'control', 'verdict')


def read(folder: Path) -> list[dict[str, Any]]:
    """The records that lie in a folder, in the order of the first statement each covers."""
    found = [json.loads(path.read_text('utf-8')) for path in folder.glob('*.json')]
    return sorted(found, key=lambda told: (told['statements'], told['name']))


def cells(check: Mapping[str, Any]) -> tuple[str, ...]:
    """A check as a row under HEADER."""
    control = check['control']
    told = 'none' if control is None else f'{control["without"]}: {control["words"]}'
    numbers = ', '.join(map(str, check['statements']))
    return numbers, check['prediction'], check['mark'], check['found']['words'], told, SIGNS[check['verdict']]


def page(records: Sequence[Mapping[str, Any]], path: Path, images: Path) -> Path:
    """One HTML file: first what came out of each experiment, then each one's checks and figure."""
    summary = [
        (r['title'], ', '.join(map(str, r['statements'])), SIGNS[r['verdict']], f'{r["seconds"]:g}') for r in records
    ]
    tables = [pages.Table('What came out.', ('claim', 'statements', 'verdict', 'seconds'), summary)]
    tables += [pages.Table(f'{r["title"]} ({r["name"]})', HEADER, [cells(c) for c in r['checks']]) for r in records]
    pictures = [
        pages.Picture((images / r['figure']).read_bytes(), f'{r["title"]} {r["caption"]}', r['alt']) for r in records
    ]
    notes = [f'{r["name"]}: {note}' for r in records for note in r['notes']]
    facts = {'command': '\n'.join(r['command'] for r in records)} | {r['name']: machine(r) for r in records}
    return pages.write(path, 'The claims', (), tables, pictures, notes, facts)


def machine(told: Mapping[str, Any]) -> str:
    """Where and with what it ran, in a line."""
    system = told['system']
    packages = ', '.join(f'{name} {system["packages"][name]}' for name in ('jax', 'equinox', 'numpy'))
    return f'{told["seconds"]:g} s, {system["machine"]}, {system["device"]}, Python {system["python"]}, {packages}'


def markdown(records: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """docs/claims.md, with the figures beside it in images/claims."""
    head = ['# The claims', '', INTRO, '', '| claim | statements | verdict | seconds |', '|---|---|---|---|']
    for r in records:
        numbers = ', '.join(map(str, r['statements']))
        head.append(
            f'| [{r["title"]}](#{r["name"].replace("_", "-")}) | {numbers} | {SIGNS[r["verdict"]]} | {r["seconds"]:g} |'
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join([*head, *(section(r) for r in records)]) + '\n', encoding='utf-8')
    return path


def section(told: Mapping[str, Any]) -> str:
    """One experiment."""
    rows = ['| ' + ' | '.join(escape(cell) for cell in cells(check)) + ' |' for check in told['checks']]
    anchor = told['name'].replace('_', '-')
    parts = [
        f'\n## {anchor}\n\n**{told["title"]}** {SIGNS[told["verdict"]]}.\n',
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
    'were written down before the first run and not moved after it. This page is written by '
    '`stitch claims run --all --record`.'
)

"""`stitch compare RUN RUN ...`: which run is better, and can these seeds tell?"""

import argparse
import json
import shlex
from typing import Any

WIDE = 100  # columns of a terminal that holds the normalised scores too


def main(argv: list[str]) -> int:
    """Run the verb; raises StitchError."""
    parser = argparse.ArgumentParser(
        'stitch compare',
        description='Scores of runs with intervals over seeds, and what each gains over the first one.',
        epilog='example: stitch compare runs/bc-0001 runs/iql-0001 --out compare.html',
    )
    parser.add_argument('runs', metavar='RUN', nargs='+', help="two runs' folders or more; the first is the baseline")
    parser.add_argument('--field', choices=['return', 'success'], help='default: success where every run knows it')
    parser.add_argument('--out', help='also write a page, such as compare.html')
    parser.add_argument('--json', action='store_true', help='everything as JSON')
    args = parser.parse_args(argv)
    from stitchrl.report.compare import compare

    found = compare(args.runs, args.field)
    if args.out is not None:
        from stitchrl.report.compare_page import write

        write(args.out, found, shlex.join(['stitch', 'compare', *argv]))
    if args.json:
        print(json.dumps(found.to_json(), indent=1, allow_nan=False))
    else:
        show(found)
        if args.out is not None:
            print(f'page: {args.out}')
    return 0


def show(found: Any) -> None:
    """The table for a person, warnings under it."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    brief = lambda one: '' if one is None else str(one).partition(' (')[0]
    first, console = found.rows[0].entry, Console(highlight=False, markup=False)
    ruled = console.width >= WIDE and any(row.normalised for row in found.rows)
    table = Table('run', box=SIMPLE, pad_edge=False)
    more = ['normalised'] if ruled else []
    for heading in (found.field, *more, f'gain over {first.name}', f'beats {first.name}'):
        table.add_column(heading, no_wrap=True)
    for row in found.rows:
        scaled = [brief(row.normalised)] if ruled else []
        table.add_row(
            row.entry.label, brief(row.score), *scaled, brief(row.difference) or '-', brief(row.improvement) or '-'
        )
    console.print(table)
    made = dict.fromkeys(str(row.score).partition(' (')[2].rstrip(')') for row in found.rows)
    console.print(f'95 % intervals over seeds: {"; ".join(made)}', soft_wrap=True)
    console.print(f'beats {first.name}: probability that a seed scores above one of {first.name}', soft_wrap=True)
    for text in found.warnings:
        console.print(Text.assemble(('warning: ', 'yellow'), text), soft_wrap=True)

"""`stitch data`: look at recordings, mend them, cut them up, and make some."""

import argparse
import json
import shlex
from dataclasses import asdict
from pathlib import Path

from stitchrl.cli import data_check, data_collect, data_convert, data_edit, data_make
from stitchrl.data.formats import FORMATS


def main(argv: list[str]) -> int:
    """Run `stitch data ...`. Exit code 0, or 4 when the recording has errors; raises StitchError."""
    args = _parser().parse_args(argv)
    args.command = shlex.join(['stitch', 'data', *argv])
    return args.run(args)


def inspect(args: argparse.Namespace) -> int:
    """Print what is in the file, for a person or as JSON."""
    from rich.console import Console

    from stitchrl.data.check import check
    from stitchrl.data.formats import read
    from stitchrl.data.inspect import inspect as screen
    from stitchrl.data.summary import summary

    columns = read(args.path, args.format, data_convert.choice_of(args))
    findings = check(columns, args.low, args.high)
    if args.report is not None:
        from stitchrl.report.recording import write

        write(args.report, columns, findings, args.low, args.high, Path(args.path).name, args.command)
    errors = any(finding.severity == 'error' for finding in findings)
    if args.json:
        told = summary(columns, args.low, args.high) | {'findings': [asdict(finding) for finding in findings]}
        print(json.dumps({'path': args.path} | told, indent=2, allow_nan=False))
    else:
        Console(highlight=False).print(screen(columns, findings, args.low, args.high, args.path))
        if args.report is not None:
            print(f'page: {args.report}')
    return 4 if errors else 0


def _parser() -> argparse.ArgumentParser:
    what = 'Look at recordings, mend them, cut them up, and make some.'
    example = 'example: stitch data inspect recording.hdf5'
    parser = argparse.ArgumentParser('stitch data', description=what, epilog=example)
    verbs = parser.add_subparsers(dest='verb', required=True)
    verb = verbs.add_parser(
        'inspect',
        help='what each column is, ranges, episodes, returns, and what is wrong',
        description='Say what a recording holds and what is wrong with it. Exit code 4 if it has errors.',
        epilog='example: stitch data inspect recording.hdf5 --low -1 --high 1',
    )
    verb.add_argument('path', metavar='PATH', help='the recording, a file or the folder of a dataset')
    verb.add_argument('--format', choices=list(FORMATS), help='what it is, where its name says something else')
    verb.add_argument('--low', type=float, nargs='+', help='lower action bounds, one number or one per dimension')
    verb.add_argument('--high', type=float, nargs='+', help='upper action bounds')
    verb.add_argument('--report', metavar='FILE', help='also write it as a page, such as recording.html')
    verb.add_argument('--json', action='store_true', help='everything as JSON')
    data_convert.add_columns(verb)
    verb.set_defaults(run=inspect)
    data_convert.add(verbs)
    data_check.add(verbs)
    data_edit.add(verbs)
    data_make.add(verbs)
    data_collect.add(verbs)
    return parser

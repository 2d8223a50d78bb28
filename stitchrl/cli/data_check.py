"""`stitch data check PATH [--fix OUT]`: what is wrong with a recording, and a repaired copy of it."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchrl.cli.data_convert import add_columns, choice_of
from stitchrl.data.formats import FORMATS
from stitchrl.errors import BadData, UsageError

if TYPE_CHECKING:
    from stitchrl.data.columns import Columns
    from stitchrl.data.draft import Change

LOG = '.changes.json'
ASKED = ('time_limits', 'copies', 'constants', 'cut')


def check(args: argparse.Namespace) -> int:
    """Say what is wrong, or write a repaired copy. Exit code 0, or 4 where errors are left; raises StitchError."""
    from stitchrl.data.check import check as findings_of

    asked = [name for name in ASKED if getattr(args, name)]
    if args.fix is None and asked:
        raise UsageError(f'--{asked[0].replace("_", "-")} says how to mend; it goes with --fix OUT')
    try:
        columns = load(args)
    except BadData as error:  # so wrong that there are no columns to look at
        findings: list[dict[str, Any]] = [unreadable(error)]
        told: dict[str, Any] = {'notes': []}
        said = [f'error    {error}']
    else:
        if args.fix is not None:
            return fix(args, columns)
        found = findings_of(columns, args.low, args.high)
        findings = [asdict(finding) for finding in found]
        told = {'steps': len(columns), 'notes': list(columns.notes)}
        said = [f'{args.path}: {len(columns):,} steps', *(f'note     {note}' for note in columns.notes)]
        said += [f'{finding.severity:8s} {finding}' for finding in found]
    errors = sum(finding['severity'] == 'error' for finding in findings)
    if args.json:
        print(json.dumps({'path': args.path, 'errors': errors} | told | {'findings': findings}, indent=1))
    else:
        print('\n'.join([*said, verdict(errors, len(findings) - errors)]))
    return BadData.code if errors else 0


def load(args: argparse.Namespace) -> 'Columns':
    """The recording as it was asked for."""
    from stitchrl.data.formats import read

    return read(args.path, args.format, choice_of(args))


def unreadable(error: BadData) -> dict[str, Any]:
    """The refusal of a reader, as a finding about the file."""
    what, _, fix = str(error).partition(' Fix: ')
    return {'severity': 'error', 'field': 'file', 'row': None, 'count': None, 'what': what, 'fix': fix}


def verdict(errors: int, warnings: int) -> str:
    """The last line."""
    if not errors + warnings:
        return 'nothing to report'
    counts = f'{errors} error{"s" * (errors != 1)}, {warnings} warning{"s" * (warnings != 1)}'
    return f'{counts}: {"not fit to train on" if errors else "fit to train on"}'


def fix(args: argparse.Namespace, columns: 'Columns') -> int:
    """Write the copy and the log beside it, and say what was done."""
    from stitchrl.data.repair import Asked, repair

    out = Path(args.fix)
    log = out.with_name(out.name + LOG)
    new(out, log)
    mended, changes = repair(columns, args.low, args.high, Asked(**{name: getattr(args, name) for name in ASKED}))
    told = journal(args.path, columns, mended, changes)
    save(out, log, mended, told)
    if args.json:
        print(json.dumps({'path': str(out), 'log': str(log)} | told, indent=1))
        return 0
    for change in changes:
        print(f'mended   {change}')
    steps, episodes = told['steps'], told['episodes']
    print(f'{out}: {steps["after"]:,} of {steps["before"]:,} steps', end='')
    print(f', {episodes["after"]:,} episodes ({episodes["before"]:,} before)', end='')
    print('' if changes else '; nothing had to be mended')
    print(f'log: {log}\nnext: stitch data check {out}')
    return 0


def new(out: Path, log: Path) -> None:
    """UsageError unless both can be written."""
    from stitchrl.data.formats.write import check_out

    check_out(out, 'npz')
    if log.exists():
        raise UsageError(f'{log}: is there already; choose another name or delete it')


def journal(path: str, before: 'Columns', after: 'Columns', changes: list['Change']) -> dict[str, Any]:
    """What was done, as plain words and numbers. Rows count from 0 in the source."""
    from stitchrl.data.check import fingerprint
    from stitchrl.data.episodes import episode_ends

    both = (('before', before), ('after', after))
    return {
        'source': path,
        'fingerprint': {when: fingerprint(columns) for when, columns in both},
        'steps': {when: len(columns) for when, columns in both},
        'episodes': {when: int(episode_ends(columns).sum()) for when, columns in both},
        'changes': [asdict(change) for change in changes],
    }


def save(out: Path, log: Path, columns: 'Columns', told: dict[str, Any]) -> None:
    """The recording, and the log; neither where one of them fails."""
    from stitchrl.data.edit import spec
    from stitchrl.data.formats.write import write

    write(out, columns, spec(columns))
    try:
        log.write_text(json.dumps(told, indent=1) + '\n')
    except OSError:
        out.unlink()
        log.unlink(missing_ok=True)
        raise


def add(verbs: argparse._SubParsersAction) -> None:
    """The parser of `check` among the verbs of `stitch data`."""
    verb = verbs.add_parser(
        'check',
        help='what is wrong with a recording; with --fix OUT.npz a repaired copy',
        description='Say what is wrong with a recording, exit code 4 if it has errors; or write a repaired copy.',
        epilog='example: stitch data check recording.hdf5 --low -1 --high 1 --fix mended.npz',
    )
    verb.add_argument('path', metavar='PATH', help='the recording, a file or the folder of a Minari dataset')
    verb.add_argument('--format', choices=list(FORMATS), help='what it is, where its name says something else')
    verb.add_argument('--low', type=float, nargs='+', help='lower action bounds, one number or one per dimension')
    verb.add_argument('--high', type=float, nargs='+', help='upper action bounds; a repaired copy keeps them')
    verb.add_argument(
        '--fix', metavar='OUT.npz', help='write a repaired copy, and OUT.npz.changes.json, what was done to which rows'
    )
    verb.add_argument('--cut', action='store_true', help='--fix: keep what lies before the first NaN of an episode')
    verb.add_argument(
        '--time-limits', action='store_true', help='--fix: take terminals at the longest length for time limits'
    )
    verb.add_argument('--copies', action='store_true', help='--fix: leave out episodes that repeat an earlier one')
    verb.add_argument('--constants', action='store_true', help='--fix: leave out dimensions that never change')
    verb.add_argument('--json', action='store_true', help='the result as JSON')
    add_columns(verb)
    verb.set_defaults(run=check)

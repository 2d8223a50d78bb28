"""`stitch data split`, `merge`, `filter`: whole episodes into other files, values as they are."""

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchrl.cli.data_convert import add_columns, choice_of
from stitchrl.data.formats import FORMATS
from stitchrl.errors import StitchError, UsageError

if TYPE_CHECKING:
    from stitchrl.data.columns import Columns


def split(args: argparse.Namespace) -> int:
    """Two recordings of one."""
    from stitchrl.data import edit

    outs = places(args.out_a, args.out_b)
    (columns,) = load(args, args.path)
    rest, held = edit.split(columns, args.fraction, args.seed)
    return finish(args, {args.path: columns}, dict(zip(outs, (rest, held), strict=True)))


def merge(args: argparse.Namespace) -> int:
    """One recording of several."""
    from stitchrl.data import edit

    if len(args.paths) < 2:
        raise UsageError('merge takes two recordings or more, and behind them OUT.npz')
    outs = places(args.out)
    parts = load(args, *args.paths)
    return finish(args, dict(zip(args.paths, parts, strict=True)), {outs[0]: edit.merge(parts, args.paths)})


def filter(args: argparse.Namespace) -> int:
    """The episodes that meet every condition, without some dimensions."""
    from stitchrl.data import edit

    asked = (args.min_return, args.best, args.min_length, args.episodes, args.drop_dims)
    if all(value is None for value in asked):
        names = '--min-return, --best, --min-length, --episodes, --drop-dims'
        raise UsageError(f'filter: say what to keep with one of {names}')
    outs = places(args.out)
    (columns,) = load(args, args.path)
    said = {'min_return': args.min_return, 'best': args.best, 'min_length': args.min_length}
    wanted = {name: value for name, value in said.items() if value is not None}
    kept = edit.keep(columns, edit.chosen(columns, args.episodes or slice(None), **wanted))
    if args.drop_dims is not None:
        kept = edit.drop_dims(kept, args.drop_dims)
    return finish(args, {args.path: columns}, {outs[0]: kept})


def places(*paths: str) -> list[Path]:
    """Where to write; UsageError unless all are new and different."""
    from stitchrl.data.formats.write import check_out

    outs = [Path(path) for path in paths]
    for out in outs:
        check_out(out, 'npz')
    if len({out.resolve() for out in outs}) < len(outs):
        raise UsageError(f'{outs[0]}: named twice; each part needs a file of its own')
    return outs


def load(args: argparse.Namespace, *paths: str) -> list['Columns']:
    """Recordings whose columns fit together; what else is wrong with them, `stitch data check` says."""
    from stitchrl.data.check import misfits, refuse
    from stitchrl.data.formats import read

    found = []
    for path in paths:
        columns = read(path, args.format, choice_of(args))
        refuse(misfits(columns))
        found.append(columns)
    return found


def finish(args: argparse.Namespace, before: dict[str, 'Columns'], after: dict[Path, 'Columns']) -> int:
    """Write all or nothing, and say how much."""
    from stitchrl.data import edit
    from stitchrl.data.formats.write import write

    written = []
    try:
        for path, columns in after.items():
            write(path, columns, edit.spec(columns))
            written.append(path)
    except (OSError, StitchError):
        for path in written:
            path.unlink()
        raise
    told = {'before': [counts(path, columns) for path, columns in before.items()]}
    told['after'] = [counts(str(path), columns) for path, columns in after.items()]
    if args.json:
        print(json.dumps(told, indent=1))
        return 0
    for row in (row for rows in told.values() for row in rows):
        print(f'{row["path"]}: {row["episodes"]:,} episodes, {row["steps"]:,} steps, mean return {row["return"]:.6g}')
    if any(map(edit.assumed, before.values())):
        print('note: no action bounds are stated, so each file has the range of its own actions;')
        print('      stitch data check PATH --low L --high H --fix OUT.npz states them')
    print(f'next: stitch data check {next(iter(after))}')
    return 0


def counts(path: str, columns: 'Columns') -> dict[str, Any]:
    """How much is in it."""
    from stitchrl.data.edit import returns

    total = returns(columns)
    mean = float(total.mean())
    return {
        'path': path,
        'episodes': len(total),
        'steps': len(columns),
        'return': mean if math.isfinite(mean) else None,
    }


def span(text: str) -> slice:
    """'3:10' -> slice(3, 10), as in Python; '4' is the fifth alone."""
    parts = [int(part) if part else None for part in text.split(':')]
    if len(parts) == 1 and parts[0] is not None:
        return slice(parts[0], parts[0] + 1 or None)
    if len(parts) != 2:
        raise ValueError(text)
    return slice(*parts)


def add(verbs: argparse._SubParsersAction) -> None:
    """The parsers of `split`, `merge` and `filter` among the verbs of `stitch data`."""
    add_split(verbs)
    add_merge(verbs)
    add_filter(verbs)


def add_split(verbs: argparse._SubParsersAction) -> None:
    """The parser of `split`."""
    verb = verbs.add_parser(
        'split',
        help='two recordings of one, whole episodes at random',
        description='Hold out a share of the episodes: OUT_A gets the rest, OUT_B what is held out.',
        epilog='example: stitch data split log.npz train.npz held.npz --fraction 0.1 --seed 0',
    )
    verb.add_argument('path', metavar='PATH', help='the recording')
    verb.add_argument('out_a', metavar='OUT_A.npz', help='a file that does not exist yet, for the rest')
    verb.add_argument('out_b', metavar='OUT_B.npz', help='another one, for what is held out')
    verb.add_argument('--fraction', type=float, default=0.1, help='share of the episodes in OUT_B (0.1)')
    verb.add_argument('--seed', type=int, default=0, help='of which ones (0)')
    common(verb, split)


def add_merge(verbs: argparse._SubParsersAction) -> None:
    """The parser of `merge`."""
    verb = verbs.add_parser(
        'merge',
        help='one recording of several',
        description='Put recordings of one task one behind the other.',
        epilog='example: stitch data merge monday.npz tuesday.hdf5 both.npz',
    )
    verb.add_argument('paths', metavar='PATH', nargs='+', help='the recordings, two or more')
    verb.add_argument('out', metavar='OUT.npz', help='a file that does not exist yet')
    common(verb, merge)


def add_filter(verbs: argparse._SubParsersAction) -> None:
    """The parser of `filter`."""
    verb = verbs.add_parser(
        'filter',
        help='the episodes that meet conditions, or fewer dimensions',
        description='Keep the episodes that meet every condition, in their order.',
        epilog='example: stitch data filter log.npz good.npz --min-length 10 --best 0.1',
    )
    verb.add_argument('path', metavar='PATH', help='the recording')
    verb.add_argument('out', metavar='OUT.npz', help='a file that does not exist yet')
    verb.add_argument('--min-return', type=float, metavar='X', help='undiscounted return of at least X')
    verb.add_argument('--best', type=float, metavar='SHARE', help='this share of those left, by return, rounded up')
    verb.add_argument('--min-length', type=int, metavar='N', help='at least N steps')
    verb.add_argument('--episodes', type=span, metavar='A:B', help='numbers A to B - 1 of the source, from 0')
    verb.add_argument('--drop-dims', type=int, nargs='+', metavar='D', help='leave out these observation dimensions')
    common(verb, filter)


def common(verb: argparse.ArgumentParser, run: Any) -> None:
    """What all three take."""
    verb.add_argument('--format', choices=list(FORMATS), help='what PATH is, where its name says something else')
    verb.add_argument('--json', action='store_true', help='the counts as JSON')
    add_columns(verb)
    verb.set_defaults(run=run)

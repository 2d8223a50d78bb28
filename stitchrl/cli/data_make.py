"""`stitch data make NAME --steps N --out FILE.npz`: a recording made on the spot."""

import argparse
import json
import time
from pathlib import Path


def make(args: argparse.Namespace) -> int:
    """Make the recording and say how long it took; raises StitchError."""
    from stitchrl.data import make as made

    if args.name is None:
        width = max(map(len, made.RECIPES))
        print('\n'.join(f'{name:{width}s}  {recipe.line}' for name, recipe in made.RECIPES.items()))
        return 0
    out = Path(args.out or f'{args.name.replace("/", "-")}.npz')
    began = time.monotonic()
    rows = made.make(args.name, args.steps, args.seed, out)
    seconds = time.monotonic() - began
    if args.json:
        print(json.dumps({'path': str(out), 'name': args.name, 'rows': rows, 'seconds': round(seconds, 3)}))
    else:
        print(
            f'{out}: {rows:,} rows in {seconds:.1f} s ({rows / seconds:,.0f} a second)\nnext: stitch data inspect {out}'
        )
    return 0


def add(verbs: argparse._SubParsersAction) -> None:
    """The parser of `make` among the verbs of `stitch data`."""
    verb = verbs.add_parser(
        'make',
        help='collect a recording on the spot; without a name: what there is',
        description='Collect a recording on the spot and write it as npz. Without a name: what there is.',
        epilog='example: stitch data make ogbench/pointmaze-medium-navigate --steps 100000 --out navigate.npz',
    )
    verb.add_argument('name', metavar='NAME', nargs='?', help='such as pointmaze/junctions-stitch')
    verb.add_argument(
        '--steps', type=int, default=100_000, help='how many (100000); whole episodes, so maybe a few more'
    )
    verb.add_argument('--seed', type=int, default=0, help='of all that is random in it (0)')
    verb.add_argument('--out', metavar='FILE.npz', help='a file that does not exist yet; default: the name, here')
    verb.add_argument('--json', action='store_true', help='the result as JSON')
    verb.set_defaults(run=make)

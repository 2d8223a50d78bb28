"""`stitch env check ENV`: is this environment fit to learn in?"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from stitchrl.errors import BadData

if TYPE_CHECKING:
    from stitchrl.envs.finding import Finding

COLOURS = {'error': 'bold red', 'warning': 'bold yellow', 'ok': 'green'}


def main(argv: list[str]) -> int:
    """Run `stitch env ...`. Exit code 0, or 4 when the environment has errors; raises StitchError."""
    args = _parser().parse_args(argv)
    return args.run(args)


def check(args: argparse.Namespace) -> int:
    """Print what was found, for a person or as JSON."""
    from stitchrl.envs.check import check as look
    from stitchrl.envs.episode import Plan

    found = look(args.env, Plan(args.episodes, args.steps, args.seed, args.slow, args.timeout))
    counts = Counter(finding.severity for finding in found)
    if args.json:
        told = {'env': args.env, 'errors': counts['error'], 'warnings': counts['warning']}
        print(json.dumps(told | {'findings': [asdict(finding) for finding in found]}, indent=2))
    else:
        show(args.env, found, counts)
    return BadData.code if counts['error'] else 0


def show(name: str, found: 'Sequence[Finding]', counts: Counter[str]) -> None:
    """For a person."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for finding in found:
        words = Text.assemble((finding.part, 'bold'), f'{finding.where}: {finding.what}')
        if finding.name != 'ok':
            words.append(f'\nit means: {finding.means}\ndo: {finding.fix}')
        table.add_row(Text(finding.severity, COLOURS[finding.severity]), words)
    console = Console(highlight=False)
    console.print(Text(name, 'bold'), table)
    console.print(f'errors: {counts["error"]}, warnings: {counts["warning"]}, parts in order: {counts["ok"]}')


def _parser() -> argparse.ArgumentParser:
    example = 'example: stitch env check Pendulum-v1'
    parser = argparse.ArgumentParser('stitch env', description='Look at environments.', epilog=example)
    verbs = parser.add_subparsers(dest='verb', required=True)
    verb = verbs.add_parser(
        'check',
        help='play it with random actions: ends, seeds, numbers, buffers, time limits',
        description='Say what is wrong with an environment, what that means for learning and what to do. '
        'Exit code 4 if it has errors.',
        epilog='example: stitch env check Pendulum-v1 --episodes 5',
    )
    verb.add_argument('env', metavar='ENV', help='a name of stitch list envs, of Gymnasium, module:Class or module:id')
    verb.add_argument('--episodes', type=int, default=5, help='random episodes, each with a seed of its own (5)')
    verb.add_argument('--steps', type=int, default=1000, help='most steps of an episode (1000)')
    verb.add_argument('--seed', type=int, default=0, help='of the first episode (0)')
    verb.add_argument('--slow', type=float, default=1.0, metavar='SECONDS', help='name a step that takes longer (1)')
    verb.add_argument(
        '--timeout', type=float, default=30.0, metavar='SECONDS', help='stop a step that takes longer (30)'
    )
    verb.add_argument('--json', action='store_true', help='everything as JSON')
    verb.set_defaults(run=check)
    return parser

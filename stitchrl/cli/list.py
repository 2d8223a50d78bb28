"""`stitch list algos|presets|envs|runs`: what there is."""

import argparse
import json
from pathlib import Path

from stitchrl.algos import ALGORITHMS, PLAYERS, algorithm
from stitchrl.envs import DEVICE, GAMES
from stitchrl.runs.directory import RunDir


def main(argv: list[str]) -> int:
    """Run the verb."""
    parser = argparse.ArgumentParser('stitch list', description='What there is.', epilog='example: stitch list algos')
    parser.add_argument('what', choices=['algos', 'presets', 'envs', 'runs'], nargs='?', default='algos')
    parser.add_argument('filter', nargs='?', default='', help='show only names with this in them')
    parser.add_argument('--json', action='store_true', help='as JSON')
    args = parser.parse_args(argv)
    found = {
        name: line
        for name, line in {'algos': algos, 'presets': presets, 'envs': envs, 'runs': runs}[args.what]().items()
        if args.filter in name
    }
    if args.json:
        print(json.dumps(found, indent=1))
        return 0
    width = max(map(len, found), default=0)
    for name, line in found.items():
        print(f'{name:{width}s}  {line}')
    if not found:
        print('none')
    return 0


def algos() -> dict[str, str]:
    """Algorithms."""
    return {name: line for name, (_, line) in (ALGORITHMS | PLAYERS).items()}


def presets() -> dict[str, str]:
    """Settings for families of data, with their source."""
    found = {}
    for algo in (*ALGORITHMS, *PLAYERS):
        for preset, (source, fields) in algorithm(algo).PRESETS.items():
            told = ', '.join(f'{name} {value}' for name, value in fields.items())
            found[f'{algo} {preset}'] = f'{source} ({told})' if told else source
    return found


def envs() -> dict[str, str]:
    """Environments."""
    more = {
        'NAME': 'any registered Gymnasium environment, such as Hopper-v5',
        'MODULE:CLASS': 'an environment of your own',
    }
    return {name: line for name, (_, _, line) in (DEVICE | GAMES).items()} | more


def runs() -> dict[str, str]:
    """Runs below ./runs."""
    found = {}
    for status in sorted(Path('runs').glob('*/STATUS.json')):
        run = RunDir(status.parent)
        tree, state = run.read('STATUS.json'), run.state()
        stopped = state in ('killed', 'interrupted', 'failed')
        more = f'; go on with: {tree["resume"]}' if stopped and tree['resume'] else ''
        found[str(status.parent)] = f'{state} {tree["reason"]}'.strip() + more
    return found

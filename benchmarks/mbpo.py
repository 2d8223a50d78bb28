"""MBPO: seconds of processor per 1,000 steps of the environment.

    python benchmarks/mbpo.py [--peer PYTHON] [--small] [--rounds 2] [--json FILE]

The authors' sizes on Hopper: 7 members of 4 x 200, 5 elites, 250 steps between fits, 400 roll-outs of one step and 20
updates of SAC (2 x 256, batch 256) after each step. The world is linear, of Hopper's sizes, and costs next to nothing.
A round is a fit of 10 epochs to what was seen (5,000 random steps and those after them), its roll-outs, and the updates
until the next fit; the first, which compiles, does not count. Time is that of the processor, one thread, so that it
says little about what else runs. --peer names the Python of an environment that has mbrl-lib, whose own MBPO is given
the same sizes, turn and turn about. --small: sizes of the preset `small`, 5 elites.     Mark: at least 4 times as fast
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

SIZES = {
    'layers': 4,
    'width': 200,
    'members': 7,
    'elites': 5,
    'epochs': 10,
    'hidden': 256,
    'random_steps': 5000,
    'refresh': 250,
    'rollouts': 100_000,
    'ratio': 20,
}
SMALL = SIZES | {'layers': 2, 'width': 128, 'members': 5, 'elites': 5, 'hidden': 128, 'rollouts': 10_000, 'ratio': 8}
TURNS, MARK = 2, 4.0


def ours(size: dict[str, int]) -> list[float]:
    """Seconds of processor of each round after the first."""
    from mbpo_side import World

    from stitchrl.envs.gymnasium import host
    from stitchrl.loops.lab import learned
    from stitchrl.loops.plan import Plan

    marks: list[float] = []
    every, start = size['refresh'], size['random_steps']
    learned(
        'mbpo',
        host('world', World),
        seeds=1,
        plan=Plan(random_steps=start, ratio=float(size['ratio'])),
        every=every,
        watch=lambda part: marks.append(time.process_time()) if part.step > start else None,
        steps=start + every * (size['rounds'] + 1),
        hidden=(size['hidden'],) * 2,
        model_hidden=(size['width'],) * size['layers'],
        members=size['members'],
        elites=size['elites'],
        epochs=size['epochs'],
        patience=size['epochs'],
        rollouts=size['rollouts'],
        refresh=every,
        ends='never',
    )
    return [b - a for a, b in pairwise(marks)]


def side(python: str, script: str, size: dict[str, int]) -> list[float]:
    """One half in a process of its own, on one thread."""
    env = os.environ | {'NPROC': '1', 'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1'}
    done = subprocess.run([python, script, json.dumps(size)], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f'{script} with {python} failed:\n{done.stderr[-2000:]}')
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Turn and turn about, then the table."""
    if len(sys.argv) == 2 and sys.argv[1].startswith('{'):
        print(json.dumps(ours(json.loads(sys.argv[1]))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--peer', metavar='PYTHON', help='of an environment that has mbrl-lib')
    parser.add_argument('--small', action='store_true')
    parser.add_argument('--rounds', type=int, default=2)
    parser.add_argument('--turns', type=int, default=TURNS)
    parser.add_argument('--json', type=Path)
    args = parser.parse_args()
    size, here = (SMALL if args.small else SIZES) | {'rounds': args.rounds}, Path(__file__)
    own, peer = [], []
    for _ in range(args.turns):
        own += side(sys.executable, str(here), size)
        peer += side(args.peer, str(here.with_name('mbpo_side.py')), size) if args.peer else []
    from stitchrl.runs.directory import system

    per_1000 = lambda seconds: round(statistics.median(seconds) * 1000 / size['refresh'], 1)
    result: dict[str, Any] = {'seconds_per_1000_steps': per_1000(own), 'rounds': [round(x, 2) for x in own]}
    if peer:
        ratio = statistics.median(peer) / statistics.median(own)
        theirs = {'seconds_per_1000_steps': per_1000(peer), 'rounds': [round(x, 2) for x in peer]}
        result['mbrl_lib'] = theirs | {'ratio': round(ratio, 2), 'reached': ratio >= MARK}
    command = f'python benchmarks/mbpo.py{" --small" if args.small else ""} --rounds {args.rounds} --turns {args.turns}'
    command += ' --peer PYTHON' if args.peer else ''
    table = {'command': command, 'load': os.getloadavg()[0], 'system': system(), 'sizes': size, 'result': result}
    if args.json:
        args.json.write_text(json.dumps(table, indent=1) + '\n')
    print(json.dumps(result, indent=1))


if __name__ == '__main__':
    main()

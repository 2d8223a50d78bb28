"""Updates per second of stitchrl and of d3rlpy 2.8.1 (PyTorch 2.13.0, CPU), measured in turn in one run.

    python benchmarks/peers.py --peer-python PATH        an interpreter that has d3rlpy
    python benchmarks/peers.py --make-venv DIR           make one first: a virtual environment, two pip installs

Both learn from the same random 100,000 steps of Hopper's shapes (observation 11, action 3) with networks 256 x 256 and
batch 256, one agent, all cores each. Each side runs the loop that its users run, its own sampling included:
`stitchrl.loops.offline.updates` here, `fitter` there (what d3rlpy's `fit` calls), without progress bar and without a
logger that writes. Settings are d3rlpy's defaults, but for BC's batch (100); BC is deterministic on both sides, and
CQL learns its multiplier (gap 10) on both, as d3rlpy's do. The two processes stay alive: imports, building and
compiling happen once and are told apart. Then one is timed while the other sleeps, and the ratio is taken pair by
pair, because a shared machine changes its pace.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pairs import Worker, measure

SIDE = Path(__file__).resolve().with_name('peers_side.py')  # what both processes run
MARKS = {'iql': 5.0, 'td3_bc': 4.0, 'bc': 4.0, 'cql': 4.0}  # times d3rlpy's rate
PINS = ('torch==2.13.0', 'd3rlpy==2.8.1')  # in this order, so that d3rlpy does not pick a torch


def peer(args: argparse.Namespace) -> str:
    """The interpreter that has d3rlpy; made first where --make-venv asks for it and it is not there yet."""
    if args.peer_python:
        return args.peer_python
    python = Path(args.make_venv) / 'bin' / 'python'
    if not python.exists():
        subprocess.run([sys.executable, '-m', 'venv', args.make_venv], check=True)
    for pin in PINS:
        subprocess.run([python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', pin], check=True)
    return str(python)


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    ratio, mark = row['ratio'], row['mark']
    verdict = 'met' if ratio['median'] >= mark else 'missed'
    return (
        f'{row["algo"]:7s} {row["ours_updates_per_s"]:8.0f} {row["theirs_updates_per_s"]:8.0f}'
        f'   {ratio["median"]:5.2f} ({ratio["min"]:.2f} to {ratio["max"]:.2f})   {mark:g}x {verdict:6s}'
        f'  {row["ready_s"]["ours"]:5.1f} {row["ready_s"]["theirs"]:6.1f}'
    )


def main() -> None:
    """Start both sides, measure, print the table, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument('--peer-python', metavar='PATH', help='an interpreter that has d3rlpy and torch')
    who.add_argument('--make-venv', metavar='DIR', help='make that environment here, or use the one that is here')
    parser.add_argument('--algos', nargs='+', default=list(MARKS), choices=list(MARKS))
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--seconds', type=float, default=2.5, help='length of one timed burst')
    parser.add_argument('--json', help='write the figures here')
    args = parser.parse_args()
    load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else None
    workers = Worker(sys.executable, SIDE, 'ours'), Worker(peer(args), SIDE, 'theirs')
    about = {'ours': workers[0].about, 'theirs': workers[1].about, 'load_before': load}
    print(json.dumps(about, indent=1))
    print('           updates/s         ratio, pair by pair     mark          ready after s')
    print('algo        ours   theirs   median (min to max)                    ours theirs')
    rows = []
    for algo in args.algos:
        found = measure((algo, algo), workers, args.rounds, args.seconds)
        rows.append({'algo': algo, 'mark': MARKS[algo]} | found)
        print(line(rows[-1]), flush=True)
    for worker in workers:
        worker.close()
    if args.json:
        result = {
            'command': ' '.join(['python', 'benchmarks/peers.py', *(Path(word).name for word in sys.argv[1:])]),
            'seconds': args.seconds,
            **about,
            'rows': rows,
        }
        Path(args.json).write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
    main()

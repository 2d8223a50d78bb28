"""Environment steps per second while learning, beside stable-baselines3 and sbx-rl, measured in turn in one run.

    python benchmarks/online_peers.py --peer-python PATH     an interpreter that has both
    python benchmarks/online_peers.py --make-venv DIR        make one first

One update per step everywhere, after 1,000 random steps. SAC: Hopper-v5, one environment, networks 256 x 256, batch
256, each library's own defaults else. DQN: 64 x 64, batch 128, on CartPole: in the device environment here, in
Gymnasium's there; with 8 seeds the steps of all agents count. The rings of 10k and 1M rows, both full, are compared
with one another. Who is timed and how: see `peers.py`.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pairs import Worker, measure

SIDE = Path(__file__).resolve().with_name('online_side.py')  # what all processes run
PINS = ('stable-baselines3==2.9.2', 'sbx-rl==0.28.0', 'gymnasium[mujoco]')
PAIRS = [  # ours, theirs, mark: times their rate
    ('sac', 'sb3 sac', 2.5),
    ('sac', 'sbx sac', 1.3),
    ('dqn', 'sb3 dqn', 15.0),
    ('dqn, 8 seeds', 'sb3 dqn', 30.0),
]
RINGS = [('sac, ring of 1M', 'sac, ring of 10k', 0.95), ('dqn, ring of 1M', 'dqn, ring of 10k', 0.95)]


def peer(args: argparse.Namespace) -> str:
    """The interpreter that has the peers; made first where --make-venv asks for it and it is not there yet."""
    if args.peer_python:
        return args.peer_python
    python = Path(args.make_venv) / 'bin' / 'python'
    if not python.exists():
        subprocess.run([sys.executable, '-m', 'venv', args.make_venv], check=True)
    subprocess.run([python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', *PINS], check=True)
    return str(python)


def compare(pairs: list, workers: tuple[Worker, Worker], args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row per pair, printed as it comes."""
    rows = []
    for ours, theirs, mark in pairs:
        found = measure((ours, theirs), workers, args.rounds, args.seconds)
        rows.append({'ours': ours, 'theirs': theirs, 'mark': mark} | found)
        ratio = found['ratio']
        verdict = 'met' if ratio['median'] >= mark else 'missed'
        rates = f'{found["ours_updates_per_s"]:8.0f} {found["theirs_updates_per_s"]:8.0f}'
        spread = f'{ratio["median"]:6.2f} ({ratio["min"]:.2f} to {ratio["max"]:.2f})'
        print(f'{ours:16s} {theirs:17s} {rates}  {spread}  {mark:g}x {verdict}', flush=True)
    return rows


def main() -> None:
    """Start the sides, measure, print the table, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument('--peer-python', metavar='PATH', help='an interpreter that has stable-baselines3 and sbx-rl')
    who.add_argument('--make-venv', metavar='DIR', help='make that environment here, or use the one that is here')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--seconds', type=float, default=4.0, help='length of one timed burst')
    parser.add_argument('--json', help='write the figures here')
    args = parser.parse_args()
    load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else None
    ours, theirs = Worker(sys.executable, SIDE, 'ours'), Worker(peer(args), SIDE, 'theirs')
    about = {'ours': ours.about, 'theirs': theirs.about, 'load_before': load}
    print(json.dumps(about, indent=1))
    print('ours             theirs              steps/s of both    ratio, pair by pair   mark')
    rows = compare(PAIRS, (ours, theirs), args)
    theirs.close()
    second = Worker(sys.executable, SIDE, 'ours')
    rows += compare(RINGS, (ours, second), args)
    for worker in (ours, second):
        worker.close()
    if args.json:
        words = (Path(word).name for word in sys.argv[1:])
        result = {'command': ' '.join(['python', 'benchmarks/online_peers.py', *words]), **about, 'rows': rows}
        Path(args.json).write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
    main()

"""How long until stitch answers, until it learns, and how much memory a million steps take.

    python benchmarks/startup.py [--parts help start memory] [--algos bc iql] [--runs 5] [--json FILE]

help     wall time of `stitch --help`.                                                    Mark: under 0.3 s.
start    `stitch train ALGO` from the start of the process to the first row of metrics.jsonl, which is written after the
         first chunk of updates. The first start fills an empty cache of compiled programs and is told apart.
         Marks: a warm start within 6 s, and the cache does not grow at it, so nothing was compiled.
memory   peak resident memory of `stitch train ALGO` on a million steps, with nothing compiled beforehand, less the
         arrays of the file and less a process that imports JAX and multiplies two matrices.   Mark: at most 400 MB.

The recordings are random columns of Hopper's shapes, written to a temporary folder. This process imports only the
standard library: a child's peak memory counts from that of the process it was forked from.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

STITCH = (sys.executable, '-m', 'stitchrl')
HELP, START, MEMORY = 0.3, 6.0, 400.0  # marks: s, s, MB
MB = 1e6

WRITE = """
import sys
import numpy as np
path, n = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(0)
obs = rng.normal(size=(n, 11)).astype(np.float32)
columns = {
    'observations': obs,
    'next_observations': np.concatenate([obs[1:], obs[:1]]),
    'actions': rng.uniform(-1, 1, (n, 3)).astype(np.float32),
    'rewards': rng.normal(size=n).astype(np.float32),
    'terminals': np.zeros(n, bool),
    'timeouts': np.arange(n) % 1000 == 999,
}
np.savez(path, **columns)
print(sum(x.nbytes for x in columns.values()))
"""
BASE = """
import jax
import jax.numpy as jnp
jax.block_until_ready(jax.jit(lambda x: x @ x)(jnp.ones((256, 256))))
"""


def told(*command: Any) -> Any:
    """What a command prints, as JSON."""
    return json.loads(subprocess.run([*map(str, command)], check=True, stdout=subprocess.PIPE).stdout)


def train(algo: str, data: Path, out: Path, updates: int, seeds: int) -> list[str]:
    """The command of a short run, saved once at its end."""
    sizes = {'data': data, 'out': out, 'steps': updates, 'every': updates, 'seeds': seeds}
    return [*STITCH, 'train', algo, *(word for key, value in sizes.items() for word in (f'--{key}', str(value)))]


def launch(command: list[str], cache: Path) -> subprocess.Popen:
    """Start it quietly, with its compiled programs kept in `cache`."""
    env = os.environ | {'JAX_COMPILATION_CACHE_DIR': str(cache)}
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)


def spread(values: list[float]) -> dict[str, float]:
    """Median and extremes."""
    return {'median': statistics.median(values), 'min': min(values), 'max': max(values)}


def help_time(runs: int) -> dict[str, Any]:
    """Seconds of `stitch --help`, after one start that is not counted."""
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run([*STITCH, '--help'], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    result = spread(seconds[1:])
    return {'part': 'help', 'seconds': result, 'mark': HELP, 'met': result['median'] < HELP}


def first_update(algo: str, data: Path, folder: Path, updates: int, runs: int) -> dict[str, Any]:
    """Seconds to the first row of metrics: of a cold start, and of `runs` warm ones; and what each start compiled."""
    cache, seconds, programs = folder / f'cache-{algo}', [], []
    for i in range(runs + 1):
        out = folder / f'{algo}-{i}'
        seconds.append(until_row(train(algo, data, out, updates, seeds=1), cache, out / 'metrics.jsonl'))
        programs.append(sum(path.is_file() for path in cache.rglob('*')))
    if programs[0] == 0:
        raise SystemExit('the first start left no compiled program in JAX_COMPILATION_CACHE_DIR: nothing to compare')
    warm = spread(seconds[1:])
    return {
        'part': 'start',
        'algo': algo,
        'cold_s': seconds[0],
        'seconds': warm,
        'programs': programs,
        'updates_before_row': json.loads((out / 'metrics.jsonl').read_text().split('\n')[0])['step'],
        'mark': START,
        'met': warm['median'] <= START and programs[-1] == programs[0],
    }


def until_row(command: list[str], cache: Path, file: Path) -> float:
    """Seconds until the file holds a line; the run is then left to finish."""
    start = time.perf_counter()
    process = launch(command, cache)
    while process.poll() is None and not (file.exists() and file.stat().st_size):
        time.sleep(0.005)
    seconds = time.perf_counter() - start
    if process.wait():
        raise SystemExit(f'{" ".join(command)} left with exit code {process.returncode}')
    return seconds


def memory(algo: str, data: Path, arrays: float, base: float, folder: Path, updates: int, seeds: int) -> dict[str, Any]:
    """Peak memory in MB of a run that compiles everything afresh, and what is left of it above arrays and JAX."""
    name = f'memory-{algo}-{seeds}'
    peak = peak_memory(train(algo, data, folder / name, updates, seeds), folder / f'cache-{name}')
    above = peak - arrays - base
    sizes = {'peak_mb': peak, 'arrays_mb': arrays, 'jax_mb': base, 'above_mb': above}
    return {'part': 'memory', 'algo': algo, 'seeds': seeds, **sizes, 'mark': MEMORY, 'met': above <= MEMORY}


def peak_memory(command: list[str], cache: Path) -> float:
    """Largest resident memory of a child, in MB."""
    process = launch(command, cache)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f'{" ".join(command)} left with exit code {process.returncode}')
    return usage.ru_maxrss * (1 if sys.platform == 'darwin' else 1024) / MB


def parts(args: argparse.Namespace, folder: Path) -> Any:
    """The rows of all parts asked for, one after another."""
    if 'help' in args.parts:
        yield help_time(args.runs)
    if 'start' in args.parts:
        told(sys.executable, '-c', WRITE, data := folder / 'start.npz', 100_000)
        for algo in args.algos:
            yield first_update(algo, data, folder, args.updates, args.runs)
    if 'memory' in args.parts:
        arrays = told(sys.executable, '-c', WRITE, data := folder / 'memory.npz', args.rows) / MB
        base = peak_memory([sys.executable, '-c', BASE], folder / 'cache-base')
        for algo in args.algos:
            for seeds in args.seeds:
                yield memory(algo, data, arrays, base, folder, args.updates, seeds)


def words(row: dict[str, Any]) -> str:
    """A row for people."""
    if row['part'] == 'memory':
        text = (
            f'memory  {row["algo"]}, {row["seeds"]} seeds: {row["above_mb"]:.0f} MB above arrays and JAX (peak '
            f'{row["peak_mb"]:.0f} - arrays {row["arrays_mb"]:.0f} - JAX {row["jax_mb"]:.0f}); mark {row["mark"]:g} MB'
        )
    else:
        s = row['seconds']
        text = f'{row["part"]:7s} {s["median"]:.2f} s ({s["min"]:.2f} to {s["max"]:.2f}); mark {row["mark"]:g} s'
    if row['part'] == 'start':
        text += (
            f'  {row["algo"]}, warm, {row["updates_before_row"]} updates in it; cold {row["cold_s"]:.1f} s;'
            f' compiled programs kept after each start: {" ".join(map(str, row["programs"]))}'
        )
    return f'{text}: {"met" if row["met"] else "missed"}'


def main() -> None:
    """Measure the parts that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = ['help', 'start', 'memory']
    parser.add_argument('--parts', nargs='+', default=every, choices=every)
    parser.add_argument('--algos', nargs='+', default=['bc', 'iql'])
    parser.add_argument('--seeds', nargs='+', type=int, default=[1, 5], help='agents at once, in the memory part')
    parser.add_argument('--runs', type=int, default=5, help='starts of each kind, of which the median counts')
    parser.add_argument('--updates', type=int, default=200, help='length of a run')
    parser.add_argument('--rows', type=int, default=1_000_000, help='steps of the recording in the memory part')
    parser.add_argument('--json', help='write the figures here')
    args = parser.parse_args()
    load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else None
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for row in parts(args, Path(folder)):
            rows.append(row)
            print(words(row), flush=True)
    if args.json:
        result = {'command': sys.argv[1:], 'load_before': load, **told(*STITCH, 'info', '--json'), 'rows': rows}
        Path(args.json).write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
    main()

"""Learning from a recording that stays on the disk: its speed beside one in memory, and the memory it takes.

    python benchmarks/streaming.py [--rows N] [--large N] [--json FILE]

Sizes are Hopper's: observation 11, action 3, networks 256 x 256, IQL with batch 256, one agent, a buffer of 2^20 rows.

Speed: the same updates from the buffer and from a Dataset in memory, chunk by chunk in turn in one process; who begins
alternates, and the median of the pairwise ratios is printed. Of HDF5 as it is written by default, of HDF5 packed with
gzip (as D4RL's files are) and of npz.

Memory: a whole `stitchrl.train` in a process whose data the kernel limits (RLIMIT_DATA: private writable memory, which
is all that cannot be dropped again; peak resident memory is measured too). The recording is several times as large as
the limit. In memory, under the same limit, it must fail; and that this is not for another reason is shown by a small
recording that does not.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np

OBS, ACTION, HIDDEN, BATCH, CHUNK = 11, 3, 256, 256, 400
LIMIT = 1_000_000_000  # bytes of data that the process may have
AT_ONCE = 200_000  # rows that are written in one go
KINDS: dict[str, dict[str, str]] = {'hdf5': {}, 'hdf5, gzip': {'compression': 'gzip'}, 'npz': {}}


def columns(rows: int, start: int) -> dict[str, np.ndarray]:
    """Random columns of Hopper's shapes, rows from `start` on; episodes of 1000 steps."""
    rng = np.random.default_rng(start)
    obs = rng.normal(size=(rows, OBS)).astype(np.float32)
    ends = (np.arange(start, start + rows) + 1) % 1000 == 0
    follow = np.concatenate([obs[1:], rng.normal(size=(1, OBS)).astype(np.float32)])
    follow[ends] += 1
    ends[-1] = True
    return {
        'observations': obs,
        'actions': rng.uniform(-1, 1, (rows, ACTION)).astype(np.float32),
        'rewards': rng.normal(size=rows).astype(np.float32),
        'terminals': np.zeros(rows, bool),
        'timeouts': ends,
        'next_observations': follow,
    }


def write(path: Path, rows: int, **how: Any) -> Path:
    """A recording, written piece by piece; as npz by the name, else HDF5."""
    if path.suffix == '.npz':
        np.savez(path, **columns(rows, 0))
        return path
    with h5py.File(path, 'w') as file:
        for start in range(0, rows, AT_ONCE):
            for name, x in columns(min(AT_ONCE, rows - start), start).items():
                if not start:
                    file.create_dataset(name, (rows, *x.shape[1:]), x.dtype, **how)
                file[name][start : start + len(x)] = x
    return path


def speed(path: Path, rounds: int) -> dict[str, Any]:
    """Updates per second from the disk and from memory, and what comes before the first."""
    import jax

    from stitchrl.algos import algorithm
    from stitchrl.api import load, on_disk
    from stitchrl.core.boundary import Boundary
    from stitchrl.loops.offline import create, updates
    from stitchrl.loops.reading import Reading

    found = algorithm('iql')
    cfg = found.Config(hidden=(HIDDEN, HIDDEN), batch=BATCH)
    begun = time.perf_counter()
    data = on_disk(path)
    surveyed = time.perf_counter()
    boundary = Boundary.fit(data)
    reading = Reading(data, boundary, BATCH, 2**20, 0, CHUNK)
    jax.block_until_ready(reading.at(0))
    filled = time.perf_counter()
    whole = jax.device_put(boundary.inward(load(path)))
    sides = [updates(create(found.ALGO, data.spec, cfg, 0, 1), rows, 0, cfg.steps, CHUNK) for rows in (reading, whole)]
    times, work = ([], []), ([], [])
    for number in range(rounds + 1):  # the first compiles
        for side in (0, 1) if number % 2 else (1, 0):
            start, used = time.perf_counter(), time.process_time()
            jax.block_until_ready(next(sides[side]).agents)
            times[side].append(time.perf_counter() - start)
            work[side].append(time.process_time() - used)
    reading.close()
    ratios = [memory / disk for disk, memory in list(zip(*times, strict=True))[1:]]
    spent = [memory / disk for disk, memory in list(zip(*work, strict=True))[1:]]
    rates = [CHUNK / statistics.median(side[1:]) for side in times]
    return {
        'rows': len(data),
        'blocks': len(data.blocks),
        'in_the_buffer': reading.slots,
        'updates_per_s': {'disk': rates[0], 'memory': rates[1]},
        'ratio': statistics.median(ratios),
        'ratio_of_cpu_time': statistics.median(spent),  # of all threads; hardly moved by what else the machine does
        'ratios': ratios,
        'seconds': {'survey': surveyed - begun, 'filling the buffer': filled - surveyed},
    }


def child(path: str, stream: bool, steps: int) -> None:
    """Train under the limit and print the peak of resident memory, bytes."""
    import stitchrl

    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    data = stitchrl.on_disk(path) if stream else stitchrl.load(path)
    with tempfile.TemporaryDirectory() as out:
        stitchrl.train('iql', data, steps=steps, every=steps // 2, seeds=1, hidden=(HIDDEN, HIDDEN), out=out)
    lines = Path('/proc/self/status').read_text().splitlines()  # getrusage would count the parent's peak too
    print(next(int(line.split()[1]) * 1024 for line in lines if line.startswith('VmHWM')))


def limited(path: Path, stream: bool, steps: int) -> dict[str, Any]:
    """What became of a child."""
    command = [sys.executable, __file__, '--child', str(path), '--steps', str(steps), *(['--stream'] if stream else [])]
    start = time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    told = {'file_bytes': path.stat().st_size, 'stream': stream, 'seconds': time.perf_counter() - start}
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or [f'signal {-ran.returncode}'])[-1]
        return told | {'trained': False, 'said': last.replace(str(path), path.name)}
    return told | {'trained': True, 'peak_rss_bytes': int(ran.stdout.split()[-1])}


def measure(folder: Path, rows: int, large: int, rounds: int, steps: int) -> dict[str, Any]:
    """All figures; files are made one at a time and deleted."""
    results: dict[str, Any] = {'speed': {}, 'memory': {}}
    for name, how in KINDS.items():
        path = write(folder / f'recording.{name.split(",")[0]}', rows // 2 if how else rows, **how)  # packing is slow
        results['speed'][name] = found = speed(path, rounds)
        print(f'{name}: {found["ratio"]:.1%} of the updates/s in memory, {found["ratio_of_cpu_time"]:.1%} by CPU time')
        path.unlink()
    for name, size in (('small', 200_000), ('large', large)):
        path = write(folder / f'{name}.hdf5', size)
        for stream in (True, False):
            results['memory'][f'{name}, {"stream" if stream else "in memory"}'] = found = limited(path, stream, steps)
            print(f'{name}, stream {stream}: {json.dumps(found)}')
        path.unlink()
    return results


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rows', type=int, default=4_000_000)
    parser.add_argument('--large', type=int, default=40_000_000, help='rows of the recording beyond the limit')
    parser.add_argument('--rounds', type=int, default=20)
    parser.add_argument('--steps', type=int, default=4000, help='updates under the limit')
    parser.add_argument('--json', help='write the figures here')
    parser.add_argument('--child', help=argparse.SUPPRESS)
    parser.add_argument('--stream', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.stream, args.steps)
        return
    from stitchrl.runs.directory import system

    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), args.rows, args.large, args.rounds, args.steps)
    command = ' '.join(['python', 'benchmarks/streaming.py', *sys.argv[1:]])
    result = {'command': command, 'system': system(), 'load': os.getloadavg(), 'limit_bytes': LIMIT, **found}
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
    main()

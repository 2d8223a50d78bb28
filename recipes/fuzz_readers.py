"""Can a damaged or hostile file crash a reader, hang it, fill the memory, or pass for other data?

    python recipes/fuzz_readers.py --minutes 10 [--seed 0] [--keep FOLDER]

Small valid recordings of every format are changed at random: bits flipped, ends cut off, pieces moved within a file or
in from another one, numbers put in place of others. Each is read in another process, within 5 seconds and 2 GiB.
The outcomes: refused (an error of ours, one line), the same columns, or different ones. Anything else is a failure:
another exception, a signal, a hang, memory. So are different columns from damaged files with checksums throughout: what
this package writes as npz, HDF5 and Parquet. (A piece brought in from another valid recording can make a valid mixture
of the two.) In the other formats a changed value is simply another value.
Writes recipes/results/fuzz_readers.json; `--keep` keeps what failed.
"""

import argparse
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stitchrl.core.spec import Continuous, Observation, Spec
from stitchrl.data.check import fingerprint
from stitchrl.data.columns import Columns
from stitchrl.data.formats import Choice, arrow, csv_table, lerobot, minari_tables, parquet, read, robomimic, write
from stitchrl.errors import StitchError

READERS = (arrow, csv_table, lerobot, minari_tables, parquet, robomimic)  # all of them loaded before the first fork
SECONDS, BYTES = 5, 2**31
HERE = Path(__file__).parent
WHOLE = {'npz', 'hdf5 of ours', 'parquet of ours'}  # kinds in which no change may pass unseen
CHOICES = {'csv': Choice(obs='q*', action='u', reward='r', episode='id', terminal='e', time='t')}
NUMBERS = (0, 1, -1, 2, 127, 255, 2**15, 2**31 - 1, -(2**31), 2**32, 2**40, 2**63 - 1, -(2**63))
TEXTS = (b'1e999', b'-1', b'nan', b'', b'99999999999999999999', b'[]', b'{', b'null', b'"', b',', b'\n')


# Valid recordings


def columns() -> Columns:
    """Three episodes of four steps."""
    g, n = np.random.default_rng(0), 12
    obs = g.normal(size=(n + 3, 2)).astype(np.float32)
    rows = np.arange(n) + np.arange(n) // 4
    last = np.arange(n) % 4 == 3
    action, reward = g.uniform(-1, 1, (n, 2)).astype(np.float32), g.normal(size=n).astype(np.float32)
    more = {'episode': np.arange(n) // 4, 'time': np.arange(n) / 10}
    return Columns(
        obs[rows], action, reward, last & (rows > 9), last & (rows <= 9), obs[rows + 1], (-1, -1), (1, 1), **more
    )


def seeds(root: Path) -> dict[str, Path]:
    """Kind -> a valid recording."""
    c, spec = columns(), Spec(Observation((2,)), Continuous(2, (-1, -1), (1, 1)))
    made = {
        'npz': root / 'a.npz',
        'hdf5 of ours': root / 'a.hdf5',
        'parquet of ours': root / 'a.parquet',
        'minari hdf5': root / 'm',
    }
    for kind, path in zip(write.KINDS, made.values(), strict=True):
        write.write(path, c, spec, kind)
    table = {
        'observations': pa.FixedSizeListArray.from_arrays(c.obs.ravel(), 2),
        'actions': pa.FixedSizeListArray.from_arrays(c.action.ravel(), 2),
    }
    table |= {'rewards': pa.array(c.reward), 'terminals': pa.array(c.terminal), 'timeouts': pa.array(c.timeout)}
    for codec in ('none', 'gzip', 'zstd'):
        made[f'parquet {codec}'] = root / f'{codec}.parquet'
        pq.write_table(pa.table(table), made[f'parquet {codec}'], compression=codec, row_group_size=5)
    with h5py.File(root / 'plain.hdf5', 'w') as file:
        for name in ('observations', 'actions', 'rewards', 'terminals', 'timeouts'):
            x = np.array(table[name].to_pylist())
            file.create_dataset(name, data=x, chunks=(6, *x.shape[1:]), compression='gzip', shuffle=True)
    lines = [
        f'{c.time[i]},{c.episode[i]},{c.obs[i, 0]},{c.obs[i, 1]},{c.action[i, 0]},{c.reward[i]},0' for i in range(12)
    ]
    (root / 'a.csv').write_text('\n'.join(['t,id,q0,q1,u,r,e', *lines, '']))
    made |= {'hdf5': root / 'plain.hdf5', 'csv': root / 'a.csv', 'ogbench': root / 'ogbench.npz'}
    np.savez(
        made['ogbench'],
        observations=c.obs,
        actions=c.action,
        terminals=c.timeout * 1.0,
        rewards=c.reward,
        masks=1.0 - c.terminal,
    )
    return made | {'robomimic': demos(root / 'robo.hdf5', c), 'lerobot': frames(root / 'lerobot', c)} | tables(root, c)


def demos(path: Path, c: Columns) -> Path:
    """A robomimic file."""
    with h5py.File(path, 'w') as file:
        for i, rows in enumerate(np.split(np.arange(12), 3)):
            parts = {'actions': c.action, 'rewards': c.reward, 'dones': c.terminal.astype(int)}
            parts |= {
                'obs/x': c.obs[:, :1],
                'obs/y': c.obs[:, 1:],
                'next_obs/x': c.obs[:, :1],
                'next_obs/y': c.obs[:, 1:],
            }
            for name, x in parts.items():
                file[f'data/demo_{i}/{name}'] = x[rows]
    return path


def frames(folder: Path, c: Columns) -> Path:
    """A LeRobot folder."""
    lists = {'observation.state': c.obs.tolist(), 'action': c.action.tolist()}
    numbers = {
        'episode_index': c.episode,
        'frame_index': np.arange(12) % 4,
        'timestamp': c.time,
        'next.reward': c.reward,
    }
    (folder / 'meta').mkdir(parents=True)
    (folder / 'data' / 'chunk-000').mkdir(parents=True)
    (folder / 'meta' / 'info.json').write_text(
        json.dumps({'codebase_version': 'v3.0', 'total_frames': 12, 'total_episodes': 3})
    )
    pq.write_table(pa.table(lists | numbers), folder / 'data' / 'chunk-000' / 'file-000.parquet')
    return folder


def tables(root: Path, c: Columns) -> dict[str, Path]:
    """Minari's tables, plain and packed."""
    made = {}
    for name, codec, suffix in (
        ('arrow', None, 'arrow'),
        ('arrow zstd', 'zstd', 'arrow'),
        ('parquet', 'snappy', 'parquet'),
    ):
        folder = root / name.replace(' ', '-')
        made[f'minari {name}'] = folder
        shutil.copytree(root / 'm', folder)
        (folder / 'data' / 'main_data.hdf5').unlink()
        for i, rows in enumerate(np.split(np.arange(12), 3)):
            obs = np.concatenate([c.obs[rows], c.next_obs[rows[-1:]]]) if c.next_obs is not None else c.obs[rows]
            pad = lambda x, rows=rows: np.concatenate([x[rows], np.zeros_like(x[:1])])
            arrays = {'observations': obs.tolist(), 'actions': pad(c.action).tolist(), 'rewards': pad(c.reward)}
            kinds = {'observations': pa.list_(pa.float32(), 2), 'actions': pa.list_(pa.float32(), 2)}
            table = pa.table({key: pa.array(x, kinds.get(key)) for key, x in arrays.items()})
            for key, x in (('terminations', c.terminal), ('truncations', c.timeout)):
                table = table.append_column(key, pa.array(pad(x)))
            place = folder / 'data' / str(i)
            place.mkdir()
            if suffix == 'parquet':
                pq.write_table(table, place / 'part.parquet')
                continue
            options = pa.ipc.IpcWriteOptions(compression=codec)
            with pa.ipc.new_file(str(place / 'part.arrow'), table.schema, options=options) as out:
                out.write_table(table)
    return made


# What is done to them


def mutate(data: bytes, other: bytes, g: np.random.Generator) -> tuple[bytes, str]:
    """(changed bytes, what was done)."""
    what = str(g.choice(['flip', 'flip', 'flips', 'cut', 'splice', 'import', 'number', 'number', 'text', 'repeat']))
    found, n = bytearray(data), max(1, len(data))
    at = int(g.integers(n))
    size = int(min(2 ** g.integers(10), n - at))
    if what in ('flip', 'flips'):
        for place in g.integers(n, size=1 if what == 'flip' else g.integers(2, 9)):
            found[place] ^= 1 << int(g.integers(8))
    elif what == 'cut':
        del found[at:]
    elif what == 'splice':
        to = int(g.integers(n))
        found[to : to + size] = data[at : at + size]
    elif what == 'import':
        start = int(g.integers(max(1, len(other))))
        found[at : at + size] = other[start : start + size]
    elif what == 'number':
        width = int(g.choice([1, 2, 4, 8]))
        value = int(g.choice(len(NUMBERS)))
        raw = (NUMBERS[value] % 2 ** (8 * width)).to_bytes(width, str(g.choice(['little', 'big'])))
        found[at : at + width] = raw
    elif what == 'text':
        found[at : at + int(g.integers(9))] = TEXTS[g.integers(len(TEXTS))]
    else:
        found[at:at] = data[at : at + size] * int(g.integers(1, 9))
    return bytes(found), what


# Reading them, in a process that is started anew when it dies


def serve() -> None:
    """For each line [kind, path] on the input a line [outcome, detail, seconds, MB]."""
    assert all(READERS)
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what a library says while it dies
    for line in sys.stdin:
        kind, path = json.loads(line)
        signal.alarm(SECONDS)
        start = time.perf_counter()
        outcome, detail = attempt(kind, path)
        signal.alarm(0)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps([outcome, detail, time.perf_counter() - start, most]), flush=True)


def attempt(kind: str, path: str) -> tuple[str, str]:
    """(outcome, detail) of reading one."""
    try:
        c = read(path, None, CHOICES.get(kind, Choice()))
    except StitchError as error:
        more = str(error).count('\n')
        return ('crash', f'an error of {more + 1} lines') if more else ('refused', type(error).__name__)
    except Exception as error:  # noqa: BLE001, whatever it is, it is a failure
        return 'crash', f'{type(error).__name__}: {error}'[:300]
    return 'read', json.dumps(
        [fingerprint(c), *(None if x is None else x.tobytes().hex() for x in (c.episode, c.time))]
    )


class Server:
    """The process that reads."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """With all readers loaded before the first file."""
        program = [sys.executable, __file__, '--serve']
        self.process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, kind: str, path: Path) -> tuple[str, str, float, float]:
        """(outcome, detail, seconds, MB)."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([kind, str(path)]), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            self.start()
            return ('hang' if code == -signal.SIGALRM else 'died', f'exit {code}', SECONDS, 0)
        return tuple(json.loads(line))


def fuzz(minutes: float, seed: int, keep: Path | None, root: Path) -> dict[str, Any]:
    """Outcomes of each kind, and what failed."""
    made, ask, g = seeds(root), Server(), np.random.default_rng(seed)
    expected = {kind: ask(kind, path) for kind, path in made.items()}
    for kind, (outcome, detail, _, _) in expected.items():
        assert outcome == 'read', (kind, detail)
    files = {
        kind: [path] if path.is_file() else sorted(f for f in path.rglob('*') if f.is_file())
        for kind, path in made.items()
    }
    whole = {file: file.read_bytes() for found in files.values() for file in found}
    counts, failures = {kind: Counter() for kind in made}, []
    slowest, largest, end, tried = 0.0, 0.0, time.monotonic() + 60 * minutes, 0
    while time.monotonic() < end:
        kind = list(made)[tried % len(made)]
        file = files[kind][g.integers(len(files[kind]))]
        data, what = mutate(whole[file], list(whole.values())[g.integers(len(whole))], g)
        file.write_bytes(data)
        outcome, detail, seconds, most = ask(kind, made[kind])
        if outcome == 'read':
            outcome = 'same' if detail == expected[kind][1] else 'different'
        if outcome == 'different' and kind in WHOLE and what != 'import':
            outcome = 'silently different'
        slowest, largest, tried = max(slowest, seconds), max(largest, most), tried + 1
        counts[kind][outcome] += 1
        if outcome not in ('refused', 'same', 'different'):
            place = keep / f'{len(failures):04d}{file.suffix}' if keep else None
            if place:
                place.write_bytes(data)
            failures.append({'kind': kind, 'file': file.name, 'done': what, 'outcome': outcome, 'detail': detail[:300]})
        file.write_bytes(whole[file])
    told = {kind: dict(sorted(count.items())) for kind, count in counts.items()}
    return {
        'tried': tried,
        'failures': failures,
        'slowest_s': round(slowest, 3),
        'most_mb': round(largest),
        'outcomes': told,
    }


def main() -> int:
    """Exit code 1 where anything failed."""
    parser = argparse.ArgumentParser(description='Damaged and hostile files against every reader.')
    parser.add_argument('--minutes', type=float, default=10)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--keep', type=Path, help='a folder for the files that failed')
    parser.add_argument('--out', type=Path, default=HERE / 'results' / 'fuzz_readers.json')
    parser.add_argument('--serve', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
        return 0
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as root:
        found = fuzz(args.minutes, args.seed, args.keep, Path(root))
    from stitchrl.runs.directory import system

    about = {'command': shlex.join(['python', *sys.argv]), 'minutes': args.minutes, 'seed': args.seed}
    limits = {'seconds': SECONDS, 'bytes': BYTES}
    versions = {'h5py': h5py.__version__, 'hdf5': h5py.version.hdf5_version, 'pyarrow': pa.__version__}
    args.out.write_text(
        json.dumps(about | {'limits': limits} | found | {'system': system() | versions}, indent=1) + '\n'
    )
    print(f'{found["tried"]:,} files, {len(found["failures"])} failures, {args.out}')
    for failure in found['failures'][:20]:
        print(failure)
    return 1 if found['failures'] else 0


if __name__ == '__main__':
    sys.exit(main())

"""Can a flipped bit make a saved thing act otherwise without a word? 1000 of them, one at a time.

    python recipes/bit_flips.py [--flips 1000]

A small run is trained; its policy folder, its newest checkpoint and its three exports are flipped in turn, in each of
their files as often as in the others, and read as users read them. A flip is refused (an error that names the file),
harmless (what is read is bit for bit what it was), or silently different, of which there must be none. As a control
the same flips are tried on the weights of a policy whose hashes are not looked at: that must find differences, or the
comparison cannot see any. Writes recipes/results/bit_flips.json.
"""

import argparse
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

import stitchrl
from stitchrl.errors import Corrupt
from stitchrl.export import folder
from stitchrl.runs import checkpoint
from stitchrl.runs.directory import system

OBS = np.random.default_rng(1).normal(size=(64, 3)).astype(np.float32)
HERE = Path(__file__).parent


def trained(root: Path) -> Path:
    """A run of two small agents on random episodes."""
    rng, n = np.random.default_rng(0), 200
    last = np.arange(n) % 10 == 9
    data = stitchrl.Dataset.from_arrays(
        rng.normal(size=(n, 3)), rng.uniform(-1, 1, (n, 2)), rng.normal(size=n), last & (np.arange(n) < 100), last
    )
    out = str(root / 'run')
    return stitchrl.train('iql', data, hidden=(16, 16), batch=8, steps=20, every=10, seeds=2, out=out).path


def actions(path: Path) -> bytes:
    """What a policy folder or an export does, and what it says of itself."""
    act = stitchrl.load_policy(path)
    return act(OBS).tobytes() + json.dumps(act.spec.to_json()).encode()


def leaves(path: Path) -> bytes:
    """All that a checkpoint holds, and its step."""
    step = checkpoint.verify(path)
    return b''.join([str(step).encode(), *(x.tobytes() for _, x in sorted(checkpoint.restore(path).items()))])


def unguarded(path: Path) -> bytes:
    """The control: a policy's weights without their hash."""
    try:
        return b''.join(x.tobytes() for _, x in sorted(load_file(path / 'weights.safetensors').items()))
    except SafetensorError as error:
        raise Corrupt(str(error)) from None


def flips(place: Path, read: Callable[[Path], bytes], count: int, files: list[Path], seed: int) -> dict[str, Any]:
    """{file: {outcome: how often}} of `count` flips. What is none of the three is raised."""
    rng, before, found = np.random.default_rng(seed), read(place), {}
    for i in range(count):
        path = files[i % len(files)]
        content, name = path.read_bytes(), str(path.relative_to(place))
        flipped, bit = bytearray(content), int(rng.integers(8 * len(content)))
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            outcome = 'harmless' if read(place) == before else 'silently different'
        except Corrupt as error:
            outcome = 'refused' if str(place) in str(error) or read is unguarded else 'refused without a name'
        path.write_bytes(content)
        found.setdefault(name, Counter())[outcome] += 1
    return found


def main() -> None:
    """Flip, count, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--flips', type=int, default=1000)
    count = parser.parse_args().flips
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        run = trained(root)
        newest = checkpoint.steps(run / 'checkpoints')[-1]
        places = {'policy': (run / 'policy', actions), 'checkpoint': (newest, leaves)}
        for to in folder.KINDS:
            folder.export(run, root / to, to)
            places[to] = (root / to, actions)
        for seed, (what, (place, read)) in enumerate(places.items()):
            files = sorted(path for path in place.rglob('*') if path.is_file() and path.stat().st_size)
            rows[what] = flips(place, read, -(-count // len(places)), files, seed)
        control = shutil.copytree(run / 'policy', root / 'control')
        rows['control: no hashes'] = flips(control, unguarded, 100, [control / 'weights.safetensors'], 9)
    report(rows)


def report(rows: dict[str, Any]) -> None:
    """Print the sums and write everything; fails where one flip was silent, or the control saw nothing."""
    sums = {what: dict(sum(files.values(), Counter())) for what, files in rows.items()}
    for what, outcomes in sums.items():
        print(f'{what:20s} {", ".join(f"{outcome} {n}" for outcome, n in sorted(outcomes.items()))}')
    control = sums.pop('control: no hashes')
    total = sum((Counter(outcomes) for outcomes in sums.values()), Counter())
    good = not total['silently different'] and not total['refused without a name'] and control['silently different']
    result = {'command': 'python recipes/bit_flips.py', 'system': system(), 'total': dict(total)}
    result |= {'sums': sums, 'control': control, 'files': rows}
    (HERE / 'results' / 'bit_flips.json').write_text(json.dumps(result, indent=1) + '\n')
    print(f'total                {dict(total)}')
    if not good:
        raise SystemExit('a flip was silent, or the control saw none')


if __name__ == '__main__':
    with jax.default_device(jax.devices('cpu')[0]):
        main()

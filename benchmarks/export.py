"""How long an exported policy takes for one observation.

    python benchmarks/export.py [--calls 20000] [--json FILE]

Hopper's sizes: 11 numbers in, two layers of 256, 3 out, IQL's policy with its normalisation and its bounds. Each form
is called on one observation after another in a process of its own, with one thread; the median and the middle half of
all calls are told.                                                                     Mark: numpy within 20 us.

numpy      policy.py of the export, run by `python -I` without this package on the path
products   the three products of that network alone, by NumPy: what no program of NumPy's can be faster than
onnx       onnxruntime, one thread
stablehlo  stitchrl.load_policy, compiled by JAX
run        the policy of the run itself, stitchrl.load_policy
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MARK = 20.0  # microseconds
THREADS = ('OPENBLAS_NUM_THREADS', 'OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'NPROC')
TIMED = """
import json, sys, time
import numpy as np
sys.dont_write_bytecode = True
def timed(act, calls):
    x = np.random.default_rng(0).normal(size=(64, 11)).astype(np.float32)
    for i in range(calls // 10):
        act(x[i % 64])
    took = []
    for i in range(calls):
        obs = x[i % 64]
        start = time.perf_counter_ns()
        act(obs)
        took.append(time.perf_counter_ns() - start)
    print(json.dumps([t / 1000 for t in took]))
"""
FORMS = {
    'numpy': """
sys.path.insert(0, sys.argv[1] + '/numpy')
from policy import Policy
assert 'stitchrl' not in sys.modules and 'jax' not in sys.modules
timed(Policy(), int(sys.argv[2]))
""",
    'products': """
rng = np.random.default_rng(0)
a, b, c = (rng.normal(size=n).astype(np.float32) for n in ((11, 256), (256, 256), (256, 3)))
timed(lambda x: x[None] @ a @ b @ c, int(sys.argv[2]))
""",
    'onnx': """
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1] + '/onnx/policy.onnx', options, providers=['CPUExecutionProvider'])
timed(lambda x: session.run(None, {'observation': x[None]})[0], int(sys.argv[2]))
""",
    'stablehlo': "import stitchrl\ntimed(stitchrl.load_policy(sys.argv[1] + '/stablehlo'), int(sys.argv[2]) // 10)",
    'run': 'import stitchrl\ntimed(stitchrl.load_policy(sys.argv[1]), int(sys.argv[2]) // 10)',
}
ALONE = ('numpy', 'products', 'onnx')  # without this package


def exported(root: Path) -> None:
    """A policy of random weights, and its three exports."""
    import numpy as np

    import stitchrl
    from stitchrl.export.folder import KINDS, export

    rng, n = np.random.default_rng(0), 2000
    last = np.arange(n) % 100 == 99
    data = stitchrl.Dataset.from_arrays(
        rng.normal(size=(n, 11)), rng.uniform(-1, 1, (n, 3)), rng.normal(size=n), np.zeros(n, bool), last
    )
    stitchrl.train('iql', data, steps=20, every=20, seeds=1, normalise=True, out=str(root / 'run'))
    (root / 'run' / 'policy').rename(root / 'policy')
    for to in KINDS:
        export(root, root / to, to)


def microseconds(form: str, root: Path, calls: int) -> dict[str, Any]:
    """Of one call."""
    isolated = ['-I'] if form in ALONE else []
    command = [sys.executable, *isolated, '-c', TIMED + FORMS[form], str(root), str(calls)]
    env = os.environ | dict.fromkeys(THREADS, '1') | {'JAX_PLATFORMS': 'cpu'}
    took = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=env).stdout)
    low, median, high = statistics.quantiles(took, n=4)
    return {'form': form, 'calls': len(took), 'median_us': median, 'middle_half_us': [low, high]}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--calls', type=int, default=20_000)
    parser.add_argument('--json', type=Path)
    args = parser.parse_args()
    from stitchrl.runs.directory import system

    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        exported(Path(name))
        rows = [microseconds(form, Path(name), args.calls) for form in FORMS]
    least = next(row['median_us'] for row in rows if row['form'] == 'products')
    for row in rows:
        row['times_products'] = row['median_us'] / least
        print(f'{row["form"]:10s} {row["median_us"]:8.1f} us   {row["times_products"]:6.1f} times the products alone')
    met = rows[0]['median_us'] <= MARK
    print(f'numpy within {MARK:g} us: {"yes" if met else "NO"}')
    if args.json:
        told = {
            'command': 'python ' + ' '.join(sys.argv),
            'load': load,
            'system': system(),
            'mark_us': MARK,
            'met': met,
        }
        args.json.write_text(json.dumps(told | {'rows': rows}, indent=1) + '\n')


if __name__ == '__main__':
    main()

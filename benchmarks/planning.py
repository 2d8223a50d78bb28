"""Plans per second: CEM over a learned ensemble.

    python benchmarks/planning.py [--peer PYTHON] [--threads 2] [--json FILE]

Horizon 25, 400 samples, 5 iterations, 5 particles, an ensemble of 5 members of 4 x 200 that predicts 17 numbers and a
reward from 17 and 6 (HalfCheetah's sizes), TSinf, random weights. Told:

plans      seconds of a plan, the median; plans per second
products   the matrix products of one plan alone, at the same shapes, in the same compiled loop: what share of a plan's
           time they would take by themselves
peer       mbrl-lib's own CEM over its own ensemble at the same sizes, when --peer names the Python of an environment
           that has it, turn and turn about with ours.                        Mark: at least 5 times its plans
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SIZES = {
    'obs': 17,
    'action': 6,
    'layers': 4,
    'width': 200,
    'members': 5,
    'horizon': 25,
    'samples': 400,
    'iterations': 5,
    'particles': 5,
}
TURNS, PLANS, MARK = 3, 2, 5.0


def ours(plans: int) -> dict[str, list[float]]:
    """Seconds of each plan, and of the products of one."""
    import jax
    import jax.numpy as jnp
    import jax.random as jr

    from stitchrl.core.spec import Continuous, Observation, Spec
    from stitchrl.models.ensemble import Dynamics
    from stitchrl.planners.cem import CEM

    size = SIZES
    spec = Spec(Observation((size['obs'],)), Continuous(size['action'], (-1.0,) * 6, (1.0,) * 6))
    hidden = (size['width'],) * size['layers']
    model = Dynamics.create(spec, jr.key(0), hidden, size['members'], size['members'])
    planner = CEM.create(
        spec, size['horizon'], size['samples'], iterations=size['iterations'], particles=size['particles']
    )
    plan = jax.jit(lambda model, memory, key: planner.plan(model, jnp.zeros(size['obs']), memory, key)[:2])
    weights = [layer.weight for layer in model.members.net.members.layers]
    rows = size['samples'] * size['particles'] // size['members']
    steps = size['horizon'] * size['iterations']

    @jax.jit
    def products(weights: list[jax.Array], x: jax.Array) -> jax.Array:
        def one(x: jax.Array, _: None) -> tuple[jax.Array, None]:
            y = x
            for weight in weights:
                y = y @ weight
            return y[..., : x.shape[-1]] * 1e-3, None

        return jax.lax.scan(one, x, None, steps)[0]

    x, memory = jnp.ones((size['members'], rows, size['obs'] + size['action'])), planner.remember(1)[0]
    return {
        'plan': timed(lambda i: plan(model, memory, jr.key(i)), plans),
        'products': timed(lambda i: products(weights, x + i), plans),
    }


def timed(call: Any, n: int) -> list[float]:
    """Seconds of n calls after one that compiles."""
    import jax

    took = []
    for i in range(n + 1):
        began = time.perf_counter()
        jax.block_until_ready(call(i))
        took.append(time.perf_counter() - began)
    return took[1:]


def side(python: str, script: str, threads: int) -> Any:
    """One half in a process of its own, with so many threads."""
    count = str(threads)
    env = os.environ | {'NPROC': count, 'OMP_NUM_THREADS': count, 'OPENBLAS_NUM_THREADS': count}
    arguments = [json.dumps(SIZES | {'threads': threads}), str(PLANS)]
    done = subprocess.run([python, script, *arguments], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f'{script} with {python} failed:\n{done.stderr[-2000:]}')
    return json.loads(done.stdout.splitlines()[-1])


def summary(own: list[dict[str, list[float]]], peer: list[list[float]]) -> dict[str, Any]:
    """Medians over all turns."""
    plan, products = (statistics.median(t for turn in own for t in turn[name]) for name in ('plan', 'products'))
    size = SIZES
    inputs, outputs = size['obs'] + size['action'], 2 * (size['obs'] + 1)
    weights = inputs * size['width'] + (size['layers'] - 1) * size['width'] ** 2 + size['width'] * outputs
    flops = 2 * weights * size['samples'] * size['particles'] * size['horizon'] * size['iterations']
    result: dict[str, Any] = {
        'seconds_per_plan': round(plan, 4),
        'plans_per_second': round(1 / plan, 3),
        'gigaflop_of_products': round(flops / 1e9, 1),
        'gigaflops_of_products_alone': round(flops / products / 1e9, 1),
        'share_of_the_products_rate': round(products / plan, 3),
    }
    if peer:
        theirs = statistics.median(t for turn in peer for t in turn)
        ratio = theirs / plan
        result['mbrl_lib'] = {'seconds_per_plan': round(theirs, 4), 'ratio': round(ratio, 2), 'reached': ratio >= MARK}
    return result


def main() -> None:
    """Turn and turn about, then the table."""
    if len(sys.argv) == 3 and sys.argv[1].startswith('{'):
        print(json.dumps(ours(int(sys.argv[2]))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--peer', metavar='PYTHON', help='of an environment that has mbrl-lib')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--json', type=Path)
    args = parser.parse_args()
    own, peer = [], []
    for _ in range(TURNS):
        own.append(side(sys.executable, __file__, args.threads))
        if args.peer:
            peer.append(side(args.peer, str(Path(__file__).with_name('planning_side.py')), args.threads))
    from stitchrl.runs.directory import system

    command = f'python benchmarks/planning.py --threads {args.threads}' + (' --peer PYTHON' if args.peer else '')
    table = {'command': command, 'load': os.getloadavg()[0], 'system': system(), 'sizes': SIZES}
    table['result'] = summary(own, peer)
    if args.json:
        args.json.write_text(json.dumps(table, indent=1) + '\n')
    print(json.dumps(table['result'], indent=1))


if __name__ == '__main__':
    main()

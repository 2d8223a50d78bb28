"""Plans per second: CEM over a learned ensemble; and how fast the ensemble is trained.

    python benchmarks/planning.py [--peer PYTHON] [--threads 2] [--json FILE]

Horizon 25, 400 samples, 5 iterations, 5 particles, an ensemble of 5 members of 4 x 200 that predicts 17 numbers and a
reward from 17 and 6 (HalfCheetah's sizes), TSinf, random weights. Told:

plans      seconds of a plan, the median; plans per second; and with products of bfloat16 (`mpc --bfloat16`)
products   the matrix products of one plan alone, at the same shapes, in the same compiled loop: what share of a plan's
           time they would take by themselves
training   100 updates of the ensemble, 256 rows of each member; and their products, forward and backward, alone in the
           same loop.                                                         Mark: 85 % of the rate of the products
peer       mbrl-lib's own CEM over its own ensemble at the same sizes, when --peer names the Python of an environment
           that has it, turn and turn about with ours; and with PyTorch told that its products may be of bfloat16 too.
                                                                             Mark: at least 5 times its plans

On one thread the clock is that of the processor, which others on the machine hardly lengthen; on several it is the
wall's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
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
TURNS, PLANS, MARK = 2, 2, 5.0
ROWS, BATCH, UPDATES, RATE = 5000, 256, 100, 0.85  # of training


def ours(size: dict[str, int], plans: int) -> dict[str, list[float]]:
    """Seconds of each plan, and of the products of one; of updates, and of their products."""
    import jax
    import jax.numpy as jnp
    import jax.random as jr

    from stitchrl.algos.modelled.mpc import MPC, Config
    from stitchrl.core.spec import Continuous, Observation, Spec
    from stitchrl.models.ensemble import Dynamics
    from stitchrl.planners.cem import CEM

    spec = Spec(Observation((size['obs'],)), Continuous(size['action'], (-1.0,) * 6, (1.0,) * 6))
    hidden = (size['width'],) * size['layers']
    model = Dynamics.create(spec, jr.key(0), hidden, size['members'], size['members'])
    planner = CEM.create(
        spec, size['horizon'], size['samples'], iterations=size['iterations'], particles=size['particles']
    )
    cfg = Config(horizon=size['horizon'])
    agents = {
        name: MPC.of(model, planner, replace(cfg, bfloat16=name == 'bfloat16')) for name in ('float32', 'bfloat16')
    }
    act, obs, memory = jax.jit(MPC.act), jnp.zeros((1, size['obs'])), agents['float32'].remember(1)
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

    x = jnp.ones((size['members'], rows, size['obs'] + size['action']))
    clock = time.process_time if size['threads'] == 1 else time.perf_counter
    return {
        'plan': timed(lambda i: act(agents['float32'], memory, obs, jr.key(i)), plans, clock),
        'plan_bfloat16': timed(lambda i: act(agents['bfloat16'], memory, obs, jr.key(i)), plans, clock),
        'products': timed(lambda i: products(weights, x + i), plans, clock),
    } | training(model, weights, plans, clock)


def training(model: Any, weights: list[Any], n: int, clock: Any) -> dict[str, list[float]]:
    """Seconds of UPDATES updates as a fit makes them, and of their products."""
    import jax
    import jax.numpy as jnp
    import jax.random as jr

    from stitchrl.core.types import Transition
    from stitchrl.models.fit import an_epoch

    keys, one, members = jr.split(jr.key(0), 5), jnp.ones(ROWS), model.count
    obs, after = (jr.normal(key, (ROWS, SIZES['obs'])) for key in keys[:2])
    action = jr.uniform(keys[2], (ROWS, SIZES['action']), minval=-1, maxval=1)
    rows = Transition(obs, action, jr.normal(keys[3], (ROWS,)), after, one, one, action)
    boot = jr.randint(keys[4], (members, ROWS), 0, ROWS)
    epoch = jax.jit(an_epoch, static_argnums=6)

    @jax.jit
    def products(weights: list[jax.Array], x: jax.Array) -> list[jax.Array]:
        def update(_: int, weights: list[jax.Array]) -> list[jax.Array]:
            outs = [x]
            for weight in weights:
                outs.append(outs[-1] @ weight)
            g, after = outs.pop() * 1e-3, []
            for i, (weight, out) in enumerate(zip(weights[::-1], outs[::-1], strict=True)):
                after.insert(0, weight - 1e-9 * out.swapaxes(1, 2) @ g)
                g = g @ weight.swapaxes(1, 2) * 1e-3 if i + 1 < len(weights) else g
            return after

        return jax.lax.fori_loop(0, UPDATES, update, weights)

    x = jnp.ones((members, BATCH, SIZES['obs'] + SIZES['action']))
    count = jnp.int32(ROWS), jnp.int32(UPDATES)
    return {
        'updates': timed(lambda i: epoch(model, rows, boot, *count, jr.key(i), BATCH), n, clock),
        'their_products': timed(lambda i: products(weights, x + i), n, clock),
    }


def timed(call: Any, n: int, clock: Any) -> list[float]:
    """Seconds of n calls after one that compiles."""
    import jax

    took = []
    for i in range(n + 1):
        began = clock()
        jax.block_until_ready(call(i))
        took.append(clock() - began)
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


def summary(own: list[dict[str, list[float]]], peer: list[dict[str, list[float]]]) -> dict[str, Any]:
    """Medians over all turns."""
    median, theirs = (
        {name: statistics.median(t for turn in turns for t in turn[name]) for name in (turns or [{}])[0]}
        for turns in (own, peer)
    )
    plan, rounded, products, size = median['plan'], median['plan_bfloat16'], median['products'], SIZES
    inputs, outputs = size['obs'] + size['action'], 2 * (size['obs'] + 1)
    weights = inputs * size['width'] + (size['layers'] - 1) * size['width'] ** 2 + size['width'] * outputs
    flops = 2 * weights * size['samples'] * size['particles'] * size['horizon'] * size['iterations']
    result: dict[str, Any] = {
        'seconds_per_plan': round(plan, 4),
        'plans_per_second': round(1 / plan, 3),
        'bfloat16': {'seconds_per_plan': round(rounded, 4), 'plans_per_second': round(1 / rounded, 3)},
        'gigaflop_of_products': round(flops / 1e9, 1),
        'gigaflops_of_products_alone': round(flops / products / 1e9, 1),
        'share_of_the_products_rate': round(products / plan, 3),
    }
    share = median['their_products'] / median['updates']
    result['training'] = {
        'updates_per_second': round(UPDATES / median['updates'], 1),
        'share_of_the_products_rate': round(share, 3),
        'reached': share >= RATE,
    }
    for name, seconds in theirs.items():  # as it comes, and with products of bfloat16
        result['mbrl_lib' if name == 'plan' else 'mbrl_lib_bfloat16'] = {
            'seconds_per_plan': round(seconds, 4),
            'ratio': round(seconds / plan, 2),
            'ratio_of_ours_in_bfloat16': round(seconds / rounded, 2),
            'ratio_of_the_products_alone': round(seconds / products, 2),
        }
    return result


def main() -> None:
    """Turn and turn about, then the table."""
    if len(sys.argv) == 3 and sys.argv[1].startswith('{'):
        print(json.dumps(ours(json.loads(sys.argv[1]), int(sys.argv[2]))))
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

"""Updates per second of each offline algorithm, as a share of what its matrix products alone allow.

    python benchmarks/offline_speed.py [--seeds 1 8] [--algos bc td3_bc iql awr cql] [--json FILE]

Sizes are Hopper's: observation 11, action 3, networks 256 x 256, batch 256. An update's work is fixed: passes
through a network, forward 1 and backward 2 (BC 3, TD3+BC 11.5, IQL 16, CQL 198, of 35.5 MFLOP each). The floor is
a scan that does those products, as fast as they are known to go, and nothing else: no gathers, no losses, no Adam.
Both run in turn in one process and the median of the pairwise ratios is printed, because absolute times on a shared
machine mean little.
"""

import argparse
import json
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.algos import algorithm
from stitchrl.core.boundary import Boundary
from stitchrl.data.dataset import Dataset
from stitchrl.loops.offline import create, updates
from stitchrl.loops.seeds import over_seeds
from stitchrl.nets.dense import across
from stitchrl.runs.directory import system

OBS, ACTION, HIDDEN, BATCH, ROWS = 11, 3, 256, 256, 100_000
PASS = 2 * BATCH * ((OBS + ACTION) * HIDDEN + HIDDEN * HIDDEN + HIDDEN)  # FLOP of one forward pass


class Passes(NamedTuple):
    """What networks of one kind do in an update. Forward counts 1, backward into the weights 2, into the action 1."""

    nets: int  # evaluated at once
    weights: bool = False
    action: bool = False
    every: int = 1  # updates
    rows: int = 1  # inputs per row of the batch


PASSES = {
    'bc': [Passes(1, weights=True)],
    'td3_bc': [
        Passes(1),  # target actor
        Passes(2),  # target critics
        Passes(2, weights=True),  # critics
        Passes(1, weights=True, every=2),  # actor
        Passes(1, action=True, every=2),  # Q of the actor's action
    ],
    'iql': [
        Passes(2),  # target critics
        Passes(1, weights=True),  # value
        Passes(1),  # new V(s)
        Passes(1, weights=True),  # actor
        Passes(1),  # new V(s')
        Passes(2, weights=True),  # critics
    ],
    'awr': [Passes(1, weights=True), Passes(1, weights=True)],  # value, actor; labels are not counted
    'cql': [
        Passes(1),  # policy at s', for the target
        Passes(2),  # target critics
        Passes(1),  # policy at s
        Passes(1),  # and at s', for the actions that are asked about
        Passes(2, weights=True),  # critics on the data
        Passes(2, weights=True, rows=30),  # critics on ten actions of each of three sources
        Passes(1, weights=True),  # actor
        Passes(2, action=True),  # Q of its action
    ],
}


def work(algo: str) -> float:
    """Passes of an update, in units of one forward pass."""
    return sum(p.nets * p.rows * (1 + 2 * p.weights + p.action) / p.every for p in PASSES[algo])


def net_products(x, w1, w2, w3, weights, action):
    """The matrix products of one network: forward, and backward into its weights or its input."""
    h1 = x @ w1
    h2 = h1 @ w2
    out = h2 @ w3
    if not (weights or action):
        return out
    g2 = out @ w3.T
    g1 = g2 @ w2.T
    return (across(h2, out), across(h1, g2), across(x, g1)) if weights else g1 @ w1.T


def products(passes, w, xs, t, seeds):
    """All products of one update, for `seeds` agents."""
    x = jax.lax.dynamic_index_in_dim(xs, t % len(xs), keepdims=False)  # new numbers each step, or XLA hoists the work
    x = jnp.broadcast_to(x, (seeds, 1, *x.shape))
    results = []
    for part, nets in zip(passes, w, strict=True):
        one = partial(net_products, weights=part.weights, action=part.action)
        every_net = partial(over_seeds, partial(over_seeds, one))
        inputs = jnp.broadcast_to(x, (seeds, part.nets, *x.shape[2:]))[:, :, : BATCH * part.rows]
        if part.every == 1:
            results.append(every_net(inputs, *nets))
            continue
        shapes = jax.eval_shape(every_net, inputs, *nets)
        skip = lambda *_, shapes=shapes: jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        results.append(jax.lax.cond(t % part.every == 0, every_net, skip, inputs, *nets))
    return results


@partial(jax.jit, static_argnums=(0, 3, 4))
def floor(algo, w, xs, seeds, chunk):
    """`chunk` updates of products only; the last results are kept, so nothing can be left out."""
    step = lambda carry, t: (products(PASSES[algo], w, xs, t, seeds), None)
    start = products(PASSES[algo], w, xs, jnp.int32(0), seeds)
    return jax.lax.scan(step, start, jnp.arange(chunk))[0]


def operands(algo, seeds, rng):
    """Weights of their own for each pass (shared ones would let XLA do a product once for two passes), and inputs."""
    sizes = ((OBS + ACTION, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 1))
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32) / 16
    rows = BATCH * max(part.rows for part in PASSES[algo])
    return [[draw(seeds, part.nets, *size) for size in sizes] for part in PASSES[algo]], draw(8, rows, OBS + ACTION)


def check_floor(algo, w, xs, seeds, chunk):
    """The compiled floor holds the operations it should: all of the loop's body, and as many before the loop."""
    found = floor.lower(algo, w, xs, seeds, chunk).compile().cost_analysis()['flops'] / 2
    promised = sum(p.nets * p.rows * (1 + 2 * p.weights + p.action) for p in PASSES[algo]) * PASS * seeds
    if not 0.9 * promised < found < 1.15 * promised:
        raise SystemExit(f'the floor of {algo} has {found / 1e6:.0f} MFLOP, expected {promised / 1e6:.0f}')


def hopper_like(rng: np.random.Generator) -> Dataset:
    """Random columns of Hopper's shapes."""
    obs = rng.normal(size=(ROWS, OBS)).astype(np.float32)
    ends = np.arange(ROWS) % 1000 == 999
    action = rng.uniform(-1, 1, (ROWS, ACTION))
    return Dataset.from_arrays(obs, action, rng.normal(size=ROWS), ends & False, ends, np.roll(obs, -1, 0))


def measure(algo: str, seeds: int, chunk: int, rounds: int) -> dict[str, float]:
    """Rates in updates/s (of all seeds together per step) and the share of the floor."""
    rng = np.random.default_rng(0)
    made = algorithm(algo)
    cfg = made.Config(hidden=(HIDDEN, HIDDEN), batch=BATCH, steps=chunk * (rounds + 2))
    data = hopper_like(rng)
    data = jax.device_put(Boundary.fit(data).inward(data))
    agents = create(made.ALGO, data.spec, cfg, seed=0, seeds=seeds)
    stream = updates(agents, data, seed=0, steps=cfg.steps, chunk=chunk)
    w, xs = jax.device_put(operands(algo, seeds, rng))
    check_floor(algo, w, xs, seeds, chunk)
    next(stream), jax.block_until_ready(floor(algo, w, xs, seeds, chunk))
    ours, bare = [], []
    for _ in range(rounds):
        ours.append(clock(lambda: jax.block_until_ready(next(stream).agents)))
        bare.append(clock(lambda: jax.block_until_ready(floor(algo, w, xs, seeds, chunk))))
    share = statistics.median(b / a for a, b in zip(ours, bare, strict=True))
    rate = chunk / statistics.median(ours)
    return {'updates_per_s': rate, 'share_of_floor': share, 'gflops': rate * seeds * work(algo) * PASS / 1e9}


def clock(run) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def square_rate(n: int = 1024, repeats: int = 40) -> float:
    """GFLOP/s of the machine's best square product: printed as information."""
    a = jr.normal(jr.key(0), (n, n))
    run = jax.jit(lambda a: jax.lax.scan(lambda x, _: (x @ a * 1e-2, None), a, None, length=repeats)[0])
    jax.block_until_ready(run(a))
    return 2 * n**3 * repeats / min(clock(lambda: jax.block_until_ready(run(a))) for _ in range(5)) / 1e9


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--algos', nargs='+', default=list(PASSES), choices=list(PASSES))
    parser.add_argument('--seeds', nargs='+', type=int, default=[1, 8])
    parser.add_argument('--chunk', type=int, default=400)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--json', help='write the figures here')
    args = parser.parse_args()
    peak = square_rate()
    command = ['python', 'benchmarks/offline_speed.py', *sys.argv[1:]]
    result = {'command': ' '.join(command), 'system': system(), 'square_1024_gflops': peak, 'rows': []}
    print(f'jax {jax.__version__} on {jax.default_backend()}; best square product {peak:.0f} GFLOP/s')
    for algo in args.algos:
        for seeds in args.seeds:
            row = {'algo': algo, 'seeds': seeds} | measure(algo, seeds, max(args.chunk // seeds, 20), args.rounds)
            result['rows'].append(row)
            rate = f'{row["updates_per_s"]:7.1f} updates/s  {row["share_of_floor"]:5.1%} of its products'
            share = f'{row["gflops"]:5.0f} GFLOP/s, {row["gflops"] / peak:.0%} of the square product'
            print(f'{algo:7s} {seeds} seeds  {rate}  {share}')
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
    main()

"""One side of `peers.py`: a process that trains for as long as it is told to and says how many updates it did.

It runs in the environment of its side, so nothing is imported before the side is known.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

OBS, ACTION, HIDDEN, BATCH, ROWS, EPISODE = 11, 3, 256, 256, 100_000, 1000
CHUNK = {'iql': 250, 'td3_bc': 250, 'bc': 1000, 'cql': 20}  # updates in a compiled chunk
EPOCH = {'cql': 10}  # d3rlpy's updates between two looks at the clock; 100 elsewhere

Side = tuple[dict[str, Any], Callable[[str], Iterator[int]]]


def arrays() -> dict[str, Any]:
    """The dataset, by names in files: random columns of Hopper's shapes, episodes of 1000 steps cut by time."""
    import numpy as np

    rng = np.random.default_rng(0)
    timeouts = np.arange(ROWS) % EPISODE == EPISODE - 1
    return {
        'observations': rng.normal(size=(ROWS, OBS)).astype(np.float32),
        'actions': rng.uniform(-1, 1, (ROWS, ACTION)).astype(np.float32),
        'rewards': rng.normal(size=ROWS).astype(np.float32),
        'terminals': np.zeros(ROWS, bool),
        'timeouts': timeouts,
    }


def ours() -> Side:
    """(versions, a function from an algorithm's name to an endless training that yields updates done)."""
    import jax

    from stitchrl.algos import algorithm
    from stitchrl.core.boundary import Boundary
    from stitchrl.data.dataset import Dataset
    from stitchrl.loops.offline import create, updates
    from stitchrl.runs.directory import system

    raw = Dataset.from_arrays(*arrays().values())
    data = jax.device_put(Boundary.fit(raw).inward(raw))

    def stream(algo: str) -> Iterator[int]:
        module = algorithm(algo)
        alike = {'bc': {'head': 'deterministic'}, 'cql': {'lagrange': 10.0, 'actor_lr': 1e-4}}.get(algo, {})
        cfg = module.Config(hidden=(HIDDEN, HIDDEN), batch=BATCH, **alike)
        agents = create(module.ALGO, raw.spec, cfg, seed=0, seeds=1)
        for part in updates(agents, data, seed=0, steps=10**9, chunk=CHUNK[algo]):
            jax.block_until_ready(part.agents)
            yield CHUNK[algo]

    return system(), stream


def theirs() -> Side:
    """As `ours`, of d3rlpy; runs in its own environment, which has no stitchrl."""
    import platform
    from importlib.metadata import version

    import d3rlpy
    import torch

    torch.set_num_threads(cores())
    d3rlpy.seed(0)
    dataset = d3rlpy.dataset.MDPDataset(**arrays())
    configs = {
        'iql': d3rlpy.algos.IQLConfig(),
        'td3_bc': d3rlpy.algos.TD3PlusBCConfig(),
        'bc': d3rlpy.algos.BCConfig(batch_size=BATCH),
        'cql': d3rlpy.algos.CQLConfig(),
    }

    def stream(algo: str) -> Iterator[int]:
        quiet = {'logger_adapter': d3rlpy.logging.NoopAdapterFactory(), 'show_progress': False}
        epoch = EPOCH.get(algo, 100)
        for _ in configs[algo].create(device=False).fitter(dataset, 10**9, epoch, **quiet):
            yield epoch

    packages = {name: version(name) for name in ('d3rlpy', 'torch', 'numpy', 'gymnasium')}
    return {'python': platform.python_version(), 'packages': packages, 'threads': torch.get_num_threads()}, stream


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def work(side: Callable[[], Side]) -> None:
    """Answer requests, one line of JSON each: {algo} builds and warms up, {seconds} trains for so long."""
    out = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints must not end up among the answers
    start, stream = time.perf_counter(), iter(())
    about, make = side()
    print(json.dumps(about | {'cores': cores(), 'import_s': time.perf_counter() - start}), file=out)
    for line in sys.stdin:
        request, start, count = json.loads(line), time.perf_counter(), 0
        if 'algo' in request:
            stream = make(request['algo'])
            count = next(stream) + next(stream)
        while time.perf_counter() - start < request.get('seconds', 0):
            count += next(stream)
        print(json.dumps({'updates': count, 'seconds': time.perf_counter() - start}), file=out)


if __name__ == '__main__':
    work({'ours': ours, 'theirs': theirs}[sys.argv[1]])

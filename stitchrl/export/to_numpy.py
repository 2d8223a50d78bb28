"""A policy for robots: safetensors, a list of NumPy functions, and the small file that runs them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Spec
from stitchrl.export import runner
from stitchrl.export.trace import trace

RUNNER = 'policy.py'


def write(folder: Path, agent: Agent, boundary: Boundary, spec: Spec) -> None:
    """Fill a folder. UsageError for a policy that NumPy has no functions for."""
    from safetensors.numpy import save

    steps, constants = trace(agent, boundary, spec)
    weights = save({name: np.asarray(x, order='C') for name, x in constants.items()})
    (folder / runner.WEIGHTS).write_bytes(weights)  # save_file leaves a file that its owner alone may read
    (folder / runner.PROGRAM).write_text('[\n ' + ',\n '.join(map(json.dumps, steps)) + '\n]\n')
    (folder / RUNNER).write_bytes(Path(runner.__file__).read_bytes())


def load(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The function from observations [n, ...] to actions. The copy of the runner in the folder is not executed."""
    return runner.Policy(folder).run

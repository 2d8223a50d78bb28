"""Beginning with what another run has learned."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.errors import Corrupt, UsageError
from stitchrl.runs import checkpoint, policy
from stitchrl.runs.directory import RunDir


def inherited(path: str | Path, algo: str, like: Agent) -> tuple[Agent, Boundary]:
    """The agents of a run's newest whole checkpoint with their optimisers, and the units in which they see the world.

    `like` gives their shapes. UsageError for a run of another algorithm, of other networks or other seeds.
    """
    run = RunDir.find(path)
    theirs = run.read('config.json')['algo']
    if theirs != algo:
        raise UsageError(f'--start {path}: a run of {theirs}, whose agents cannot go on as {algo}')
    for folder in reversed(checkpoint.steps(run.checkpoints)):
        try:
            checkpoint.verify(folder)
        except Corrupt:
            continue
        leaves = own(checkpoint.restore(folder))
        try:
            agents = checkpoint.unflatten(like, leaves, str(folder))
        except Corrupt as error:
            raise UsageError(
                f'--start {path}: {error}; networks, number of seeds and switches must be the same'
            ) from None
        return jax.tree.map(jnp.asarray, agents), policy.load_all(run.policy)[2]
    raise UsageError(f'--start {path}: no whole checkpoint in {run.checkpoints}')


def own(leaves: dict[str, Any]) -> dict[str, Any]:
    """The agents' leaves; a checkpoint of an online run holds the ring and more beside them."""
    inside = {name.removeprefix('.agents'): leaf for name, leaf in leaves.items() if name.startswith('.agents')}
    return inside or leaves

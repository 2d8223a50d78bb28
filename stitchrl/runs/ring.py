"""What an online run remembers, as a recording: the ring of its newest checkpoint, in the user's units."""

from dataclasses import fields
from typing import Any

import jax
import numpy as np

from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Continuous, Spec
from stitchrl.data.columns import Columns
from stitchrl.data.replay import Replay
from stitchrl.errors import Corrupt, UsageError
from stitchrl.runs import checkpoint, policy
from stitchrl.runs.directory import RunDir

PREFIX = '.replay.'  # of the ring's leaves in a checkpoint


def recording(run: RunDir, seed: int = 0, warn: Any = print) -> tuple[Columns, Spec, int]:
    """(the ring of agent `seed`, its spec, the step of the checkpoint); damaged checkpoints are named to `warn`.

    Neither the environment nor a recording that the run began with is needed. UsageError for a run that has no ring
    or no such agent, Corrupt where no checkpoint is whole.
    """
    _, agents, boundary, spec = policy.load_all(run.policy)
    seed = numbered(agents, seed)
    step, leaves = newest(run, warn)
    names = [field.name for field in fields(Replay) if field.name != 'spec']
    if absent := [name for name in names if PREFIX + name not in leaves]:
        if len(absent) == len(names):
            raise UsageError(f'{run.path}: no ring in its newest checkpoint; it has taken no steps in an environment')
        raise Corrupt(f'{run.path}: its newest checkpoint has no {PREFIX}{absent[0]}; another version wrote it')
    ring = Replay(**{name: leaves[PREFIX + name][seed] for name in names}, spec=spec)
    return columns_of(ring, boundary), spec, step


def numbered(agents: Agent, seed: int) -> int:
    """`seed` itself, where there is an agent of that number; else UsageError."""
    count = jax.tree.leaves(agents)[0].shape[0]
    if not 0 <= seed < count:
        raise UsageError(f'--seed-index {seed}: this run trained {count}, numbered from 0')
    return seed


def newest(run: RunDir, warn: Any) -> tuple[int, dict[str, np.ndarray]]:
    """(step, leaves by name) of the newest whole checkpoint."""
    for path in reversed(checkpoint.steps(run.checkpoints)):
        try:
            return checkpoint.verify(path), checkpoint.writer().restore((path / 'agents').absolute())
        except Corrupt as error:
            warn(f'{error}; trying the one before')
    raise Corrupt(f'{run.checkpoints}: no whole checkpoint')


def columns_of(ring: Any, boundary: Boundary) -> Columns:
    """The steps of the Replay of one agent, episodes in the order in which they began, units those outside `boundary`.

    An episode that is going or was cut ends with a timeout; one that is partly written over begins where it still is.
    Actions are as they were learned from, a hundred thousandth inside their bounds. UsageError for an empty ring.
    """
    if not len(ring):
        raise UsageError('the ring is empty: the run has not taken a step in its environment yet')
    ring, boundary = jax.tree.map(np.asarray, (ring, boundary))
    parts = [kept(ring, lane) for lane in range(ring.lanes)]
    start, lane, step, row, after = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((step, lane, start))
    row, after = row[order], after[order]
    terminal, space = ring.mask[row] == 0, ring.spec.action
    low, high = (space.low, space.high) if isinstance(space, Continuous) else (None, None)
    return Columns(
        obs=outward(boundary, ring.seen(row)),
        action=boundary.action_out(ring.action[row]),
        reward=ring.reward[row] / boundary.scale - boundary.shift,
        terminal=terminal,
        timeout=(ring.ends[after] > 0) & ~terminal,
        next_obs=outward(boundary, ring.seen(after)),
        low=low,
        high=high,
    )


def kept(ring: Any, lane: int) -> tuple[np.ndarray, ...]:
    """Of the steps of a lane that are still there, each [n]: the step with which its episode begins, lane, number of
    the step, the place of its row, the place of its successor's."""
    step = np.arange(ring.first[lane], ring.last[lane])
    number = ring.starts[lane * ring.size + step % ring.size]
    row, after = (lane * ring.size + (number + k) % ring.size for k in (0, 1))
    begins = np.r_[True, ring.ends[after][:-1] > 0][: len(step)]
    start = step[np.maximum.accumulate(np.where(begins, np.arange(len(step)), 0))]
    return start, np.full(len(step), lane), step, row, after


def outward(boundary: Boundary, obs: Any) -> np.ndarray:
    """The agent's observations [N, ...] in the user's units."""
    obs = np.asarray(obs)
    return obs if boundary.mean.size == 0 else obs * boundary.std + boundary.mean

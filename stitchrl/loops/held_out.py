"""What a recording says of agents that learn no more: their losses, their Q, and how often they do what was done."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.data.dataset import Dataset
from stitchrl.loops.chunk import means
from stitchrl.loops.judge import intended
from stitchrl.loops.offline import INSPECT, begin, measure, roots

BATCHES = 20  # of the algorithm's own size, that losses and Q are averaged over
NEAR = 0.1  # of an action's range: closer in every dimension counts as the same


def measured(agents: Agent, data: Dataset, seed: int, own: bool) -> dict[str, np.ndarray]:
    """Losses with nothing learning, or the agents' `own` diagnostics: {name: [S]}, data in the agents' units.

    As at the end of the training, when every part of an algorithm learns.
    """
    state, count = begin(agents, data), jax.tree.leaves(agents)[0].shape[0]
    root, last = roots(seed, count, INSPECT), max(agents.cfg.steps, BATCHES)
    each = [measure(state, data, root, jnp.int32(last - 1 - k), not own) for k in range(BATCHES)]
    found = means({name: np.stack([np.asarray(one[name]) for one in each]) for name in each[0]})
    return {name: value for name, value in found.items() if not name.endswith('/ran')}


def agreement(agents: Agent, boundary: Boundary, data: Dataset) -> dict[str, Any]:
    """How near the greedy actions of S agents are to the recorded ones; data in the agents' units.

    Discrete: `same` [S], the share of steps with equal actions; `usual`, what always the commonest action would have.
    Continuous, in the recorder's units: `distance` [S, A], mean |difference|; `same` [S], the share of steps with every
    dimension nearer than NEAR of its range; `usual` and `usual_distance` [A], what always the median action would have.
    """
    starts = np.asarray(data.starts)
    actions = intended(agents, data, jr.key(0), 1)[:, starts, 0]
    taken = np.asarray(data.action)[starts]
    if data.spec.discrete:
        usual = np.bincount(taken).max() / len(taken)
        return {'same': (actions == taken).mean(1).tolist(), 'usual': float(usual)}
    low, high = np.asarray(boundary.low), np.asarray(boundary.high)
    ours, theirs = boundary.action_out(actions), boundary.action_out(taken)
    off, plain = np.abs(ours - theirs), np.abs(np.median(theirs, 0) - theirs)
    near = lambda x: (x <= NEAR * (high - low)).all(-1).mean(-1)
    return {
        'same': near(off).tolist(),
        'usual': float(near(plain)),
        'distance': off.mean(1).tolist(),
        'usual_distance': plain.mean(0).tolist(),
    }

"""Recordings with something taken away: what an algorithm must not succeed on."""

import numpy as np

from stitchrl.data.dataset import Dataset


def shuffled(data: Dataset, seed: int) -> np.ndarray:
    """The rewards of all steps in a random order, [N].

    Their mean stays. Where a task can end early, a positive mean still says "do not end it": take it off as well,
    or the control is none.
    """
    reward, starts = np.asarray(data.reward).copy(), np.asarray(data.starts)
    reward[starts] = np.random.default_rng(seed).permutation(reward[starts])
    return reward

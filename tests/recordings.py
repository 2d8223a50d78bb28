"""Recordings on the disk for tests of what is read a part at a time."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st

from stitchrl.data.columns import Columns

NAMES = {'obs': 'observations', 'action': 'actions', 'reward': 'rewards', 'terminal': 'terminals'}
NAMES |= {'timeout': 'timeouts', 'next_obs': 'next_observations'}


def recorded(lengths: list[tuple[int, bool]], successors: bool = True, seed: int = 0) -> dict[str, np.ndarray]:
    """Columns by their names in a file, of episodes (steps, whether the task ended). Observations are all different."""
    rng, n = np.random.default_rng(seed), sum(steps for steps, _ in lengths)
    last = np.cumsum([steps for steps, _ in lengths]) - 1
    terminal, timeout = np.zeros(n, bool), np.zeros(n, bool)
    terminal[last], timeout[last] = [ended for _, ended in lengths], [not ended for _, ended in lengths]
    obs = rng.normal(size=(n, 3)).astype(np.float32)
    columns = {
        'observations': obs,
        'actions': rng.uniform(-1, 1, (n, 2)).astype(np.float32),
        'rewards': rng.normal(size=n).astype(np.float32),
        'terminals': terminal,
        'timeouts': timeout,
    }
    if successors:
        follow = np.roll(obs, -1, 0)
        follow[last] = rng.normal(size=(len(last), 3))
        columns['next_observations'] = follow
    return columns


def saved(path: Path, columns: dict[str, np.ndarray], **how: Any) -> Path:
    """As HDF5 or, by the name, an npz that is not compressed."""
    if path.suffix == '.npz':
        np.savez(path, **columns)
        return path
    with h5py.File(path, 'w') as file:
        for name, values in columns.items():
            file.create_dataset(name, data=values, **how)
    return path


episodes = st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=12)


def columns_of(arrays: dict[str, np.ndarray]) -> Columns:
    """The same in memory."""
    return Columns(**{field: arrays[name] for field, name in NAMES.items() if name in arrays})

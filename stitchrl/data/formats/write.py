"""Writers of recordings: D4RL's columns as npz, HDF5 or Parquet, or the folder of a Minari dataset. Imports no JAX.

What is written is there as a whole or not at all: made beside its place under a hidden name, synced, renamed.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from stitchrl.core.spec import Continuous, Observation, Spec
from stitchrl.data.columns import Columns
from stitchrl.data.episodes import episode_ends
from stitchrl.data.formats import hdf5, minari, npz
from stitchrl.data.formats.trajectories import FIELDS
from stitchrl.errors import MissingExtra, UsageError

KINDS = {'npz': '.npz', 'hdf5': '.hdf5', 'parquet': '.parquet', 'minari': ''}  # and how their names end
VERSION = '0.5.4'  # of Minari, whose layout this is


def check_out(path: Path, kind: str, said: str = '--out ') -> None:
    """UsageError unless `path` is new, in a folder that is there, and named as its kind is. `said`: what named it."""
    if kind not in KINDS:
        raise UsageError(f'{kind}: recordings are written as {" or ".join(KINDS)}')
    if (path.suffix if path.suffix in KINDS.values() else '') != KINDS[kind]:
        want = f'a name that ends in {KINDS[kind]}' if KINDS[kind] else 'the name of a folder, such as hopper-v0'
        raise UsageError(f'{said}{path}: expected {want}')
    if path.exists():
        raise UsageError(f'{said}{path}: is there already; choose another name or delete it')
    if not path.parent.is_dir():
        raise UsageError(f'{said}{path}: no folder {path.parent}; make it first')


def write(
    path: Path,
    columns: Columns,
    spec: Spec,
    kind: str = 'npz',
    about: str = '',
    group: str = '',
    verify: Callable[[Path], None] = lambda made: None,
) -> None:
    """A recording at `path`, which `check_out` let pass. For Minari's metadata: `about`, how it was made; `group`, the
    folder of the collection that it belongs to. `verify` sees what was made before it is put in its place."""
    part = path.name if KINDS[kind] else ''

    def make(hidden: Path) -> None:
        if kind == 'minari':
            folder(hidden / 'data', columns, spec, dataset_id(path, group), about)
        else:
            tables(kind)(hidden / part, columns)
        verify(hidden / part)

    whole(path, make, part)


def tables(kind: str) -> Callable[[Path, Columns], None]:
    """The writer of a file with D4RL's columns; MissingExtra where it needs a part that is not installed."""
    if kind == 'npz':
        return lambda path, columns: npz.write(path, npz.arrays_of(columns))
    if kind == 'hdf5':
        return hdf5.write
    try:
        from stitchrl.data.formats import parquet
    except ModuleNotFoundError:
        raise MissingExtra('Parquet needs pyarrow: pip install "stitchrl[tables]"') from None
    return parquet.write


def whole(path: Path, make: Callable[[Path], None], part: str = '') -> None:
    """Let `make` fill a hidden folder, and move that, or the `part` of it, to `path`."""
    for left in path.parent.glob(f'.{path.name}.*.part'):  # by a process that was killed
        shutil.rmtree(left)
    hidden = path.with_name(f'.{path.name}.{os.getpid()}.part')
    hidden.mkdir()
    try:
        make(hidden)
        (hidden / part).rename(path)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def folder(data: Path, columns: Columns, spec: Spec, name: str, about: str) -> None:
    """Minari's folder `data`: an HDF5 group for each episode, and metadata.json. UsageError without successors."""
    if columns.next_obs is None:
        what = 'Minari keeps the observation behind the last step, which these columns do not have'
        raise UsageError(f'{name}: {what}. Fix: record next_observations, or write npz, HDF5 or Parquet')
    data.mkdir()
    last = np.flatnonzero(episode_ends(columns))
    first = np.r_[0, last[:-1] + 1]
    with h5py.File(data / minari.FILE, 'w', track_order=True) as file:
        for number, (start, stop) in enumerate(zip(first, last + 1, strict=True)):
            group = file.create_group(f'episode_{number}')
            group.attrs.update({'id': number, 'total_steps': stop - start})
            for column, x in episode(columns, columns.next_obs[stop - 1], slice(start, stop)).items():
                group[column] = x
    tree = {
        'dataset_id': name,
        'data_format': 'hdf5',
        'minari_version': VERSION,
        'jpeg_encoding': False,
        'total_episodes': len(last),
        'total_steps': len(columns),
        'observation_space': json.dumps(observation_space(spec.obs)),
        'action_space': json.dumps(action_space(spec)),
        'description': about,
    }
    (data / minari.ABOUT).write_text(json.dumps(tree, indent=1))
    for file in data.iterdir():
        with file.open('rb') as written:
            os.fsync(written.fileno())


def episode(columns: Columns, final: np.ndarray, rows: slice) -> dict[str, np.ndarray]:
    """One episode as Minari names it: T + 1 observations with `final` behind, T of all else.

    Where the last step has neither flag the recording stops, so it was cut there.
    """
    terminal = columns.terminal[rows]
    timeout = np.zeros(len(terminal), bool) if columns.timeout is None else columns.timeout[rows].copy()
    timeout[-1] |= not terminal[-1]
    action = columns.action[rows].astype(np.int64) if columns.discrete else columns.action[rows]
    obs = np.concatenate([columns.obs[rows], final[None]])
    values = {'obs': obs, 'action': action, 'reward': columns.reward[rows], 'terminal': terminal, 'timeout': timeout}
    return {FIELDS[field]: x for field, x in values.items()}


def observation_space(obs: Observation) -> dict[str, Any]:
    """Of any numbers, or of bytes, as Minari spells a Box."""
    low, high = (0, 255) if obs.dtype == 'uint8' else (-np.inf, np.inf)
    return box(obs.dtype, np.full(obs.shape, low), np.full(obs.shape, high))


def action_space(spec: Spec) -> dict[str, Any]:
    """As Minari spells a Box or a Discrete."""
    if isinstance(spec.action, Continuous):
        low, high = (np.asarray(x, np.float32) for x in (spec.action.low, spec.action.high))
        return box('float32', low, high)
    return {'type': 'Discrete', 'dtype': 'int64', 'start': 0, 'n': spec.action.n}


def box(dtype: str, low: np.ndarray, high: np.ndarray) -> dict[str, Any]:
    """A Box with these bounds."""
    return {'type': 'Box', 'dtype': dtype, 'shape': list(low.shape), 'low': low.tolist(), 'high': high.tolist()}


def dataset_id(path: Path, group: str) -> str:
    """'group/name-vN' as Minari wants it, of the folder's name."""
    name, group = (re.sub(r'[^-\w]', '-', part) for part in (path.name, group))
    return (f'{group}/' if group else '') + (name if re.search(r'-v\d+$', name) else f'{name}-v0')

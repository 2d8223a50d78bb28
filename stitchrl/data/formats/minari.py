"""Minari: a folder with a group or a table per episode, and metadata.json, from which only numbers are taken.

    data/main_data.hdf5      episode_0/{observations [T+1], actions [T], rewards, terminations, truncations}, ...
    data/0/part-0.arrow      (or .parquet) the same columns, all T+1 rows long; the last row has only an observation
    data/metadata.json       spaces, number of episodes and steps

Observations that are a Dict or a Tuple become one row, their parts side by side in the order of their names.
Read with h5py and pyarrow and never through Minari, whose loader builds an environment named in the metadata.
"""

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.formats import hdf5
from stitchrl.data.formats.convert import missing, reading
from stitchrl.data.formats.folders import inside, plain_json
from stitchrl.data.formats.trajectories import FIELDS, Box, Episode, agree, join, natural
from stitchrl.errors import BadData, MissingExtra

FILE, ABOUT = 'main_data.hdf5', 'metadata.json'
COUNTS = ('total_episodes', 'total_steps')
MAX_EPISODES = 10**5
MAX_PARTS, MAX_DEPTH = 32, 2  # of Dict observations


def claims(path: Path) -> bool:
    """Whether an HDF5 file is of this kind; BadData for a damaged one."""
    with reading(path, 'HDF5'), h5py.File(path, 'r') as file:
        return any(re.fullmatch(r'episode_\d+', name) for name in hdf5.listing(file))


def data_folder(path: Path) -> Path | None:
    """The folder with metadata.json in it: `path` itself or its `data`; None where `path` is no Minari folder."""
    return next((folder for folder in (path, path / 'data') if (folder / ABOUT).is_file()), None)


def read(path: Path) -> Columns:
    """The columns of a Minari dataset, its folder or its HDF5 file. Raises BadData, and MissingExtra for tables."""
    folder = (data_folder(path) or path) if path.is_dir() else path.parent
    file = path if path.is_file() else folder / FILE
    about = plain_json(inside(folder, folder / ABOUT)) if path.is_dir() or path.name == FILE else {}
    if file.is_file():
        episodes = from_hdf5(inside(folder, file) if path.is_dir() else file)
    else:
        episodes = tables(folder).read(folder, space(about, 'observation_space'))
    agree(path, episodes, {key: about[key] for key in COUNTS if isinstance(about.get(key), int)})
    return join(path, episodes, space(about, 'action_space'))


def tables(folder: Path) -> ModuleType:
    """The reader of Arrow and Parquet; MissingExtra without pyarrow."""
    try:
        from stitchrl.data.formats import minari_tables
    except ImportError:
        raise MissingExtra(f'{folder}: Arrow and Parquet need pyarrow: pip install "stitchrl[tables]"') from None
    return minari_tables


def space(about: dict[str, Any], name: str) -> Box | None:
    """The Box called `name`, where the metadata have one that can be read; else None."""
    try:
        tree = json.loads(about[name])
        shape = tuple(map(int, tree['shape']))
        low, high = (np.asarray(tree[side], np.float32) for side in ('low', 'high'))
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return Box(shape, low, high) if low.shape == high.shape == shape else None


def from_hdf5(path: Path) -> dict[str, Episode]:
    """Episodes by name, in the order of their numbers."""
    with reading(path, 'HDF5'), h5py.File(path, 'r') as file:
        if len(file) > MAX_EPISODES:
            raise BadData(f'{path}: {len(file):,} episodes, at most {MAX_EPISODES:,} are read. Fix: save it in parts')
        names = [name for name in hdf5.listing(file, MAX_EPISODES) if re.fullmatch(r'episode_\d+', name)]
        sets = {name: columns_of(path, file, name) for name in sorted(names, key=natural)}
        whole = hdf5.load(path, {(name, part): x for name, columns in sets.items() for part, x in columns.items()})
        return {name: {part: whole[name, part] for part in columns} for name, columns in sets.items()}


def columns_of(path: Path, file: h5py.File, episode: str) -> dict[str, h5py.Dataset]:
    """The datasets of one episode by column, or by part where the observations have parts."""
    group, found = hdf5.subgroup(path, file, episode), {}
    for field, name in FIELDS.items():
        if not hdf5.has(group, name):
            raise missing(path, f'{episode}/{name}', hdf5.listing(group))
        found |= parts(path, group, name, 0) if field == 'obs' else {name: hdf5.dataset(path, group, name)}
    return found


def parts(path: Path, group: h5py.Group, name: str, depth: int) -> dict[str, h5py.Dataset]:
    """The dataset `name`, or those of the group `name` and of the groups in it, by their place."""
    item = hdf5.member(path, group, name)
    if not isinstance(item, h5py.Group):
        return {name: hdf5.dataset(path, group, name)}
    if depth == MAX_DEPTH or len(item) > MAX_PARTS:
        most = f'at most {MAX_PARTS} in a group and {MAX_DEPTH} groups deep'
        raise BadData(f'{path}: {hdf5.label(group, name)} has too many parts, {most}. Fix: save one array')
    children = sorted(hdf5.listing(item, MAX_PARTS), key=natural)
    found = [parts(path, item, child, depth + 1) for child in children]
    return {f'{name}/{place}': x for below in found for place, x in below.items()}

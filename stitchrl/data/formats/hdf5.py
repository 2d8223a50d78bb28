"""D4RL-style HDF5: one dataset per column at the top of the file; everything else in it is left alone.

Opened as data from a stranger: what reaches into other files (links, external storage, virtual datasets) is
refused, and sizes are checked before the first byte of a column is read.
"""

import math
from pathlib import Path

import h5py
import h5py.h5l as h5l
import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.formats.convert import assemble, choose, convert, guard_dtype, guard_size, reading
from stitchrl.errors import BadData

SHOWN = 13  # names in a message, and one to know that there are more


def read(path: Path) -> Columns:
    """The columns of an HDF5 file. Raises BadData, with the column and a fix, for what cannot be used."""
    with reading(path, 'HDF5'), h5py.File(path, 'r') as file:
        names, notes = choose(path, lambda name: has(file, name), listing(file))
        sets = {field: dataset(path, file, name) for field, name in names.items()}
        guard_size(path, {names[field]: (data.shape, declared(data)) for field, data in sets.items()})
        columns = {field: convert(path, field, names[field], data[()], notes) for field, data in sets.items()}
    return assemble(columns, names, notes)


def has(group: h5py.Group, name: str) -> bool:
    """Whether something of that name is in the group, without following a link."""
    return group.id.links.exists(name.encode())


def listing(group: h5py.Group, most: int = SHOWN) -> list[str]:
    """The first `most` names in a group; never all of a million."""
    return [group.id.get_objname_by_idx(i).decode(errors='replace') for i in range(min(most, len(group)))]


def member(path: Path, group: h5py.Group, name: str) -> h5py.Dataset | h5py.Group | h5py.Datatype:
    """What the group holds under `name`. The link is looked at before it is followed: it could open another file."""
    if group.id.links.get_info(name.encode()).type != h5l.TYPE_HARD:
        said = label(group, name)
        raise BadData(f'{path}: {said} is a link, which is never followed. Fix: copy the data itself into the file')
    return group[name]


def dataset(path: Path, group: h5py.Group, name: str) -> h5py.Dataset:
    """A dataset of plain numbers whose values lie in this file."""
    data, said = member(path, group, name), label(group, name)
    if not isinstance(data, h5py.Dataset):
        raise BadData(f'{path}: {said} is a group, expected an array. Fix: save one array per column')
    if data.is_virtual or data.external:
        raise BadData(f'{path}: {said} keeps its values in other files. Fix: copy the data itself into the file')
    if data.shape is None:
        raise BadData(f'{path}: {said} has no shape. Fix: save it as an array with one row per step')
    guard_dtype(path, said, np.dtype(data.dtype))
    return data


def label(group: h5py.Group, name: str) -> str:
    """The name with its place in the file, for a message: 'episode_0/actions'."""
    place = f'{group.name}/{name}'.lstrip('/')
    return place if place.isprintable() else repr(place)


def declared(data: h5py.Dataset) -> int:
    """Bytes that reading takes: the array, or one chunk where that is larger."""
    return max(math.prod(data.shape), math.prod(data.chunks or (0,))) * data.dtype.itemsize

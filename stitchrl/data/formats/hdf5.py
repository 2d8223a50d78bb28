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


def read(path: Path) -> Columns:
    """The columns of an HDF5 file. Raises BadData, with the column and a fix, for what cannot be used."""
    with reading(path, 'HDF5'), h5py.File(path, 'r') as file:
        names, notes = choose(path, lambda name: file.id.links.exists(name.encode()), _listing(file))
        sets = {field: _dataset(path, file, name) for field, name in names.items()}
        guard_size(path, {names[field]: (data.shape, _declared(data)) for field, data in sets.items()})
        columns = {field: convert(path, field, names[field], data[()], notes) for field, data in sets.items()}
    return assemble(columns, names, notes)


def _listing(file: h5py.File) -> list[str]:
    """The first names at the top, for a message; never all of a million."""
    return [file.id.get_objname_by_idx(i).decode(errors='replace') for i in range(min(13, len(file)))]


def _dataset(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    """The dataset itself. The link is looked at before it is followed: opening it could open another file."""
    if file.id.links.get_info(name.encode()).type != h5l.TYPE_HARD:
        raise BadData(f'{path}: {name} is a link, which is never followed. Fix: copy the data itself into the file')
    data = file[name]
    if not isinstance(data, h5py.Dataset):
        raise BadData(f'{path}: {name} is a group, expected an array. Fix: save one array per column')
    if data.is_virtual or data.external:
        raise BadData(f'{path}: {name} keeps its values in other files. Fix: copy the data itself into the file')
    if data.shape is None:
        raise BadData(f'{path}: {name} has no shape. Fix: save it as an array with one row per step')
    guard_dtype(path, name, np.dtype(data.dtype))
    return data


def _declared(data: h5py.Dataset) -> int:
    """Bytes that reading takes: the array, or one chunk where that is larger."""
    return max(math.prod(data.shape), math.prod(data.chunks or (0,))) * data.dtype.itemsize

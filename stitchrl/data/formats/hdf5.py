"""D4RL-style HDF5: one dataset per column at the top of the file; everything else in it is left alone.

What every reader of HDF5 here opens a file with. It comes from a stranger: what reaches into other files (links,
external storage, virtual datasets) is refused; sizes are checked before the first byte of a column is read, and each
packed chunk before it is unpacked; only the packings that HDF5 and h5py ship are undone.
"""

import hashlib
import math
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import h5py
import h5py.h5l as h5l
import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.formats.convert import assemble, choose, convert, guard_dtype, guard_size, human, reading
from stitchrl.data.formats.npz import arrays_of
from stitchrl.errors import BadData

SHOWN = 13  # names in a message, and one to know that there are more
DEFLATE, SHUFFLE, FLETCHER, LZF = 1, 2, 3, 32000
PACKINGS = {DEFLATE, SHUFFLE, FLETCHER, LZF}
DEFLATE_RATIO = 1032  # no deflate stream unpacks to more
SAFE_BYTES = 2**26  # what a chunk may unpack to without a closer look
CHUNK_BYTES = 2**20  # of a chunk, as written
SUM = 'sha256'  # attribute of a file of ours

Key = TypeVar('Key')


def read(path: Path) -> Columns:
    """The columns of an HDF5 file. Raises BadData, with the column and a fix, for what cannot be used."""
    with reading(path, 'HDF5'), h5py.File(path, 'r') as file:
        names, notes = choose(path, lambda name: has(file, name), listing(file))
        arrays = load(path, {field: dataset(path, file, name) for field, name in names.items()})
        fields = {field: convert(path, field, names[field], x, notes) for field, x in arrays.items()}
        columns = assemble(fields, names, notes)
        if SUM in file.attrs and noted(file) != total(columns):
            raise ValueError(f'its columns are not as they were written; if that was meant, delete its attribute {SUM}')
    return columns


def noted(file: h5py.File) -> str | None:
    """The sum that a file of ours holds; None where it is not one, of which then nothing is read."""
    attribute = file.attrs.get_id(SUM)
    if attribute.dtype != np.dtype('S64') or attribute.shape != ():
        return None
    value: Any = file.attrs[SUM]
    return bytes(value).decode(errors='replace')


def total(columns: Columns) -> str:
    """sha256, hex, of all columns as they are written."""
    digest = hashlib.sha256()
    for name, x in arrays_of(columns).items():
        digest.update(f'{name} {x.dtype.str} {x.shape};'.encode())
        digest.update(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def load(path: Path, sets: Mapping[Key, h5py.Dataset]) -> dict[Key, np.ndarray]:
    """The arrays of `sets`, if all of them fit together by what they declare and what is stored of them."""
    guard_size(path, {str(data.name).lstrip('/'): (data.shape, declared(data)) for data in sets.values()})
    for data in sets.values():
        guard_chunks(path, data)
    return {key: data[()] for key, data in sets.items()}


def write(path: Path, columns: Columns) -> None:
    """An HDF5 file that `read` makes the same columns of: not compressed, so that any rows can be read alone, and with
    checksums on values and on all else, so that a flipped bit is seen in what is read of it. HDF5's own cannot tell
    two bytes of 0 from two of 255; a sum over all columns can.
    """
    with path.open('wb') as out:
        with h5py.File(out, 'w', libver='v110') as file:
            for name, x in arrays_of(columns).items():
                rows = max(1, min(len(x), CHUNK_BYTES // max(1, x[:1].nbytes)))
                file.create_dataset(name, data=x, chunks=(rows, *x.shape[1:]), fletcher32=True)
            file.attrs[SUM] = np.bytes_(total(columns))  # of fixed length: others lie in a heap, which can loop
        out.flush()
        os.fsync(out.fileno())


def has(group: h5py.Group, name: str) -> bool:
    """Whether something of that name is in the group, without following a link."""
    return group.id.links.exists(name.encode())


def listing(group: h5py.Group, most: int = SHOWN) -> list[str]:
    """The first `most` names in a group, in the order in which they lie there; never all of a million."""
    found: list[str] = []

    def add(name: bytes) -> bool | None:
        found.append(name.decode(errors='replace'))
        return True if len(found) >= most else None

    # any other order would first sort them all
    group.id.links.iterate(add, idx_type=h5py.h5.INDEX_NAME, order=h5py.h5.ITER_NATIVE)
    return found


def member(path: Path, group: h5py.Group, name: str) -> h5py.Dataset | h5py.Group | h5py.Datatype:
    """What the group holds under `name`. The link is looked at before it is followed: it could open another file."""
    if group.id.links.get_info(name.encode()).type != h5l.TYPE_HARD:
        said = label(group, name)
        raise BadData(f'{path}: {said} is a link, which is never followed. Fix: copy the data itself into the file')
    return group[name]


def subgroup(path: Path, group: h5py.Group, name: str) -> h5py.Group:
    """The group called `name`."""
    item = member(path, group, name)
    if not isinstance(item, h5py.Group):
        raise BadData(f'{path}: {label(group, name)} is an array, expected a group. Fix: save one group per episode')
    return item


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


def guard_chunks(path: Path, data: h5py.Dataset) -> None:
    """Refuse a dataset whose packed chunks could unpack to more than they declare."""
    plan = data.id.get_create_plist()
    packings = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    if (odd := [x for x in packings if x not in PACKINGS]) or packings.count(DEFLATE) + packings.count(LZF) > 1:
        what = f'packed with filter {odd[0]}' if odd else 'packed more than once'
        raise BadData(f'{path}: {data.name} is {what}, which is not undone. Fix: save it with gzip, or unpacked')
    if DEFLATE not in packings:
        return
    large, room = [], math.prod(data.chunks or (0,)) * data.dtype.itemsize
    data.id.chunk_iter(lambda chunk: large.append(chunk) if chunk.size * DEFLATE_RATIO > SAFE_BYTES + room else None)
    for chunk in large:
        _, packed = data.id.read_direct_chunk(chunk.chunk_offset)
        if not chunk.filter_mask and len(zlib.decompressobj().decompress(packed, room + 1)) > room:
            what = f'a chunk of {human(room)} unpacks to more than that'
            raise BadData(f'{path}: {data.name}: {what}. Fix: copy the file again from where it was recorded')

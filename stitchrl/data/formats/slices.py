"""Recordings of which only some rows are read at a time: D4RL-style HDF5, and npz that is not compressed.

Guarded like the readers of whole files; the limit on size falls, since no more than a slice is ever in memory.
"""

import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.formats import hdf5, kind, npz
from stitchrl.data.formats.convert import (
    EXTRAS,
    assemble,
    choose,
    convert,
    guard_dtype,
    guard_size,
    human,
    reading,
)
from stitchrl.errors import BadData

BOUNDS = ('low', 'high')  # read once
MAX_CHUNK = 2**28  # bytes of an HDF5 chunk, which is always read as a whole
PIECE = 2**20  # bytes of an npz member that are read at once
Read = Callable[[int, int], np.ndarray]  # rows start .. stop of one column, as they are in the file


class Slices:
    """The columns of a recording by row numbers. Threads may read at the same time."""

    def __init__(self, path: Path, kind: str, names: dict[str, str], notes: list[str], lengths: dict[str, int]):
        """`names`: field -> name in the file; `lengths`: field -> rows. BadData unless they are all as long."""
        self.path, self.kind, self.names, self.notes = path, kind, names, tuple(notes)
        self.length = lengths['obs']
        self.together = 1  # rows that the file keeps in one chunk, of which no part can be read alone
        self.parts: dict[str, Read] = {}
        self.bounds: dict[str, np.ndarray] = {}
        for field, n in lengths.items():
            if n != self.length:
                what = f'{names[field]} has {n:,} rows, {names["obs"]} {self.length:,}'
                raise BadData(f'{path}: {what}. Fix: save one row per step in every column')

    def __len__(self) -> int:
        """Rows."""
        return self.length

    def column(self, field: str, start: int, stop: int) -> np.ndarray:
        """Rows start .. stop of one field as `Columns` wants it. BadData for what cannot be used."""
        stop = min(stop, self.length)
        if field not in self.parts:
            return getattr(self.read(start, stop), field)  # as it is taken to be where the file has none
        try:
            with reading(self.path, self.kind):
                return convert(self.path, field, self.names[field], self.parts[field](start, stop), [])
        except BadData as error:
            raise BadData(f'{error} (rows are counted from {start:,} here)' if start else str(error)) from error

    def read(self, start: int, stop: int, extras: bool = True) -> Columns:
        """Rows start .. stop, or to the last one; with what is there only for checks, or without."""
        wanted = [field for field in self.parts if extras or field not in EXTRAS]
        columns = {field: self.column(field, start, stop) for field in wanted}
        return assemble(columns | self.bounds, self.names, list(self.notes))

    def verify(self) -> None:
        """BadData where a checksum that the file itself holds is not met. HDF5 meets its own, if any, on reading."""
        if self.kind == 'npz':
            with npz.opened(self.path) as archive:
                for name in self.names.values():
                    with archive.open(f'{name}.npy') as member:
                        while member.read(PIECE):
                            pass


def slices(path: str | Path, format: str | None = None) -> Slices:
    """The recording at `path`, opened for reading in slices. UsageError and BadData as of `formats.read`; BadData too
    for a format whose rows cannot be found without reading all that lies before them."""
    path, found = Path(path), kind(path, format)
    if found not in OPENERS:
        raise BadData(
            f'{path}: {found} is not read in parts. Fix: leave --stream out, or convert it: '
            f'stitch data convert {path} {path.with_suffix(".hdf5").name}'
        )
    with reading(path, found):
        return OPENERS[found](path)


def open_hdf5(path: Path) -> Slices:
    """Of an HDF5 file, which stays open."""
    file = h5py.File(path, 'r')
    names, notes = choose(path, lambda name: hdf5.has(file, name), hdf5.listing(file))
    sets = {field: hdf5.dataset(path, file, name) for field, name in names.items()}
    guard_size(path, {names[field]: (data.shape, hdf5.declared(data)) for field, data in sets.items()}, whole=False)
    for field, data in sets.items():
        hdf5.guard_chunks(path, data)
        size = math.prod(data.chunks or (0,)) * data.dtype.itemsize
        if size > MAX_CHUNK:
            what = f'{names[field]} is stored in chunks of {human(size)}, of which no part can be read alone'
            raise BadData(f'{path}: {what}. Fix: save it with smaller chunks, or without')
    bounds = {field: sets.pop(field) for field in BOUNDS if field in sets}
    found = Slices(path, 'HDF5', names, notes, {field: rows(data.shape) for field, data in sets.items()})
    found.parts = {field: rows_of(data) for field, data in sets.items()}
    found.together = max(data.chunks[0] if data.chunks else 1 for data in sets.values())
    found.bounds = {field: convert(path, field, names[field], data[()], []) for field, data in bounds.items()}
    return found


def rows_of(data: h5py.Dataset) -> Read:
    """Slices of an HDF5 dataset."""
    return lambda start, stop: data[start:stop]


def open_npz(path: Path) -> Slices:
    """Of an npz file, found by the places of its arrays."""
    with npz.opened(path) as archive:
        names, notes = choose(path, npz.arrays_in(archive).__contains__, npz.arrays_in(archive))
        places = {field: Place(path, archive, name) for field, name in names.items()}
        found = Slices(path, 'npz', names, notes, {field: places[field].n for field in names if field not in BOUNDS})
        found.parts = {field: place for field, place in places.items() if field not in BOUNDS}
        own = {field: name for field, name in names.items() if field in BOUNDS}
        found.bounds = npz.load(path, archive, own, []) if own else {}
    return found


class Place:
    """Where in an npz file an array's rows lie; a Read."""

    def __init__(self, path: Path, archive: Any, name: str):
        """BadData where they are compressed or not one after another."""
        info = archive.getinfo(f'{name}.npy')
        if info.compress_type:
            fix = f'stitch data convert {path} {path.with_suffix(".hdf5").name}'
            raise BadData(f'{path}: {name} is compressed, so no part of it can be read alone. Fix: {fix}')
        with archive.open(info) as member:
            version = np.lib.format.read_magic(member)
            if version not in npz.HEADERS:
                raise BadData(f'{path}: {name} is not a plain array (npy version {version}). Fix: save plain numbers')
            shape, fortran, self.dtype = npz.HEADERS[version](member)
            header = member.tell()
        guard_dtype(path, name, self.dtype)
        self.path, self.n, self.row = path, rows(shape), shape[1:]
        if fortran and len(shape) > 1:
            raise BadData(f'{path}: {name} is stored column by column. Fix: save it with np.ascontiguousarray')
        self.size = math.prod(self.row) * self.dtype.itemsize
        if (held := info.file_size - header) != self.n * self.size:
            what = f'{name} declares {self.n * self.size} bytes but holds {held}'
            raise BadData(f'{path}: {what}. Fix: save the file again')
        with path.open('rb') as file:  # the local header, whose lengths differ from those of the directory
            file.seek(info.header_offset + 26)
            self.offset = info.header_offset + 30 + sum(struct.unpack('<HH', file.read(4))) + header
        if self.offset + held > path.stat().st_size:
            raise BadData(f'{path}: ends before the last row of {name}. Fix: copy it again from where it was recorded')

    def __call__(self, start: int, stop: int) -> np.ndarray:
        count = (stop - start) * math.prod(self.row)
        found = np.fromfile(self.path, self.dtype, count, offset=self.offset + start * self.size)
        if len(found) != count:
            raise EOFError('it ends before its last row')
        return found.reshape(stop - start, *self.row)


def rows(shape: tuple[int, ...]) -> int:
    """Of an array of this shape."""
    return shape[0] if shape else 0


OPENERS: dict[str, Callable[[Path], Slices]] = {'hdf5': open_hdf5, 'npz': open_npz}

"""npz, the zip of numpy arrays, one array per column. Pickled objects in it are refused, never opened."""

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.formats.convert import assemble, choose, convert, guard_dtype, guard_size, reading
from stitchrl.errors import BadData

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}

MEMBERS = 1000


def read(path: Path) -> Columns:
    """The columns of an npz file. Raises BadData, with the column and a fix, for what cannot be used."""
    with reading(path, 'npz', zipfile.BadZipFile, zlib.error), zipfile.ZipFile(path) as archive:
        _agree(path, archive)
        members = {name.removesuffix('.npy') for name in archive.namelist() if name.endswith('.npy')}
        names, notes = choose(path, members.__contains__, sorted(members))
        guard_size(path, {name: _declared(path, archive, name) for name in names.values()})
        columns = {}
        for field, name in names.items():
            with archive.open(f'{name}.npy') as member:
                array = np.lib.format.read_array(member, allow_pickle=False)
            columns[field] = convert(path, field, name, array, notes)
    return assemble(columns, names, notes)


def _agree(path: Path, archive: zipfile.ZipFile) -> None:
    """Open every member once: a flipped bit in one of its two names must not make a column vanish unseen."""
    members = archive.infolist()
    if len(members) > MEMBERS:
        raise BadData(f'{path}: {len(members):,} arrays, expected at most {MEMBERS:,}. Fix: save only the columns')
    for member in members:
        archive.open(member).close()


def _declared(path: Path, archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], int]:
    """Shape and bytes of a member, from its header alone; the zip's size must agree with numpy's.

    numpy allocates what the header says before it reads, so the header is not taken on trust.
    """
    with archive.open(f'{name}.npy') as member:
        version = np.lib.format.read_magic(member)
        if version not in HEADERS:
            raise BadData(f'{path}: {name} is not a plain array (npy version {version}). Fix: save plain numbers')
        shape, _, dtype = HEADERS[version](member)
        guard_dtype(path, name, dtype)
        size, held = (
            math.prod(shape) * dtype.itemsize,
            archive.getinfo(f'{name}.npy').file_size - member.tell(),
        )
    if size != held:
        raise BadData(f'{path}: {name} declares {size} bytes but holds {held}. Fix: save the file again')
    return shape, size

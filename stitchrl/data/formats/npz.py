"""npz, the zip of numpy arrays, one array per column. Pickled objects in it are refused, never opened."""

import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.formats.convert import (
    EXTRAS,
    NAMES,
    assemble,
    choose,
    convert,
    guard_dtype,
    guard_size,
    human,
    reading,
)
from stitchrl.errors import BadData

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0}  # 64 kB at most; longer ones are of records, no plain numbers
MEMBERS, DIRECTORY = 1000, 2**20  # how many arrays, and the bytes of the list of them
END, END64 = b'PK\x05\x06', b'PK\x06\x07'  # what a zip ends with, and what may stand before that
BOUNDS = (*NAMES['low'], *NAMES['high'])


def read(path: Path) -> Columns:
    """The columns of an npz file. Raises BadData, with the column and a fix, for what cannot be used."""
    with opened(path) as archive:
        found = arrays_in(archive)
        names, notes = choose(path, found.__contains__, found)
        columns = load(path, archive, names, notes)
    return assemble(columns, names, notes)


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, its directory checked; whatever goes wrong in the block becomes BadData."""
    with reading(path, 'npz', zipfile.BadZipFile, zlib.error, struct.error, IndexError):
        count = _guard_directory(path)
        with zipfile.ZipFile(path) as archive:
            _agree(path, archive)
            if len(archive.infolist()) != count:  # a damaged entry can swallow the next one
                raise zipfile.BadZipFile(f'{len(archive.infolist())} arrays where its end says {count}')
            yield archive


def arrays_in(archive: zipfile.ZipFile) -> list[str]:
    """The names of the arrays, sorted."""
    return sorted({name.removesuffix('.npy') for name in archive.namelist() if name.endswith('.npy')})


def load(path: Path, archive: zipfile.ZipFile, names: dict[str, str], notes: list[str]) -> dict[str, np.ndarray]:
    """The arrays called `names` (field -> name), converted; their sizes are checked before the first is read."""
    guard_size(path, {name: _declared(path, archive, name) for name in names.values()})
    columns = {}
    for field, name in names.items():
        with archive.open(f'{name}.npy') as member:
            array = np.lib.format.read_array(member, allow_pickle=False)
        columns[field] = convert(path, field, name, array, notes)
    return columns


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """An npz file, whole or not at all: written beside it, synced, renamed. Equal arrays give equal bytes."""
    hidden = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        with hidden.open('wb') as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        hidden.replace(path)
    finally:
        hidden.unlink(missing_ok=True)


def arrays_of(columns: Columns) -> dict[str, np.ndarray]:
    """Columns as the arrays that `read` makes them of: D4RL's names, bounds included."""
    values = {names[0]: getattr(columns, field) for field, names in NAMES.items()}
    values |= {name: getattr(columns, field) for field, name in EXTRAS.items()}
    values |= {name: np.float32(values[name]) for name in BOUNDS if values[name] is not None}
    return {name: np.asarray(x) for name, x in values.items() if x is not None}


def _guard_directory(path: Path) -> int:
    """Members, by the zip's end. BadData where the list of them is too long: zipfile takes it all into memory."""
    with path.open('rb') as file:
        file.seek(max(0, file.seek(0, 2) - 2**16 - 22))
        tail = file.read()
        at = len(tail) - 22 if tail[-22:-18] == END and tail[-2:] == b'\0\0' else tail.rfind(END)
        if at < 0:
            raise zipfile.BadZipFile('its list of arrays is missing')
        count, size = struct.unpack_from('<HI', tail, at + 10)
        if tail[max(0, at - 20) : at][:4] == END64:  # a long zip has a record with the true numbers
            file.seek(struct.unpack_from('<Q', tail, at - 12)[0] + 32)
            count, size = struct.unpack('<QQ', file.read(16))
    if size > DIRECTORY:
        what = f'lists {human(size)} of names, expected at most {human(DIRECTORY)}'
        raise BadData(f'{path}: {what}. Fix: save only the columns')
    return count


def _agree(path: Path, archive: zipfile.ZipFile) -> None:
    """Open every member once: a flipped bit in one of its two names must not make a column vanish unseen."""
    members = archive.infolist()
    if len(members) > MEMBERS:
        raise BadData(f'{path}: {len(members):,} arrays, expected at most {MEMBERS:,}. Fix: save only the columns')
    names = set()
    for member in members:
        name = member.filename
        leads = name.startswith(('/', '\\')) or '..' in name.split('/')
        odd = 'twice' if name in names else 'with a path out of it' if leads else ''
        if odd:
            raise BadData(f'{path}: holds {name!r} {odd}. Fix: save the columns again with np.savez')
        names.add(name)
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
        size = math.prod(shape) * dtype.itemsize
        held = archive.getinfo(f'{name}.npy').file_size - member.tell()
    if size != held:
        raise BadData(f'{path}: {name} declares {size} bytes but holds {held}. Fix: save the file again')
    return shape, size

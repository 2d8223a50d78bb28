"""Readers of recordings: one file per format, each `read(path) -> Columns`. Imports no JAX.

The kind is told by the bytes and by what is in the file, not by the name; a name that claims another kind is refused.
"""

import difflib
import os
import stat
from importlib import import_module
from pathlib import Path

from stitchrl.data.columns import Columns
from stitchrl.errors import BadData, UsageError

FORMATS = {
    'hdf5': 'stitchrl.data.formats.hdf5',
    'npz': 'stitchrl.data.formats.npz',
    'ogbench': 'stitchrl.data.formats.ogbench',
    'minari': 'stitchrl.data.formats.minari',
}
WITHIN = {'ogbench': 'npz', 'minari': 'hdf5'}  # a format whose files have the bytes of another
SUFFIXES = {'.hdf5': 'hdf5', '.h5': 'hdf5', '.hdf': 'hdf5', '.npz': 'npz'}
HDF5 = b'\x89HDF\r\n\x1a\n'
SIGNATURES = {HDF5: 'hdf5', b'PK\x03\x04': 'npz', b'PK\x05\x06': 'npz'}
OTHERS = {  # kinds that people try, and what to do with them
    b'\x93NUMPY': 'a single numpy array; save the columns together with np.savez',
    b'PAR1': 'Parquet; of a Minari dataset name the folder, of other tables save the columns with np.savez',
    b'ARROW1': 'Arrow; of a Minari dataset name the folder, of other tables save the columns with np.savez',
    b'\x1f\x8b': 'gzip; unpack it first',
    b'\x80': 'a pickle, which could run code and is never opened; save the arrays with np.savez',
    b'version https://git-lfs': 'a Git LFS pointer, not the data; run git lfs pull',
}


def read(path: str | Path, format: str | None = None) -> Columns:
    """The columns of the recording at `path`, as numpy arrays in the recorder's own units.

    `format` is one of FORMATS; None: told by what is in the file. Raises UsageError for a path or format that does
    not exist, BadData for a file that cannot be used, MissingExtra where a part to read it with is not installed.
    """
    return import_module(FORMATS[kind(path, format)]).read(Path(path))


def kind(path: str | Path, format: str | None = None) -> str:
    """The one of FORMATS that a recording is; arguments and errors as of `read`."""
    path = Path(path)
    if format is not None and format not in FORMATS:
        raise UsageError(f'format {format!r} is not known; choose from {", ".join(FORMATS)}')
    _check_path(path)
    if path.is_dir():
        if format not in (None, 'minari'):
            raise BadData(f'{path}: read as {format} was asked for, but it is a Minari folder. Fix: --format minari')
        return 'minari'
    found = format if format in WITHIN else _plain(path, format)
    if found in WITHIN and recognise(path) != WITHIN[found]:
        what = f'its bytes are {recognise(path) or _looks(path)}'
        raise BadData(f'{path}: read as {found} was asked for, but {what}. Fix: leave --format out')
    return found


def _plain(path: Path, format: str | None) -> str:
    """The format by bytes and contents; BadData where name or request say another one."""
    kind, claimed = recognise(path), SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise BadData(f'{path}: not {_either(format or claimed)}; it looks like {_looks(path)}')
    if format not in (None, kind):
        raise BadData(f'{path}: read as {format} was asked for, but its bytes are {kind}. Fix: --format {kind}')
    if format is None and claimed not in (None, kind):
        raise BadData(
            f'{path}: the name says {claimed}, but its bytes are {kind}. '
            f'Fix: rename it to {path.with_suffix("." + kind).name}, or pass --format {kind}'
        )
    within = next(name for name, outer in WITHIN.items() if outer == kind)
    return within if format is None and import_module(FORMATS[within]).claims(path) else kind


def recognise(path: Path) -> str | None:
    """The format of a file by its bytes, or None. HDF5 may stand behind a user block of 512 x 2^k bytes."""
    with path.open('rb') as file:
        head = file.read(8)
        for signature, kind in SIGNATURES.items():
            if head.startswith(signature):
                return kind
        offset, size = 512, path.stat().st_size
        while offset < size:
            file.seek(offset)
            if file.read(8) == HDF5:
                return 'hdf5'
            offset *= 2
    return None


def _check_path(path: Path) -> None:
    """Raise unless `path` is a file with something in it that may be opened."""
    try:
        kind = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, 'strerror', None) or str(error)
        raise UsageError(f'{path}: {reason.lower()}{_nearest(path)}') from error
    if stat.S_ISDIR(kind.st_mode):
        _check_folder(path)
    elif not stat.S_ISREG(kind.st_mode):
        raise BadData(f'{path}: is not a regular file. Fix: name the data file itself')
    if kind.st_size == 0:
        raise BadData(f'{path}: empty file (0 bytes). Fix: copy it again from where it was recorded')
    if not os.access(path, os.R_OK):
        raise BadData(f'{path}: may not be read. Fix: check its permissions')


def _check_folder(path: Path) -> None:
    if import_module(FORMATS['minari']).data_folder(path) is None:
        want = 'expected one file, or the folder of a Minari dataset with metadata.json in it'
        raise BadData(f'{path}: is a folder, {want}. Fix: name the data file itself')


def _nearest(path: Path) -> str:
    """A file beside the missing one with nearly its name, as a question; or nothing."""
    try:
        siblings = [sibling.name for sibling in path.parent.iterdir()]
    except (OSError, ValueError):
        return ''
    near = difflib.get_close_matches(path.name, siblings, n=1)
    return f'; did you mean {path.parent / near[0]}?' if near else ''


def _either(kind: str | None) -> str:
    return kind or ' or '.join(name for name in FORMATS if name not in WITHIN)


def _looks(path: Path) -> str:
    """What an unknown file seems to be, for the message."""
    with path.open('rb') as file:
        head = file.read(32)
    for signature, words in OTHERS.items():
        if head.startswith(signature):
            return words
    kind = 'text' if all(32 <= byte < 127 or byte in b'\t\r\n' for byte in head) else 'binary data of another kind'
    return f'{kind} (it begins with {head[:16]!r}). Fix: save the columns with np.savez'

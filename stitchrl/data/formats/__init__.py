"""Readers of recordings: one file per format, each `read(path) -> Columns`, or `read(path, choice)` where it has
CHOICES. Imports no JAX.

The kind is told by the bytes and by what is in the file, not by the name; a name that claims another kind is refused.
Only CSV, which is text like any other, is told by its name.
"""

import difflib
import os
import stat
from importlib import import_module
from pathlib import Path
from types import ModuleType

from stitchrl.data.columns import Columns
from stitchrl.data.formats.choice import Choice, check
from stitchrl.errors import BadData, MissingExtra, UsageError

FORMATS = {
    'hdf5': 'stitchrl.data.formats.hdf5',
    'npz': 'stitchrl.data.formats.npz',
    'ogbench': 'stitchrl.data.formats.ogbench',
    'minari': 'stitchrl.data.formats.minari',
    'robomimic': 'stitchrl.data.formats.robomimic',
    'lerobot': 'stitchrl.data.formats.lerobot',
    'csv': 'stitchrl.data.formats.csv_table',
    'parquet': 'stitchrl.data.formats.parquet',
}
WITHIN = {'ogbench': 'npz', 'minari': 'hdf5', 'robomimic': 'hdf5'}  # a format whose files have the bytes of another
FOLDERS = {'minari': 'metadata.json', 'lerobot': 'meta/info.json'}  # formats of folders, and what tells them
SUFFIXES = {
    '.hdf5': 'hdf5',
    '.h5': 'hdf5',
    '.hdf': 'hdf5',
    '.npz': 'npz',
    '.csv': 'csv',
    '.tsv': 'csv',
    '.parquet': 'parquet',
    '.pq': 'parquet',
}
HDF5 = b'\x89HDF\r\n\x1a\n'
SIGNATURES = {HDF5: 'hdf5', b'PK\x03\x04': 'npz', b'PK\x05\x06': 'npz', b'PAR1': 'parquet'}
OTHERS = {  # kinds that people try, and what to do with them
    b'\x93NUMPY': 'a single numpy array; save the columns together with np.savez',
    b'ARROW1': 'Arrow; of a Minari dataset name the folder, of other tables save the columns as Parquet',
    b'\x1f\x8b': 'gzip; unpack it first',
    b'\x80': 'a pickle, which could run code and is never opened; save the arrays with np.savez',
    b'version https://git-lfs': 'a Git LFS pointer, not the data; run git lfs pull',
}
NONE = Choice()


def read(path: str | Path, format: str | None = None, choice: Choice = NONE) -> Columns:
    """The columns of the recording at `path`, as numpy arrays in the recorder's own units.

    `format` is one of FORMATS; None: told by what is in the file. `choice`: which columns mean what, where the format
    leaves that open. Raises UsageError for a path, format or choice that will not do, BadData for a file that cannot be
    used, MissingExtra where a part to read it with is not installed.
    """
    path, found = Path(path), kind(path, format)
    able = getattr(module := _module(path, found), 'CHOICES', ())
    check(path, choice, found, able)
    return module.read(path, choice) if able else module.read(path)


def kind(path: str | Path, format: str | None = None) -> str:
    """The one of FORMATS that a recording is; arguments and errors as of `read`."""
    path = Path(path)
    if format is not None and format not in FORMATS:
        raise UsageError(f'format {format!r} is not known; choose from {", ".join(FORMATS)}')
    _check_path(path)
    return _of_folder(path, format) if path.is_dir() else _of_file(path, format)


def _module(path: Path, name: str) -> ModuleType:
    try:
        return import_module(FORMATS[name])
    except ModuleNotFoundError as error:
        if error.name != 'pyarrow':
            raise
        raise MissingExtra(f'{path}: {name} needs pyarrow: pip install "stitchrl[tables]"') from None


def _of_folder(path: Path, format: str | None) -> str:
    found = next(name for name, file in FOLDERS.items() if _holds(path, file))
    if format not in (None, found):
        raise BadData(f'{path}: read as {format} was asked for, but it is a folder of {found}. Fix: --format {found}')
    return found


def _holds(path: Path, file: str) -> bool:
    return (path / file).is_file() or (file == FOLDERS['minari'] and (path / 'data' / file).is_file())


def _of_file(path: Path, format: str | None) -> str:
    if format in FOLDERS and format not in WITHIN:
        raise BadData(f'{path}: read as {format} was asked for, but it is a file. Fix: name the folder of the dataset')
    found = format if format in WITHIN else _plain(path, format)
    if found in WITHIN and recognise(path) != WITHIN[found]:
        what = f'its bytes are {recognise(path) or _looks(path)}'
        raise BadData(f'{path}: read as {found} was asked for, but {what}. Fix: leave --format out')
    return found


def _plain(path: Path, format: str | None) -> str:
    """The format by bytes and contents; BadData where name or request say another one."""
    found, claimed = recognise(path), SUFFIXES.get(path.suffix.lower())
    if found is None and (format or claimed) == 'csv' and _text(path):
        found = 'csv'
    if found is None:
        raise BadData(f'{path}: not {_either(format or claimed)}; it looks like {_looks(path)}')
    if format not in (None, found):
        raise BadData(f'{path}: read as {format} was asked for, but its bytes are {found}. Fix: --format {found}')
    if format is None and claimed not in (None, found):
        raise BadData(
            f'{path}: the name says {claimed}, but its bytes are {found}. '
            f'Fix: rename it to {path.with_suffix("." + found).name}, or pass --format {found}'
        )
    within = (name for name, outer in WITHIN.items() if outer == found and format is None)
    return next((name for name in within if import_module(FORMATS[name]).claims(path)), found)


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
    if not any(_holds(path, file) for file in FOLDERS.values()):
        want = ' or '.join(f'of {kind} with {file} in it' for kind, file in FOLDERS.items())
        raise BadData(f'{path}: is a folder, expected one file, or a folder {want}. Fix: name the data file itself')


def _nearest(path: Path) -> str:
    """A file beside the missing one with nearly its name, as a question; or nothing."""
    try:
        siblings = [sibling.name for sibling in path.parent.iterdir()]
    except (OSError, ValueError):
        return ''
    near = difflib.get_close_matches(path.name, siblings, n=1)
    return f'; did you mean {path.parent / near[0]}?' if near else ''


def _either(kind: str | None) -> str:
    return kind or ' or '.join(name for name in FORMATS if name not in WITHIN and name not in FOLDERS)


def _text(path: Path) -> bool:
    """Whether a file begins like text."""
    with path.open('rb') as file:
        head = file.read(1024)
    known = any(head.startswith(signature) for signature in OTHERS)
    return not known and all(byte >= 32 or byte in b'\t\r\n' for byte in head)


def _looks(path: Path) -> str:
    """What an unknown file seems to be, for the message."""
    with path.open('rb') as file:
        head = file.read(32)
    for signature, words in OTHERS.items():
        if head.startswith(signature):
            return words
    if _text(path) and all(byte < 127 for byte in head):
        return f'text (it begins with {head[:16]!r}). Fix: of a table pass --format csv'
    return f'binary data of another kind (it begins with {head[:16]!r}). Fix: save the columns with np.savez'

"""Files that are whole or not there, and what to say when the disk takes no more."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stitchrl.errors import StitchError

TEXT: Any = {'encoding': 'utf-8', 'errors': 'surrogateescape'}  # names of files pass whatever the locale


@contextmanager
def writing(what: str | Path) -> Iterator[None]:
    """A disk that is full, or may not be written, becomes a StitchError that says so of `what`."""
    try:
        yield
    except OSError as error:
        raise StitchError(
            f'{what}: cannot be written ({reason(error)}); what was saved before is as it was. '
            'Fix: free some space or check the permissions, then go on with stitch resume'
        ) from error


def reason(error: Exception) -> str:
    """Why the system refused: 'No space left on device'."""
    said = re.search(r"([^:'\[\]]+) \[os_error_code", str(error))  # as the writer of arrays quotes the system
    return getattr(error, 'strerror', None) or (said[1].strip() if said else str(error).splitlines()[0])


def write_durably(path: Path, text: str) -> None:
    """A whole file or the old one: written beside it, synced, renamed. StitchError where the disk refuses."""
    hidden = path.with_name(f'.{path.name}.{os.getpid()}')
    with writing(path):
        try:
            hidden.write_text(text, **TEXT)
            sync(hidden)
            hidden.replace(path)
        except BaseException:
            hidden.unlink(missing_ok=True)
            raise


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def contents(folder: Path) -> list[str]:
    """All files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


def digest(path: Path) -> str:
    """sha256 of a file, hex."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()

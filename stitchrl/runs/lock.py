"""One process at a time writes a run. The kernel lets go of the lock however the process ends."""

import fcntl
import os
import weakref
from pathlib import Path

from stitchrl.errors import UsageError
from stitchrl.runs.files import writing

FILE = '.lock'


class Lock:
    """The run folder at `path` belongs to whoever keeps this object, until nothing refers to it or `release` is called.

    UsageError where another process, or another part of this one, holds it.
    """

    def __init__(self, path: Path):
        with writing(path):
            descriptor = os.open(path / FILE, os.O_RDWR | os.O_CREAT, 0o644)
        self.release = weakref.finalize(self, os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 100, 0).decode(errors='replace') or 'another process'
            self.release()
            raise UsageError(f'{path}: {holder} is writing this run; wait for it or end it') from None
        except OSError:
            return  # a file system without locks
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f'process {os.getpid()} of {os.uname().nodename}'.encode(), 0)


def held(path: Path) -> bool:
    """Whether some process is writing the run at `path`."""
    try:
        descriptor = os.open(path / FILE, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False

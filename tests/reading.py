"""Reads recordings, each in a process of its own: on its input `reading.py` gets a list of [path, format, patches].

For each it prints [what became of it, seconds, most MB of memory]. A patch [module, name, value] is first laid over a
module of stitchrl.data.formats: its guard taken away, or its limit moved.
"""

import importlib
import json
import os
import resource
import signal
import sys
import time

import numpy as np

from stitchrl.data.formats import FORMATS, Choice, minari_tables, read
from stitchrl.errors import StitchError

SECONDS, BYTES = 1.2, 2**32
CHOICES = {'csv': Choice(obs='a', action='b')}
BROKEN = {
    'both': {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0},
    'pass': lambda *args, **_: args[-1],
    'follow': lambda path, group, name: group[name],
    'four': lambda *_: 4,
    'nothing': lambda *_: ((), 0),
}


def attempt(path, format, patches):
    """Print what became of one."""
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    for module, name, value in patches:
        of = importlib.import_module(f'stitchrl.data.formats.{module}')
        assert hasattr(of, name)
        setattr(of, name, BROKEN.get(value, value))
    start = time.perf_counter()
    try:
        said = f'read: {len(read(path, format, CHOICES.get(format, Choice())))} rows'
    except StitchError as error:
        said = f'{type(error).__name__}: {error}'
    except Exception as error:  # noqa: BLE001, what a broken guard lets through may be anything
        said = f'crash: {type(error).__name__}: {error}'
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([said, time.perf_counter() - start, most]), flush=True)


def main():
    """Import all readers once, then a fork for each file."""
    for module in FORMATS.values():
        importlib.import_module(module)
    assert minari_tables
    for asked in json.load(sys.stdin):
        pid = os.fork()
        if not pid:
            attempt(*asked)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if status:
            print(json.dumps([f'died of signal {os.WTERMSIG(status)}', SECONDS, 0]), flush=True)
    assert 'jax' not in sys.modules


if __name__ == '__main__':
    main()

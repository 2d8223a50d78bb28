"""How much memory there is, and how much something takes."""

import os
from collections.abc import Callable
from typing import Any

import jax


def free() -> int:
    """Bytes of memory that the device has free; of a machine's own memory what is available."""
    stats = jax.devices()[0].memory_stats()
    if stats and 'bytes_limit' in stats:
        return stats['bytes_limit'] - stats['bytes_in_use']
    try:
        with open('/proc/meminfo') as file:  # noqa: PTH123 - no file of ours
            rows = dict(line.split(':') for line in file)
        return int(rows['MemAvailable'].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def size(make: Callable[[], Any]) -> int:
    """Bytes of the arrays that `make()` would make, from their shapes alone."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(jax.eval_shape(make)))

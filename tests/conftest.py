"""What holds in every test: strict JAX, no network, repeatable examples, no cache of an earlier run."""

import itertools
import os
import socket
from pathlib import Path

import hypothesis
import jax
import pytest

hypothesis.settings.register_profile('repeatable', deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile('repeatable')

jax.config.update('jax_numpy_rank_promotion', 'raise')  # [B] - [B, 1] is an error, not a [B, B]
jax.config.update('jax_debug_nans', True)  # a NaN out of a compiled function raises where it was made

# The environment is for the commands that tests start, the config for this process.
if 'JAX_PLATFORMS' not in os.environ:
    os.environ['JAX_PLATFORMS'] = 'cpu'
    jax.config.update('jax_platforms', 'cpu')
if 'JAX_COMPILATION_CACHE_DIR' not in os.environ:
    os.environ['JAX_ENABLE_COMPILATION_CACHE'] = 'false'
    jax.config.update('jax_enable_compilation_cache', False)
os.environ.setdefault('MPLBACKEND', 'Agg')
if 'PYTEST_XDIST_WORKER' in os.environ:
    os.environ.setdefault('NPROC', '1')  # XLA's threads: workers that each take every core slow one another


@pytest.fixture(autouse=True)
def nans(request):
    """Tests marked `nans` make NaNs on purpose. Set for all threads, where a context manager sets it for its own."""
    jax.config.update('jax_debug_nans', request.node.get_closest_marker('nans') is None)
    yield
    jax.config.update('jax_debug_nans', True)


MAPS, MOST, finished = Path('/proc/self/maps'), 20_000, itertools.count(1)


@pytest.fixture(autouse=True)
def forgotten_programs():
    """Each compiled program keeps memory maps of its own. Linux lets a process have 65,530 and XLA crashes beyond, so
    a process that has run many tests forgets its programs."""
    yield
    if next(finished) % 10 == 0 and MAPS.exists() and MAPS.read_bytes().count(b'\n') > MOST:
        jax.clear_caches()


@pytest.fixture(scope='module')
def quick_compiles():
    """Less optimised programs, twice as fast to compile. `test_offline.py` checks those that users run."""
    jax.config.update('jax_disable_most_optimizations', True)
    yield
    jax.config.update('jax_disable_most_optimizations', False)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """A connection to another machine fails the test; sockets within this one stay allowed."""
    connect = socket.socket.connect

    def guarded(sock, address):
        if sock.family == socket.AF_UNIX or address[0] in ('127.0.0.1', '::1', 'localhost'):
            return connect(sock, address)
        raise OSError(f'a test tried to reach {address}; tests run without a network')

    monkeypatch.setattr(socket.socket, 'connect', guarded)

"""Algorithms in worlds of one or two steps whose answers are known. The rows are in `probes.py`."""

import jax
import pytest
from probes import ROWS, check

from stitchrl.algos import ALGORITHMS


@pytest.fixture(scope='module', autouse=True)
def quick_compiles():
    """Less optimised programs, twice as fast to compile."""
    jax.config.update('jax_disable_most_optimizations', True)
    yield
    jax.config.update('jax_disable_most_optimizations', False)


def test_every_algorithm_has_a_row():
    assert {row.algo for row in ROWS.values()} == set(ALGORITHMS)


@pytest.mark.parametrize(('name', 'probe'), [(name, probe) for name, row in ROWS.items() for probe in row.probes])
def test_probe(name, probe):
    check(name, probe)

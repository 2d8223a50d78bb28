"""Algorithms in worlds of one or two steps whose answers are known. The rows are in `probes.py`."""

import pytest
from probes import ROWS, check

from stitchrl.algos import ALGORITHMS

pytestmark = pytest.mark.usefixtures('quick_compiles')


def test_every_algorithm_has_a_row():
    assert {row.algo for row in ROWS.values()} == set(ALGORITHMS)


@pytest.mark.parametrize(('name', 'probe'), [(name, probe) for name, row in ROWS.items() for probe in row.probes])
def test_probe(name, probe):
    check(name, probe)

"""The suite notices broken variants of the package. They are in `mutants.py`."""

import pytest
from mutants import MUTANTS, is_probe, planted

pytestmark = pytest.mark.usefixtures('quick_compiles')


@pytest.mark.parametrize('name', MUTANTS)
def test_it_is_caught(name):
    mutant = MUTANTS[name]
    with planted(mutant), pytest.raises(AssertionError):
        mutant.caught_by()


@pytest.mark.parametrize('name', [name for name, mutant in MUTANTS.items() if not is_probe(mutant)])
def test_the_source_as_it_is_passes(name):
    """The probes do so in `test_probes.py`."""
    MUTANTS[name].caught_by()

"""Fitted Q evaluation against true returns, a small version of `recipes/fqe.py`, with controls that must fail."""

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@cache
def recipe() -> Any:
    """The recipe's functions, which are no package."""
    folder = str(Path(__file__).parents[1] / 'recipes')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'path', [*sys.path, folder])
        import fqe  # pyright: ignore[reportMissingImports]
    return fqe


@cache
def world(name):
    """(world, true returns [10], recording)."""
    made = getattr(recipe(), name)(steps=2000)
    return made, recipe().truths(made, 300).mean(1), recipe().recording(made, 12_000)


def found(name, broken=lambda data: data, **settings):
    made, truth, data = world(name)
    return recipe().compared(recipe().estimates(made, broken(data), fits=2, samples=3, **settings), truth)


def holds(one):
    """The promise: it ranks the policies, and it knows what they earn."""
    assert one['rank_correlation'] >= recipe().RANK
    assert one['mean_error'] <= recipe().ERROR


@pytest.mark.parametrize('name', ['grid', 'maze'])
def test_it_ranks_ten_policies_and_knows_what_they_earn(name):
    truth = world(name)[1]
    assert np.ptp(truth) > 0.4, 'the policies are not of one quality'
    holds(found(name))


def test_the_returns_that_were_played_are_the_true_ones():
    made, truth, _ = world('grid')
    np.testing.assert_allclose(truth, recipe().exact(made), atol=0.02)


def test_a_wrong_gamma_fails():
    """It still ranks: what fails is the value, beyond the interval of every policy that gets anywhere."""
    one = found('grid', gamma=recipe().WRONG)
    assert one['rank_correlation'] >= recipe().RANK
    truth = world('grid')[1]
    assert all(row['high'] < x for row, x in zip(one['estimates'], truth, strict=True) if x > 0.2)
    with pytest.raises(AssertionError):
        holds(one)


def test_a_bootstrap_through_the_ends_of_the_task_fails():
    with pytest.raises(AssertionError):
        holds(found('maze', recipe().endless))

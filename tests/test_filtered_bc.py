"""Filtered BC is BC with one number changed: the share of the episodes that it imitates."""

from dataclasses import asdict

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.algos.offline import bc, filtered_bc
from stitchrl.data.dataset import Dataset
from stitchrl.loops.offline import UPDATE, begin, create, many, roots


def recording(episodes=40, length=5):
    """Every tenth episode goes right (0.5) and returns 1, the others go left (-0.5) and return 0."""
    good = np.repeat(np.arange(episodes) % 10 == 0, length)
    last = np.tile(np.arange(length) == length - 1, episodes)
    action = np.where(good, 0.5, -0.5)[:, None]
    return Dataset.from_arrays(np.zeros((len(good), 1)), action, good & last, last)


def test_only_one_number_differs():
    ours, theirs = asdict(filtered_bc.Config()), asdict(bc.Config())
    assert {name: ours[name] for name in ours if ours[name] != theirs[name]} == {'best': 0.1}
    assert filtered_bc.ALGO is bc.ALGO


def test_the_best_tenth_whole():
    chosen = filtered_bc.ALGO.select(recording(), filtered_bc.Config())
    assert chosen.returns().tolist() == [1] * 4
    assert len(chosen) == 4 * 5
    assert (chosen.action[chosen.starts] == 0.5).all()


@pytest.mark.parametrize(('module', 'expected'), [(filtered_bc, 0.5), (bc, -0.4)])
def test_it_does_what_the_best_did_and_bc_what_most_did(module, expected):
    """BC averages: 0.1 x 0.5 - 0.9 x 0.5 = -0.4."""
    cfg = module.Config(hidden=(16,), lr=0.01, batch=64, steps=200, head='deterministic')
    data = module.ALGO.select(recording(), cfg)
    agents = create(module.ALGO, data.spec, cfg, seed=0, seeds=1)
    data = jax.device_put(data)
    (agents, _), _ = many(begin(agents, data), data, roots(0, 1, UPDATE), jnp.int32(0), 200)
    action = jax.tree.map(lambda x: x[0], agents).act((), jnp.zeros((1, 1)), jr.key(0))[0]
    assert float(action[0, 0]) == pytest.approx(expected, abs=0.1)

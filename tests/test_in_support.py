"""Discrete marks: random data on 30 % of all (s, a) of a grid, against the exact best that its support permits.

Each row's greedy policy is worth, by dynamic programming, at least 95 % of that from the start, for every seed; the
controls, by the same measure, are not. The way that the support permits here is half as long again as the shortest.
"""

from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.data.controls import shuffled
from stitchrl.data.dataset import Dataset
from stitchrl.data.grids import support, within
from stitchrl.envs.gridworld import GridWorld
from stitchrl.loops.lab import trained

GAMMA, SHARE, SEEDS = 0.95, 0.3, 3
WORLD = GridWorld.create('rooms', horizon=50, anywhere=True)
IQL = {'expectile': 0.95, 'beta': 3.0, 'lr': 3e-3, 'rate': 0.05, 'steps': 1500}
CQL = {'alpha': 0.1, 'lr': 1e-3, 'period': 50, 'steps': 4000}


class Row(NamedTuple):
    """An algorithm with settings; `shuffle`: the rewards permuted over all steps."""

    algo: str
    settings: dict
    shuffle: bool = False


REACH = {'iql': Row('iql', IQL), 'discrete_cql': Row('discrete_cql', CQL)}
FAIL = {
    'iql, rewards shuffled': Row('iql', IQL, shuffle=True),
    'discrete_cql, alpha 0': Row('discrete_cql', {**CQL, 'alpha': 0.0}),
}


@cache
def recording():
    """The pairs the data may hold, and 10 000 steps of them; a reward of 10, so that Adam's first steps are small."""
    allowed = support(WORLD, SHARE, seed=2)
    columns = within(WORLD, allowed, jr.key(0), 10_000)
    return allowed, Dataset.from_columns(columns).relabel(lambda data: 10 * data.reward)


def worth(policy):
    """Exact value from the start of a policy [S] of states."""
    p, r, states = WORLD.transition_matrix(), WORLD.reward_matrix(), np.arange(WORLD.walls.size)
    follow = np.eye(len(states)) - GAMMA * p[states, policy]
    return np.linalg.solve(follow, r[states, policy])[int(WORLD.start)]


def reached(row):
    """For each seed: its greedy policy's worth over that of the best policy in the support."""
    allowed, data = recording()
    data = data.with_columns(reward=shuffled(data, 0)) if row.shuffle else data
    done = trained(row.algo, data, seeds=SEEDS, hidden=(64,), batch=128, gamma=GAMMA, **row.settings)
    states = done.boundary.obs(jnp.eye(WORLD.walls.size))
    greedy = jax.jit(jax.vmap(partial(lambda obs, agent: agent.act((), obs, jr.key(0))[0], states)))
    best = WORLD.optimal_values(GAMMA, allowed)[0][int(WORLD.start)]
    return np.array([worth(policy) for policy in np.asarray(greedy(done.agents))]) / best


def test_the_recording_holds_exactly_its_share_of_pairs():
    allowed, data = recording()
    rows = np.asarray(data.starts)
    pairs = np.zeros_like(allowed)
    pairs[np.asarray(WORLD.place(data.obs[rows])), data.action[rows]] = True
    np.testing.assert_array_equal(pairs, allowed)
    free = (~np.asarray(WORLD.walls)).sum() - 1
    assert pairs.sum() == round(SHARE * 5 * free)


def test_the_best_in_support_is_worse_than_the_best():
    allowed, _ = recording()
    v, best = (WORLD.optimal_values(GAMMA, known)[0][int(WORLD.start)] for known in (allowed, None))
    assert (v, best) == (pytest.approx(GAMMA**17), pytest.approx(GAMMA**11))


@pytest.mark.parametrize('name', REACH)
def test_offline_learners_find_the_best_in_support(name):
    assert (reached(REACH[name]) >= 0.95).all()


@pytest.mark.parametrize('name', FAIL)
def test_the_controls_do_not(name):
    assert (reached(FAIL[name]) < 0.95).any()

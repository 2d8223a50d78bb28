"""Fits of several policies at once: units, repetition, refusals, and the exact value of a world that is a table."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import tiny

from stitchrl.algos.offline.fqe import Config
from stitchrl.core.boundary import Boundary
from stitchrl.data.dataset import Dataset
from stitchrl.data.grids import collect, walker
from stitchrl.envs.gridworld import GridWorld
from stitchrl.errors import StitchError, UsageError
from stitchrl.loops.judge import POINTS, intended, judge, spread, to_go

QUICK = Config(hidden=(8,), batch=16, steps=40, period=5, gamma=0.9)


class Rule(eqx.Module):
    """A policy of one observation and a key, for many."""

    rule: Any
    memory: Any = ()

    def remember(self, n):
        return self.memory

    def act(self, memory, obs, key, t=None):
        return jax.vmap(self.rule)(obs, jr.split(key, len(obs))), memory


class Aim(eqx.Module):
    """The action `at` plus noise, in the agent's units."""

    at: jax.Array
    noise: jax.Array

    def __call__(self, obs, key):
        return self.at + self.noise * jr.normal(key, (2,))


def aims(noise=0.0):
    return Rule(Aim(jnp.array([[0.5, -0.5], [0.0, 0.0], [-1.0, 1.0]]), jnp.full(3, noise)))


@pytest.fixture(scope='module')
def data():
    return tiny.dataset()


def judged(data, policies=None, **more):
    options = {'cfg': QUICK, 'fits': 2} | more
    return judge(aims() if policies is None else policies, Boundary.fit(data, normalise=True), data, **options)


def test_what_comes_out(data):
    found = judged(data)
    assert found.values.shape == found.losses.shape == (3, 2, POINTS)
    np.testing.assert_array_equal(found.steps, 2 * np.arange(1, POINTS + 1))
    np.testing.assert_allclose(found.value, found.values[..., -4:].mean(-1))
    mean = found.values.mean(1)
    np.testing.assert_allclose(found.drift, np.abs(mean[:, -1] - mean[:, -5]))
    assert len(np.unique(found.value)) == 6, 'every fit has a seed of its own'
    np.testing.assert_array_equal(judged(data).values, found.values)


def test_it_tells_how_far_it_is(data):
    told = []
    found = judged(data, tell=lambda step, value: told.append((step, value)))
    assert [step for step, _ in told] == found.steps.tolist()
    np.testing.assert_allclose([value for _, value in told], found.values.mean((0, 1)), rtol=1e-4, atol=1e-6)


def test_values_are_in_the_units_of_the_recorded_rewards(data):
    """Eight times the rewards, eight times the values; the rule that a run had for its rewards does not matter."""
    found, more = judged(data), judged(replace(data, reward=8 * data.reward))
    np.testing.assert_allclose(more.value, 8 * found.value, rtol=1e-6)
    boundary = replace(Boundary.fit(data, normalise=True), scale=np.float32(3), shift=np.float32(-1))
    np.testing.assert_array_equal(judge(aims(), boundary, data, QUICK, 2).values, found.values)


def test_without_any_reward_there_is_nothing_to_scale(data):
    empty = replace(data, reward=0 * data.reward)
    assert spread(empty, 0.9) == 1
    assert np.isfinite(judged(empty).value).all()


def test_discounted_sums_by_hand():
    """Rewards 1, 2, 4 at gamma 1/2 to a true end, then 1, 1 to a cut: what the cut hides counts nothing."""
    obs, action = np.zeros((5, 1)), np.zeros((5, 1))
    data = Dataset.from_arrays(obs, action, [1, 2, 4, 1, 1], [0, 0, 1, 0, 0], [0, 0, 0, 0, 1], obs)
    np.testing.assert_allclose(to_go(data, 0.5), [3, 4, 4, 0, 1.5, 1, 0])
    assert spread(data, 0.5) == 4


def test_intended_actions_are_of_each_policy_at_each_row(data):
    found = np.asarray(intended(aims(), data, jr.key(0), 1))
    assert found.shape == (3, len(data.obs), 1, 2)
    np.testing.assert_allclose(found[2], np.broadcast_to([-1.0, 1.0], found[2].shape))
    noisy = np.asarray(intended(aims(0.1), data, jr.key(0), 3))
    assert noisy.shape == (3, len(data.obs), 3, 2)
    assert len(np.unique(noisy[0, :, :, 0])) == noisy[0, :, :, 0].size, 'no row and no sample shares its noise'


def test_a_policy_with_a_memory_is_refused(data):
    with pytest.raises(UsageError, match='only the present'):
        judged(data, Rule(aims().rule, jnp.zeros((3, 1))))


@pytest.mark.nans
def test_a_fit_that_diverges_is_an_error(data):
    with pytest.raises(StitchError, match='diverged'):
        judged(data, cfg=replace(QUICK, lr=1e30))


def test_the_exact_value_in_a_world_that_is_a_table():
    """V = (1 - gamma P)^-1 r of the walker of a corridor, three moves in ten random; the data is of random moves. A
    linear Q of one-hot states is a table. Discrete actions."""
    grid, gamma = GridWorld.create('corridor', horizon=40), 0.9
    policy = walker(grid, 0.3)
    chance = np.asarray(policy.chance, np.float64)
    p = np.einsum('sa,sat->st', chance, grid.transition_matrix())
    value = np.linalg.solve(np.eye(len(p)) - gamma * p, (chance * grid.reward_matrix()).sum(1))
    data = Dataset.from_columns(collect(grid, 'random', jr.key(0), 4000))
    cfg = Config(hidden=(), lr=0.02, batch=256, steps=1200, period=20, gamma=gamma)
    one = Rule(jax.tree.map(lambda x: jnp.asarray(x)[None], policy))
    found = judge(one, Boundary.blank(grid.spec), data, cfg, fits=3, samples=8)
    np.testing.assert_allclose(found.value, float(value[int(grid.start)]), atol=0.02)

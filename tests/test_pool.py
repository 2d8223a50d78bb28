"""EnvPool's copies take the steps that Gymnasium's take; without the extra only what is said of its absence counts."""

import importlib.util
import sys
from dataclasses import replace

import jax
import jax.random as jr
import numpy as np
import pytest

import stitchrl
from stitchrl.envs import make
from stitchrl.envs.cartpole import CartPole
from stitchrl.envs.gymnasium import Lanes
from stitchrl.errors import MissingExtra, UsageError

THERE = importlib.util.find_spec('envpool') is not None
needed = pytest.mark.skipif(not THERE, reason='EnvPool is not installed: pip install "stitchrl[envpool]"')
quiet = pytest.mark.filterwarnings('ignore')  # what EnvPool's own imports warn of


def test_without_it_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'envpool', None)
    with pytest.raises(MissingExtra, match=r'stitchrl\[envpool\]'):
        make('envpool:CartPole-v1')


@needed
@quiet
def test_names_and_spaces():
    pool = make('envpool:CartPole-v1')
    assert (pool.spec.obs.shape, pool.spec.action_dim, pool.spec.horizon) == ((4,), 2, 500)
    assert make('envpool:Pong-v5', training=True).spec.obs.frames == 4
    assert make('envpool:Hopper-v5').spec.action.high == (1.0, 1.0, 1.0)
    with pytest.raises(UsageError, match=r'no environment .CartPol-v1.*CartPole-v1'):
        make('envpool:CartPol-v1')
    with pytest.raises(UsageError, match='cannot be drawn'):
        pool.render(0, [], [], 8)


@needed
@quiet
def test_steps_are_those_of_gymnasium():
    """From the same states by the same actions, through the ends of episodes: a step after one begins the next."""
    truth, rng = CartPole.create(), np.random.default_rng(0)
    lanes = Lanes(make('envpool:CartPole-v1').vector(5))
    obs, ended = lanes.reset(list(range(5))), 0
    step = jax.jit(jax.vmap(lambda obs, action: moved(truth, obs, action)))
    for _ in range(60):
        action = rng.integers(0, 2, 5)
        seen = lanes.step(action)
        assert seen.valid.all()
        np.testing.assert_allclose(seen.next_obs, step(obs, action), atol=1e-5)
        over = seen.terminated | seen.truncated
        assert (abs(seen.now[over]) <= 0.05).all(), 'a new episode'
        np.testing.assert_array_equal(seen.now[~over], seen.next_obs[~over])
        obs, ended = seen.now, ended + over.sum()
    assert ended > 3
    lanes.vector.close()


def moved(truth, obs, action):
    """What our own cart-pole does from there."""
    state = replace(truth.reset(jr.key(0)), obs=obs)
    return truth.step(state, action, jr.key(0)).obs


@needed
@quiet
def test_seeds_repeat_and_differ():
    pool = make('envpool:CartPole-v1')
    first = lambda seeds: pool.vector(3).reset(seed=seeds)[0]
    np.testing.assert_array_equal(first([1, 2, 1])[0], first([1, 2, 1])[2])
    assert (first([1, 2, 1])[0] != first([1, 2, 1])[1]).any()
    assert len(np.unique(first(7)[:, 0])) == 3
    with pytest.raises(UsageError, match='needs a seed'):
        pool.vector(2).reset()


@needed
@quiet
def test_an_agent_learns_in_it(tmp_path):
    settings = {'steps': 200, 'random_steps': 50, 'hidden': (16,), 'batch': 16, 'lanes': 4, 'seeds': 2}
    run = stitchrl.train('dqn', env='envpool:CartPole-v1', eval_episodes=2, out=str(tmp_path / 'run'), **settings)
    assert {row['step'] for row in run.evaluations()} == {200}

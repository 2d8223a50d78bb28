import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.envs.pendulum import FASTEST, Pendulum
from stitchrl.errors import UsageError

ENV = Pendulum.create()


def test_step_for_step_the_same_as_gymnasium():
    """Torques beyond the bounds among them; as fast as it may turn, and both ways past the bottom."""
    theirs = gym.make('Pendulum-v1').unwrapped
    step, begin = jax.jit(ENV.step), jax.jit(ENV.begin)
    rng, fastest = np.random.default_rng(0), 0
    for _ in range(5):
        theirs.reset(seed=int(rng.integers(1000)))
        for _ in range(100):
            torque = np.float32(rng.uniform(-3, 3, 1) + 2 * np.sign(theirs.state[1]))
            ours = step(begin(*jnp.float32(theirs.state)), torque, jr.key(0))
            obs, reward, terminated, truncated, _ = theirs.step(torque)
            np.testing.assert_allclose(ours.obs, obs, atol=2e-5)
            np.testing.assert_allclose(ours.reward, reward, rtol=1e-4, atol=2e-5)
            assert (terminated, truncated) == (bool(ours.terminated), bool(ours.truncated)) == (False, False)
            fastest += abs(obs[2]) == FASTEST
    assert fastest > 10


def test_a_whole_episode_beside_gymnasium():
    theirs = gym.make('Pendulum-v1')
    theirs.reset(seed=3)
    state, step = ENV.begin(*jnp.float32(theirs.unwrapped.state)), jax.jit(ENV.step)
    for t in range(200):
        torque = np.float32([2 * np.sin(t / 7)])
        state = step(state, torque, jr.key(0))
        obs, reward, _, truncated, _ = theirs.step(torque)
        np.testing.assert_allclose(state.obs, obs, atol=1e-2)
        np.testing.assert_allclose(state.reward, reward, atol=2e-2)
        assert bool(state.truncated) == truncated == (t == 199)


def test_starts_are_gymnasiums():
    states = jax.vmap(ENV.reset)(jr.split(jr.key(0), 2000))
    angle, speed = np.asarray(states.inner.angle), np.asarray(states.inner.speed)
    assert abs(angle).max() == pytest.approx(np.pi, abs=0.02)
    assert abs(speed).max() == pytest.approx(1, abs=0.01)
    assert angle.mean() == pytest.approx(0, abs=0.15)
    assert angle.std() == pytest.approx(np.pi / 3**0.5, abs=0.05)


def test_begins_where_an_observation_was():
    state = jax.vmap(ENV.reset)(jr.split(jr.key(1), 50))
    again = jax.vmap(ENV.at)(state.obs)
    np.testing.assert_allclose(again.inner.angle, state.inner.angle, atol=1e-5)
    np.testing.assert_array_equal(again.inner.speed, state.inner.speed)


def test_another_name_is_refused():
    with pytest.raises(UsageError, match='called swingup'):
        Pendulum.create('upright')


def test_success_is_to_stand_when_time_is_up():
    end, step = Pendulum.create(horizon=1), jax.jit(Pendulum.step)
    told = [
        bool(env.success(step(env, env.begin(jnp.float32(angle), jnp.float32(0)), jnp.zeros(1), jr.key(0))))
        for env, angle in ((end, 0.1), (end, -0.1), (end, 0.5), (ENV, 0.1))
    ]
    assert told == [True, True, False, False]

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from stitchrl import envs
from stitchrl.envs import swingup
from stitchrl.envs.device_check import findings
from stitchrl.envs.episode import Plan
from stitchrl.envs.finding import once
from stitchrl.envs.swingup import RAIL, STRONGEST, Swingup, energy, moved, pay
from stitchrl.errors import UsageError

ENV = Swingup.create()
KEY = jr.key(0)
STEP = jax.jit(ENV.step)


def drifts(start, seconds=10.0):
    """How far the energy strays from where it began, over so long without a push."""

    def one(motion, _):
        motion = moved(motion, jnp.float32(0))
        return motion, energy(motion)

    return jax.lax.scan(one, start, None, int(seconds / swingup.SECONDS))[1] - energy(start)


def test_without_a_push_energy_stays():
    """Of a cart on its free rail, and of one thrown into the springs again and again."""
    free = jr.normal(jr.key(1), (20, 4)) * jnp.array([[0.1, 2.0, 0.05, 3.0]])
    assert abs(np.asarray(jax.vmap(drifts)(free))).max() < 1e-3  # of up to 5 J
    fast = jnp.array([[0.0, 1.0, 3.0, 2.0], [1.0, 3.0, -4.0, 0.0]])  # into the springs
    off, total = np.asarray(jax.vmap(drifts)(fast)), np.asarray(jax.vmap(energy)(fast))
    assert (abs(off) < 0.01 * total[:, None]).all()


def test_a_push_adds_the_work_it_does(monkeypatch):
    """Force times way; not where the pole turns a twentieth too slowly."""
    start, push = jnp.array([0.0, 2.0, 0.5, -1.0]), jnp.float32(2)

    def gained():
        after = start
        for _ in range(50):
            after = moved(after, push)
        return float(energy(after) - energy(start) - push * (after[0] - start[0]))

    assert abs(gained()) < 1e-4
    slope = swingup.slope
    monkeypatch.setattr(swingup, 'slope', lambda motion, push: slope(motion, push).at[3].multiply(0.95))
    assert abs(gained()) > 1e-2


def test_a_decision_is_what_an_exact_integrator_says():
    start, push = np.array([0.2, 2.5, -1.0, 3.0]), 3.0
    slope = lambda _, y: np.asarray(swingup.slope(jnp.float32(y), jnp.float32(push)), float)
    exact = solve_ivp(slope, (0, 0.05), start, rtol=1e-8, atol=1e-8).y[:, -1]
    after = STEP(ENV.begin(jnp.float32(start)), jnp.float32([push]), KEY)
    np.testing.assert_allclose(after.inner.motion, exact, atol=2e-4)
    beyond = STEP(ENV.begin(jnp.float32(start)), jnp.float32([10 * push]), KEY)
    most = STEP(ENV.begin(jnp.float32(start)), jnp.float32([10]), KEY)
    np.testing.assert_array_equal(beyond.obs, most.obs)


def test_the_reward_is_between_0_and_1_and_says_upright_still_and_in_the_middle():
    any_motion = jr.normal(jr.key(2), (1000, 4)) * jnp.array([[2.0, 3.0, 5.0, 10.0]])
    paid = np.asarray(jax.vmap(pay)(any_motion, jr.uniform(jr.key(3), (1000,), minval=-STRONGEST, maxval=STRONGEST)))
    assert paid.min() >= 0
    assert paid.max() <= 1
    zero = jnp.zeros(4)
    assert float(pay(zero, jnp.float32(0))) == pytest.approx(1)
    assert float(pay(zero, jnp.float32(STRONGEST))) == pytest.approx(0.8)
    assert float(pay(zero.at[1].set(jnp.pi), jnp.float32(0))) == pytest.approx(0, abs=1e-6)
    assert float(pay(zero.at[0].set(2.0), jnp.float32(0))) == pytest.approx(0.55)
    assert float(pay(zero.at[3].set(5.0), jnp.float32(0))) == pytest.approx(0.55)


def test_pushing_one_way_ends_at_the_spring_and_the_episode_at_its_limit():
    state = ENV.reset(KEY)
    for t in range(200):
        state = STEP(state, jnp.array([10.0]), KEY)
        assert abs(float(state.obs[0])) < RAIL + 0.9  # where the work of the push is all in the spring
        assert bool(state.truncated) == (t == 199)
        assert not state.terminated
    assert not ENV.success(state)


def test_begins_where_an_observation_was():
    motion = jnp.array([0.3, -2.0, 1.0, -4.0])
    again = ENV.at(ENV.begin(motion).obs)
    np.testing.assert_allclose(again.inner.motion, motion, atol=1e-6)


def test_nothing_is_found_wrong_with_it():
    assert isinstance(envs.make('cartpole/swingup'), Swingup)
    found = once(findings(ENV, Plan(episodes=2), lambda episode, step: None))
    assert [str(finding) for finding in found if finding.severity != 'ok'] == []
    with pytest.raises(UsageError, match='called swingup'):
        Swingup.create('upright')

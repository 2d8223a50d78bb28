"""SARSA by hand: its target is the recorded action's, and steps without one are left out."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from test_iql import Said, constant, twins

from stitchrl.algos.offline.sarsa import SARSA, Config, actor_loss, critic_loss, value_loss
from stitchrl.core.learner import Learner, adam
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.loops.offline import UPDATE, begin, create, many, roots

BATCH = Transition(
    obs=jnp.array([[1.0], [2.0], [3.0]]),
    action=jnp.array([[0.5], [0.0], [-0.5]]),
    reward=jnp.array([1.0, 0.0, 2.0]),
    next_obs=jnp.array([[2.0], [3.0], [4.0]]),
    mask=jnp.array([1.0, 1.0, 0.0]),
    discount=jnp.array([0.5, 0.5, 0.0]),
    next_action=jnp.array([[0.1], [0.2], [0.3]]),
)


def test_losses_by_hand():
    """V = s/2 against q = 1.5, 0, 1: u = 1, -1, -.5. Q = 0, 0, 2 in both critics against y = 1, 1, 2."""
    loss, _ = value_loss(lambda obs: obs[:, 0] / 2, BATCH, jnp.array([1.5, 0.0, 1.0]))
    assert loss == pytest.approx((1 + 1 + 0.25) / 3)
    q = lambda obs, action: jnp.array([[0.0, 0, 2], [0, 0, 2]])
    assert critic_loss(q, BATCH, jnp.array([1.0, 1.0, 2.0]))[0] == pytest.approx(2 * 2 / 3)
    weight = np.minimum(np.exp(3 * np.array([0.0, -1.0, 9.0])), 100)
    loss, _ = actor_loss(lambda obs: Said(jnp.array([-1.0, -2.0, 3.0])), BATCH, jnp.array([0.0, -1.0, 9.0]), Config())
    assert loss == pytest.approx(-(weight * [-1, -2, 3]).mean())


def test_the_target_asks_the_copy_about_the_recorded_next_action(monkeypatch):
    """And about nothing else: its answers to (s', a') and (s, a) are told apart by the action."""
    asked = []

    def target(obs, action):
        asked.append((obs, action))
        return jnp.stack([action[:, 0] * 10, action[:, 0] * 10 + 1])

    still = Learner.create(twins(0.0, 0.0), adam(1e-3))
    agent = SARSA(
        actor=Learner(lambda obs: Said(jnp.zeros(3)), (), None),
        critic=still,
        value=Learner(constant(0.0), (), None),
        target=target,
        cfg=Config(),
    )
    seen = []
    monkeypatch.setattr('stitchrl.algos.offline.sarsa.critic_loss', lambda net, batch, y: seen.append(y) or (0.0, {}))
    monkeypatch.setattr('stitchrl.algos.offline.sarsa.polyak', lambda net, target, rate: target)
    monkeypatch.setattr(
        'stitchrl.core.learner.Learner.step', lambda self, loss, *args: (self, loss(self.net, *args)[1])
    )
    agent.update(BATCH, jr.key(0), jnp.int32(0))
    np.testing.assert_allclose(seen[0], [1 + 0.5 * 1, 0 + 0.5 * 2, 2], rtol=1e-6)  # the smaller of the two
    for obs, action in asked:
        assert any(
            obs is o and action is a for o, a in [(BATCH.obs, BATCH.action), (BATCH.next_obs, BATCH.next_action)]
        )


def dataset(terminal, timeout):
    n = len(terminal)
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(n, 2))
    last = (np.array(terminal) + np.array(timeout) > 0)[:, None]
    after = np.where(last, rng.normal(size=(n, 2)), np.roll(obs, -1, 0))
    return Dataset.from_arrays(obs, rng.uniform(-1, 1, (n, 1)), np.ones(n), terminal, timeout, after)


def test_steps_without_a_next_action_are_left_out():
    """Of three episodes of two steps, the second is cut: its last step has a successor but no action there."""
    data = dataset([0, 1, 0, 0, 0, 1], [0, 0, 0, 1, 0, 0])
    chosen = SARSA.select(data, Config())
    np.testing.assert_array_equal(data.starts, [0, 1, 3, 4, 6, 7])
    np.testing.assert_array_equal(chosen.starts, [0, 1, 3, 6, 7])
    assert chosen.obs is data.obs


def test_a_recording_cut_after_every_step_is_refused():
    with pytest.raises(UsageError, match='cut after one'):
        SARSA.select(dataset([0, 0], [1, 1]), Config())


def test_q_is_the_behaviours_and_not_the_best():
    """One state, actions 0 and 1 alike often, rewards 0 and 1, one more step of the same: V = 1/2 + 1/2 gamma."""
    rng = np.random.default_rng(0)
    action = rng.integers(0, 2, 400).astype(np.int32)
    obs = np.tile([[0.0], [1.0]], (200, 1)).astype(np.float32)
    data = Dataset.from_arrays(obs, action, action.astype(np.float32), np.tile([0, 1], 200))
    cfg = Config(hidden=(16,), lr=1e-2, batch=64, gamma=0.5, rate=0.1, steps=400)
    data = jax.device_put(data)
    state, _ = many(begin(create(SARSA, data.spec, cfg, 0, 1), data), data, roots(0, 1, UPDATE), jnp.int32(0), 400)
    agent = jax.tree.map(lambda x: x[0], state.agents)
    first = agent.value.net(jnp.array([[0.0], [1.0]]))
    assert first == pytest.approx([0.75, 0.5], abs=0.06)  # the best policy's are 1.5 and 1

"""Discrete CQL by hand: the target, the soft maximum, its slope, and when the slow copy moves."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.algos.offline.discrete_cql import Config, DiscreteCQL, critic_loss
from stitchrl.core.learner import Learner, adam
from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.core.types import Transition
from stitchrl.errors import UsageError

BUTTONS = Spec(Observation((1,)), Discrete(2))


class Table(eqx.Module):
    """Q(s, a) = q[s, a] for observations that are the number of the state."""

    q: jax.Array

    def all(self, obs):
        return self.q[obs[:, 0].astype(jnp.int32)]


def table(*rows):
    return Table(jnp.array(rows, jnp.float32))


BATCH = Transition(
    obs=jnp.array([[0.0], [1.0]]),
    action=jnp.array([0, 1]),
    reward=jnp.array([1.0, 2.0]),
    next_obs=jnp.array([[1.0], [0.0]]),
    mask=jnp.array([1.0, 0.0]),
    discount=jnp.array([0.5, 0.0]),
    next_action=jnp.zeros(2, jnp.int32),
)


def test_the_target_is_that_of_double_dqn():
    """At state 1 Q prefers action 1, which Q' values 10: y = 1 + .5 10 and 2, off Q(s, a) = 0 and 4 by 6 and -2."""
    nets = Learner.create(table([0, 0], [3, 4]), adam(0.1)), table([7, 7], [20, 10])
    info = DiscreteCQL(*nets, Config()).update(BATCH, jr.key(0), jnp.int32(0))[1]
    assert info['critic/error'] == pytest.approx(20)


def test_loss_by_hand():
    """Q = 1, 3 and 2, 2; y = 2, 2. Errors 1 and 0; soft maxima log(e + e^3) - 1 and log 2 + 2 - 2."""
    q, y = table([1, 3], [2, 2]), jnp.array([2.0, 2.0])
    loss, info = critic_loss(q, BATCH, y, 0.5, 1.0)
    gap = (np.log(np.e + np.e**3) - 1 + np.log(2)) / 2
    assert info['critic/error'] == pytest.approx(0.5)
    assert info['critic/gap'] == pytest.approx(gap)
    assert loss == pytest.approx(0.5 + 0.5 * gap)
    cold = critic_loss(q, BATCH, y, 1.0, 0.01)[1]['critic/gap']  # T -> 0: the maximum
    assert cold == pytest.approx((3 - 1 + 0) / 2, abs=0.01)


def test_the_conservative_slope_is_softmax_less_onehot():
    """It sums to zero in every state, and lifts the data's action."""
    q, y = table([1, 3], [2, 2]), jnp.array([1.0, 2.0])  # y = Q: no slope from the error
    slope = jax.grad(lambda q: critic_loss(q, BATCH, y, 0.5, 1.0)[0])(q).q
    expected = 0.5 * (jax.nn.softmax(q.q) - jnp.eye(2)) / 2
    np.testing.assert_allclose(slope, expected, atol=1e-6)
    np.testing.assert_allclose(slope.sum(1), 0, atol=1e-6)
    assert (jnp.diag(slope) < 0).all()


def test_the_copy_moves_every_period_only():
    agent = DiscreteCQL.create(BUTTONS, Config(hidden=(4,), period=3), jr.key(0))
    update = jax.jit(DiscreteCQL.update)
    for t in range(6):
        before = agent
        agent, _ = update(agent, BATCH, jr.key(t), jnp.int32(t))
        moved = not eqx.tree_equal(agent.target, before.target)
        assert moved == (t in (2, 5))
    assert eqx.tree_equal(agent.target, agent.critic.net)


def test_q_is_told_of_the_data_of_the_policy_and_of_the_others():
    """States 0 and 1 with actions 0 and 1: the others there are worth 3 and 5."""
    agent = DiscreteCQL.create(BUTTONS, Config(hidden=(4,)), jr.key(0))
    info = eqx.tree_at(lambda a: a.critic.net, agent, table([1, 3], [5, 2])).inspect(BATCH, jr.key(0))
    assert info == {'q/data': 1.5, 'q/policy': 4, 'q/gap': 2.5, 'q/others': 4}


def test_exploring_is_random_in_a_share_of_the_steps():
    agent = DiscreteCQL.create(BUTTONS, Config(hidden=(4,), epsilon=0.4), jr.key(0))
    agent = eqx.tree_at(lambda a: a.critic.net, agent, table([1, 0]))
    obs = jnp.zeros((4000, 1))
    act = jax.jit(partial(agent.act, ()))
    assert (act(obs, jr.key(0))[0] == 0).all()
    assert act(obs, jr.key(0), jnp.int32(0))[0].mean() == pytest.approx(0.2, abs=0.03)


def test_continuous_actions_are_refused():
    arm = Spec(Observation((3,)), Continuous(2, (-1.0,) * 2, (1.0,) * 2))
    with pytest.raises(UsageError, match=r'discrete actions.*cql takes those'):
        DiscreteCQL.create(arm, Config(), jr.key(0))

"""DQN by hand: the target, both losses, epsilon's clock, and when the slow copy moves."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from stitchrl.algos.online.dqn import DQN, Config, critic_loss, epsilon
from stitchrl.core.learner import Learner, adam
from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.maths.dists import take

BUTTONS = Spec(Observation((1,)), Discrete(2))


class Table(eqx.Module):
    """Q(s, a) = q[s, a] for observations that are the number of the state."""

    q: jax.Array

    def all(self, obs):
        return self.q[obs[:, 0].astype(jnp.int32)]

    def __call__(self, obs, action):
        return take(self.all(obs), action)


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


def agent(q, target, tx=None, **settings):
    """An agent with these two tables; plain descent unless told otherwise."""
    return DQN(Learner.create(q, tx or optax.sgd(0.5)), target, Config(**settings))


def update(agent, t=0):
    return agent.update(BATCH, jr.key(0), jnp.int32(t))


def test_target_by_hand():
    """The best of Q' at state 1 is 20, whatever Q prefers: 1 + .5 20; the second step ended the task."""
    y = agent(table([0, 0], [3, 4]), table([7, 7], [20, 10])).q_target(BATCH)
    np.testing.assert_allclose(y, [11, 2])


def test_losses_by_hand():
    """Q(s, a) = 1 and 2, y = 4 and 2.5: errors 3 and .5. Squares 9 and .25; Huber 2.5 and .125."""
    q, y = table([1, 9], [9, 2]), jnp.array([4.0, 2.5])
    loss, info = critic_loss(q, BATCH, y, 'squared')
    assert loss == info['critic/loss'] == pytest.approx((9 + 0.25) / 2)
    assert info['critic/target'] == pytest.approx(3.25)
    assert critic_loss(q, BATCH, y, 'huber')[0] == pytest.approx((2.5 + 0.125) / 2)


def test_one_step_of_plain_descent_by_hand():
    """y = 1 + .5 x 4 = 3 and 2; the slopes of the two that were taken are Q - y = -2 and 1, half of that a step."""
    after, _ = update(agent(table([1, 0], [5, 3]), table([0, 0], [4, 2])))
    np.testing.assert_allclose(after.critic.net.q, [[2, 0], [5, 2.5]])


def test_huber_limits_the_step():
    """The same slopes cut to -1 and 1, halved by the mean, times .5."""
    after, _ = update(agent(table([1, 0], [5, 3]), table([0, 0], [4, 2]), loss='huber'))
    np.testing.assert_allclose(after.critic.net.q, [[1.25, 0], [5, 2.75]])


def test_the_copy_becomes_the_network_every_period():
    now, moved = agent(table([1, 0], [5, 3]), table([0, 0], [4, 2]), period=3), []
    for t in range(6):
        after, _ = update(now, t)
        moved.append(bool((after.target.q != now.target.q).any()))
        now = after
        if moved[-1]:
            np.testing.assert_array_equal(now.target.q, now.critic.net.q)
    assert moved == [False, False, True] * 2


def test_the_copy_follows_softly():
    """A quarter of the way from 0, 0, 4, 2 to what the step of plain descent above arrives at."""
    after, _ = update(agent(table([1, 0], [5, 3]), table([0, 0], [4, 2]), rate=0.25))
    np.testing.assert_allclose(after.target.q, [[0.5, 0], [4.25, 2.125]])


@pytest.mark.parametrize(('t', 'share'), [(0, 1), (100, 0.55), (199, 0.1045), (200, 0.1), (1000, 0.1), (10**6, 0.1)])
def test_epsilon_by_hand(t, share):
    """From 1 to .1 over a fifth of 1000 environment steps."""
    assert epsilon(jnp.int32(t), Config(steps=1000, explore=0.2, final_epsilon=0.1)) == pytest.approx(share)


def test_it_explores_less_as_environment_steps_go_by():
    """Action 1 is never the best: it is taken in half of the random steps. The clock is the one given to `act`."""
    made = agent(table([1, 0]), table([1, 0]), steps=1000, explore=0.2, final_epsilon=0.1)
    act, obs = jax.jit(partial(made.act, ())), jnp.zeros((4000, 1))
    assert (act(obs, jr.key(0))[0] == 0).all()
    for t, share in ((0, 0.5), (100, 0.275), (500, 0.05)):
        action = act(obs, jr.key(1), jnp.int32(t))[0]
        assert action.dtype == jnp.int32
        assert action.mean() == pytest.approx(share, abs=0.02)


def test_the_optimiser_is_the_one_that_was_asked_for():
    made = DQN.create(BUTTONS, Config(hidden=(4,), lr=0.1, decay=True, steps=50, clip=10.0), jr.key(0))
    assert made.critic.tx is adam(0.1, 50, 10.0)
    assert eqx.tree_equal(made.target, made.critic.net)


def test_what_it_reports():
    """Taken 1 and 3, best 2 and 5."""
    info = agent(table([1, 2], [5, 3]), table([0, 0], [0, 0])).inspect(BATCH, jr.key(0))
    assert [float(info[f'q/{name}']) for name in ('data', 'policy', 'gap')] == [2, 3.5, 1.5]


def test_it_draws_the_steps_and_the_discount_it_was_told():
    data = Dataset.from_arrays(np.arange(8.0)[:, None], np.zeros(8, int), np.ones(8), np.arange(8) == 7)
    ours = agent(table([0, 0]), table([0, 0]), n_steps=3, gamma=0.9, batch=16).draw(data, jr.key(0))
    jax.tree.map(np.testing.assert_array_equal, ours, data.sample(jr.key(0), 16, 3, 0.9))


def test_continuous_actions_are_refused():
    arm = Spec(Observation((3,)), Continuous(2, (-1.0,) * 2, (1.0,) * 2))
    with pytest.raises(UsageError, match=r'discrete actions.*td3 and sac take those'):
        DQN.create(arm, Config(), jr.key(0))

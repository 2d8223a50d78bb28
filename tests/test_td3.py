"""TD3: every equation by hand on three rows with networks of one weight, and what moves when."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from test_td3_bc import BATCH, Q, policy, twins, weights

from stitchrl.algos.online.td3 import TD3, Config, actor_loss, critic_loss
from stitchrl.core.learner import Learner
from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError


def agent(**settings):
    """pi = s/2, Q = (-0.05 a, 0), targets pi' = s/2, Q' = (a, -a); plain descent with a rate of 0.3."""
    cfg = Config(**{'gamma': 0.5, 'noise': 0.0, 'rate': 0.5, **settings})
    learner = lambda net: Learner.create(net, optax.sgd(0.3))
    return TD3(learner(policy(0.5)), learner(twins(-0.05, 0)), policy(0.5), twins(1, -1), cfg)


def test_critic_loss_by_hand():
    """Q1 = 2 a = 1, -1, 2 and Q2 = 0 are off by 0.5, -0.75, 0 and -0.5, 0.25, -2 from y."""
    loss, info = critic_loss(twins(2, 0), BATCH, jnp.array([0.5, -0.25, 2]))
    assert loss == info['critic/loss'] == pytest.approx(0.8125 / 3 + 4.3125 / 3)


def test_actor_loss_by_hand():
    """Q = 2 pi = 1, 2, -1 has mean 2/3; its slope in the weight is the mean of 2 s, 4/3. No imitation, no scale."""
    grad, info = jax.grad(actor_loss, has_aux=True)(policy(0.5), BATCH, Q(jnp.float32(2)))
    assert info['actor/loss'] == pytest.approx(-2 / 3)
    assert grad.w == pytest.approx(-4 / 3)


def test_on_even_updates_only_the_critics_move():
    """As in TD3+BC: y = 0.5, -0.25, 2, so the slopes are -2.45 x 2/3 and -2.375 x 2/3."""
    after, info = agent().update(BATCH, jr.key(0), jnp.int32(0))
    actor, actor_target, critic, critic_target = weights(after)
    assert (actor, actor_target, critic_target) == (0.5, 0.5, [1, -1])
    np.testing.assert_allclose(critic, [0.44, 0.475], rtol=1e-4)
    assert info['actor/ran'] == 0


def test_on_odd_updates_policy_and_both_targets_move_too():
    """The policy climbs the new Q1 = 0.44 a: its slope is 0.44 x mean s = 0.44 x 2/3, times 0.3 from 0.5. Targets go
    half of the way."""
    after, info = agent().update(BATCH, jr.key(0), jnp.int32(1))
    actor, actor_target, critic, critic_target = weights(after)
    np.testing.assert_allclose(actor, 0.588, rtol=1e-4)
    np.testing.assert_allclose(actor_target, 0.544, rtol=1e-4)
    np.testing.assert_allclose([critic, critic_target], [[0.44, 0.475], [0.72, -0.2625]], rtol=1e-4)
    assert info['actor/loss'] == pytest.approx(-0.44 / 3, rel=1e-4)  # E Q1 at pi = s/2: 0.44 x mean s / 2


def test_who_moves_over_six_updates():
    now, moved = agent(delay=3), []
    for t in range(6):
        after, _ = now.update(BATCH, jr.key(t), jnp.int32(t))
        moved.append([a != b for a, b in zip(weights(now), weights(after), strict=True)])
        now = after
    critic_only = [False, False, True, False]
    assert moved == [critic_only, critic_only, [True] * 4] * 2


def test_smoothing_follows_the_key_and_its_bound():
    losses = lambda **settings: [
        float(agent(**settings).update(BATCH, jr.key(k), jnp.int32(0))[1]['critic/loss']) for k in range(2)
    ]
    quiet = losses()
    assert quiet[0] == quiet[1]
    loud = losses(noise=0.2)
    assert loud[0] != loud[1]
    assert losses(noise=0.2, noise_clip=0.0) == quiet


def test_acting():
    """Greedy 0.25; exploring with a deviation of 0.3, inside the space."""
    acting, obs = agent(exploration_noise=0.3, noise=5.0), jnp.full((4000, 1), 0.5)
    assert (acting.act((), obs, jr.key(0))[0] == 0.25).all()
    explored = np.asarray(acting.act((), obs, jr.key(0), jnp.int32(0))[0])
    assert explored.mean() == pytest.approx(0.25, abs=0.02)
    assert explored.std() == pytest.approx(0.3, abs=0.02)
    assert np.abs(acting.act((), 4 * obs, jr.key(0), jnp.int32(0))[0]).max() == 1


def test_what_it_reports():
    """The smaller of -0.1 a and 0: -0.05, 0, -0.1 on the data's actions; on pi = s -0.1, -0.2, 0."""
    now = agent()
    now = replace(now, critic=replace(now.critic, net=twins(-0.1, 0)), actor=replace(now.actor, net=policy(1)))
    info = now.inspect(BATCH, jr.key(0))
    assert [float(info[f'q/{name}']) for name in ('data', 'policy', 'gap')] == pytest.approx([-0.05, -0.1, -0.05])


def test_it_draws_the_steps_and_the_discount_it_was_told():
    data = Dataset.from_arrays(np.arange(8.0)[:, None], np.zeros((8, 1)), np.ones(8), np.arange(8) == 7)
    ours = agent(n_steps=3, gamma=0.9, batch=16).draw(data, jr.key(0))
    jax.tree.map(np.testing.assert_array_equal, ours, data.sample(jr.key(0), 16, 3, 0.9))


def test_targets_begin_as_copies():
    made = TD3.create(Spec(Observation((2,)), Continuous(1, (-1.0,), (1.0,))), Config(hidden=()), jr.key(0))
    for net, target in ((made.actor.net, made.actor_target), (made.critic.net, made.critic_target)):
        jax.tree.map(np.testing.assert_array_equal, net, target)


def test_discrete_actions_are_refused():
    with pytest.raises(UsageError, match=r'td3 needs continuous actions.*double_dqn take those'):
        TD3.create(Spec(Observation((1,)), Discrete(2)), Config(), jr.key(0))

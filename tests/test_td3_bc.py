"""TD3+BC: every equation by hand on three rows with networks of one weight, and what moves when."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from stitchrl.algos.offline.td3_bc import TD3BC, Config, actor_loss, critic_loss
from stitchrl.core.learner import Learner, adam
from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.nets.dense import Ensemble


class Policy(eqx.Module):
    """pi(s) = w s."""

    w: jax.Array

    def __call__(self, obs):
        return self.w * obs


class Q(eqx.Module):
    """Q(s, a) = w a."""

    w: jax.Array

    def __call__(self, obs, action):
        return self.w * action[..., 0]


def policy(w):
    return Policy(jnp.float32(w))


def twins(first, second):
    net = Ensemble(lambda key: Q(jr.normal(key)), 2, key=jr.key(0))
    return eqx.tree_at(lambda net: net.members.w, net, jnp.array([first, second], jnp.float32))


def column(*values):
    return jnp.array(values, jnp.float32)[:, None]


BATCH = Transition(
    obs=column(1, 2, -1),
    action=column(0.5, -0.5, 1),
    reward=jnp.array([1.0, 0.0, 2.0]),
    next_obs=column(2, -1, 1),
    mask=jnp.array([1.0, 1.0, 0.0]),
    discount=jnp.array([0.5, 0.5, 0.0]),
    next_action=column(0, 0, 0),
)


def test_critic_loss_by_hand():
    """Q1 = 2 a = 1, -1, 2 and Q2 = 0 are off by 0.5, -0.75, 0 and -0.5, 0.25, -2 from y."""
    loss, info = critic_loss(twins(2, 0), BATCH, jnp.array([0.5, -0.25, 2]))
    assert loss == pytest.approx(0.8125 / 3 + 4.3125 / 3)
    assert info['critic/loss'] == loss


def test_actor_loss_by_hand():
    """pi = s/2 = 0.5, 1, -0.5 is off by 0, 1.5, -1.5: distance 1.5. Q = 2 pi = 1, 2, -1: mean 2/3, mean
    size 4/3, so lambda = 2.5 / (4/3) = 1.875 and the loss is 1.5 - 1.875 x 2/3."""
    loss, info = actor_loss(policy(0.5), BATCH, Q(jnp.float32(2)), 2.5)
    assert loss == pytest.approx(0.25)
    assert info['actor/distance'] == pytest.approx(1.5)


def test_lambda_is_a_constant_to_the_gradient():
    """Distance: mean 2 (pi - a) s = 2 (0 + 3 + 1.5) / 3 = 3. Q: mean 2 s = 4/3, times 1.875 = 2.5. Together
    0.5; were lambda differentiated too, Q's part would vanish and 3 remain."""
    slope = jax.grad(actor_loss, has_aux=True)(policy(0.5), BATCH, Q(jnp.float32(2)), 2.5)[0]
    assert slope.w == pytest.approx(0.5, abs=1e-5)


def test_the_sign_of_q_only_matters_as_a_direction():
    """lambda undoes the scale of Q: ten times the values is the same loss."""
    same = [float(actor_loss(policy(0.5), BATCH, Q(jnp.float32(w)), 2.5)[0]) for w in (2, 20)]
    assert same[0] == pytest.approx(same[1])
    assert actor_loss(policy(0.5), BATCH, Q(jnp.float32(-2)), 2.5)[0] == pytest.approx(1.5 + 1.25)


def agent(**cfg):
    """pi = s/2, Q = (-0.05 a, 0), targets pi' = s/2, Q' = (a, -a); a rate of 0.1 moves each weight by 0.1."""
    cfg = Config(gamma=0.5, noise=0.0, rate=0.5, **cfg)
    learner = lambda net: Learner.create(net, adam(0.1))
    return TD3BC(learner(policy(0.5)), learner(twins(-0.05, 0)), policy(0.5), twins(1, -1), cfg)


def weights(agent):
    nets = (
        agent.actor.net.w,
        agent.actor_target.w,
        agent.critic.net.members.w,
        agent.critic_target.members.w,
    )
    return [np.asarray(w).tolist() for w in nets]


def test_on_even_updates_only_the_critics_move():
    """Both slopes are negative (y leans the way of a), so both critics rise by the rate 0.1."""
    after, info = agent().update(BATCH, jr.key(0), jnp.int32(0))
    actor, actor_target, critic, critic_target = weights(after)
    assert (actor, actor_target, critic_target) == (0.5, 0.5, [1, -1])
    np.testing.assert_allclose(critic, [0.05, 0.1], rtol=1e-4)
    assert info['actor/ran'] == 0


def test_on_odd_updates_policy_and_both_targets_move_too():
    """The policy sees the new Q1 = 0.05 a (loss 0.25; with the old, -0.05 a, it would be 2.75), falls by 0.1;
    targets go half of the way: 0.5 to 0.4 is 0.45, 1 to 0.05 is 0.525, -1 to 0.1 is -0.45."""
    after, info = agent().update(BATCH, jr.key(0), jnp.int32(1))
    actor, actor_target, critic, critic_target = weights(after)
    assert info['actor/loss'] == pytest.approx(0.25, abs=1e-4)
    np.testing.assert_allclose([actor, actor_target], [0.4, 0.45], rtol=1e-4)
    np.testing.assert_allclose([critic, critic_target], [[0.05, 0.1], [0.525, -0.45]], rtol=1e-4)


def test_the_policy_follows_the_first_critic():
    """Both critics rise by 0.1: Q1 to -0.4 a, which gives the loss 1.5 + 1.25, Q2 to 0.1 a, which would give 0.25."""
    apart = replace(agent(), critic=Learner.create(twins(-0.5, 0), adam(0.1)))
    info = apart.update(BATCH, jr.key(0), jnp.int32(1))[1]
    assert info['actor/loss'] == pytest.approx(2.75, rel=1e-4)


def test_one_step_of_plain_descent_by_hand():
    """The slopes themselves, with a rate of 0.3; y = 0.5, -0.25, 2 is a constant.

    Q1 is off by -0.525, 0.275, -2.05: its slope is 2 mean(off a) = -2.45 x 2/3, so -0.05 becomes 0.44. Q2 is off by
    -0.5, 0.25, -2: -2.375 x 2/3, so 0 becomes 0.475. The policy's slope is 0.5, as above: 0.5 becomes 0.35.
    """
    plain = lambda net: Learner.create(net, optax.sgd(0.3))
    start = replace(agent(), actor=plain(policy(0.5)), critic=plain(twins(-0.05, 0)))
    actor, actor_target, critic, critic_target = weights(start.update(BATCH, jr.key(0), jnp.int32(1))[0])
    np.testing.assert_allclose(critic, [0.44, 0.475], rtol=1e-4)
    np.testing.assert_allclose([actor, actor_target], [0.35, 0.425], rtol=1e-4)
    np.testing.assert_allclose(critic_target, [0.72, -0.2625], rtol=1e-4)


def test_who_moves_over_six_updates():
    now, moved = agent(delay=3), []
    for t in range(6):
        after, _ = now.update(BATCH, jr.key(t), jnp.int32(t))
        moved.append([a != b for a, b in zip(weights(now), weights(after), strict=True)])
        now = after
    critic_only = [False, False, True, False]
    assert moved == [critic_only, critic_only, [True] * 4] * 2


def test_noise_follows_the_key_and_stays_off_when_zero():
    quiet = [agent().update(BATCH, jr.key(k), jnp.int32(0))[1]['critic/loss'] for k in range(2)]
    assert quiet[0] == quiet[1]
    loud = replace(agent(), cfg=replace(agent().cfg, noise=0.2))
    losses = [loud.update(BATCH, jr.key(k), jnp.int32(0))[1]['critic/loss'] for k in range(2)]
    assert losses[0] != losses[1]


def test_acting():
    acting = replace(agent(), cfg=replace(agent().cfg, noise=0.2))
    obs = jnp.tile(column(0.5), (4000, 1))
    greedy = acting.act((), obs, jr.key(0))[0]
    assert (greedy == 0.25).all()
    explored = np.asarray(acting.act((), obs, jr.key(0), jnp.int32(0))[0])
    assert explored.mean() == pytest.approx(0.25, abs=0.01)
    assert explored.std() == pytest.approx(0.1, abs=0.01)
    assert np.abs(acting.act((), 4 * obs, jr.key(0), jnp.int32(0))[0]).max() <= 1


def test_what_it_reports():
    """The smaller of -0.1 a and 0: -0.05, 0, -0.1 on the data's actions; on pi = s -0.1, -0.2, 0."""
    learner = replace(agent().critic, net=twins(-0.1, 0))
    steep = replace(agent().actor, net=policy(1))
    info = replace(agent(), critic=learner, actor=steep).inspect(BATCH, jr.key(0))
    assert info['q/data'] == pytest.approx(-0.05)
    assert info['q/policy'] == pytest.approx(-0.1)
    assert info['q/gap'] == pytest.approx(-0.05)


def test_it_draws_the_steps_and_the_discount_it_was_told():
    data = Dataset.from_arrays(np.arange(8.0)[:, None], np.zeros((8, 1)), np.ones(8), np.arange(8) == 7)
    ours = replace(agent(), cfg=replace(agent().cfg, n_steps=3, gamma=0.9, batch=16)).draw(data, jr.key(0))
    jax.tree.map(np.testing.assert_array_equal, ours, data.sample(jr.key(0), 16, 3, 0.9))


def test_discrete_actions_are_refused():
    spec = Spec(Observation((1,)), Discrete(2))
    with pytest.raises(UsageError, match=r'needs continuous actions.*iql take both'):
        TD3BC.create(spec, Config(), jr.key(0))


def test_targets_begin_as_copies_in_buffers_of_their_own():
    """Also when made outside a compiled program; else the loop could not take the agent's buffers."""
    spec = Spec(Observation((2,)), Continuous(1, (-1.0,), (1.0,)))
    made = TD3BC.create(spec, Config(hidden=()), jr.key(0))
    leaves = jax.tree.leaves(made)
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)
    pairs = (made.actor.net, made.actor_target), (made.critic.net, made.critic_target)
    for net, target in pairs:
        jax.tree.map(np.testing.assert_array_equal, net, target)

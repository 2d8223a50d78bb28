"""SAC by hand: each backup, both halves of the policy's loss, who sees what when, and every switch."""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
import scipy.integrate
import scipy.stats

from stitchrl.algos.online.sac import SAC, Config, actor_loss, critic_loss, entropy, q_target
from stitchrl.core.learner import Learner
from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.maths.dists import Squashed
from stitchrl.nets.heads import Positive

ARM = Spec(Observation((1,)), Continuous(2, (-1.0,) * 2, (1.0,) * 2))
BATCH = Transition(
    obs=jnp.array([[1.0], [2.0], [3.0]]),
    action=jnp.array([[0.5, 0.0], [0.0, 0.1], [-0.5, 0.2]]),
    reward=jnp.array([1.0, 0.0, 2.0]),
    next_obs=jnp.array([[2.0], [3.0], [4.0]]),
    mask=jnp.array([1.0, 1.0, 0.0]),
    discount=jnp.array([0.5, 0.5, 0.0]),
    next_action=jnp.zeros((3, 2)),
)


class Known(eqx.Module):
    """Q_i(s, a) = scale_i (s + a_0): what was asked can be read from the answer."""

    scale: jax.Array  # [K]

    def __call__(self, obs, action):
        return self.scale.reshape(-1, *[1] * (obs.ndim - 1)) * (obs[..., 0] + action[..., 0])[None]


class Plays(eqx.Module):
    """A squashed normal around tanh(s / 10) in every dimension."""

    std: jax.Array

    def __call__(self, obs):
        mean = jnp.broadcast_to(obs / 10, (*obs.shape[:-1], 2))
        return Squashed(mean, jnp.broadcast_to(self.std, mean.shape))


Q, PI, KEY = Known(jnp.array([1.0, 2.0])), Plays(jnp.float32(0.3)), jr.key(3)


def agent(**settings):
    """An agent of the two networks above, Q' being Q + 1; plain descent with a rate of 0.1."""
    cfg = Config(**settings)
    learner = lambda net: Learner.create(net, optax.sgd(0.1))
    heat = learner(Positive.create()) if cfg.temperature is None else None
    return SAC(learner(PI), learner(Q), heat, Known(Q.scale + 1), cfg)


def samples(obs, key=KEY):
    """(first coordinate of the action, log pi of another sample) as the algorithm draws them from a key."""
    k_action, k_entropy = jr.split(key)
    dist = PI(obs)
    return dist.sample(k_action)[:, 0], dist.sample_and_log_prob(k_entropy)[1]


@pytest.mark.parametrize(
    ('backup', 'scales'), [('own', (1, 2)), ('mean', (1.5, 1.5)), ('min', (1, 1)), ('doubleq', (2, 1))]
)
def test_target_by_hand(backup, scales):
    """Q' at s' = 2, 3, 4 is scale (s' + a'); the third step ended the task, for its entropy too."""
    action, log_prob = samples(BATCH.next_obs)
    after = np.array([2.0, 3, 4]) + action
    hard = q_target(Q, PI(BATCH.next_obs), BATCH, 0.2, KEY, Config(backup=backup, entropy_backup=False))
    expected = [[1 + 0.5 * c * after[0], 0.5 * c * after[1], 2] for c in scales]
    np.testing.assert_allclose(hard, expected, rtol=1e-5)
    soft = q_target(Q, PI(BATCH.next_obs), BATCH, 0.2, KEY, Config(backup=backup))
    np.testing.assert_allclose(soft - hard, np.stack([-0.2 * BATCH.discount * log_prob] * 2), rtol=1e-3, atol=1e-6)


def test_the_entropy_is_that_of_a_sample_of_its_own():
    """- log pi of a' itself, or of b, would be another number."""
    k_action, _ = jr.split(KEY)
    same = PI(BATCH.next_obs).sample_and_log_prob(k_action)[1]
    assert np.abs(samples(BATCH.next_obs)[1] - same).min() > 1e-3


def test_critic_loss_by_hand():
    """Q = 1.5, 2, 2.5 and its double against y = 1, 2, 3 and 3, 3, 5: errors -.5, 0, .5 and 0, -1, 0."""
    loss, info = critic_loss(Q, BATCH, jnp.array([[1.0, 2, 3], [3, 3, 5]]))
    assert loss == info['critic/loss'] == pytest.approx(1.5 / 6)
    assert info['critic/target'] == pytest.approx(17 / 6)


def test_one_step_of_plain_descent_by_hand():
    """d / d scale_i = mean over 2 critics and 3 rows of 2 (Q_i - y_i) (s + a), times 0.1; y is a constant."""
    made = agent(backup='own', entropy_backup=False, temperature=0.0)
    action, _ = samples(BATCH.next_obs, jr.split(jr.split(KEY)[0], 1)[0])
    after, known = np.array([2.0, 3, 4]) + np.asarray(action), np.array([1.5, 2, 2.5])
    y = np.array([1.0, 0, 2]) + np.array([[2], [3]]) * np.array([0.5, 0.5, 0]) * after
    slope = (2 * (np.array([[1], [2]]) * known - y) * known).sum(1) / 6
    moved = made.update(BATCH, KEY, jnp.int32(0))[0].critic.net.scale
    np.testing.assert_allclose(moved, Q.scale - 0.1 * slope, rtol=1e-4)


@pytest.mark.parametrize(('actor_q', 'scale'), [('mean', 1.5), ('min', 1)])
def test_actor_loss_by_hand(actor_q, scale):
    k_action, k_entropy = jr.split(KEY)
    action, log_prob = PI(BATCH.obs).sample(k_action)[:, 0], PI(BATCH.obs).sample_and_log_prob(k_entropy)[1]
    q = float(scale * (np.array([1.0, 2, 3]) + action).mean())
    hard, info = actor_loss(PI, BATCH.obs, Q, 0.2, KEY, Config(actor_q=actor_q, entropy_actor=False))
    assert hard == pytest.approx(-q, rel=1e-5)
    assert info['actor/entropy'] == pytest.approx(-float(log_prob.mean()), rel=1e-5)
    soft, _ = actor_loss(PI, BATCH.obs, Q, 0.2, KEY, Config(actor_q=actor_q))
    assert soft == pytest.approx(-q + 0.2 * float(log_prob.mean()), rel=1e-5)


def test_reinforce_by_hand():
    """The loss is - E log pi(b | s) Q(s, b); its slope leads through log pi alone."""
    cfg = Config(actor_gradient='reinforce', actor_samples=4, actor_q='mean', entropy_actor=False)
    action, log_prob = PI(BATCH.obs).scored_samples(jr.split(KEY)[0], 4)
    q = 1.5 * (BATCH.obs[None, :, 0] + action[..., 0])
    loss, slope = jax.value_and_grad(lambda pi: actor_loss(pi, BATCH.obs, Q, 0.2, KEY, cfg)[0])(PI)
    assert loss == pytest.approx(-float((log_prob * q).mean()), rel=1e-5)
    pre = (jnp.arctanh(action) - BATCH.obs[None] / 10) / 0.3  # the noise; d log pi / d std = sum (noise^2 - 1) / std
    assert slope.std == pytest.approx(-float(((pre**2 - 1).sum(-1) / 0.3 * q).mean()), rel=1e-3)


def test_a_baseline_of_the_other_samples_by_hand():
    """Two samples: each Q is judged by the other's."""
    cfg = Config(actor_gradient='reinforce', actor_samples=2, actor_baseline=True, entropy_actor=False)
    action, log_prob = PI(BATCH.obs).scored_samples(jr.split(KEY)[0], 2)
    q = 1.0 * (BATCH.obs[None, :, 0] + action[..., 0])
    loss = actor_loss(PI, BATCH.obs, Q, 0.2, KEY, cfg)[0]
    assert loss == pytest.approx(-float((log_prob * (q - q[::-1])).mean()), rel=1e-4)
    with pytest.raises(UsageError, match='actor_samples must be 2'):
        SAC.create(Spec(Observation((1,)), Continuous(1, (-1.0,), (1.0,))), Config(actor_baseline=True), KEY)


class Free(eqx.Module):
    """The same squashed normal in every state."""

    mean: jax.Array
    log_std: jax.Array

    def __call__(self, obs):
        shape = (*obs.shape[:-1], 1)
        return Squashed(jnp.broadcast_to(self.mean, shape), jnp.broadcast_to(jnp.exp(self.log_std), shape))


def bent(obs, action):
    """Q = sin(3 a), one critic."""
    return jnp.sin(3 * action[..., 0])[None]


@pytest.mark.parametrize('way', ['reparametrize', 'reinforce', 'baseline'])
def test_all_gradients_have_the_mean_that_quadrature_finds(way):
    """d / d mean of E sin(3 tanh(mean + std noise)) at mean .4, std .5, over 200,000 samples."""
    value = lambda mean: scipy.integrate.quad(
        lambda e: np.sin(3 * np.tanh(mean + 0.5 * e)) * scipy.stats.norm.pdf(e), -8, 8
    )[0]
    expected = (value(0.401) - value(0.399)) / 0.002
    based = {'actor_gradient': 'reinforce', 'actor_samples': 2, 'actor_baseline': True}
    cfg = Config(entropy_actor=False, **(based if way == 'baseline' else {'actor_gradient': way}))
    free, obs = Free(jnp.float32(0.4), jnp.log(jnp.float32(0.5))), jnp.zeros((200_000, 1))
    slope = jax.grad(lambda free: actor_loss(free, obs, bent, 0.0, KEY, cfg)[0])(free)
    assert -slope.mean == pytest.approx(expected, abs=0.02)
    assert abs(expected) > 0.1


def test_an_actor_without_q_climbs_to_the_entropy_of_the_uniform():
    """log 2 per dimension and not beyond; a squashed normal comes within 0.02 of it."""
    cfg, obs = Config(actor_gradient='none'), jnp.zeros((64, 1))

    def one(learner, key):
        return learner.step(actor_loss, obs, bent, 1.0, key, cfg)[0], None

    learner = Learner.create(Free(jnp.float32(1.0), jnp.float32(-1.0)), optax.sgd(0.05))
    free = jax.lax.scan(one, learner, jr.split(KEY, 600))[0].net
    found = float(entropy(free(jnp.zeros((100_000, 1))), jr.key(9)).mean())
    assert np.log(2) - 0.03 < found < np.log(2) + 0.005
    assert float(entropy(learner.net(jnp.zeros((100_000, 1))), jr.key(9)).mean()) < 0.3  # where it began


def test_the_policy_sees_the_new_critics_and_the_old_temperature():
    after, info = agent().update(BATCH, KEY, jnp.int32(0))
    assert not eqx.tree_equal(after.critic.net, Q)
    k_actor = jr.split(KEY)[1]
    loss, _ = actor_loss(PI, BATCH.obs, after.critic.net, 1.0, k_actor, Config())
    assert info['actor/loss'] == pytest.approx(float(loss), rel=1e-5)


def test_the_temperature_moves_towards_the_target_entropy():
    """log T falls by 0.1 x (entropy - target)."""
    after, info = agent(target_entropy=-5.0).update(BATCH, KEY, jnp.int32(0))
    assert after.temperature.net.log == pytest.approx(-0.1 * (float(info['actor/entropy']) + 5), rel=1e-4)
    default, info = agent().update(BATCH, KEY, jnp.int32(0))
    assert default.temperature.net.log == pytest.approx(-0.1 * (float(info['actor/entropy']) + 2), rel=1e-4)


def test_a_fixed_temperature_is_the_one_used():
    made = agent(temperature=0.3)
    assert made.temperature is None
    after, info = made.update(BATCH, KEY, jnp.int32(0))
    assert not {name for name in info if name.startswith('temperature')}
    loss, _ = actor_loss(PI, BATCH.obs, after.critic.net, 0.3, jr.split(KEY)[1], Config())
    assert info['actor/loss'] == pytest.approx(float(loss), rel=1e-5)


def test_the_target_follows_softly_or_becomes_q():
    """Q' begins 1 above Q."""
    soft, _ = agent(rate=0.25).update(BATCH, KEY, jnp.int32(0))
    np.testing.assert_allclose(soft.target.scale, Q.scale + 1 + 0.25 * (soft.critic.net.scale - Q.scale - 1), rtol=1e-6)
    moved = []
    for t in range(4):
        after, _ = agent(rate=None, period=2).update(BATCH, KEY, jnp.int32(t))
        moved.append(eqx.tree_equal(after.target, after.critic.net))
        assert moved[-1] or eqx.tree_equal(after.target, Known(Q.scale + 1))
    assert moved == [False, True, False, True]


def test_several_critic_updates_each_on_its_own_rows():
    """Two in one update are two, one after the other, and the policy then sees the rows of the second."""
    twice = jax.tree.map(lambda x: jnp.concatenate([x, 2 * x]), BATCH)
    both, info = agent(critic_updates=2, rate=None, period=4).update(twice, KEY, jnp.int32(1))
    k_critic, k_actor = jr.split(KEY)
    now = agent(rate=None, period=4)
    parts = BATCH, jax.tree.map(lambda x: 2 * x, BATCH)
    for i, (part, key) in enumerate(zip(parts, jr.split(k_critic, 2), strict=True)):
        now, _ = now.update_critics(part, 1.0, key, jnp.int32(2 + i))
    np.testing.assert_allclose(both.critic.net.scale, now.critic.net.scale, rtol=1e-5)
    np.testing.assert_allclose(both.target.scale, now.critic.net.scale, rtol=1e-5)  # the fourth critic update
    loss, _ = actor_loss(PI, 2 * BATCH.obs, now.critic.net, 1.0, k_actor, Config())
    assert info['actor/loss'] == pytest.approx(float(loss), rel=1e-5)


def test_it_draws_rows_for_all_critic_updates():
    data = Dataset.from_arrays(np.arange(8.0)[:, None], np.zeros((8, 2)), np.ones(8), np.arange(8) == 7)
    ours = agent(n_steps=3, gamma=0.9, batch=16, critic_updates=3).draw(data, jr.key(0))
    jax.tree.map(np.testing.assert_array_equal, ours, data.sample(jr.key(0), 48, 3, 0.9))


def test_as_many_critics_as_were_asked_for():
    made = jax.eval_shape(lambda: SAC.create(ARM, Config(hidden=(4,), critics=5), jr.key(0)))
    q = jax.eval_shape(lambda net: net(BATCH.obs, BATCH.action), made.critic.net)
    assert q.shape == (5, 3)
    assert made.temperature is not None


def test_exploring_is_a_sample_and_playing_the_mode():
    act = partial(agent().act, ())
    obs = jnp.ones((200, 1))
    assert act(obs, jr.key(0))[0][0] == pytest.approx(np.tanh([0.1, 0.1]))
    assert np.ptp(act(obs, jr.key(0))[0], axis=0) == pytest.approx([0, 0])
    assert np.asarray(act(obs, jr.key(0), jnp.int32(0))[0]).std() > 0.1


def test_what_it_reports():
    """The mean of both critics is 1.5 (s + a): 3 on the data; 1.5 (2 + mean of tanh(s / 10)) on the policy."""
    info = agent().inspect(BATCH, KEY)
    own = 1.5 * (2 + np.tanh([0.1, 0.2, 0.3]).mean())
    assert [float(info[f'q/{name}']) for name in ('data', 'policy', 'gap')] == pytest.approx([3, own, own - 3])


@pytest.mark.parametrize(
    'settings', [{'critics': 0}, {'critics': 1, 'backup': 'doubleq'}, {'critic_updates': 0}, {'actor_samples': 0}]
)
def test_settings_that_cannot_be(settings):
    with pytest.raises(UsageError, match=r'expected at least 1 of each, and 2 critics for the backup doubleq'):
        SAC.create(ARM, Config(**settings), jr.key(0))


def test_discrete_actions_are_refused():
    with pytest.raises(UsageError, match=r'sac needs continuous actions.*double_dqn take those'):
        SAC.create(Spec(Observation((3,)), Discrete(4)), replace(Config(), critics=2), jr.key(0))

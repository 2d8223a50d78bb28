"""CQL by hand: which actions are asked about, each switch, and each loss."""

from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.algos.offline.cql import (
    CQL,
    Config,
    actor_loss,
    at_each,
    critic_loss,
    multiplier_loss,
)
from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.core.types import Transition
from stitchrl.errors import UsageError
from stitchrl.maths.dists import Squashed
from stitchrl.nets.dense import Ensemble
from stitchrl.nets.heads import Critic, Positive
from stitchrl.nets.image import SMALLEST

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

    scale: jax.Array  # [2]

    def __call__(self, obs, action):
        return self.scale.reshape(2, *[1] * (obs.ndim - 1)) * (obs[..., 0] + action[..., 0])[None]


class Plays(eqx.Module):
    """A squashed normal around tanh(s / 10) in every dimension."""

    std: jax.Array

    def __call__(self, obs):
        mean = jnp.broadcast_to(obs / 10, (*obs.shape[:-1], 2))
        return Squashed(mean, jnp.broadcast_to(self.std, mean.shape))


Q = Known(jnp.array([1.0, 2.0]))
PI = Plays(jnp.float32(0.3))


def agent(**settings):
    """An agent whose networks are the two above."""
    made = jax.eval_shape(lambda: CQL.create(ARM, Config(hidden=(4,), samples=5, **settings), jr.key(0)))
    where = lambda a: (a.actor.net, a.critic.net, a.target, a.temperature.net)
    return eqx.tree_at(where, made, (PI, Q, Q, Positive(jnp.float32(0.0))))


def test_the_target_by_hand():
    """min_i Q_i' is that of the smaller scale; the third step ended the task."""
    key = jr.key(3)
    action, log_prob = PI(BATCH.next_obs).samples_and_log_prob(key, 1)
    q = BATCH.next_obs[:, 0] + action[0, :, 0]
    y = agent().q_target(BATCH, jnp.float32(2.0), key)
    np.testing.assert_allclose(y, [1 + 0.5 * q[0], 0.5 * q[1], 2], rtol=1e-6)
    soft = agent(entropy_backup=True).q_target(BATCH, jnp.float32(2.0), key)
    np.testing.assert_allclose(soft, y - BATCH.discount * 2 * log_prob[0], rtol=1e-5)


def test_the_best_of_several_in_the_target():
    key = jr.key(3)
    action, _ = PI(BATCH.next_obs).samples_and_log_prob(key, 5)
    best = BATCH.next_obs[:, 0] + action[..., 0].max(0)
    y = agent(max_backup=True).q_target(BATCH, jnp.float32(0.0), key)
    np.testing.assert_allclose(y, [1 + 0.5 * best[0], 0.5 * best[1], 2], rtol=1e-6)


def test_which_actions_are_asked_about_and_with_which_density():
    """Five uniform ones with density 1/4, then five of pi(s) and five of pi(s')."""
    action, log_density = agent().asked(BATCH, jr.key(0))
    assert action.shape == (3, 15, 2)
    np.testing.assert_allclose(log_density[:, :5], -2 * np.log(2), rtol=1e-6)
    for which, obs in ((slice(5, 10), BATCH.obs), (slice(10, 15), BATCH.next_obs)):
        expected = PI(jnp.broadcast_to(obs[:, None], (3, 5, 1))).log_prob(action[:, which])
        np.testing.assert_allclose(log_density[:, which], expected, rtol=1e-3)
    assert (np.abs(action) < 1).all()
    prior, none = agent(regulariser='prior').asked(BATCH, jr.key(0))
    assert prior.shape == (3, 5, 2)
    assert not none.any()


def asked():
    """Two actions per state, of densities 1/4 and 1/2."""
    action = jnp.stack([jnp.zeros((3, 2)), jnp.ones((3, 2))], 1)
    return action, jnp.broadcast_to(jnp.log(jnp.array([[0.25, 0.5]])), (3, 2))


def by_hand(data_term=True):
    """(error, gap of each critic) of the loss below."""
    s, a = np.array([1.0, 2, 3]), np.array([0.5, 0, -0.5])
    q = np.stack([s + a, 2 * (s + a)])
    error = ((np.array([1.0, 2, 3]) - q) ** 2).mean(1).sum()
    soft = np.log(np.exp([s, 2 * s]) / 0.25 + np.exp([s + 1, 2 * (s + 1)]) / 0.5)
    return error, (soft - q if data_term else soft).mean(1)


@pytest.mark.parametrize('data_term', [True, False])
def test_critic_loss_by_hand(data_term):
    cfg, y = Config(alpha=0.7, data_term=data_term, lagrange=2.0), jnp.array([1.0, 2.0, 3.0])
    loss, info = critic_loss(Q, BATCH, y, asked(), 0.3, cfg)
    error, gap = by_hand(data_term)
    assert info['critic/error'] == pytest.approx(error)
    assert info['critic/gap'] == pytest.approx(gap.mean())
    assert loss == pytest.approx(error + 0.3 * (0.7 * gap - 2).sum(), rel=1e-5)


def test_the_data_term_lifts_the_data_and_nothing_without_alpha():
    slope = lambda **settings: jax.grad(
        lambda action: critic_loss(Q, BATCH._replace(action=action), y, asked(), 1.0, Config(**settings))[0]
    )(BATCH.action)
    y = Q(BATCH.obs, BATCH.action)[0]
    np.testing.assert_array_equal(slope(alpha=5.0, data_term=False), slope(alpha=0.0))
    assert (slope(alpha=5.0) != slope(alpha=0.0))[:, 0].all()


def test_actor_loss_by_hand():
    key = jr.key(1)
    action, log_prob = PI(BATCH.obs).sample_and_log_prob(key)
    q = BATCH.obs[:, 0] + action[:, 0]
    loss, info = actor_loss(PI, BATCH, Q, jnp.float32(0.2), jnp.bool_(False), key)
    assert loss == pytest.approx(float((0.2 * log_prob - q).mean()), rel=1e-5)
    assert info['actor/entropy'] == pytest.approx(-float(log_prob.mean()), rel=1e-5)
    loss, _ = actor_loss(PI, BATCH, Q, jnp.float32(0.2), jnp.bool_(True), key)
    assert loss == pytest.approx(float((0.2 * log_prob - PI(BATCH.obs).log_prob(BATCH.action)).mean()), rel=1e-5)


def test_the_multiplier_rises_while_the_gap_is_too_large():
    slope = lambda excess: jax.grad(multiplier_loss, has_aux=True)(Positive.create(2.0), jnp.float32(excess))[0].log
    assert slope(3.0) == pytest.approx(-6)
    assert slope(-1.0) == pytest.approx(2)


def run(updates=3, **settings):
    cfg = Config(hidden=(8,), samples=3, **settings)
    made = CQL.create(ARM, cfg, jr.key(0))
    update = jax.jit(CQL.update)
    for t in range(updates):
        made, info = update(made, BATCH, jr.key(t), jnp.int32(t))
    return made, info


def test_one_update_reads_the_networks_as_they_were():
    """The policy's loss is that of the critic before its step."""
    cfg, key = Config(hidden=(8,), samples=3), jr.key(5)
    before = CQL.create(ARM, cfg, jr.key(0))
    _, info = before.update(BATCH, key, jnp.int32(0))
    k_actor = jr.split(key, 3)[2]
    loss, _ = actor_loss(before.actor.net, BATCH, before.critic.net, jnp.float32(1.0), jnp.bool_(False), k_actor)
    assert info['actor/loss'] == pytest.approx(float(loss), rel=1e-5)


def test_warm_up_ends():
    warm, cold, never = (run(2, warmup=n)[0].actor.net for n in (5, 1, 0))
    apart = lambda a, b: not eqx.tree_equal(a, b)
    assert apart(warm, cold)
    assert apart(cold, never)


def test_the_multiplier_is_there_only_where_it_was_asked_for():
    assert run()[0].multiplier is None
    _, info = run(lagrange=-100.0)  # a gap that is always too large
    assert info['multiplier/value'] > 1


def test_the_uniform_sample_reaches_every_corner():
    many = replace(agent(), cfg=Config(samples=400))
    action, _ = many.asked(BATCH, jr.key(0))
    assert action[:, :400].min() < -0.98
    assert action[:, :400].max() > 0.98
    assert abs(action[:, :400].mean()) < 0.05


@pytest.mark.parametrize('settings', [{'samples': 0}, {'regulariser': 'none'}])
def test_settings_that_cannot_be(settings):
    with pytest.raises(UsageError, match=r'expected at least 1, and entropy or prior'):
        CQL.create(ARM, Config(**settings), jr.key(0))


def test_discrete_actions_are_refused():
    with pytest.raises(UsageError, match='discrete_cql takes those'):
        CQL.create(Spec(Observation((3,)), Discrete(4)), Config(), jr.key(0))


def test_images_are_asked_about_as_vectors_are():
    """Q of several actions at one image is that of each action at it."""
    pixels = Spec(Observation((1, SMALLEST, SMALLEST), 'uint8'), ARM.action)
    net = jax.jit(lambda key: Ensemble(partial(Critic, pixels, (8,)), 2, key=key))(jr.key(0))
    obs = jr.randint(jr.key(1), (2, 1, SMALLEST, SMALLEST), 0, 256, jnp.uint8)
    action = jr.uniform(jr.key(2), (2, 3, 2))
    q = jax.jit(at_each)(net, obs, action)
    assert q.shape == (2, 2, 3)
    for k in range(3):
        np.testing.assert_allclose(q[:, :, k], net(obs, action[:, k]), rtol=1e-4, atol=1e-5)


def test_exploring_is_a_sample_and_playing_the_mode():
    act = partial(agent().act, ())
    obs = jnp.ones((200, 1))
    assert np.ptp(act(obs, jr.key(0))[0], axis=0) == pytest.approx([0, 0])
    assert act(obs, jr.key(0))[0][0] == pytest.approx(np.tanh([0.1, 0.1]))
    assert np.asarray(act(obs, jr.key(0), jnp.int32(0))[0]).std() > 0.1

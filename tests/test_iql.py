"""IQL: each loss by hand, the order of the updates, and its slopes against differences in plain NumPy."""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from stitchrl.algos.offline.iql import IQL, Config, actor_loss, critic_loss, value_loss
from stitchrl.core.learner import Learner, adam
from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.maths.dists import Normal
from stitchrl.nets.dense import Ensemble
from stitchrl.nets.heads import Critic, Gaussian, Value

ARM = Spec(Observation((3,)), Continuous(2, (-1.0,) * 2, (1.0,) * 2))
BUTTONS = Spec(Observation((3,)), Discrete(4))


class Constant(eqx.Module):
    """V(s) = w, Q(s, a) = w: the same everywhere."""

    w: jax.Array

    def __call__(self, obs, action=None):
        return jnp.broadcast_to(self.w, obs.shape[:1])


class Policy(eqx.Module):
    """A normal with mean w and deviation 1."""

    w: jax.Array

    def __call__(self, obs):
        return Normal(jnp.broadcast_to(self.w, (len(obs), 1)), jnp.ones((len(obs), 1)))


class Said(NamedTuple):
    """A distribution that gives every row the log-probability it was told."""

    values: jax.Array

    def log_prob(self, action):
        return self.values


def constant(w):
    return Constant(jnp.float32(w))


def twins(first, second):
    net = Ensemble(lambda key: Constant(jr.normal(key)), 2, key=jr.key(0))
    return eqx.tree_at(lambda net: net.members.w, net, jnp.array([first, second], jnp.float32))


BATCH = Transition(
    obs=jnp.array([[1.0], [2.0], [3.0]]),
    action=jnp.array([[0.5], [0.0], [-0.5]]),
    reward=jnp.array([1.0, 0.0, 2.0]),
    next_obs=jnp.array([[2.0], [3.0], [4.0]]),
    mask=jnp.array([1.0, 1.0, 0.0]),
    discount=jnp.array([0.5, 0.5, 0.0]),
    next_action=jnp.zeros((3, 1)),
)


def test_value_loss_by_hand():
    """V = s/2 = 0.5, 1, 1.5 against q = 1.5, 0, 1: u = 1, -1, -0.5, weighted 0.8, 0.2, 0.2."""
    loss, info = value_loss(lambda obs: obs[:, 0] / 2, BATCH, jnp.array([1.5, 0.0, 1.0]), 0.8)
    assert loss == pytest.approx((0.8 * 1 + 0.2 * 1 + 0.2 * 0.25) / 3)
    assert info['value/loss'] == loss
    assert info['value/advantage'] == pytest.approx(-0.5 / 3)


def test_actor_loss_by_hand():
    """exp(2 A) for A = 0, log(3)/2, 5 is 1, 3 and far too much, cut off at 10; log pi = -1, -2, 0.5."""
    cfg = Config(beta=2.0, max_weight=10.0)
    said = lambda obs: Said(jnp.array([-1.0, -2.0, 0.5]))
    loss, info = actor_loss(said, BATCH, jnp.array([0.0, np.log(3) / 2, 5.0]), cfg)
    assert loss == pytest.approx(-(1 * -1 + 3 * -2 + 10 * 0.5) / 3)
    assert info['actor/weight'] == pytest.approx((1 + 3 + 10) / 3)


def test_a_weight_beyond_all_numbers_is_cut_off_too():
    """exp(3 x 100) is infinite; the weight is 100, and so is the slope finite."""
    slope, info = jax.grad(actor_loss, has_aux=True)(Policy(jnp.zeros(1)), BATCH, jnp.full(3, 100.0), Config())
    assert info['actor/weight'] == 100
    assert slope.w == pytest.approx(-100 * np.mean([0.5, 0, -0.5]), abs=1e-5)


def test_critic_loss_by_hand():
    """Q = 1 and 0 against y = 2, 1, 0: the mean square of 1, 0, -1 and that of 2, 1, 0."""
    loss, info = critic_loss(twins(1, 0), BATCH, jnp.array([2.0, 1.0, 0.0]))
    assert loss == pytest.approx(2 / 3 + 5 / 3)
    assert info['critic/loss'] == loss


def agent(actor_lr=0.1, **cfg):
    """pi = N(0, 1), V = 0, Q = (0, 0), Q' = (1, 3); a rate of 0.25 moves every weight by 0.25 in its first step."""
    learner = lambda net, lr=0.25: Learner.create(net, adam(lr))
    cfg = Config(expectile=0.7, beta=1.0, rate=0.5, **cfg)
    actor = learner(Policy(jnp.zeros(1)), actor_lr)
    return IQL(actor, learner(twins(0, 0)), learner(constant(0)), twins(1, 3), cfg)


def weights(agent):
    nets = agent.actor.net.w, agent.value.net.w, agent.critic.net.members.w, agent.target.members.w
    return [np.asarray(w).tolist() for w in nets]


def test_one_update_by_hand():
    """In the order V, policy, Q, target; each sees what was just updated.

    V     the smaller Q' is 1, so u = 1 everywhere: loss 0.7, and V rises by 0.25.
    pi    A = 1 - 0.25 with the new V (1 with the old): weight exp(0.75).
    Q     y = r + m gamma V(s') = 1.125, 0.125, 2 with the new V (1, 0, 2 with the old); both rise by 0.25.
    Q'    half-way from (1, 3) to the new (0.25, 0.25).
    """
    after, info = agent().update(BATCH, jr.key(0), jnp.int32(0))
    assert info['value/loss'] == pytest.approx(0.7)
    assert info['actor/weight'] == pytest.approx(np.exp(0.75), rel=1e-4)
    assert info['critic/loss'] == pytest.approx(2 * (1.125**2 + 0.125**2 + 2**2) / 3, rel=1e-4)
    np.testing.assert_allclose(after.value.net.w, 0.25, rtol=1e-4)
    np.testing.assert_allclose(after.critic.net.members.w, [0.25, 0.25], rtol=1e-4)
    np.testing.assert_allclose(after.target.members.w, [0.625, 1.625], rtol=1e-4)


def test_one_step_of_plain_descent_by_hand():
    """The slopes themselves, with a rate of 0.5. V: -2 x 0.7 x 1, so V = 0.7. Q: y = 1.35, 0.35, 2 is a constant, the
    slope -2 mean y = -7.4/3, so both Q = 3.7/3. The policy: -exp(1 - 0.7) times the mean of a, which is 0.1."""
    plain = lambda net: Learner.create(net, optax.sgd(0.5))
    start = agent()
    start = replace(start, actor=plain(start.actor.net), value=plain(start.value.net), critic=plain(start.critic.net))
    batch = BATCH._replace(action=BATCH.action + 0.1)
    actor, value, critic, target = weights(start.update(batch, jr.key(0), jnp.int32(0))[0])
    np.testing.assert_allclose(value, 0.7, rtol=1e-5)
    np.testing.assert_allclose(critic, [3.7 / 3] * 2, rtol=1e-5)
    np.testing.assert_allclose(target, [(1 + 3.7 / 3) / 2, (3 + 3.7 / 3) / 2], rtol=1e-5)
    np.testing.assert_allclose(actor, [0.5 * np.exp(0.3) * 0.1], rtol=1e-4)


def test_the_policy_goes_towards_the_heavier_actions():
    """With beta 0 the mean of N(w, 1) goes to that of the data; else to where the advantage is."""
    quiet = replace(agent(), cfg=replace(agent().cfg, beta=0.0))
    pulled = quiet.update(BATCH._replace(action=BATCH.action + 0.2), jr.key(0), jnp.int32(0))[0]
    assert pulled.actor.net.w[0] == pytest.approx(0.1, rel=1e-4)
    assert quiet.update(BATCH._replace(action=BATCH.action - 0.2), jr.key(0), jnp.int32(0))[0].actor.net.w[0] < 0
    loss = lambda advantage: jax.grad(actor_loss, has_aux=True)(Policy(jnp.zeros(1)), BATCH, advantage, Config())
    assert loss(BATCH.action[:, 0])[0].w < 0 < loss(-BATCH.action[:, 0])[0].w


def test_late_extraction_learns_values_first_and_the_policy_after():
    """With steps = 4: at t = 0, 1 V, Q and Q' move and the policy rests; at t = 2, 3 the other way round."""
    now, moved, batch = agent(extract='late', steps=4), [], BATCH._replace(action=BATCH.action + 0.2)
    for t in range(4):
        after, info = now.update(batch, jr.key(t), jnp.int32(t))
        moved.append([a != b for a, b in zip(weights(now), weights(after), strict=True)])
        assert (info['actor/ran'], info['critic/ran'], info['value/ran']) == ((1, 0, 0) if t > 1 else (0, 1, 1))
        now = after
    assert moved == [[False, True, True, True]] * 2 + [[True, False, False, False]] * 2


def test_late_extraction_uses_the_value_it_learned():
    """After one update V = 0.25, Q' = (0.625, 1.625): the weight is exp(0.625 - 0.25)."""
    late = agent(extract='late', steps=2)
    after, _ = late.update(BATCH, jr.key(0), jnp.int32(0))
    _, info = after.update(BATCH, jr.key(1), jnp.int32(1))
    assert info['actor/weight'] == pytest.approx(np.exp(0.375), rel=1e-3)


@pytest.mark.parametrize(('extract', 'last'), [('joint', 4), ('late', 8)])
def test_the_rate_of_the_policy_falls_to_nothing_over_its_own_updates(extract, last):
    """Four updates of the policy: all four of joint extraction, or the second half of eight."""
    cfg = Config(hidden=(4,), lr=0.01, batch=4, steps=last, extract=extract)
    now = random_agent(cfg)
    step, sizes = jax.jit(IQL.update), []
    for t in range(last + 1):
        after, _ = step(now, random_batch(4), jr.key(t), jnp.int32(t))
        change = jax.tree.map(lambda a, b: np.abs(a - b).max(), after.actor.net, now.actor.net)
        sizes.append(max(jax.tree.leaves(change)))
        now = after
    resting, moving, beyond = sizes[: last - 4], sizes[last - 4 : last], sizes[last]
    assert not any(resting)
    assert min(moving) > 1e-5
    assert moving[-1] < 0.3 * moving[0]
    assert beyond == 0


def random_agent(cfg, spec=ARM):
    """Random weights and a fresh optimiser; the package's own initialisation is slow to compile."""
    shapes = jax.eval_shape(lambda key: IQL.create(spec, cfg, key), jr.key(0))
    rng = np.random.default_rng(0)
    draw = lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape), leaf.dtype)
    fresh = lambda learner: Learner.create(jax.tree.map(draw, learner.net), learner.tx)
    actor, critic, value = map(fresh, (shapes.actor, shapes.critic, shapes.value))
    return IQL(actor, critic, value, jax.tree.map(draw, shapes.target), cfg)


def random_batch(n, spec=ARM):
    rng = np.random.default_rng(1)
    obs, after = rng.normal(size=(2, n, 3)).astype(np.float32)
    action = rng.integers(0, 4, n) if spec.discrete else rng.uniform(-1, 1, (n, 2))
    action = action.astype(np.int32 if spec.discrete else np.float32)
    mask = np.float32(rng.uniform(size=n) < 0.7)
    return Transition(obs, action, rng.normal(size=n).astype(np.float32), after, mask, 0.9 * mask, action)


def test_discrete_actions():
    cfg = Config(hidden=(4,), batch=8)
    now = random_agent(cfg, BUTTONS)
    batch = random_batch(8, BUTTONS)
    after, info = jax.jit(IQL.update)(now, batch, jr.key(0), jnp.int32(0))
    assert all(np.isfinite(value) for value in info.values())
    action = after.act((), batch.obs, jr.key(0))[0]
    np.testing.assert_array_equal(action, after.actor.net(batch.obs).logits.argmax(-1))
    assert action.dtype == jnp.int32
    assert sorted(after.inspect(batch, jr.key(0))) == ['q/data', 'q/gap', 'q/policy']


def test_acting():
    now, obs = random_agent(Config(hidden=(4,))), random_batch(6).obs
    np.testing.assert_array_equal(now.act((), obs, jr.key(0))[0], now.actor.net(obs).mean)
    explored = now.act((), obs, jr.key(0), jnp.int32(0))[0]
    np.testing.assert_array_equal(explored, np.clip(now.actor.net(obs).sample(jr.key(0)), -1, 1))


def test_what_it_reports():
    """Q of the learning critics, not of the targets: the smaller of 2 and 5."""
    now = replace(agent(), critic=Learner.create(twins(2, 5), adam(0.1)))
    assert now.inspect(BATCH, jr.key(0)) == {'q/data': 2, 'q/policy': 2, 'q/gap': 0}


def test_it_draws_the_steps_and_the_discount_it_was_told():
    data = Dataset.from_arrays(np.arange(8.0)[:, None], np.zeros((8, 1)), np.ones(8), np.arange(8) == 7)
    ours = replace(agent(), cfg=replace(agent().cfg, n_steps=3, gamma=0.9, batch=16)).draw(data, jr.key(0))
    jax.tree.map(np.testing.assert_array_equal, ours, data.sample(jr.key(0), 16, 3, 0.9))


def test_the_target_begins_as_a_copy_in_buffers_of_its_own():
    """Also when made outside a compiled program; else the loop could not take the agent's buffers."""
    made = IQL.create(ARM, Config(hidden=()), jr.key(0))
    leaves = jax.tree.leaves(made)
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)
    jax.tree.map(np.testing.assert_array_equal, made.critic.net, made.target)


@pytest.mark.parametrize('tau', [0.0, 1.0, 1.5])
def test_an_expectile_outside_is_refused(tau):
    with pytest.raises(UsageError, match=f'expectile {tau}'):
        IQL.create(ARM, Config(expectile=tau), jr.key(0))


# The slopes again, without autodiff: the losses written down in NumPy at double precision, and differences of them.


def forward(layers, x):
    for i, (w, b) in enumerate(layers):
        x = x @ w + b
        x = np.maximum(x, 0) if i < len(layers) - 1 else x
    return x


def layers_of(mlp, member=None):
    pick = lambda leaf: np.asarray(leaf if member is None else leaf[member], np.float64)
    return [(pick(layer.weight), pick(layer.bias)) for layer in mlp.layers]


def value_in_numpy(net, batch, q):
    v = forward(layers_of(net.torso), batch.obs)[:, 0]
    u = q - v
    return np.mean(np.where(u < 0, 0.3, 0.7) * u**2)


def critic_in_numpy(net, batch, y):
    x = np.concatenate([batch.obs, batch.action], 1)
    each = [forward(layers_of(net.members.torso, i), x)[:, 0] for i in range(2)]
    return sum(np.mean((y - q) ** 2) for q in each)


def actor_in_numpy(net, batch, advantage):
    mean, log_std = np.tanh(forward(layers_of(net.torso), batch.obs)), np.asarray(net.log_std, np.float64)
    log_prob = -0.5 * ((batch.action - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi)
    return -np.mean(np.minimum(np.exp(3 * advantage), 100) * log_prob.sum(1))


HEADS = {
    'value': (Value, value_loss, value_in_numpy, (0.7,)),
    'critic': (lambda *args, key: Ensemble(partial(Critic, *args), 2, key=key), critic_loss, critic_in_numpy, ()),
    'actor': (Gaussian, actor_loss, actor_in_numpy, (Config(),)),
}


@pytest.mark.parametrize('name', HEADS)
def test_slopes_against_differences(name):
    """Of every weight, by the difference of the loss when it is moved a little up and down."""
    make, loss, plain, rest = HEADS[name]
    rng = np.random.default_rng(3)
    shapes = jax.eval_shape(lambda key: make(ARM, (5,), key=key), jr.key(0))
    net = jax.tree.map(lambda leaf: 0.5 * rng.normal(size=leaf.shape).astype(np.float32), shapes)
    batch, given = random_batch(7), rng.normal(size=7).astype(np.float32)
    slope, _ = jax.grad(loss, has_aux=True)(net, batch, given, *rest)
    assert loss(net, batch, given, *rest)[0] == pytest.approx(plain(net, batch, given), rel=1e-4)
    leaves, tree = jax.tree.flatten(jax.tree.map(lambda leaf: leaf.astype(np.float64), net))
    for i, leaf in enumerate(leaves):
        for at in np.ndindex(leaf.shape):
            moved = lambda d, i=i, at=at, leaf=leaf: [*leaves[:i], leaf + d * one_hot(leaf, at), *leaves[i + 1 :]]
            up, down = (plain(jax.tree.unflatten(tree, moved(d)), batch, given) for d in (1e-6, -1e-6))
            assert jax.tree.leaves(slope)[i][at] == pytest.approx((up - down) / 2e-6, rel=1e-3, abs=1e-4)


def one_hot(leaf, at):
    result = np.zeros_like(leaf)
    result[at] = 1
    return result

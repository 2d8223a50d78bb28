"""The course's homework in numbers that nobody here computed: targets, losses and gradients to 1e-5.

DQN, double DQN, discrete CQL and SAC with all of its backups and actor gradients, by the functions that train.
"""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stitchrl.algos.offline import discrete_cql
from stitchrl.algos.online import double_dqn, dqn, sac
from stitchrl.core.learner import Learner, adam
from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.core.types import Transition
from stitchrl.maths.backups import greedy_target
from stitchrl.maths.dists import Squashed
from stitchrl.nets.dense import MLP, Dense, Ensemble
from stitchrl.nets.heads import Critic

GOLDEN = dict(np.load(Path(__file__).parent / 'golden' / 'homework.npz', allow_pickle=False))
GAMMA, DEPTH, HEAT = 0.99, 3, 0.1
BUTTONS = Spec(Observation((4,)), Discrete(3))
ARM = Spec(Observation((3,)), Continuous(2, (-1.0,) * 2, (1.0,) * 2))


def get(name):
    return jnp.asarray(GOLDEN[name], jnp.float32)


def mlp(prefix):
    """The network whose weights are at prefix/w0, prefix/b0 and so on."""
    layers = [
        replaced(Dense(1, 1, 'uniform', key=jax.random.key(0)), get(f'{prefix}/w{i}'), get(f'{prefix}/b{i}'))
        for i in range(DEPTH)
    ]
    return eqx.tree_at(lambda net: net.layers, MLP(1, (1, 1), 1, 'uniform', key=jax.random.key(0)), tuple(layers))


def replaced(layer, weight, bias):
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, (weight, bias))


def critic(prefix, spec=BUTTONS):
    return eqx.tree_at(lambda net: net.torso, Critic(spec, (16, 16), 'uniform', key=jax.random.key(0)), mlp(prefix))


def critics(prefix):
    """The two of SAC as one."""
    two = [critic(f'{prefix}{i}', ARM) for i in range(2)]
    net = Ensemble(lambda key: critic(f'{prefix}0', ARM), 2, key=jax.random.key(0))
    return eqx.tree_at(lambda net: net.members, net, jax.tree.map(lambda *x: jnp.stack(x), *two))


class Actor(eqx.Module):
    """The homework's: its deviation is softplus(raw) + 0.01."""

    torso: MLP

    def __call__(self, obs):
        mean, raw = jnp.split(self.torso(obs), 2, axis=-1)
        return Squashed(mean, jax.nn.softplus(raw) + 0.01)


def transitions(kind='discrete'):
    done, action = get(f'{kind}/done'), GOLDEN[f'{kind}/action']
    action = jnp.asarray(action, jnp.int32 if kind == 'discrete' else jnp.float32)
    return Transition(
        obs=get(f'{kind}/obs'),
        action=action,
        reward=get(f'{kind}/reward'),
        next_obs=get(f'{kind}/next_obs'),
        mask=1 - done,
        discount=GAMMA * (1 - done),
        next_action=jnp.zeros_like(action),
    )


@pytest.fixture(scope='module')
def batch():
    return transitions()


@pytest.fixture(scope='module')
def steps():
    return transitions('continuous')


@pytest.fixture
def noise(monkeypatch):
    """`noise(name, ...)`: the normal samples that are asked for next, in this order; at the end none may be left."""
    queue = []

    def take(key, shape):
        values = get(f'continuous/noise/{queue.pop(0)}')
        assert values.shape == tuple(shape)
        return values

    monkeypatch.setattr(jax.random, 'normal', take)
    yield lambda *names: queue.extend(names)
    assert not queue


def close(ours, name):
    np.testing.assert_allclose(ours, GOLDEN[name], rtol=1e-5, atol=1e-5)


def assert_same_slope(torso, prefix, sign=1):
    for i, layer in enumerate(torso.layers):
        close(sign * layer.weight, f'{prefix}/w{i}')
        close(sign * layer.bias, f'{prefix}/b{i}')


def assert_same_slopes(members, prefix):
    """Of two critics: prefix/critic0/grad and prefix/critic1/grad."""
    for i in range(2):
        assert_same_slope(jax.tree.map(lambda x, i=i: x[i], members.torso), f'{prefix}/critic{i}/grad')


@pytest.mark.parametrize('module', [dqn, double_dqn])
def test_dqn_and_double_dqn(module, batch):
    name = module.__name__.rsplit('.', 1)[-1]
    q = Learner.create(critic('discrete/q'), adam(1e-3))
    y = dqn.DQN(q, critic('discrete/target_q'), module.Config()).q_target(batch)
    close(y, f'{name}/target')
    grad, info = jax.grad(dqn.critic_loss, has_aux=True)(q.net, batch, y, 'squared')
    close(info['critic/loss'], f'{name}/loss')
    assert_same_slope(grad.torso, f'{name}/grad')


def test_the_two_targets_differ():
    """The control: the networks disagree about the best action somewhere."""
    assert np.abs(GOLDEN['dqn/target'] - GOLDEN['double_dqn/target']).max() > 1e-3


@pytest.mark.parametrize('alpha', [0.1, 1.0])
def test_discrete_cql(batch, alpha):
    q, target = critic('discrete/q'), critic('discrete/target_q')
    y = greedy_target(batch, target.all(batch.next_obs), q.all(batch.next_obs))
    grad, info = jax.grad(discrete_cql.critic_loss, has_aux=True)(q, batch, y, alpha, 1.0)
    name = f'discrete_cql/alpha{alpha}'
    close(info['critic/gap'], f'{name}/gap')
    close(info['critic/loss'], f'{name}/loss')
    assert_same_slope(grad.torso, f'{name}/grad')


@pytest.mark.parametrize('soft', [False, True])
@pytest.mark.parametrize('backup', ['own', 'mean', 'min', 'doubleq'])
def test_sac_critics(backup, soft, steps, noise):
    cfg, name = sac.Config(backup=backup, entropy_backup=soft), f'sac/{backup}/entropy{int(soft)}'
    noise('next', *['next_entropy'] * soft)
    after = Actor(mlp('continuous/actor'))(steps.next_obs)
    y = sac.q_target(critics('continuous/target_critic'), after, steps, HEAT, jax.random.key(0), cfg)
    close(y, f'{name}/target')
    grad, info = jax.grad(sac.critic_loss, has_aux=True)(critics('continuous/critic'), steps, y)
    close(info['critic/loss'], f'{name}/critic_loss')
    assert_same_slopes(grad.members, name)


def sac_actor(steps, **settings):
    """The slope of the policy's loss, and its metrics."""
    cfg = sac.Config(actor_q='mean', **settings)
    args = steps.obs, critics('continuous/critic'), HEAT, jax.random.key(0), cfg
    return jax.grad(sac.actor_loss, has_aux=True)(Actor(mlp('continuous/actor')), *args)


@pytest.mark.parametrize(('way', 'samples'), [('reparametrize', 1), ('reinforce', 10)])
def test_sac_actor_gradients(way, samples, steps, noise):
    noise('entropy', 'actor' if way == 'reparametrize' else way)
    grad, info = sac_actor(steps, actor_gradient=way, actor_samples=samples, entropy_actor=False)
    close(info['actor/loss'], f'sac/{way}/loss')
    assert_same_slope(grad.torso, f'sac/{way}/grad')


def test_sac_entropy(steps, noise):
    noise('entropy', 'next_entropy', 'entropy')
    actor = Actor(mlp('continuous/actor'))
    close(sac.entropy(actor(steps.obs), jax.random.key(0)), 'sac/entropy')
    close(sac.entropy(actor(steps.next_obs), jax.random.key(0)), 'sac/next_entropy')
    grad, info = sac_actor(steps, actor_gradient='none')
    assert info['actor/loss'] == pytest.approx(-HEAT * GOLDEN['sac/entropy'].mean(), rel=1e-5)
    assert_same_slope(grad.torso, 'sac/entropy_mean/grad', sign=-1 / HEAT)


def test_both_halves_of_the_actor_add_up(steps, noise):
    noise('entropy', 'actor')
    _, info = sac_actor(steps)
    expected = GOLDEN['sac/reparametrize/loss'] - HEAT * GOLDEN['sac/entropy'].mean()
    assert info['actor/loss'] == pytest.approx(expected, rel=1e-5)
    assert info['actor/entropy'] == pytest.approx(GOLDEN['sac/entropy'].mean(), rel=1e-5)

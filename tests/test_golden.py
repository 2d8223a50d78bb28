"""The course's homework in numbers that nobody here computed: targets, losses and gradients to 1e-5.

Live: double DQN (which is discrete CQL with alpha 0) and discrete CQL. The file's rows of DQN and of SAC wait for
those algorithms; `test_rows_that_wait` fails once a row is live in the package and not here.
"""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stitchrl.algos import ALGORITHMS
from stitchrl.algos.offline.discrete_cql import critic_loss, q_target
from stitchrl.core.spec import Discrete, Observation, Spec
from stitchrl.core.types import Transition
from stitchrl.nets.dense import MLP, Dense
from stitchrl.nets.heads import Critic

GOLDEN = dict(np.load(Path(__file__).parent / 'golden' / 'homework.npz', allow_pickle=False))
SPEC, GAMMA, DEPTH = Spec(Observation((4,)), Discrete(3)), 0.99, 3


def get(name):
    return jnp.asarray(GOLDEN[name], jnp.float32)


def mlp(prefix):
    """The network whose weights are at prefix/w0, prefix/b0 and so on."""
    layers = [
        replaced(Dense(1, 1, key=jax.random.key(0)), get(f'{prefix}/w{i}'), get(f'{prefix}/b{i}')) for i in range(DEPTH)
    ]
    return eqx.tree_at(lambda net: net.layers, MLP(1, (1, 1), 1, key=jax.random.key(0)), tuple(layers))


def replaced(layer, weight, bias):
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, (weight, bias))


def critic(prefix):
    return eqx.tree_at(lambda net: net.torso, Critic(SPEC, (16, 16), key=jax.random.key(0)), mlp(prefix))


def transitions():
    done = get('discrete/done')
    return Transition(
        obs=get('discrete/obs'),
        action=jnp.asarray(GOLDEN['discrete/action'], jnp.int32),
        reward=get('discrete/reward'),
        next_obs=get('discrete/next_obs'),
        mask=1 - done,
        discount=GAMMA * (1 - done),
        next_action=jnp.zeros(len(done), jnp.int32),
    )


@pytest.fixture(scope='module')
def batch():
    return transitions()


def assert_same_slope(grad, prefix):
    for i, layer in enumerate(grad.torso.layers):
        np.testing.assert_allclose(layer.weight, GOLDEN[f'{prefix}/w{i}'], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(layer.bias, GOLDEN[f'{prefix}/b{i}'], rtol=1e-5, atol=1e-5)


def test_double_dqn(batch):
    y = q_target(critic('discrete/q'), critic('discrete/target_q'), batch)
    np.testing.assert_allclose(y, GOLDEN['double_dqn/target'], rtol=1e-5, atol=1e-5)
    grad, info = jax.grad(critic_loss, has_aux=True)(critic('discrete/q'), batch, y, 0.0, 1.0)
    assert info['critic/loss'] == pytest.approx(GOLDEN['double_dqn/loss'], rel=1e-5)
    assert_same_slope(grad, 'double_dqn/grad')


@pytest.mark.parametrize('alpha', [0.1, 1.0])
def test_discrete_cql(batch, alpha):
    y = q_target(critic('discrete/q'), critic('discrete/target_q'), batch)
    grad, info = jax.grad(critic_loss, has_aux=True)(critic('discrete/q'), batch, y, alpha, 1.0)
    name = f'discrete_cql/alpha{alpha}'
    assert info['critic/gap'] == pytest.approx(GOLDEN[f'{name}/gap'], rel=1e-5)
    assert info['critic/loss'] == pytest.approx(GOLDEN[f'{name}/loss'], rel=1e-5)
    assert_same_slope(grad, f'{name}/grad')


def test_the_target_is_not_that_of_dqn(batch):
    """The control: where both networks disagree about the best action, the two targets differ."""
    y = q_target(critic('discrete/q'), critic('discrete/target_q'), batch)
    assert np.abs(y - GOLDEN['dqn/target']).max() > 1e-3
    again = q_target(critic('discrete/target_q'), critic('discrete/target_q'), batch)
    np.testing.assert_allclose(again, GOLDEN['dqn/target'], rtol=1e-5, atol=1e-5)


def test_rows_that_wait():
    assert {name.split('/')[0] for name in GOLDEN} >= {'dqn', 'double_dqn', 'discrete_cql', 'sac'}
    assert not {'dqn', 'double_dqn', 'sac'} & set(ALGORITHMS)

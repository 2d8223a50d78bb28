"""Q on pairs that the data holds and on those it does not: by hand, and on agents."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import tiny

from stitchrl.core.learner import Learner, adam
from stitchrl.core.spec import Discrete, Observation, Spec
from stitchrl.errors import UsageError
from stitchrl.nets.heads import Critic
from stitchrl.report.unseen import by_support, table, tried

Q = np.array(
    [[[1.0, 5.0, 3.0], [2.0, 0.0, 4.0]], [[0.0, 0.0, 6.0], [8.0, 0.0, 0.0]]]
)  # [2 agents, 2 states, 3 actions]
SEEN = np.array([[True, False, True], [True, False, False]])


def test_means_by_hand():
    info = by_support(Q, SEEN)
    np.testing.assert_allclose(info['q/seen'], [(1 + 3 + 2) / 3, (0 + 6 + 8) / 3])
    np.testing.assert_allclose(info['q/unseen'], [(5 + 0 + 4) / 3, 0])
    np.testing.assert_allclose(info['q/gap'], [3 - 2, 0 - 14 / 3])
    np.testing.assert_allclose(info['q/greedy_unseen'], [1, 0])  # actions 1, 2 of the first agent; 2, 0 of the other
    assert not any(name.startswith('bias') for name in info)


def test_bias_by_hand():
    info = by_support(Q, SEEN, truth=np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 2.0]]))
    np.testing.assert_allclose(info['bias/seen'], [(0 + 2 + 2) / 3, (-1 + 5 + 8) / 3])
    np.testing.assert_allclose(info['bias/unseen'], [(4 + 0 + 2) / 3, (-1 + 0 - 2) / 3])


@pytest.mark.parametrize(('seen', 'word'), [(np.ones((2, 3), bool), 'every'), (np.zeros((2, 3), bool), 'no')])
def test_nothing_to_compare_is_said(seen, word):
    with pytest.raises(UsageError, match=f'holds {word} pair'):
        by_support(Q, seen)


def test_counts_by_hand():
    count = tried(np.array([0, 2, 2, 2]), np.array([1, 0, 0, 1]), 3, 2)
    np.testing.assert_array_equal(count, [[0, 1], [0, 0], [2, 1]])


def test_the_table_is_what_each_agent_says_of_each_pair():
    spec = Spec(Observation((3,)), Discrete(4))
    agents = tiny.agents('iql', spec, seeds=2)
    obs = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)
    values = table(agents, obs, 4)
    assert values.shape == (2, 5, 4)
    first = agents.critic.net.members.torso
    for seed in range(2):
        each = []
        for k in range(2):
            hidden = np.maximum(obs @ first.layers[0].weight[seed, k] + first.layers[0].bias[seed, k][None], 0)
            each.append(hidden @ first.layers[1].weight[seed, k] + first.layers[1].bias[seed, k][None])
        np.testing.assert_allclose(values[seed], np.minimum(*each), rtol=1e-5)
    larger = table(agents, obs, 4, lambda agent, obs, action: agent.critic.net(obs, action).max(0))
    assert (larger >= values).all()


class Lone(eqx.Module):
    """An agent with one critic, as DQN has it."""

    critic: Learner


def test_an_agent_with_one_critic_is_read_as_it_is():
    net = Critic(Spec(Observation((3,)), Discrete(4)), (8,), 'uniform', key=jr.key(0))
    agents = jax.tree.map(lambda leaf: leaf[None], Lone(Learner.create(net, adam(1e-3))))
    obs = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)
    np.testing.assert_allclose(table(agents, obs, 4)[0], net.torso(obs), rtol=1e-5)

"""AWR by hand: returns and weights beside the data, both losses, and when the labels change."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from test_iql import Said

from stitchrl.algos.offline.awr import AWR, Config, actor_loss, value_loss, weights
from stitchrl.core.types import Weighted, Window
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.loops.offline import REFRESH, UPDATE, begin, create, many, pieces, renew, roots, updates

BATCH = Weighted(
    obs=jnp.array([[1.0], [2.0], [3.0]]),
    action=jnp.array([[0.5], [0.0], [-0.5]]),
    target=jnp.array([1.5, 0.0, 1.0]),
    weight=jnp.array([1.0, 2.0, 0.5]),
)


def recording(seed=0, episodes=20, length=6):
    """Every other episode is cut; obs [N, 2], action [N, 1], next observations as they were."""
    rng, n = np.random.default_rng(seed), episodes * length
    obs = rng.normal(size=(n, 2))
    last, task = np.arange(n) % length == length - 1, np.arange(n) // length % 2 == 0
    after = np.where(last[:, None], rng.normal(size=(n, 2)), np.roll(obs, -1, 0))
    columns = obs, rng.uniform(-1, 1, (n, 1)), rng.normal(size=n), last & task, last & ~task, after
    return jax.device_put(Dataset.from_arrays(*columns))


DATA = recording()


def fresh(seeds=2, **settings):
    cfg = Config(**{'hidden': (8,), 'batch': 16, 'steps': 40, 'lr': 1e-2, 'refresh': 5, **settings})
    return create(AWR, DATA.spec, cfg, 0, seeds)


def alone(agents, seed=0):
    return jax.tree.map(lambda x: x[seed], agents)


def test_losses_by_hand():
    """V = s/2 = .5, 1, 1.5 against 1.5, 0, 1: u = 1, -1, -.5."""
    assert value_loss(lambda obs: obs[:, 0] / 2, BATCH)[0] == pytest.approx((1 + 1 + 0.25) / 6)
    loss, _ = actor_loss(lambda obs: Said(jnp.array([-1.0, -2.0, 3.0])), BATCH)
    assert loss == pytest.approx(-(-1 - 4 + 1.5) / 3)


def test_weights_by_hand():
    """Over the steps 0, 1, 3 advantages 1, 2, 6 have mean 3 and deviation sqrt(14/3); row 2 is a final one."""
    got = weights(jnp.array([1.0, 2.0, 100.0, 6.0]), jnp.array([0, 1, 3]), Config(beta=2.0, max_weight=5.0))
    standard = (np.array([1, 2, 6]) - 3) / (np.sqrt(14 / 3) + 1e-5)
    np.testing.assert_allclose(got[jnp.array([0, 1, 3])], np.minimum(np.exp(2 * standard), 5), rtol=1e-5)


def test_labels_are_the_returns_of_the_recording():
    """Against the recursion in plain Python, with the value network's own numbers."""
    agent = alone(fresh())
    labels = agent.label(DATA)
    v, cfg = np.asarray(agent.labeller(DATA.obs)), agent.cfg
    expected, after = np.zeros(len(v)), 0.0
    for i in reversed(range(len(v))):
        if DATA.ends[i]:
            expected[i] = v[i]
        else:
            rest = (1 - cfg.lam) * v[i + 1] + cfg.lam * after
            expected[i] = DATA.reward[i] + cfg.gamma * DATA.mask[i] * rest
        after = expected[i]
    np.testing.assert_allclose(labels['target'], expected, atol=1e-4)
    again = weights(labels['target'] - v, DATA.starts, cfg)
    np.testing.assert_allclose(labels['weight'], again, rtol=1e-5)


def test_windows_that_reach_the_end_have_the_returns_of_the_recording():
    """And a weight over the advantages of the batch."""
    agent = alone(fresh(horizon=8))
    key, rows = jr.key(3), DATA.rows(jr.key(3), 16)
    got, labels = agent.weighted(DATA.windows(key, 16, 9)), agent.label(DATA)
    np.testing.assert_array_equal(got.obs, DATA.obs[rows])
    np.testing.assert_array_equal(got.action, DATA.action[rows])
    np.testing.assert_allclose(got.target, labels['target'][rows], atol=1e-5)
    gain = got.target - agent.labeller(got.obs)
    np.testing.assert_allclose(got.weight, weights(gain, jnp.arange(16), agent.cfg), rtol=1e-4)


def test_windows_that_end_before_have_a_value_behind_them():
    """V = 1 everywhere, rewards 1, 2, 3, no end: R = 1 + .9 (.5 V + .5 (2 + .9 V)) over two steps."""
    agent = replace(alone(fresh(gamma=0.9, lam=0.5)), labeller=lambda obs: jnp.ones(obs.shape[:-1]))
    one = lambda *numbers: jnp.array([numbers])
    rows = jnp.zeros((1, 3, 2)), jnp.zeros((1, 3, 1)), one(1.0, 2, 3), one(1.0, 1, 1), one(0.0, 0, 0), one(1.0, 1, 1)
    assert agent.weighted(Window(*rows)).target[0] == pytest.approx(1 + 0.9 * (0.5 + 0.5 * (2 + 0.9)))
    task = (*rows[:3], one(1.0, 0, 1), *rows[4:])  # the task ends with the second step
    assert agent.weighted(Window(*task)).target[0] == pytest.approx(1 + 0.9 * (0.5 + 0.5 * 2))


def test_labels_in_blocks_are_the_labels(monkeypatch):
    agent = alone(fresh())
    whole = agent.label(DATA)
    monkeypatch.setattr('stitchrl.algos.offline.awr.BLOCK', 32)
    for name, column in agent.label(DATA).items():
        np.testing.assert_allclose(column, whole[name], atol=1e-5)


def test_labels_change_every_refresh_only_and_follow_the_value():
    state, root = begin(fresh(), DATA), roots(0, 2, UPDATE)
    for t in range(11):
        before = jax.device_get(state)
        state, _ = many(renew(state, DATA, root, t), DATA, root, jnp.int32(t), 1)
        same = np.array_equal(before.labels['target'], state.labels['target'])
        assert same == (t not in (5, 10))
        if not same:  # refreshed at the start of update t, so with the value before it
            jax.tree.map(np.testing.assert_array_equal, before.agents.value.net, jax.device_get(state.agents.labeller))
            expected = alone(state.agents).label(DATA)['target']
            np.testing.assert_allclose(state.labels['target'][0], expected, atol=1e-5)


def test_a_refreshed_agent_has_buffers_of_its_own():
    """Two leaves in one buffer cannot be given away to the next stretch."""
    agents = renew(begin(fresh(), DATA), DATA, roots(0, 2, REFRESH), 5).agents
    leaves = jax.tree.leaves(agents)
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)
    jax.tree.map(np.testing.assert_array_equal, agents.labeller, agents.value.net)


def test_stretches_end_where_labels_are_written():
    assert list(pieces(0, 12, 5)) == [(0, 5), (5, 5), (10, 2)]
    assert list(pieces(3, 6, 5)) == [(3, 2), (5, 1)]
    assert list(pieces(3, 12, 0)) == [(3, 9)]


def test_a_chunk_longer_than_the_stretches_is_the_same_training():
    """Metrics are those of all of its updates."""
    one, all_at_once = ([*updates(fresh(), DATA, 0, 12, chunk)] for chunk in (1, 12))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), one[-1].agents, all_at_once[-1].agents)
    means = np.mean([part.info['value/loss'] for part in one], 0)
    np.testing.assert_allclose(all_at_once[0].info['value/loss'], means, rtol=1e-2)


@pytest.mark.parametrize('cut', [3, 5, 7])
def test_resuming_between_two_refreshes_changes_nothing(cut):
    """The labels are not saved; they are computed again from what the agent keeps."""
    walk = lambda agents, start, stop: list(updates(agents, DATA, 0, stop, 1, start))[-1].agents
    whole = walk(fresh(), 0, 9)
    again = walk(jax.tree.map(jnp.copy, walk(fresh(), 0, cut)), cut, 9)
    jax.tree.map(np.testing.assert_array_equal, whole, again)


def test_it_imitates_the_better_of_two_actions():
    """One state, actions -.5 and .5 alike often, rewards 0 and 1; without rewards it stays between them."""
    action = np.tile([[-0.5], [0.5]], (100, 1))
    means = {}
    for scale in (1.0, 0.0):
        reward = scale * (action[:, 0] > 0)
        data = jax.device_put(Dataset.from_arrays(np.zeros((200, 1)), action, reward, np.ones(200)))
        cfg = Config(hidden=(8,), batch=64, lr=1e-2, refresh=50, beta=3.0, steps=300)
        trained = list(updates(create(AWR, data.spec, cfg, 0, 1), data, 0, 300, 50))[-1].agents
        means[scale] = float(alone(trained).act((), jnp.zeros((1, 1)), jr.key(0))[0][0, 0])
    assert means[1.0] > 0.4
    assert abs(means[0.0]) < 0.15


@pytest.mark.parametrize('settings', [{'lam': 1.5}, {'lam': -0.1}, {'refresh': 0}])
def test_settings_that_cannot_be(settings):
    name, value = next(iter(settings.items()))
    with pytest.raises(UsageError, match=f'{name} {value}'):
        AWR.create(DATA.spec, Config(**settings), jr.key(0))

"""Fitted Q evaluation by hand: what Q is taught, from which rows, and when its copy moves."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import tiny

from stitchrl.algos import ALGORITHMS
from stitchrl.algos.offline import fqe
from stitchrl.algos.offline.fqe import FQE, PRESETS, Config, critic_loss, mean_over_actions
from stitchrl.core.boundary import Boundary
from stitchrl.core.config import from_json
from stitchrl.core.learner import Learner
from stitchrl.core.types import Transition
from stitchrl.errors import UsageError

BATCH = Transition(
    obs=jnp.array([[1.0], [2.0], [3.0]]),
    action=jnp.array([[0.5], [0.0], [-0.5]]),
    reward=jnp.array([1.0, 0.0, 2.0]),
    next_obs=jnp.array([[2.0], [3.0], [4.0]]),
    mask=jnp.array([1.0, 1.0, 0.0]),
    discount=jnp.array([0.5, 0.5, 0.0]),
    next_action=jnp.array([[[1.0], [0.0], [1.0]], [[0.0], [0.5], [1.0]]]),  # two for each of the three
)


def plain(obs, action):
    """Q(s, a) = 10 s + a."""
    return 10 * obs[:, 0] + action[:, 0]


def labelled(samples=2, **changes):
    """A recording with actions [N, K, 2] that name their row."""
    data = tiny.dataset()
    data = jax.device_put(Boundary.fit(data).inward(data))
    row = jnp.arange(len(data.obs), dtype=jnp.float32)
    action = jnp.broadcast_to(row[:, None, None], (len(row), samples, 2)) + jnp.arange(samples)[None, :, None] / 4
    return data.with_labels({'action': action})


def agent(**settings):
    data = labelled()
    return FQE.create(
        data.spec, Config(**{'hidden': (8,), 'batch': 64, 'steps': 12, 'period': 3} | settings), jr.key(0)
    )


def test_loss_by_hand():
    """Q = 10.5, 20, 29.5 against y = 10, 22, 29.5."""
    loss, info = critic_loss(plain, BATCH, jnp.array([10.0, 22.0, 29.5]))
    assert loss == pytest.approx((0.25 + 4 + 0) / 3)
    assert info['critic/error'] == pytest.approx((0.5 + 2 + 0) / 3)


def test_the_value_of_a_state_is_the_mean_over_the_policy_s_actions():
    """20 + (1 + 0) / 2, 30 + (0 + .5) / 2, 40 + 1."""
    np.testing.assert_allclose(mean_over_actions(plain, BATCH.next_obs, BATCH.next_action), [20.5, 30.25, 41])


def test_the_target_asks_the_copy_and_stops_where_the_task_ended():
    """1 + 20.5 / 2, 0 + 30.25 / 2, and 2 alone."""
    one, seen = agent(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fqe, 'critic_loss', lambda net, batch, y: seen.append(y) or (0.0, {}))
        patch.setattr(fqe, 'follow', lambda net, target, *rest: target)
        patch.setattr(Learner, 'step', lambda self, loss, *args: (self, loss(self.net, *args)[1]))
        FQE(critic=one.critic, target=plain, cfg=one.cfg).update(BATCH, jr.key(0), jnp.int32(0))
    np.testing.assert_allclose(seen[0], [11.25, 15.125, 2])


def test_next_actions_are_the_policy_s_at_the_true_successor():
    """Also where the recording was cut, which does not stop the bootstrap; at a true end nothing follows."""
    data = labelled()
    batch = agent().draw(data, jr.key(1))
    place = {tuple(obs): i for i, obs in enumerate(np.asarray(data.obs))}
    after = np.array([place[tuple(obs)] for obs in np.asarray(batch.next_obs)])
    before = np.array([place[tuple(obs)] for obs in np.asarray(batch.obs)])
    np.testing.assert_array_equal(after, before + 1)
    np.testing.assert_array_equal(batch.next_action[0, :, 0], after)
    np.testing.assert_array_equal(batch.next_action[1, :, 1], after + 0.25)
    np.testing.assert_allclose(batch.discount, 0.99 * np.asarray(data.mask)[before])
    cut = (np.asarray(data.ends)[after] > 0) & (np.asarray(data.mask)[before] > 0)
    assert cut.any()
    assert (np.asarray(batch.discount)[cut] > 0).all()
    assert (np.asarray(batch.discount) == 0).any()


def test_the_copy_becomes_q_every_period():
    data, one = labelled(), agent()
    update = jax.jit(lambda *args: FQE.update(*args))  # traced anew, so that a mutant is seen
    for t in range(6):
        before = one.target
        one, _ = update(one, one.draw(data, jr.key(t)), jr.key(0), jnp.int32(t))
        moved = one.critic.net if t % 3 == 2 else before
        np.testing.assert_array_equal(one.target.torso.layers[0].weight, moved.torso.layers[0].weight)


def test_the_value_by_hand():
    """At s = 1, 2 with actions (1, 0) and (0, .5): (10.5 + 20.25) / 2."""
    one = agent()
    judged = FQE(critic=Learner(plain, (), None), target=plain, cfg=one.cfg)
    action = jnp.array([[[1.0], [0.0]], [[0.0], [0.5]]])
    assert judged.value(jnp.array([[1.0], [2.0]]), action) == pytest.approx(15.375)


@pytest.mark.parametrize('settings', [{'gamma': 1.0}, {'gamma': -0.1}, {'steps': 0}, {'period': 0}, {'batch': 0}])
def test_settings_that_mean_nothing_are_refused(settings):
    with pytest.raises(UsageError, match=next(iter(settings))):
        agent(**settings)


def test_it_is_no_policy_and_so_not_in_the_table():
    """`stitch train fqe` would have nothing to play with; conformance and probes are for what acts."""
    assert 'fqe' not in ALGORITHMS
    assert not hasattr(FQE, 'act')


def test_presets_name_settings():
    for _, settings in PRESETS.values():
        from_json(Config, settings)

"""Double DQN: only the target differs from DQN's."""

from dataclasses import asdict, replace

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from test_dqn import BATCH, BUTTONS, agent, table, update

from stitchrl.algos.online import double_dqn, dqn


def test_the_action_is_chosen_by_q_and_valued_by_the_copy():
    """At state 1 Q prefers action 1, which Q' values 10: 1 + .5 10; the second step ended the task."""
    nets = table([0, 0], [3, 4]), table([7, 7], [20, 10])
    np.testing.assert_allclose(agent(*nets, double=True).q_target(BATCH), [6, 2])
    np.testing.assert_allclose(agent(*nets).q_target(BATCH), [11, 2])  # the control


def test_it_is_never_above_dqns():
    """max Q' bounds Q' of any choice."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        nets = [table(*rng.normal(size=(2, 2))) for _ in range(2)]
        assert (agent(*nets, double=True).q_target(BATCH) <= agent(*nets).q_target(BATCH)).all()


def test_one_step_of_plain_descent_by_hand():
    """Q prefers action 0 at state 1, which Q' values 2: y = 2 and 2, slopes -1 and 1, half of that a step."""
    after, _ = update(agent(table([1, 0], [5, 3]), table([0, 0], [2, 4]), double=True))
    np.testing.assert_allclose(after.critic.net.q, [[1.5, 0], [5, 2.5]])


def test_nothing_else_differs():
    assert asdict(double_dqn.Config()) == asdict(dqn.Config()) | {'double': True}
    assert double_dqn.PRESETS == dqn.PRESETS
    cfg = double_dqn.Config(hidden=(4,), batch=2)
    one = double_dqn.ALGO.create(BUTTONS, cfg, jr.key(0))
    other = dqn.ALGO.create(BUTTONS, dqn.Config(hidden=(4,), batch=2), jr.key(0))
    assert eqx.tree_equal(one.critic.net, other.critic.net)
    last = one.update(BATCH._replace(discount=jnp.zeros(2)), jr.key(0), jnp.int32(0))[0]
    same = replace(one, cfg=other.cfg).update(BATCH._replace(discount=jnp.zeros(2)), jr.key(0), jnp.int32(0))[0]
    assert eqx.tree_equal(last.critic.net, same.critic.net)  # where nothing follows, there is nothing to choose

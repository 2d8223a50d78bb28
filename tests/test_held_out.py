"""What a recording says of agents that learn no more, against numbers worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from test_evaluate import Linear, agents

from stitchrl.core.boundary import Boundary
from stitchrl.data.dataset import Dataset
from stitchrl.loops.held_out import agreement, measured

pytestmark = pytest.mark.usefixtures('quick_compiles')


def test_continuous_agreement_by_hand():
    """Actions between -2 and 4, a tenth of which is 0.6: what agents do that say -2 + 3 (x + 1) of x = 0, -0.19."""
    action = np.array([[1.0], [1.5], [2.0], [-1.0]])
    data = Dataset.from_arrays(np.ones((4, 1)), action, np.ones(4), [0, 0, 0, 1], low=-2.0, high=4.0)
    boundary = Boundary.blank(data.spec)
    found = agreement(agents((0, 0), (0, -0.19)), boundary, boundary.inward(data))
    np.testing.assert_allclose(found['distance'], [[0.875], [1.16]], rtol=1e-4)
    np.testing.assert_allclose(found['same'], [0.5, 0.25])
    assert found['usual'] == 0.5, 'always 1.25 is near the first two'
    np.testing.assert_allclose(found['usual_distance'], [0.875], rtol=1e-4)


class Choice(Linear):
    """The action `offset`, whatever is seen."""

    def act(self, memory, obs, key, t=None):
        return jnp.full(len(obs), self.offset, jnp.int32), memory


def test_discrete_agreement_by_hand():
    data = Dataset.from_arrays(np.ones((5, 1)), np.array([0, 1, 1, 2, 1]), np.ones(5), [0, 0, 0, 0, 1])
    found = agreement(agents((0, 1), (0, 2), kind=Choice), Boundary.blank(data.spec), data)
    np.testing.assert_allclose(found['same'], [0.6, 0.2])
    assert found['usual'] == 0.6


@pytest.mark.parametrize('algo', ['td3_bc', 'bc', 'awr'])
def test_losses_of_saved_agents_are_measured_and_nothing_learns(algo):
    """TD3+BC's policy learns in every second update only, and its loss is there all the same."""
    data = tiny.dataset()
    inner = jax.device_put(Boundary.fit(data).inward(data))
    many = tiny.agents(algo, data.spec)
    before = jax.tree.map(np.array, many)
    losses = measured(many, inner, 0, own=False)
    assert {name.split('/')[0] for name in losses if name.endswith('/loss')} >= {'actor'}
    assert all(value.shape == (2,) and np.isfinite(value).all() for value in losses.values())
    assert not any(name.endswith('/ran') for name in losses)
    for one, other in zip(jax.tree.leaves(before), jax.tree.leaves(many), strict=True):
        np.testing.assert_array_equal(one, other)
    own = measured(many, inner, 0, own=True)
    assert ('q/policy' in own) == (algo == 'td3_bc')


def test_the_loss_is_the_one_on_these_rows():
    """BC that always says 0 in the agents' units: its squared error is the mean square of the actions."""
    data = tiny.dataset(episodes=40)
    inner = jax.device_put(Boundary.fit(data).inward(data))
    silent = jax.tree.map(jnp.zeros_like, tiny.agents('bc', data.spec, head='deterministic', batch=512))
    expected = (np.asarray(inner.action)[np.asarray(inner.starts)] ** 2).mean()
    np.testing.assert_allclose(measured(silent, inner, 0, own=False)['actor/loss'], expected, rtol=0.02)

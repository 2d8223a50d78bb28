import jax
import numpy as np
import pytest
import tiny

from stitchrl.algos.offline import bc
from stitchrl.core.boundary import Boundary
from stitchrl.errors import UsageError
from stitchrl.loops.lab import trained
from stitchrl.loops.offline import create, updates


def test_the_same_as_the_loop_of_a_run_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = tiny.dataset()
    made = trained('bc', data, seeds=2, seed=3, **tiny.CONFIG)
    assert not any(tmp_path.iterdir())
    cfg = bc.Config(**tiny.CONFIG)
    boundary = Boundary.fit(data, normalise=True)
    agents = create(bc.BC, data.spec, cfg, 3, 2)
    *_, last = updates(agents, jax.device_put(boundary.inward(data)), 3, 12, 12)
    for ours, theirs in zip(jax.tree.leaves(made.agents), jax.tree.leaves(last.agents), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert made.info.keys() == last.info.keys()
    np.testing.assert_array_equal(made.boundary.mean, boundary.mean)


def test_alter_meets_fresh_agents():
    zero = lambda agents: jax.tree.map(lambda x: 0 * x, agents)
    made = trained('bc', tiny.dataset(), seeds=1, alter=zero, **tiny.CONFIG | {'steps': 0})
    assert all((np.asarray(x) == 0).all() for x in jax.tree.leaves(made.agents))


def test_unknown_settings_are_refused():
    with pytest.raises(UsageError, match='alpha'):
        trained('bc', tiny.dataset(), alpha=1.0)

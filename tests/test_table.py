"""A table by hand, and searches in a world that was only recorded."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.algos.search.uct import Rollouts
from stitchrl.data.dataset import Dataset
from stitchrl.data.rollouts import random_transitions
from stitchrl.envs.gridworld import ACTIONS, GridWorld
from stitchrl.errors import UsageError
from stitchrl.models.rules import Branches
from stitchrl.models.table import Table
from stitchrl.planners.mcts import MCTS
from stitchrl.planners.select import ucb1

pytestmark = pytest.mark.usefixtures('quick_compiles')


KEY = jr.key(0)


def recorded(action=(1, 0, 1, 1, 0, 0)):
    """0 1 0 1 2 and its end; 1 0 0, cut."""
    obs, after = ([[float(x)] for x in row] for row in ((0, 1, 0, 1, 1, 0), (1, 0, 1, 2, 0, 0)))
    reward, terminal, timeout = [1.0, 0, 3, 5, 1, 7], [False, False, False, True, False, False], [False] * 5 + [True]
    return Dataset.from_arrays(obs, action, reward, terminal, timeout, after)


def test_counts_by_hand():
    table = Table.create(recorded())
    assert table.obs.tolist() == [[0], [1], [2]]
    shares = np.exp(table.logits)
    assert shares[0].tolist() == [[1, 0, 0], [0, 1, 0]]
    assert shares[1].tolist() == [[1, 0, 0], [0, 0, 1]]
    assert (table.reward[0, 1, 1], table.reward[1, 0, 0], table.reward[1, 1, 2]) == (2, 0.5, 5), 'means'
    assert (table.mask[0, 1, 1], table.mask[1, 1, 2]) == (1, 0), 'a time limit is no end'
    assert shares[2].tolist() == [[0, 0, 1], [0, 0, 1]], 'never taken: it stays'
    assert (table.reward[2] == 0).all()
    assert (table.mask[2] == 0).all(), 'and is over'


def test_chances_are_those_of_the_recording():
    table = Table.create(recorded(action=(1, 0, 1, 0, 0, 0)))  # action 0 in state 1: to 0, 2, 0
    np.testing.assert_allclose(np.exp(table.logits[1, 0]), [2 / 3, 0, 1 / 3], rtol=1e-6)
    n = 6000
    step = jax.jit(lambda key: table.step(jnp.ones(n, jnp.int32), jnp.zeros(n, jnp.int32), key))
    after, reward, mask = step(KEY)
    assert abs(float((after == 0).mean()) - 2 / 3) < 0.03
    assert ((after == 2) == (mask == 0)).all()
    assert set(np.asarray(reward)[np.asarray(after) == 2]) == {5}


def test_what_is_seen_is_known_again():
    table = Table.create(recorded())
    assert table.observe(None, None, jnp.array([[1.9], [0.1], [1.0]]), KEY).tolist() == [2, 0, 1]
    assert table.seen(jnp.array([2, 0])).tolist() == [[2], [0]]


def test_what_no_table_holds():
    with pytest.raises(UsageError, match='discrete actions'):
        Table.create(Dataset.from_arrays(np.zeros((3, 1)), np.zeros((3, 1)), np.zeros(3), [False, False, True]))
    n = 9000
    wide = Dataset.from_arrays(np.arange(n)[:, None], np.arange(n) % 2, np.zeros(n), np.arange(n) == n - 1)
    with pytest.raises(UsageError, match='too many'):
        Table.create(wide)


RING = """
    ######
    #S..##
    #.#.##
    #...G#
    ######
"""


def test_a_search_over_what_was_recorded():
    """A tenth of the moves slip. A best action in every cell; where the recorded actions are shuffled the table knows
    where the walker was, and not why."""
    env = GridWorld.from_text(RING, slip=0.1, anywhere=True, horizon=20)
    data = Dataset.from_columns(random_transitions(env, KEY, 3000))
    shuffled = data.with_columns(action=np.random.default_rng(0).permutation(np.asarray(data.action)))
    q = env.optimal_values(0.9)[1]
    cells = np.setdiff1d(np.flatnonzero(~np.asarray(env.walls)), [int(env.goal)])
    planner = MCTS(ucb1(0.4), Rollouts(0.9, 15), 400, gamma=0.9, depth=10)
    plans = jax.jit(lambda model, latent, keys: planner.plans(Branches(model, len(ACTIONS)), latent, keys)[0])
    share = []
    for table in (Table.create(data), Table.create(shuffled)):
        latent = table.observe(None, None, jax.vmap(env.observe)(cells), KEY)
        action = np.asarray(plans(table, latent, jr.split(KEY, len(cells))))
        share.append((q[cells, action] > q[cells].max(1) - 0.01).mean())
    assert share[0] == 1
    assert share[1] < 0.7

"""The search: a tree worked on paper, what it never does, worlds with known answers, and mctx beside it."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from trees import paper, wild

from stitchrl.algos.search.uct import Rollouts
from stitchrl.core.boundary import Boundary
from stitchrl.envs.board import ConnectFour
from stitchrl.envs.game import Board
from stitchrl.envs.gridworld import ACTIONS, GridWorld
from stitchrl.models.rules import Branches, Rules
from stitchrl.models.simulator import Simulator
from stitchrl.planners.mcts import MCTS, first_of_ties
from stitchrl.planners.select import puct, ucb1
from stitchrl.planners.tree import descend, plant, root

pytestmark = pytest.mark.usefixtures('quick_compiles')


def searched(planner, model, latent, keys, tree=None):
    """A compiled search."""
    run = jax.jit(lambda model, planner, latent, keys, tree: planner.search(model, latent, keys, tree))
    return run(model, planner, latent, keys, tree)


def test_six_simulations_on_paper():
    """PUCT with c = 1. Walks, and the score of the root's moves at that time:

    0 (.6 .4)         finds 1, worth .2 to the other: G = -.2
    1 (.224 .566)     finds 2, worth -.5 to the other: G = .5
    1, 0 (.320 .846)  draws                                    1, 0 (.4 .517)  draws
    0, 0 (.471 .390)  the other wins, G = -1                   1, 1 (-.110 .412)  draws
    """
    model, told = paper()
    tree = searched(MCTS(puct(1.0, jnp.inf), told, 6), model, jnp.zeros(1, jnp.int32), jr.split(jr.key(0), 1))
    assert tree.visits[0, :3].tolist() == [[2, 4], [1, 0], [2, 1]]
    assert np.allclose(tree.totals[0, :3], [[-1.2, 0.5], [1, 0], [0, 0]])
    assert tree.children[0, :3].tolist() == [[1, 2], [-1, -1], [-1, -1]], 'ends have no nodes'
    assert tree.size.tolist() == [3]


def test_unvisited_moves_come_first_in_an_order_of_chance():
    model, told = paper()
    planner = MCTS(ucb1(0.0), told, 2)
    n = 400
    tree = searched(planner, model, jnp.zeros(n, jnp.int32), jr.split(jr.key(1), n))
    assert (tree.visits[:, 0] == 1).all()
    first = tree.children[:, 0, 0] == 1  # nodes are numbered as they come
    assert abs(float(first.mean()) - 0.5) < 0.1


def test_ties_are_broken_evenly_at_every_depth():
    scores = jnp.tile(jnp.array([[1.0, 3, 3, -jnp.inf, 3]]), (6000, 1))
    seeds = jr.bits(jr.key(0), (6000,))
    for depth in range(3):
        chosen = np.asarray(first_of_ties(scores, seeds, jnp.int32(depth)))
        counts = np.bincount(chosen, minlength=5)
        assert counts[[0, 3]].sum() == 0
        assert np.abs(counts[[1, 2, 4]] - 2000).max() < 200
    first, second = (np.asarray(first_of_ties(scores, seeds, jnp.int32(d))) for d in (0, 1))
    assert abs((first == second).mean() - 1 / 3) < 0.05


@pytest.mark.parametrize('rule', [ucb1(1.0), puct(1.25)], ids=['ucb1', 'puct'])
def test_what_holds_in_every_tree(rule):
    """Visits add up, ends have no nodes, illegal moves no visits, and values are the means of what lies below."""
    model, told = wild(4, 5, seed=3, share_legal=0.6)
    b, s = 8, 120
    tree = jax.tree.map(
        np.asarray, searched(MCTS(rule, told, s), model, jnp.zeros(b, jnp.int32), jr.split(jr.key(2), b))
    )
    assert (tree.visits[:, 0].sum(-1) == s).all()
    tables = jax.tree.map(np.asarray, model)
    for i in range(b):
        states = {0: 0}
        for node in range(tree.size[i]):
            state = states[node]
            assert (tree.visits[i, node][~tables.may[state]] == 0).all()
            for action in range(4):
                child, visits = tree.children[i, node, action], tree.visits[i, node, action]
                after, over = tables.after[state, action], tables.mask[state, action] == 0
                if child < 0:
                    assert visits == 0 or over
                    expected = visits * tables.reward[state, action]
                else:
                    assert not over
                    states[child] = after
                    assert visits == 1 + tree.visits[i, child].sum()
                    expected = -(told.value[after] + tree.totals[i, child].sum())
                assert np.isclose(tree.totals[i, node, action], expected, atol=1e-4)
        assert len(states) == tree.size[i]
    assert (tree.visits[np.arange(b), tree.size.clip(max=tree.visits.shape[1] - 1)] == 0).all()


def test_a_search_does_not_depend_on_its_neighbours():
    """Connect four from positions with different legal moves, one of them nearly full, random roll-outs."""
    game = ConnectFour.create()
    moves = [[], [3, 3, 3, 3, 3, 3], [0] * 6 + [1] * 6, [3, 2, 3, 2, 3]]
    boards = jax.tree.map(lambda *x: jnp.stack(x), *(game.after(m) for m in moves))
    planner, keys = MCTS(ucb1(1.4), Rollouts(1.0, 42), 60), jr.split(jr.key(5), 4)
    search = jax.jit(lambda boards, keys: planner.search(Rules(game), boards, keys))
    batch = search(boards, keys)
    for i in range(4):
        beside = jnp.array([j if j == i else (j + i + 1) % 4 for j in range(4)])  # other neighbours
        other = search(Board(boards.mine[beside], boards.theirs[beside]), keys[beside])
        assert all((a[i] == b[i]).all() for a, b in zip(batch, other, strict=True))
    one = search(Board(boards.mine[:1], boards.theirs[:1]), keys[:1])
    assert all((a[:1] == b).all() for a, b in zip(batch, one, strict=True)), 'alone'
    assert batch.visits[1, 0, 3] == 0
    assert (batch.visits[2, 0, :2] == 0).all()
    assert (batch.visits[:, 0].sum(-1) == 60).all()
    assert batch.visits[3, 0].argmax() == 3, 'four in a column'


def test_keys_decide_and_nothing_else():
    model, told = wild(3, 4, seed=0)
    planner = MCTS(ucb1(1.0), told, 20)
    search = jax.jit(lambda keys: planner.search(model, jnp.zeros(2, jnp.int32), keys))
    same, other = search(jnp.stack([jr.key(1)] * 2)), search(jr.split(jr.key(1), 2))
    assert (same.visits[0] == same.visits[1]).all()
    assert (other.visits[0] != other.visits[1]).any()


def test_noise_is_at_the_root_only_and_only_when_asked_for():
    model, told = wild(3, 4, seed=1, share_legal=0.7)
    keys, zeros = jr.split(jr.key(0), 5), jnp.zeros(5, jnp.int32)
    quiet = searched(MCTS(puct(1.25), told, 30), model, zeros, keys)
    assert (quiet.prior[:, 0] == told.prior[:1]).all()
    loud = searched(MCTS(puct(1.25), told, 30, noise=(0.3, 0.25)), model, zeros, keys)
    drawn = (loud.prior[:, 0] - 0.75 * told.prior[:1]) / 0.25
    assert np.allclose(drawn.sum(-1), 1, atol=1e-5)
    assert (drawn[:, ~model.may[0]] == 0).all()
    assert len(np.unique(np.asarray(drawn[:, 0]).round(4))) == 5
    for i in range(5):
        for action in range(3):
            if (child := int(loud.children[i, 0, action])) > 0:
                assert (loud.prior[i, child] == told.prior[model.after[0, action]]).all()


def test_a_kept_tree_goes_on_where_it_was():
    model, told = wild(3, 6, seed=2)
    planner, zeros, keys = MCTS(puct(1.25), told, 40), jnp.zeros(2, jnp.int32), jr.split(jr.key(0), 2)
    search = jax.jit(lambda latent, tree: planner.search(model, latent, keys, tree))
    tree = search(zeros, plant(2, 100, 3, priors=True))
    action = root(tree).visits.argmax(-1)
    kept = descend(tree, action)
    before = root(kept).visits.sum(-1)
    assert (before > 5).all()
    more = search(model.after[0, action], kept)
    assert (root(more).visits.sum(-1) == before + 40).all()
    fresh = searched(MCTS(puct(1.25), told, int(before[0]) + 40), model, model.after[0, action], keys)
    assert (root(more).visits[0] == root(fresh).visits[0]).all(), 'as if it had begun there'


def test_a_full_tree_still_averages():
    model, told = wild(3, 6, seed=2)
    full = searched(
        MCTS(ucb1(1.0), told, 50), model, jnp.zeros(1, jnp.int32), jr.split(jr.key(0), 1), plant(1, 4, 3, True)
    )
    assert full.size.tolist() == [4]
    assert root(full).visits.sum() == 50


def corridor(slip):
    env = GridWorld.create('corridor', slip=slip)
    return env, Branches(Simulator(env, jax.device_put(Boundary.blank(env.spec))), len(ACTIONS))


@pytest.mark.parametrize('slip', [0.0, 0.3])
def test_it_plans_in_a_gridworld(slip):
    """East from every cell of the corridor; a random world's values are averages over its chances."""
    env, model = corridor(slip)
    v, _ = env.optimal_values(0.9)
    cells, state = jnp.array([9, 10, 11], jnp.int32), env.reset(jr.key(0))
    place = lambda cell: replace(state, obs=env.observe(cell), inner=state.inner._replace(cell=cell))
    planner = MCTS(ucb1(0.5), Rollouts(0.9, 15), 600, gamma=0.9, depth=12)
    act = jax.jit(lambda keys: planner.plans(model, jax.vmap(place)(cells), keys))
    action, tree, _ = act(jr.split(jr.key(1), 3))
    assert action.tolist() == [ACTIONS.index('east')] * 3
    found = root(tree).values[jnp.arange(3), action]
    error = np.asarray(found) - v[np.asarray(cells)]
    assert (error > -0.25).all()
    assert (error < 0.05).all(), 'exploration costs something, and nothing is better than the best'
    if slip == 0:
        assert found[2] == 1, 'the goal is beside it'
    else:
        assert found[2] < 1, 'an average, not one lucky sample'


def test_one_plan_is_a_plan_of_many():
    model, told = paper()
    planner = MCTS(puct(1.0, jnp.inf), told, 6)
    action, memory, info = planner.plan(model, jnp.int32(0), planner.remember(1), jr.key(0))
    assert (int(action), memory) == (1, ())
    assert np.isclose(info['plan/value'], -0.7 / 6)
    assert info['plan/nodes'] == 3


def mctx_visits(mctx, model, told, latent, simulations):
    """mctx's visits at the root with the same rule, Q as it is, and nothing random."""

    def recurrent(params, key, action, state):
        after, reward, mask = model.step(state, action, key)
        logits = jnp.log(told.prior[after] + 1e-30)
        return mctx.RecurrentFnOutput(
            reward=reward, discount=-mask, prior_logits=logits, value=told.value[after]
        ), after

    logits = jnp.log(told.prior[latent] + 1e-30)
    first = mctx.RootFnOutput(prior_logits=logits, value=told.value[latent], embedding=latent)
    run = partial(
        mctx.muzero_policy,
        num_simulations=simulations,
        qtransform=lambda tree, node: tree.qvalues(node),
        dirichlet_fraction=0.0,
        pb_c_init=1.25,
        pb_c_base=19652,
    )
    out = jax.jit(lambda: run((), jr.key(0), first, recurrent))()
    return np.asarray(out.search_tree.children_visits[:, 0]), np.asarray(
        out.search_tree.qvalues(jnp.zeros(len(latent), int))
    )


def test_mctx_counts_the_same_visits():
    mctx = pytest.importorskip('mctx', reason='mctx is the cross-check; pip install mctx')
    model, told = wild(3, 7, seed=0)
    latent = jnp.arange(13, dtype=jnp.int32)
    tree = searched(MCTS(puct(1.25), told, 100), model, latent, jr.split(jr.key(0), 13))
    with jax.numpy_rank_promotion('allow'):
        visits, values = mctx_visits(mctx, model, told, latent, 100)
    assert (root(tree).visits == visits).all()
    assert np.allclose(root(tree).values, values, atol=1e-4)

"""Recordings by tables of chances: each set is what it says, and so are the pairs it knows."""

from functools import cache

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.data.grids import SETS, Tabular, collect, shortest, steps_left, support, walker, within
from stitchrl.data.rollouts import policy_transitions
from stitchrl.envs.gridworld import ACTIONS, MOVES, GridWorld
from stitchrl.envs.pointmass import PointMass
from stitchrl.errors import UsageError
from stitchrl.report.unseen import tried

N = 10_000


@cache
def recorded(kind):
    world = PointMass.create('medium')
    return world, collect(world, kind, jr.key(0), N)


def returns(columns):
    """Share of the episodes that reach the goal, in order."""
    return columns.terminal[columns.terminal | columns.timeout].astype(float)


@pytest.mark.parametrize('kind', SETS)
def test_a_set_is_whole_episodes_of_the_rows_asked_for(kind):
    world, columns = recorded(kind)
    assert N <= len(columns) < N + 10 * world.spec.horizon
    ends = columns.terminal | columns.timeout
    assert ends[-1]
    assert np.diff(np.flatnonzero(ends), prepend=-1).max() <= world.spec.horizon
    np.testing.assert_array_equal(columns.next_obs[:-1][~ends[:-1]], columns.obs[1:][~ends[:-1]])
    np.testing.assert_array_equal(columns.reward, columns.terminal)
    assert columns.action.dtype == np.int32


@pytest.mark.parametrize(('kind', 'share'), [('random', 0.2), ('expert', 0.7 + 0.3 / 5)])
def test_how_often_the_best_move_was_taken(kind, share):
    world, columns = recorded(kind)
    best = shortest(world)[np.asarray(world.place(columns.obs))]
    assert (columns.action == best).mean() == pytest.approx(share, abs=0.02)


def test_the_expert_arrives_and_chance_hardly_does():
    assert returns(recorded('expert')[1]).mean() > 0.95
    assert returns(recorded('random')[1]).mean() < 0.3


def test_the_replay_set_gets_better_as_it_goes_on():
    world, columns = recorded('replay')
    best = shortest(world)[np.asarray(world.place(columns.obs))]
    taken = [
        (part[0] == part[1]).mean()
        for part in zip(*(np.array_split(x, 10) for x in (columns.action, best)), strict=True)
    ]
    np.testing.assert_allclose(taken, 1 - np.linspace(1, 0.1, 10) * 0.8, atol=0.06)
    early, late = np.array_split(returns(columns), 2)
    assert late.mean() > 0.95 > early.mean()


@pytest.mark.parametrize('world', [PointMass.create('easy'), GridWorld.create('rooms')], ids=['point', 'grid'])
def test_each_best_move_is_one_step_nearer(world):
    left = steps_left(world)
    moves = MOVES[shortest(world)].reshape(*left.shape, 2)
    for y, x in np.argwhere(left > 0):
        dy, dx = moves[y, x]
        assert left[y + dy, x + dx] == left[y, x] - 1
    assert (shortest(world)[left.ravel() <= 0] == ACTIONS.index('stay')).all()


def test_the_walker_draws_from_its_table():
    world = GridWorld.create('corridor')
    chance = np.asarray(walker(world, 0.5).chance)
    np.testing.assert_allclose(chance[int(world.start)], [0.1, 0.1, 0.6, 0.1, 0.1], rtol=1e-5)
    never = jnp.zeros((world.walls.size, 5)).at[:, ACTIONS.index('west')].set(1.0)
    columns = policy_transitions(world, Tabular(world, never), jr.key(0), 200)
    assert (columns.action == ACTIONS.index('west')).all()


def test_an_unknown_set_is_refused():
    with pytest.raises(UsageError, match="no set 'medium'; choose one of random, expert, replay"):
        collect(PointMass.create('easy'), 'medium', jr.key(0))


@pytest.mark.parametrize('seed', range(20))
def test_a_support_joins_start_and_goal_with_its_share_of_pairs(seed):
    grid = GridWorld.create('rooms')
    allowed, left = support(grid, 0.3, seed), steps_left(grid).ravel()
    floor = left > 0
    assert allowed.sum() == round(0.3 * 5 * floor.sum())
    assert allowed[floor].any(1).all()
    assert not allowed[~floor].any()
    assert grid.optimal_values(0.9, allowed)[0][int(grid.start)] > 0


def test_supports_differ_and_may_hold_everything():
    grid = GridWorld.create('rooms')
    assert (support(grid, 0.3, 0) != support(grid, 0.3, 1)).any()
    assert (support(grid, 0.3, 0) == support(grid, 0.3, 0)).all()
    assert support(grid, 1.0, 0)[steps_left(grid).ravel() > 0].all()


def test_steps_within_a_support_are_all_of_its_pairs_equally_often():
    grid = GridWorld.create('corridor', anywhere=True)
    allowed = support(grid, 0.4, 0)
    columns = within(grid, allowed, jr.key(0), 20_000)
    count = tried(np.asarray(grid.place(columns.obs)), columns.action, *allowed.shape)
    np.testing.assert_array_equal(count > 0, allowed)
    share, even = (x / x.sum(1, keepdims=True).clip(1) for x in (count, allowed))
    np.testing.assert_allclose(share, even, atol=0.05)


@pytest.mark.parametrize('share', [0.1, 1.2])
def test_a_share_that_cannot_be_is_refused(share):
    with pytest.raises(UsageError, match=f'share {share}: expected 0.2'):
        support(GridWorld.create('rooms'), share, 0)

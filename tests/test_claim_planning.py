"""The cheap core of the experiments on models and planning, against numbers worked by hand."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.cli.claims import load
from stitchrl.core.types import Transition
from stitchrl.planners.planner import imagine

KEY = jr.key(0)


def test_best_imagined_blind_takes_a_plan_that_the_best_of_many_beats():
    module = load('best_imagined')
    start, planner = jnp.array([0.3, 0.0]), module.shooting(64)
    memory = planner.remember(1)[0]
    values = []
    for one in (planner, module.blind(64)):
        action, rest, _ = one.plan(module.MODEL, start, memory, KEY)
        plan = jnp.concatenate([action[None], rest[:-1]])
        values.append(float(imagine(module.MODEL, start, plan[None], KEY)[0]))
    best = module.MODEL.best(start, module.HORIZON)[1]
    assert best >= values[0] > values[1]


def test_best_imagined_all_plans_of_the_best_of_many_are_random():
    """What a planner remembers is none of them, not even the best plan there is."""
    module = load('best_imagined')
    start = jnp.array([0.3, 0.0])
    best = jnp.float32(module.MODEL.best(start, module.HORIZON)[0])
    planner = module.shooting(16)
    of = lambda memory: planner.plan(module.MODEL, start, memory, KEY)[0]
    np.testing.assert_array_equal(of(best), of(0 * best))


def test_closed_loop_counts_no_reward_behind_the_end_of_an_episode():
    module = load('closed_loop')
    world, plan = module.Episode.create(), jnp.full((1, module.STEPS, module.CARTS), 0.5)
    late = jnp.array([0.4, -0.2, 0.1, 0.3, module.STEPS - 1])
    first = world.step(late[None], plan[:, 0], KEY)
    assert float(first[2][0]) == 0
    assert float(imagine(world, late, plan, KEY)[0]) == pytest.approx(float(first[1][0]), rel=1e-5)
    early = world.step(late.at[-1].set(0)[None], plan[:, 0], KEY)
    assert float(early[2][0]) == 1
    np.testing.assert_allclose(early[0][0, :-1], first[0][0, :-1])


def test_closed_loop_a_wrong_model_has_stronger_motors_and_pushes_shake_the_speeds_alone():
    module = load('closed_loop')
    rest, push = jnp.zeros((1, 5)), jnp.array([[1.0, 0.0]])
    right, wrong = (module.Episode.create(strength).step(rest, push, KEY)[0] for strength in (1.0, module.WRONG))
    np.testing.assert_allclose(wrong[0, :4], module.WRONG * right[0, :4], rtol=1e-6)
    shaken = module.Episode.create(shaken=0.5).step(rest, push, KEY)[0] - right
    assert (np.asarray(shaken[0, 2:4]) != 0).all()
    np.testing.assert_array_equal(shaken[0, [0, 1, 4]], 0)


def test_does_not_scale_nothing_beats_going_straight_up_the_higher_hill():
    module = load('does_not_scale')
    model, start = module.Hills(jnp.float32(module.LOWER)), jnp.array([0.1])
    best = model.best(0.1)
    places = 0.1 + module.REACH * np.arange(1, module.STEPS + 1)
    straight = np.clip(np.diff(np.minimum(np.r_[0.1, places], module.HIGH)) / module.REACH, -1, 1)
    plan = jnp.float32(straight)[None, :, None]
    assert float(imagine(model, start, plan, KEY)[0]) == pytest.approx(best, rel=1e-5)
    others = jr.uniform(KEY, (500, module.STEPS, 1), minval=-1, maxval=1)
    assert float(imagine(model, start, others, KEY).max()) < best
    assert float(imagine(model, start, -plan, KEY)[0]) < 0.7 * best  # the lower hill is a trap


@pytest.fixture(scope='module')
def hooks():
    module = load('reward_free')
    return module, module.Hooks.create(True)


def test_reward_free_pushes_are_as_told_in_the_middle_and_turned_round_in_the_hooks(hooks):
    _, env = hooks
    moved = lambda place, push: np.asarray(env.step(env.at(jnp.array(place)), jnp.array(push), KEY).obs) - place
    np.testing.assert_allclose(moved([5.5, 5.5], [0.6, 0.2]), [0.3, 0.1], atol=1e-5)
    np.testing.assert_allclose(moved([2.5, 1.5], [0.6, 0.0]), [-0.3, 0.0], atol=1e-5)  # deep in a hook
    np.testing.assert_allclose(moved([8.5, 9.5], [-0.6, 0.0]), [0.3, 0.0], atol=1e-5)


def test_reward_free_without_a_hook_no_row_begins_or_ends_in_it(hooks):
    module, _ = hooks
    obs = jnp.array([[5.5, 5.5], [2.5, 1.5], [4.1, 1.5], [8.5, 1.5], [3.0, 9.5]])
    zero = jnp.zeros(5)
    rows = Transition(obs, jnp.zeros((5, 2)), zero, obs.at[2, 0].set(3.9), zero, zero, jnp.zeros((5, 2)))
    kept, count = module.without(rows, module.LAST)
    assert count == 3
    np.testing.assert_array_equal(kept.obs[:count], obs[jnp.array([0, 3, 4])])


def test_reward_free_scores_by_hand(hooks):
    module, _ = hooks
    goal = np.array([3.0, 4.0])
    paths = np.array([[[0.0, 0.0], [3.0, 0.0], [3.0, 3.5]], [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]])
    assert module.arrived(paths, goal).tolist() == [True, False]
    assert module.gained(paths, goal) == pytest.approx((1 + 4.5) / 4)
    place = jnp.array([[0.0, 0.0]])
    none = jnp.zeros(1)
    batch = Transition(place, place, none, place, none, none, place)
    np.testing.assert_allclose(module.Near(jnp.asarray(goal))(batch), [-5])


def test_rollouts_augment_shuffles_what_followed_and_nothing_else():
    module = load('rollouts_augment')
    number = jnp.arange(float(module.MANY))
    rows = Transition(number[:, None], number[:, None], number, number[:, None], number, number, number[:, None])
    mixed = module.shuffled(rows, KEY)
    few = slice(0, module.FEW)
    np.testing.assert_array_equal(mixed.obs, rows.obs)
    np.testing.assert_array_equal(mixed.reward, mixed.next_obs[:, 0])
    assert (mixed.reward[few] != number[few]).mean() > 0.9
    np.testing.assert_array_equal(np.sort(mixed.reward[few]), number[few])
    np.testing.assert_array_equal(mixed.reward[module.FEW :], number[module.FEW :])


def test_short_horizons_a_blank_model_pays_nothing():
    module = load('short_horizons')
    zero = jnp.ones(3)
    batch = Transition(zero, zero, zero, zero, zero, zero, zero)
    np.testing.assert_array_equal(module.nothing(batch), 0)
    model = jax.tree.map(lambda x: x[None], module.Simulator.create(module.ENV, module.BOUNDARY))
    assert {module.agents(model, n, 1).planner.horizon for n in module.AHEAD} == set(module.AHEAD)

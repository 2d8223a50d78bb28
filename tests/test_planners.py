"""The planners that search over sequences of actions: each by hand, and all on a task whose best plan is known."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from toy_models import ONE, THREE, Line

from stitchrl.core.spec import Continuous, Observation, Spec
from stitchrl.errors import UsageError
from stitchrl.models.linear import Linear
from stitchrl.planners import cem, mppi
from stitchrl.planners.cem import CEM, coloured, limited
from stitchrl.planners.exhaustive import Exhaustive, digits
from stitchrl.planners.gradient import Gradient, usable
from stitchrl.planners.mppi import MPPI
from stitchrl.planners.planner import imagine
from stitchrl.planners.shooting import Shooting

KEY = jr.key(0)
HORIZON, STARTS = 10, 8
pytestmark = pytest.mark.usefixtures('quick_compiles')


def played(planner: Any, model: Any, latent: jax.Array, key: jax.Array = KEY) -> jax.Array:
    """The whole plan [H, ...] made without a warm start."""

    action, memory, _ = plan(planner, model, latent, key)
    return jnp.concatenate([action[None], memory[:-1]])


@jax.jit
def returned(model: Any, latent: jax.Array, plans: jax.Array) -> jax.Array:
    """What plans [N, H, A] return in a world without noise, [N]."""
    return imagine(model, latent, plans, KEY)


@jax.jit
def plan(planner: Any, model: Any, latent: jax.Array, key: jax.Array) -> Any:
    return planner.plan(model, latent, planner.remember(1)[0], key)


# CEM


def test_cem_moves_to_the_mean_of_the_elites_by_hand():
    """Elites 1 and 3 of (1, 2, 3, 4) by value: mean 2, variance 1; alpha 1/4 of the old 10 and 2^2 stays."""
    plans = jnp.array([1.0, 2.0, 3.0, 4.0])[:, None, None]
    mean, std = cem.moved(
        jnp.full((1, 1), 10.0), jnp.full((1, 1), 2.0), plans, jnp.array([5.0, 1.0, 6.0, 0.0]), 2, 0.25
    )
    assert mean[0, 0] == pytest.approx(0.25 * 10 + 0.75 * 2)
    assert std[0, 0] == pytest.approx((0.25 * 4 + 0.75 * 1) ** 0.5)


def test_cem_plans_that_are_no_number_are_no_elites():
    plans, lost = jnp.array([1.0, 2.0, 3.0])[:, None, None], -jnp.inf
    mean, std = cem.moved(jnp.zeros((1, 1)), jnp.ones((1, 1)), plans, jnp.array([lost, 7.0, lost]), 2, 0.0)
    assert (mean[0, 0], std[0, 0]) == (2, 0)
    mean, std = cem.moved(jnp.full((1, 1), 0.3), jnp.ones((1, 1)), plans, jnp.full(3, lost), 2, 0.1)
    assert (mean[0, 0], std[0, 0]) == (pytest.approx(0.3), 1)


def test_cem_plays_the_mean_not_the_best_sample():
    """One iteration in which every sample is an elite: the mean of all, far from the best of them."""
    planner = CEM.create(ONE, horizon=1, samples=1000, elites=1000, iterations=1, alpha=0.0)
    assert abs(played(planner, Line(goal=1.0), jnp.zeros(1))[0, 0]) < 0.05


def test_cem_stays_within_the_bounds():
    mean = jnp.array([0.0, 0.8, -0.9, 1.0])
    np.testing.assert_allclose(limited(mean, jnp.full(4, 0.3)), [0.3, 0.1, 0.05, 0], atol=1e-6)
    noise = jax.jit(CEM.noise)(CEM.create(ONE, horizon=3, samples=5000), KEY)
    assert 1.9 < float(jnp.abs(noise).max()) <= 2
    found = played(CEM.create(ONE, horizon=3), Line(goal=50.0), jnp.zeros(1))
    assert found.min() > 0.8
    assert found.max() <= 1


@pytest.mark.parametrize(('colour', 'length'), [(1.0, 8), (2.0, 15), (1.0, 1)])
def test_coloured_noise_has_unit_variance_and_the_colour_asked_for(colour, length):
    noise = np.asarray(coloured(KEY, (4000, 2), length, colour))
    assert noise.std() == pytest.approx(1, abs=0.05)
    if length > 2:
        power = (abs(np.fft.rfft(noise)) ** 2).mean((0, 1))
        assert power[1] / power[3] == pytest.approx(3**colour, rel=0.1)


# MPPI


def test_mppi_weighs_by_hand():
    """Values log 3 and 0 at temperature 1: weights 3/4 and 1/4; at temperature 1/2: 9/10 and 1/10."""
    plans, values = jnp.array([1.0, -1.0, 0.5])[:, None, None], jnp.array([jnp.log(3.0), 0.0, -jnp.inf])
    mean, std = mppi.moved(jnp.zeros((1, 1)), jnp.ones((1, 1)), plans, values, 1.0)
    assert (mean[0, 0], std[0, 0]) == (pytest.approx(0.5), pytest.approx(0.75**0.5))
    assert mppi.moved(jnp.zeros((1, 1)), jnp.ones((1, 1)), plans, values, 0.5)[0][0, 0] == pytest.approx(0.8)


def test_mppi_stays_where_all_is_lost():
    mean, std = mppi.moved(jnp.full((1, 1), 0.3), jnp.ones((1, 1)), jnp.ones((2, 1, 1)), jnp.full(2, -jnp.inf), 1.0)
    assert (mean[0, 0], std[0, 0]) == (pytest.approx(0.3), 1)


def test_mppi_without_adapting_keeps_its_deviation():
    planner = MPPI.create(ONE, horizon=2, adapt=False, std=0.7)
    assert plan(planner, Line(), jnp.zeros(1), KEY)[2]['plan/std'] == pytest.approx(0.7)


# Gradients, shooting, every sequence


def test_gradient_finds_the_goal_from_every_start():
    found = played(Gradient.create(ONE, horizon=2, restarts=3, iterations=60), Line(goal=0.6), jnp.zeros(1))
    np.testing.assert_allclose(found[:, 0], [0.6, 0], atol=0.01)


def test_gradient_leaves_alone_what_has_no_slope():
    slope = jnp.array([[[1.0], [jnp.inf]], [[2.0], [3.0]]])
    np.testing.assert_array_equal(usable(slope), [[[0], [0]], [[2], [3]]])


@pytest.mark.parametrize('spec', [ONE, THREE])
def test_shooting_takes_the_best_sample(spec):
    planner = Shooting.create(spec, horizon=3, samples=500)
    found = played(planner, Line(goal=2.0), jnp.zeros(1))
    assert float(returned(Line(goal=2.0), jnp.zeros(1), found[None])[0]) > -1.5


def test_shooting_tries_the_policy_and_the_last_plan():
    """A policy that jumps to the goal at 0.25 and stays there cannot be met by chance; nor can a given plan."""
    aim = lambda obs, key: 0.25 - obs
    planner = Shooting.create(ONE, horizon=4, samples=20, proposal=aim, proposed=2)
    np.testing.assert_allclose(played(planner, Line(goal=0.25), jnp.zeros(1))[:, 0], [0.25, 0, 0, 0])
    warm, exact = Shooting.create(ONE, horizon=4, samples=20), jnp.array([[0.25], [0.0], [0.0], [0.0]])
    action, memory, _ = jax.jit(Shooting.plan)(warm, Line(goal=0.25), jnp.zeros(1), exact, KEY)
    assert (action[0], memory[0, 0]) == (0.25, 0)
    cold = Shooting.create(ONE, horizon=4, samples=20, warm=False)
    found = [
        jax.jit(Shooting.plan)(cold, Line(goal=0.25), jnp.zeros(1), memory, KEY)[0] for memory in (exact, 0 * exact)
    ]
    assert found[0] == found[1] != 0.25


def test_every_sequence_is_tried():
    """20 more behind a dip, two steps to the left: greedy goes right, a horizon of 4 does not."""
    np.testing.assert_array_equal(digits(jnp.int32(5), 3, 4), [0, 0, 1, 2])

    class Behind(Line):
        def step(self, latent, action, key):
            after, reward, mask = super().step(latent, action, key)
            return after, reward + 20 * (after[:, 0] < -1.5), mask

    model = Behind(goal=1.0)
    assert played(Exhaustive.create(THREE, horizon=1), model, jnp.zeros(1))[0] == 2
    np.testing.assert_array_equal(played(Exhaustive.create(THREE, horizon=4), model, jnp.zeros(1)), [0, 0, 1, 1])
    every = jnp.stack(jnp.meshgrid(*[jnp.arange(3)] * 4, indexing='ij'), -1).reshape(-1, 4)
    values = returned(model, jnp.zeros(1), every)  # the world has no noise, so particles are alike
    planner = Exhaustive.create(THREE, horizon=4, particles=2)
    best = plan(planner, model, jnp.zeros(1), KEY)[2]['plan/best']
    assert float(best) == pytest.approx(float(values.max()))


def test_every_sequence_stops_counting_at_the_end():
    """Beyond 0.5 the task is over with a reward of 1 less the distance; staying pays 0.5 a step."""
    model = Line(edge=0.5, bonus=0.5)
    assert played(Exhaustive.create(THREE, horizon=3), model, jnp.zeros(1)).tolist() == [1, 1, 1]
    assert played(Exhaustive.create(THREE, horizon=3, gamma=0.9), Line(goal=1.0, edge=0.5), jnp.zeros(1))[0] == 2


# All of them


def makers(spec: Spec, calls: int, horizon: int = HORIZON) -> dict[str, Any]:
    """Every planner for continuous actions, with at most so many steps of the model in a plan."""
    n, rounds = calls // horizon, 3 if calls < 1000 else 5
    each = n // rounds
    return {
        'shooting': Shooting.create(spec, horizon, n),
        'cem': CEM.create(spec, horizon, each, max(2, each // 10), rounds),
        'icem': CEM.create(spec, horizon, each, max(2, each // 10), rounds, colour=1.0),
        'mppi': MPPI.create(spec, horizon, each, rounds, temperature=0.1),
        'gradient': Gradient.create(spec, horizon, 1, (n - 1) // 2),
    }


@pytest.mark.parametrize('name', ['shooting', 'cem', 'mppi', 'gradient'])
@pytest.mark.nans
def test_what_is_no_number_never_wins(name):
    """The best place is just before a hole; no planner plays into it, and one that only knows holes plays a number."""
    planner = makers(ONE, 4000)[name]
    found = played(planner, Line(goal=0.9, hole=0.95), jnp.zeros(1))
    assert np.isfinite(returned(Line(goal=0.9, hole=0.95), jnp.zeros(1), found[None])[0])
    assert np.isfinite(played(planner, Line(hole=-100.0), jnp.zeros(1))).all()


@pytest.mark.parametrize('name', ['shooting', 'cem', 'mppi'])
def test_an_end_is_seen(name):
    """Before the edge a step pays up to 0.75; going to 1 pays 1, but nothing after it. So wait, and go in the last of
    three steps, for 2.5 in all; at once gives 1, in the second step 1.75. To a gradient an end has no slope.
    """
    model = Line(goal=1.0, edge=0.5, bonus=1.0)
    found = played(makers(ONE, 4000, 3)[name], model, jnp.zeros(1))
    assert float(returned(model, jnp.zeros(1), found[None])[0]) > 1.8


@pytest.mark.parametrize('name', ['cem', 'gradient'])
def test_a_plan_is_followed_and_goes_on(name):
    planner = makers(ONE, 500)[name]
    action, memory, _ = plan(planner, Line(goal=0.3), jnp.zeros(1), KEY)
    following, rest = planner.follow(memory)
    np.testing.assert_array_equal(following, memory[0])
    np.testing.assert_array_equal(rest[:-1], memory[1:])
    assert (action.shape, memory.shape, float(memory[-1, 0])) == ((1,), (HORIZON, 1), 0)


def regrets(calls: int, names: tuple[str, ...]) -> dict[str, float]:
    """Two carts on springs: (best return - a planner's) / -best, the mean over starts."""
    model, spec = Linear.carts(2), Spec(Observation((4,)), Continuous(2, (-1.0, -1.0), (1.0, 1.0)))
    starts = jr.uniform(jr.key(5), (STARTS, 4), minval=-0.25, maxval=0.25)
    best = np.array([model.best(start, HORIZON)[1] for start in starts])
    result, known = {}, makers(spec, calls)
    for name in names:
        assert known[name].calls <= calls
        found = jax.vmap(lambda s, k, name=name: played(known[name], model, s, k))(starts, jr.split(KEY, STARTS))
        reached = jax.vmap(lambda s, plan: returned(model, s, plan[None])[0])(starts, found)
        result[name] = float(((best - np.asarray(reached)) / -best).mean())
    return result


def test_regret_where_the_best_is_known():
    """No planner beats the best, cem is below shooting, and a gradient is within 1 %, before that below CEM."""
    few, many = regrets(500, ('gradient',)), regrets(4000, ('shooting', 'cem', 'gradient'))
    assert min(*few.values(), *many.values()) > -1e-3
    assert many['cem'] < 0.2 < many['shooting']
    assert many['gradient'] < 0.01 < few['gradient'] < many['cem']


@pytest.mark.parametrize(
    ('make', 'said'),
    [
        (lambda: CEM.create(THREE), 'cem needs continuous'),
        (lambda: CEM.create(ONE, samples=5, elites=6), '6 elites of 5'),
        (lambda: MPPI.create(THREE), 'mppi needs continuous'),
        (lambda: MPPI.create(ONE, temperature=0.0), 'temperature is 0.0'),
        (lambda: Gradient.create(THREE), 'gradient needs continuous'),
        (lambda: Exhaustive.create(ONE), 'exhaustive needs discrete'),
        (lambda: Exhaustive.create(THREE, horizon=13), '1,594,323 sequences'),
    ],
)
def test_what_does_not_go_together(make, said):
    with pytest.raises(UsageError, match=said):
        make()

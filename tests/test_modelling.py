"""MPC as an agent, and the loop that learns a model while acting, on a task of one number."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from toy_models import ONE, THREE, Line

from stitchrl.algos.modelled.mpc import MPC, Config, planner
from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.envs.env import Env, State
from stitchrl.errors import UsageError
from stitchrl.loops.evaluate import evaluate
from stitchrl.loops.modelling import rounds
from stitchrl.models.simulator import Simulator
from stitchrl.planners.cem import CEM

KEY = jr.key(0)
SMALL = Config(
    horizon=3, samples=100, iterations=4, particles=2, hidden=(16,), members=2, elites=2, batch=16, epochs=30, lr=0.01
)
pytestmark = pytest.mark.usefixtures('quick_compiles')


class Walk(Env):
    """s' = s + a / 2 + noise between walls at 2, r = -(s' - 1)^2, ten steps from anywhere in [-1, 1]."""

    spec: Spec = eqx.field(static=True, default=replace(ONE, horizon=10))
    noise: Any = 0.0

    def reset(self, key):
        return self.at(jr.uniform(key, (1,), minval=-1, maxval=1))

    def at(self, obs):
        no = jnp.zeros((), bool)
        return State(obs, jnp.zeros(()), no, no, jnp.zeros((), jnp.int32))

    def step(self, state, action, key):
        obs, t = jnp.clip(state.obs + action / 2 + self.noise * jr.normal(key, (1,)), -2, 2), state.inner + 1
        return State(obs, -((obs[0] - 1) ** 2), jnp.zeros((), bool), t >= 10, t)


BORDER = Boundary.blank(Walk().spec)


def known(replan: int, horizon: int = 10) -> MPC:
    """Over the true world, which is still."""
    cfg = Config(planner='gradient', iterations=60, replan=replan, horizon=horizon, particles=1)
    return MPC.of(Simulator.create(Walk()), planner(Walk().spec, cfg), cfg)


def score(agent: MPC, env: Walk) -> float:
    """Mean return of 50 greedy episodes."""
    return float(evaluate(jax.tree.map(lambda x: jnp.asarray(x)[None], agent), BORDER, env, 0, 50).returns.mean())


def test_closed_loop_corrects_what_open_loop_cannot():
    """In the world as it was planned in, a plan of the whole episode is as good as ten; with noise it drifts away."""
    closed, opened = known(1), known(10)
    still = score(closed, Walk()), score(opened, Walk())
    assert abs(still[0] - still[1]) < 0.25
    shaken = Walk(noise=0.2)
    assert score(closed, shaken) > score(opened, shaken) + 1


def test_a_plan_is_followed_until_the_next():
    """Replanning every second step: the second action is the rest of the plan, whatever is seen."""
    agent, act = known(2, 4), jax.jit(MPC.act)
    action, memory = act(agent, agent.remember(2), jnp.array([[0.0], [-1.0]]), KEY)
    following, _ = act(agent, memory, jnp.array([[1.9], [1.9]]), jr.key(1))
    np.testing.assert_array_equal(following, memory.plans[:, 0])
    assert np.all(np.abs(action - 1) < 0.01)
    assert np.all(following > -0.9)  # what is seen asks for -1
    mixed = memory._replace(age=jnp.array([1, 2]))
    third, _ = act(agent, mixed, jnp.array([[1.9], [1.9]]), jr.key(1))
    assert third[0] == following[0]
    assert third[1] < -0.9


def test_exploring_adds_noise_within_the_bounds():
    agent = known(1, 3)
    noisy = replace(agent, cfg=replace(agent.cfg, noise=0.5))
    obs, act = jnp.zeros((20, 1)), jax.jit(MPC.act)
    quiet, loud = (act(noisy, agent.remember(20), obs, KEY, t)[0] for t in (None, jnp.int32(0)))
    assert float(jnp.abs(quiet - loud).max()) > 0.3
    assert float(jnp.abs(loud).max()) <= 1


@pytest.mark.parametrize('name', ['cem', 'gradient'])
def test_products_are_rounded_while_planning_where_that_is_asked_for(name):
    """The plan is another one and nearly the same; what is learned is the same."""
    cfg = replace(SMALL, planner=name, samples=None, iterations=3, hidden=(32, 32))
    plain, rounded = (MPC.create(ONE, replace(cfg, bfloat16=flag), KEY) for flag in (False, True))
    obs, act = jnp.array([[0.3], [-0.2]]), jax.jit(MPC.act)
    one, other = (act(agent, agent.remember(2), obs, KEY)[0] for agent in (plain, rounded))
    assert 0 < float(jnp.abs(one - other).max()) < 0.1
    seen = lambda agent: str(jax.make_jaxpr(MPC.act)(agent, agent.remember(2), obs, KEY))
    assert ('bf16' in seen(plain), 'bf16' in seen(rounded)) == (False, True)
    numbers, column = jnp.ones((2, 4)), jnp.ones((2, 4, 1))
    rows = Transition(column, column, numbers, 2 * column, numbers, numbers, column)
    learned = [agent.update(rows, KEY, jnp.int32(0))[0].model for agent in (plain, rounded)]
    jax.tree.map(np.testing.assert_array_equal, *learned)


def agents(seeds: int = 2) -> Any:
    return jax.vmap(lambda k: MPC.create(ONE, SMALL, k))(jr.split(KEY, seeds))


def test_a_model_learned_while_acting_plays():
    """Random play is below -10, the best is at about -1.8, what is learned from 120 steps is near that."""
    (_, first), (after, last) = rounds(agents(), Walk(), BORDER, 0, 60, 2)
    assert (first.steps, last.steps) == (60, 120)
    assert [len(each) for each in first.returns] == [6, 6]
    returns = evaluate(after, BORDER, Walk(), 0, 20).returns.mean(1)
    assert returns.mean() > -4, returns
    assert np.mean(first.returns) < -10
    assert first.info['model/held_out'].shape == (2, 2)
    assert last.info['model/rows'].tolist() == [96, 96]


def test_fitted_once_stays_as_it_was():
    (first, one), (second, two) = rounds(agents(), Walk(), BORDER, 0, 60, 2, refit=False)
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert 'model/epochs' in one.info
    assert two.info == {}


def test_a_row_is_what_was_seen_done_and_given():
    """Returns add up from rows the agent was fitted to: a fit that copies them out."""

    class Spy(MPC):
        def fit(self, rows, count, key):
            return self, {'rows': rows, 'count': count}

    spies = jax.vmap(lambda k: Spy.create(ONE, SMALL, k))(jr.split(KEY, 2))
    ((_, got),) = rounds(spies, Walk(), BORDER, 3, 40, 1)
    rows = got.info['rows']
    np.testing.assert_allclose(rows.next_obs, jnp.clip(rows.obs + rows.action / 2, -2, 2), atol=1e-6)
    np.testing.assert_allclose(rows.reward, -((rows.next_obs[..., 0] - 1) ** 2), atol=1e-5)
    np.testing.assert_allclose(rows.reward.reshape(2, 4, 10).sum(-1), got.returns, rtol=1e-5)
    same = rows.next_obs[:, :-1] == rows.obs[:, 1:]
    assert (~same[..., 0]).sum(1).tolist() == [3, 3]  # three times a new episode begins
    assert (rows.obs[0] != rows.obs[1]).any()


def test_it_learns_from_a_recording_too():
    """Update by update, with rows of its own for each member; compiled, for two seeds at once."""
    rng = np.random.default_rng(0)
    obs, action = rng.uniform(-1, 1, (500, 1)), rng.uniform(-1, 1, (500, 1))
    nothing, cut = np.zeros(500, bool), np.ones(500, bool)
    data = Dataset.from_arrays(obs, action, obs[:, 0], nothing, cut, obs + action / 2)
    update = jax.jit(jax.vmap(lambda a, k: a.update(a.draw(jax.device_put(data), k), k, jnp.int32(0)), (0, None)))
    some, errors = agents(), []
    for i in range(200):
        some, info = update(some, jr.key(i))
        errors.append(info['model/mse'])
    assert agents().draw.__self__.cfg.batch * 2 == 32
    assert (np.mean(errors[-20:], 0) < 0.1 * np.asarray(errors[0])).all()


def test_a_model_that_does_not_learn_stays():
    agent = known(1)
    assert agent.update(None, KEY, jnp.int32(0)) == (agent, {})
    assert agent.fit(None, jnp.int32(0), KEY) == (agent, {})


@pytest.mark.parametrize(
    ('make', 'said'),
    [
        (lambda: MPC.create(ONE, replace(SMALL, replan=4), KEY), 'replan every 4 steps, but a plan has 3'),
        (lambda: MPC.of(Line(), CEM.create(ONE, horizon=5), replace(SMALL, replan=6)), 'a plan has 5'),
        (lambda: planner(ONE, replace(SMALL, planner='shooting')), 'shooting has no iterations; leave'),
        (lambda: MPC.create(THREE, replace(SMALL, planner='cem'), KEY), 'cem needs continuous'),
        (lambda: planner(ONE, replace(SMALL, horizon=0)), 'horizon is 0; expected at least 1'),
    ],
)
def test_what_does_not_go_together(make, said):
    with pytest.raises(UsageError, match=said):
        make()


def test_discrete_actions_are_planned_by_shooting_and_by_trying_all():
    for name in ('shooting', 'exhaustive'):
        cfg = Config(planner=name, horizon=2, particles=1)
        agent = MPC.of(Line(goal=2.0), planner(THREE, cfg), cfg)
        action, _ = jax.jit(MPC.act)(agent, agent.remember(2), jnp.array([[0.0], [5.0]]), KEY)
        assert action.tolist() == [2, 0]

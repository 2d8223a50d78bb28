"""The cheap core of each experiment, against exact numbers."""

from types import SimpleNamespace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.stats import expectile

from stitchrl.algos.offline import iql
from stitchrl.cli.claims import load
from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Discrete, Observation, Spec
from stitchrl.maths.dists import Squashed


def test_closed_form_ascends_to_the_softmax():
    module, q = load('closed_form'), jnp.array([0.0, 1.0, 2.0, -1.0, 0.5, 0.0])
    mu = module.ascend(q, module.entropy)
    np.testing.assert_allclose(mu, np.exp(q) / np.exp(q).sum(), atol=1e-5)


def test_closed_form_sampling_is_exact_for_a_constant(monkeypatch):
    module = load('closed_form')
    monkeypatch.setattr(module, 'bump', lambda action: 0 * action.sum(-1))
    for dims in (1, 3):  # log of the volume 2^d, whatever the samples
        np.testing.assert_allclose(module.errors(jr.key(0), dims, 4), 0, atol=1e-4)
        np.testing.assert_allclose(module.errors(jr.key(0), dims, 4, weighted=False), -dims * np.log(2), atol=1e-4)


def test_closed_form_gradient_of_two_actions():
    module = load('closed_form')
    grad = jax.grad(module.penalty)(jnp.zeros((1, 2)), jnp.array([0]))
    np.testing.assert_allclose(grad, [[-0.25, 0.25]])  # alpha 1/2 x (1/2 - 1, 1/2)


@pytest.mark.parametrize(('tau', 'worth'), [(0.7, 1.09375), (0.9, 3.2142857), (0.99, 8.3898305)])
def test_lottery_reads_as_predicted(tau, worth):
    """tau p (10 - m) = (1 - tau) (1 - p) m with p = 0.05."""
    module = load('lottery')
    data = module.recording()
    tickets = np.asarray(data.reward)[np.asarray(data.starts)][module.EACH :]
    assert tickets.mean() == pytest.approx(0.5)
    assert expectile(tickets.astype(float), tau) == pytest.approx(worth, rel=1e-5)
    assert float(module.fitted(tickets, tau)[-1]) == pytest.approx(worth, rel=1e-3)
    assert worth == pytest.approx(dict(zip(module.TAUS, module.READS, strict=True))[tau], abs=0.005)


def test_misplaced_differs_from_iql_only_in_the_expectile():
    """At tau 0.5 both losses are halves of squared errors: the same minimum."""
    module = load('lottery')
    batch = module.recording().sample(jr.key(1), 2)
    y = jnp.array([1.0, 3.0])
    critic = lambda obs, action: jnp.full((2, 2), 2.0)
    assert float(module.lucky_loss(critic, batch, y, 0.5)[0]) == pytest.approx(
        0.5 * iql.critic_loss(critic, batch, y)[0]
    )
    assert float(module.lucky_loss(critic, batch, y, 0.9)[0]) == pytest.approx(2 * (0.9 + 0.1) / 2)


@pytest.fixture(scope='module')
def worlds():
    """The module, a world with any behaviour, one with a good behaviour."""
    module = load('conservatism')
    build = jax.jit(module.world)
    return module, build(jr.key(0), False), build(jr.key(0), True)


def test_conservatism_values_solve_the_bellman_equation(worlds):
    module, w, _ = worlds
    q = module.values(w.p, w.r, w.pi)
    np.testing.assert_allclose(q, w.r + module.GAMMA * w.p @ (w.pi * q).sum(1), atol=1e-4)
    n = module.STATES * module.ACTIONS
    p = np.asarray(w.p[:, :, :, None] * w.pi[None, None], np.float64).reshape(n, n)
    exact = np.linalg.solve(np.eye(n) - module.GAMMA * p, np.asarray(w.r, np.float64).ravel())
    np.testing.assert_allclose(np.asarray(q).ravel(), exact, atol=1e-3)


@pytest.mark.parametrize('data_term', [0.0, 1.0])
def test_conservatism_fixed_point_is_a_minimum_of_cql(worlds, data_term):
    """At Q-hat the gradient of alpha (E_mu Q - E_data Q) + 1/2 E_data (Q - y)^2 vanishes, y held fixed."""
    module, w, _ = worlds
    q, alpha = module.fixed_point(w, 0.7, data_term), 0.7
    y = w.seen_r + module.GAMMA * w.seen_p @ (w.pi * q).sum(1)
    loss = lambda q: (alpha * (w.pi - data_term * w.behaviour) * q + 0.5 * w.behaviour * (q - y) ** 2).sum()
    np.testing.assert_allclose(jnp.where(w.behaviour > 0, jax.grad(loss)(q), 0), 0, atol=1e-4)


def test_conservatism_records_two_actions_a_state(worlds):
    module, w, good = worlds
    assert ((np.asarray(w.behaviour) > 0).sum(1) <= 2).all()
    np.testing.assert_allclose(w.behaviour.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(w.pi.sum(1), 1, atol=1e-6)
    assert (np.asarray(w.pi)[np.asarray(w.behaviour) == 0] == 0).all()
    best = module.optimum(good.p, good.r, jnp.ones_like(good.r, bool)).argmax(1)
    assert (np.asarray(good.behaviour)[np.arange(module.STATES), best] > 0.5).all()


@pytest.mark.nans
def test_poison_strikes_unseen_actions_only():
    module = load('poison')
    spec = Spec(Observation((4,)), Discrete(3))
    critic = module.Poisoned(module.Critic(spec, (4,), key=jr.key(0)))
    q = critic.all(jnp.eye(4))
    assert np.isfinite(q[:, :2]).all()
    assert np.isnan(q[:3, 2]).all()
    assert np.isfinite(q[3, 2])  # the task is over there
    np.testing.assert_allclose(q[:, 0], critic.critic(jnp.eye(4), jnp.zeros(4, jnp.int32)))


@pytest.mark.nans
def test_poison_finds_the_terms_that_ask():
    """One poisoned agent of each algorithm, term by term, through the functions that training uses."""
    asking = ['cql: backup', 'cql: log-sum-exp', 'cql: policy', 'discrete_cql: backup', 'discrete_cql: log-sum-exp']
    quiet = ['cql: data term', 'discrete_cql: data term', 'iql: V and policy', 'iql: backup', 'sarsa: backup']
    found = load('poison').terms()
    assert sorted(name for name, asks in found.items() if asks) == [*asking, 'td3_bc: backup', 'td3_bc: policy']
    assert sorted(name for name, asks in found.items() if not asks) == sorted(quiet)


def test_poison_chain_is_worth_what_it_says():
    data = load('poison').chain(False)
    assert data.returns().mean() == pytest.approx((0.5 + 0.1) / 2)
    assert load('poison').chain(True).returns().mean() == pytest.approx((0.5 + 0.9) / 2)


def test_static_data_bias_of_an_agent_that_knows_is_zero():
    """Standing still in the middle pays 1 a step, so 1 / (1 - gamma); a critic that says so has no bias."""
    module = load('static_data')

    class Still:
        actor = critic = None

    agent = Still()
    agent.actor, agent.critic = Still(), Still()
    agent.actor.net = jnp.zeros_like
    agent.critic.net = lambda obs, action: jnp.full((2, len(obs)), 10.0)

    class Same:
        obs = staticmethod(lambda obs: obs)

    found = module.over.__wrapped__(agent, Same, jnp.zeros((3, 3)))
    assert float(found) == pytest.approx(0.0, abs=1e-3)


def test_joins_segments_deals_the_same_good_steps_twice():
    module = load('joins_segments')
    (halves, best), (whole, _) = module.road(False), module.road(True)
    assert set(np.argsort(-halves.returns())[:20]) == set(range(20))  # the mediocre ones, first in the recording
    assert len(halves) == len(whole) == 200 * module.PLACES
    good = lambda data: (np.asarray(data.reward)[np.asarray(data.starts)] > 0.72).mean()
    assert good(halves) == pytest.approx(good(whole), abs=0.03)
    assert np.ptp(whole.returns()) > 2 * np.ptp(halves.returns())
    top = halves.best(0.1)
    assert np.asarray(top.reward)[np.asarray(top.starts)].mean() == pytest.approx(0.8, abs=1e-4)  # the mediocre ones
    assert best.shape == (module.PLACES,)


def test_over_estimation_of_the_true_values_is_zero_and_of_a_constant_more_that_constant():
    module = load('over_estimation')
    env = module.Noisy.create()
    mean, after, q = np.asarray(env.mean), np.asarray(env.after), np.zeros((module.PLACES, module.ACTIONS))
    for _ in range(300):
        q = mean + 0.9 * q.max(-1)[after]
    q = jnp.float32(q)
    assert float(module.greedy_bias(q, env, 0.9)) == pytest.approx(0, abs=1e-4)
    assert float(module.greedy_bias(q + 2, env, 0.9)) == pytest.approx(2, abs=1e-4)


def test_over_estimation_noise_is_in_the_rewards_alone():
    module = load('over_estimation')
    loud, calm = (module.Noisy.create(noise) for noise in (1.0, 0.0))
    keys = jr.split(jr.key(0), 4000)
    state = calm.reset(jr.key(1))
    paid, still = (jax.vmap(lambda key, env=env: env.step(state, 3, key))(keys) for env in (loud, calm))
    mean = float(calm.mean[state.inner[0], 3])
    np.testing.assert_allclose(still.reward, mean)
    assert float(paid.reward.mean()) == pytest.approx(mean, abs=0.06)
    assert float(paid.reward.std()) == pytest.approx(1, abs=0.05)
    np.testing.assert_array_equal(paid.obs, still.obs)


def test_actor_gradients_agree_with_themselves_only():
    module = load('actor_gradients')
    rng = np.random.default_rng(0)
    mean = rng.normal(size=50)
    one, other = (mean + rng.normal(size=(3, 400, 50)) for _ in range(2))
    z2, along = module.agreement(one, other)
    np.testing.assert_allclose(z2, 1, atol=0.6)
    np.testing.assert_allclose(along, 1, atol=0.1)
    z2, along = module.agreement(2 * one, other)
    assert (z2 > 20).all()
    np.testing.assert_allclose(along, 2, atol=0.1)
    np.testing.assert_allclose(module.variance(one), 50, rtol=0.1)


def test_entropy_by_quadrature_is_that_of_samples():
    module = load('entropy')
    dist = Squashed(jnp.array([[0.3, -1.0]]), jnp.array([[0.8, 0.1]]))
    log_prob = dist.samples_and_log_prob(jr.key(0), 20_000)[1]
    assert float(module.true_entropy(dist).sum()) == pytest.approx(-float(log_prob.mean()), abs=0.03)
    assert module.spread(np.arange(10) + 0.5) == pytest.approx(np.log(10))
    assert module.spread(np.full((3, 4), 2.2)) == 0


def test_entropy_corridor_holds_what_it_drew():
    module = load('entropy')
    held, drawn = (np.diff(np.asarray(module.corridor(way, jr.key(0)))) for way in (True, False))
    inside = slice(0, 30)  # before the first walk comes to an end of the corridor
    np.testing.assert_allclose(held[:, inside], held[:, :1] + 0 * held[:, inside], atol=1e-4)
    assert drawn[:, inside].std(1).min() > 0.1


def test_ensemble_errors_by_hand():
    """Eight critics, half of them 1 above the truth and half 3 below, at two places."""
    module = load('ensemble')
    off = np.array([1, 1, -3, -3, 1, 1, -3, -3.0])
    error, least = module.errors(5 + off[None, :, None] + np.zeros((1, 8, 2)), np.full((1, 2), 5.0))
    assert {n: float(x[0]) for n, x in error.items()} == {1: 2.0, 2: 2.0, 4: 1.0, 8: 1.0}
    np.testing.assert_allclose(least, 3)
    equal, least = module.errors(np.full((1, 8, 2), 7.0), np.full((1, 2), 5.0))
    assert all(float(x[0]) == 2 for x in (*equal.values(), least))


def test_online_against_static_bias_is_what_q_says_beyond_the_truth():
    module = load('online_against_static')

    class Sure(Agent):
        weight: jax.Array
        cfg: Any = eqx.field(static=True, default=None)

        create = update = None

        def act(self, memory, obs, key, t=None):
            return jnp.zeros((len(obs), 1)), memory

        @property
        def critic(self):
            return SimpleNamespace(net=lambda obs, action: jnp.full((2, len(obs)), 7.0))

    made = SimpleNamespace(agents=Sure(jnp.zeros(2)), boundary=Boundary.blank(module.ENV.spec))
    bias, true = module.told(made).T
    np.testing.assert_allclose(bias + true, 7, rtol=1e-5)
    assert (true < -5).all()  # nobody holds it up

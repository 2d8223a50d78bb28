"""The cheap core of each experiment, against exact numbers."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.stats import expectile

from stitchrl.algos.offline import iql
from stitchrl.cli.claims import load
from stitchrl.core.spec import Discrete, Observation, Spec


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
    assert len(halves) == len(whole) == 200 * module.PLACES
    good = lambda data: (np.asarray(data.reward)[np.asarray(data.starts)] > 0.72).mean()
    assert good(halves) == pytest.approx(good(whole), abs=0.03)
    assert np.ptp(whole.returns()) > 2 * np.ptp(halves.returns())
    top = halves.best(0.1)
    assert np.asarray(top.reward)[np.asarray(top.starts)].mean() == pytest.approx(0.7, abs=0.02)  # the mediocre ones
    assert best.shape == (module.PLACES,)

"""Rules of the search by hand."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.planners.select import by_value, by_visits, dirichlet, evenly, puct, ucb1
from stitchrl.planners.tree import Node

NODE = Node(jnp.array([[4.0, 1, 0]]), jnp.array([[0.5, -1, 0]]), jnp.array([[0.2, 0.3, 0.5]]))
ALL = jnp.ones((1, 3), bool)


def test_ucb1_by_hand():
    scores = ucb1(2.0)(NODE)
    assert np.allclose(scores[0, :2], [0.5 + 2 * np.sqrt(np.log(5) / 4), -1 + 2 * np.sqrt(np.log(5))])
    assert scores[0, 2] == jnp.inf
    assert (ucb1(2.0)(Node(*(0 * x for x in NODE))) == jnp.inf).all()


def test_puct_by_hand():
    """N = 6. With an infinite base c stays 2; with base 10 it is 2 + ln 1.7."""
    q, u = np.array([0.5, -1, 0]), np.array([0.2 / 5, 0.3 / 2, 0.5 / 1]) * np.sqrt(6)
    assert np.allclose(puct(2.0, jnp.inf)(NODE), q + 2 * u)
    assert np.allclose(puct(2.0, 10.0)(NODE), q + (2 + np.log(17 / 10)) * u)


def test_first_play_by_hand():
    """The mean of what was tried is (4 x 0.5 - 1) / 5 = 0.2, its prior 0.5; before any visit all are worth 0."""
    q, u = np.array([0.5, -1, 0.2 - 0.3 * np.sqrt(0.5)]), np.array([0.2 / 5, 0.3 / 2, 0.5 / 1]) * np.sqrt(6)
    assert np.allclose(puct(2.0, jnp.inf, first_play=0.3)(NODE), q + 2 * u)
    new = NODE._replace(visits=0 * NODE.visits, values=0 * NODE.values)
    assert np.allclose(puct(2.0, jnp.inf, first_play=0.3)(new), 2 * NODE.prior)


def test_choices_by_hand():
    keys = jr.split(jr.key(0), 1)
    assert by_visits(0.0)(keys, NODE, ALL).tolist() == [0]
    assert by_visits(0.0)(keys, NODE, jnp.array([[False, True, True]])).tolist() == [1]
    tied = NODE._replace(visits=jnp.array([[4.0, 4, 0]]))
    assert by_visits(0.0)(keys, tied, ALL).tolist() == [0]
    assert by_visits(0.0)(keys, tied._replace(values=-tied.values), ALL).tolist() == [1]
    assert by_value(keys, NODE._replace(values=jnp.array([[0.5, 0.7, 9]])), ALL).tolist() == [1], '9 was never tried'
    assert evenly(NODE).argmax() == 2


def test_temperature_draws_by_powers_of_visits():
    n = 4000
    node = Node(*(jnp.tile(x, (n, 1)) for x in NODE))._replace(visits=jnp.tile(jnp.array([[3.0, 1, 0]]), (n, 1)))
    for temperature, share in ((1.0, 0.75), (0.5, 0.9), (2.0, 0.634)):
        drawn = np.asarray(by_visits(temperature)(jr.split(jr.key(1), n), node, jnp.ones((n, 3), bool)))
        assert abs((drawn == 0).mean() - share) < 0.03
        assert (drawn < 2).all()


def test_noise_is_a_dirichlet_over_legal_actions():
    n, legal = 3000, jnp.tile(jnp.array([[True, True, False, True]]), (3000, 1))
    prior = jnp.tile(jnp.array([[0.5, 0.5, 0.0, 0.0]]), (n, 1))
    mixed = np.asarray(dirichlet(jr.split(jr.key(0), n), prior, legal, 0.5, 0.4))
    assert np.allclose(mixed.sum(1), 1, atol=1e-5)
    assert (mixed[:, 2] == 0).all()
    assert np.allclose(mixed.mean(0), [0.3 + 0.4 / 3, 0.3 + 0.4 / 3, 0, 0.4 / 3], atol=0.01)
    variance = (1 / 3) * (2 / 3) / (1.5 + 1)  # of one part of Dirichlet(.5, .5, .5)
    assert np.allclose((mixed[:, [0, 1, 3]] / 0.4).var(0), variance, rtol=0.1)

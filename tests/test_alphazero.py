"""AlphaZero: its loss by hand, what its searches may and may not do, what a symmetry turns."""

from dataclasses import replace
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl import envs
from stitchrl.algos.search import alphazero
from stitchrl.algos.search.alphazero import AlphaZero, Config, Foresight
from stitchrl.core.spec import Continuous, Observation, Spec
from stitchrl.core.types import Position
from stitchrl.data.games import Games
from stitchrl.envs.game import Board
from stitchrl.errors import UsageError
from stitchrl.models.rules import Rules

GAME = envs.rules('tictactoe')
CFG = Config(
    game='tictactoe', simulations=12, judged=60, quick=3, drawn=2, filters=4, side=3, hidden=(8,), batch=64, share=0.5
)
MANY = 40  # searches of each of three positions
pytestmark = pytest.mark.usefixtures('quick_compiles')


@cache
def begun():
    """As it begins: it finds every position nearly even."""
    return jax.jit(AlphaZero.create, static_argnums=(0, 1))(GAME.spec, CFG, jr.key(0))


def agent(**settings):
    """With weights so large that its opinions differ from move to move."""
    net = jax.tree.map(lambda x: 3 * x, begun().learner.net)
    return replace(begun(), learner=replace(begun().learner, net=net), cfg=replace(CFG, **settings))


def boards():
    """The start; a position in which 2 wins; one in which only 8 is left. Seen by the mover."""
    ones = [GAME.start(), GAME.after([0, 3, 1, 4]), GAME.after([0, 1, 2, 4, 3, 5, 7, 6])]
    return jax.tree.map(lambda *x: jnp.stack(x), *ones)


def many(rows=slice(None)):
    """The three positions, or some of them, again and again; keys."""
    chosen = jax.tree.map(lambda x: jnp.tile(x[rows], (3 * MANY, 1))[: 3 * MANY], boards())
    return chosen, jr.split(jr.key(1), 3 * MANY)


PLAY, ADD = jax.jit(AlphaZero.play), jax.jit(Games.add)


class Fixed(eqx.Module):
    """A network that says what it was told; its answers are its weights."""

    logits: jax.Array
    value: jax.Array

    def __call__(self, obs):
        return self.logits, self.value


def position(**fields):
    """Two positions with three moves, the last of which is not legal in the first."""
    told = {
        'obs': jnp.zeros((2, 2, 3, 3)),
        'legal': jnp.array([[True, True, False], [True, True, True]]),
        'policy': jnp.array([[0.75, 0.25, 0.0], [0.0, 0.5, 0.5]]),
        'value': jnp.array([0.2, -0.4]),
        'outcome': jnp.array([1.0, -1.0]),
        'weight': jnp.array([1.0, 1.0]),
    }
    return Position(**(told | fields))


def test_the_loss_by_hand():
    """Logits ln 3, 0, 5 where the third is not legal: P = 3/4, 1/4. Logits 0, 0, ln 2: P = 1/4, 1/4, 1/2."""
    net = Fixed(jnp.array([[np.log(3), 0, 5.0], [0, 0, np.log(2)]]), jnp.array([0.5, 0.0]))
    first = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    second = -(0.5 * np.log(0.25) + 0.5 * np.log(0.5))
    size = np.log(3) ** 2 + 25 + np.log(2) ** 2 + 0.25
    total, info = alphazero.loss(net, position(), 0.0, 0.01)
    np.testing.assert_allclose(info['value/loss'], (0.5**2 + 1) / 2, rtol=1e-6)
    np.testing.assert_allclose(info['policy/loss'], (first + second) / 2, rtol=1e-6)
    np.testing.assert_allclose(total, (0.25 + 1) / 2 + (first + second) / 2 + 0.01 * size, rtol=1e-6)
    blended, _ = alphazero.loss(net, position(), 0.5, 0.0)  # u = 0.6 and -0.7
    np.testing.assert_allclose(blended, (0.1**2 + 0.7**2) / 2 + (first + second) / 2, rtol=1e-6)
    quick, _ = alphazero.loss(net, position(weight=jnp.array([0.0, 1.0])), 0.0, 0.0)
    np.testing.assert_allclose(quick, (0.25 + 1) / 2 + second, rtol=1e-6)


def test_what_it_says_of_a_leaf_is_for_the_mover_and_of_legal_moves():
    net, observe = agent().learner.net, jax.vmap(GAME.observe)
    evaluate = jax.jit(lambda net, boards: Foresight(net)(Rules(GAME), boards, jr.split(jr.key(0), 3)))
    leaf, legal = evaluate(net, boards()), np.asarray(jax.vmap(GAME.legal)(boards()))
    assert (np.asarray(leaf.prior)[~legal] == 0).all()
    np.testing.assert_allclose(leaf.prior.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(leaf.value, net(observe(boards()))[1], rtol=1e-5)
    other = evaluate(net, Board(boards().theirs, boards().mine))
    assert np.abs(np.asarray(leaf.value - other.value))[1:].max() > 0.01


def played(age, rows=slice(None), seed_of=lambda keys: keys):
    positions, keys = many(rows)
    return jax.tree.map(np.asarray, PLAY(agent(), positions, seed_of(keys), jnp.full(3 * MANY, age), jnp.int32(0)))


def test_moves_are_legal_and_policies_are_shares_of_visits():
    """Drawn or not, with half of the prior noise: nothing is played or taught that the rules forbid."""
    legal = np.asarray(jax.vmap(GAME.legal)(many()[0]))
    for age in (0, 9):
        told = played(age)
        assert legal[np.arange(3 * MANY), told.action].all()
        assert (told.policy[~legal] == 0).all()
        shares = told.policy * CFG.simulations
        np.testing.assert_allclose(shares, shares.round(), atol=1e-4)
        np.testing.assert_allclose(told.policy.sum(1), 1, rtol=1e-5)
        assert np.abs(told.value).max() <= 1
        assert (told.weight == 1).all()


def test_early_moves_are_drawn_and_late_ones_are_the_most_visited():
    early, late, rows = played(1, slice(0, 1)), played(2, slice(0, 1)), np.arange(3 * MANY)
    np.testing.assert_array_equal(early.policy, late.policy)
    assert (late.policy[rows, late.action] == late.policy.max(1)).all()
    seen = np.bincount(early.action, minlength=9) / len(rows)
    assert np.abs(seen - early.policy.mean(0)).max() < 4 * (0.25 / len(rows)) ** 0.5
    assert (early.policy[rows, early.action] < early.policy.max(1)).any()


def test_there_is_noise_while_it_trains_and_none_when_it_is_judged():
    """Searches of one position: in training no two of them see the same prior, when judged all do."""
    ours = agent()
    search = lambda noisy, *rows: ours.planner(1, noisy).search(Rules(GAME), *rows).prior[:, 0]
    prior = lambda noisy: jax.jit(search, static_argnums=0)(noisy, *many(slice(1, 2)))
    judged, training = prior(False), prior(True)
    np.testing.assert_allclose(judged, jnp.tile(judged[:1], (3 * MANY, 1)), rtol=1e-6)
    assert np.abs(np.diff(np.asarray(training), axis=0)).max(1).min() > 1e-4


def test_a_search_does_not_see_its_neighbours():
    together, apart = played(0), played(0, np.array([0, 0, 0, 1, 1, 2]))
    for row in (0, 4, 11):  # the same position in both, beside others
        np.testing.assert_allclose(apart.policy[row], together.policy[row], atol=1e-6)
        assert apart.action[row] == together.action[row]


def test_with_a_cap_few_searches_are_full_and_only_they_teach():
    ours, age = agent(cap=3, quick=2), jnp.zeros(3, jnp.int32)
    told = [jax.device_get(PLAY(ours, boards(), jr.split(jr.key(5), 3), age, jnp.int32(t))) for t in range(30)]
    full = np.array([one.weight[0] for one in told])
    assert 3 < full.sum() < 20
    for one in told:
        visits = one.policy * (CFG.simulations if one.weight[0] else 2)
        np.testing.assert_allclose(visits, visits.round(), atol=1e-4)


def ring():
    """Games in which move k of a game is the stone on field k, with the policy on the next field."""
    held = Games.create((2, 3, 3), 9, 40, 1, 9)
    for k in range(8):
        obs = (jnp.arange(18).reshape(1, 2, 3, 3) == k) | (jnp.arange(18).reshape(1, 2, 3, 3) == 17)
        legal, policy = jnp.arange(9)[None] != k, (jnp.arange(9)[None] == k + 1).astype(jnp.float32)
        row = Position(obs, legal, policy, *(jnp.ones(1) for _ in range(3)))
        held = ADD(held, row, jnp.zeros(1, jnp.int32), jnp.ones(1), jnp.array([k == 7]))
    return held


def test_a_symmetry_turns_the_board_its_moves_and_their_visits_alike():
    """The stone, the move that is not legal and the move of the policy stay where they belong to each other."""
    batch = jax.tree.map(np.asarray, jax.jit(lambda *given: AlphaZero.draw(*given))(agent(), ring(), jr.key(6)))
    grid, kinds = np.arange(9).reshape(3, 3), set()
    turns = [np.rot90(side, k).reshape(9) for side in (grid, grid[:, ::-1]) for k in range(4)]
    for obs, legal, policy in zip(batch.obs, batch.legal, batch.policy, strict=True):
        stone, taken, next_one = obs[0].reshape(9).argmax(), (~legal).argmax(), policy.argmax()
        assert stone == taken
        corner = obs[1].reshape(9).argmax()  # where field 8 went
        fits = [i for i, turn in enumerate(turns) if turn[taken] + 1 == turn[next_one] and turn[corner] == 8]
        assert fits
        kinds |= set(fits) if len(fits) == 1 else set()
    assert len(kinds) == 8


def test_one_update_lowers_the_loss_it_is_of():
    ours = agent(decay=0.0)
    batch = AlphaZero.draw(ours, ring(), jr.key(7))
    update, total = jax.jit(AlphaZero.update), jax.jit(lambda net: alphazero.loss(net, batch, 0.0, 0.0)[0])
    after = ours
    for t in range(20):
        after, info = update(after, batch, jr.key(0), jnp.int32(t))
    assert total(after.learner.net) < total(ours.learner.net) - 0.01
    assert {name: value.shape for name, value in info.items()} == dict.fromkeys(info, ())


def test_act_takes_what_an_environment_shows():
    obs, ours = jax.vmap(GAME.observe)(boards()), begun()
    action, memory = jax.jit(AlphaZero.act)(ours, (), obs, jr.key(8))  # one wins at once, one has no choice
    assert (int(action[1]), int(action[2]), memory) == (2, 8, ())
    assert action.dtype == jnp.int32


@pytest.mark.parametrize(
    ('settings', 'said'),
    [({'blend': 1.5}, 'blend is 1.5'), ({'share': -0.1}, 'share -0.1'), ({'judged': 0}, 'from 1 on')],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        AlphaZero.create(GAME.spec, replace(CFG, **settings), jr.key(0))


def test_forces_and_games_without_a_name_are_refused():
    with pytest.raises(UsageError, match='discrete'):
        AlphaZero.create(Spec(Observation((3,)), Continuous(1, (-1.0,), (1.0,))), CFG, jr.key(0))
    with pytest.raises(UsageError, match='None is not a game'):
        _ = agent(game=None).game

"""AlphaGo: its losses by hand, each part of a leaf's worth, and what its stages learn."""

from dataclasses import replace

import conformance
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from trees import wild

from stitchrl.algos.search.alphago import AlphaGo, Config, Opinion, gradient_loss, imitation_loss, value_loss
from stitchrl.core.spec import Continuous
from stitchrl.core.types import Position
from stitchrl.envs.board import TicTacToe
from stitchrl.errors import UsageError
from stitchrl.loops import apprentice
from stitchrl.loops.duel import duel, flat
from stitchrl.runs import checkpoint

pytestmark = pytest.mark.usefixtures('quick_compiles')
GAME = TicTacToe.create()
NETS = {'filters': 16, 'side': 3, 'hidden': (32,), 'fast': 8}
SMALL = Config(
    'tictactoe', positions=2048, latest=6, **NETS, batch=64, gentle=3e-3, judged=20, steps=180, parts=(1, 1, 1)
)


CREATE = jax.jit(lambda key: AlphaGo.create(GAME.spec, SMALL, key))


class Says:
    """A network that gives what it is told, whatever it sees."""

    def __init__(self, logits, value):
        self.logits, self.value = jnp.array(logits), jnp.array(value)

    def __call__(self, obs):
        return self.logits, self.value


def positions(policy, outcome, weight, legal=None):
    n, policy = len(outcome), jnp.array(policy, float)
    legal = jnp.ones(policy.shape, bool) if legal is None else jnp.array(legal)
    return Position(jnp.zeros((n, 2, 3, 3)), legal, policy, jnp.zeros(n), jnp.array(outcome), jnp.array(weight))


def test_imitation_by_hand():
    """Even chances of two moves, then of one alone: ln 2 and 0; only the second move is the likeliest."""
    batch = positions([[0, 1, 0], [0, 0, 1]], [0.0, 0], [1.0, 1], [[True, True, False], [False, False, True]])
    loss, info = imitation_loss(Says([[0.0, 0, 9]] * 2, [0.0, 0]), batch)
    np.testing.assert_allclose(loss, np.log(2) / 2, rtol=1e-6)
    assert info['policy/hits'] == 0.5


def test_policy_gradient_by_hand():
    """Won and lost with even chances; the third game is out. b = 0, and the gradient by a logit is (P - 1) z / 2
    for the move made, P z / 2 for the other; with both games won b = 1 and nothing is learned."""
    logits = jnp.zeros((3, 2))
    grad = lambda outcome: jax.grad(
        lambda x: gradient_loss(Says(x, [0.0] * 3), positions([[1, 0]] * 3, outcome, [1.0, 1, 0]))[0]
    )
    assert np.allclose(grad([1.0, -1, 5])(logits), [[-0.25, 0.25], [0.25, -0.25], [0, 0]])
    assert np.allclose(grad([1.0, 1, 5])(logits), 0)
    _, info = gradient_loss(Says(logits, [0.0] * 3), positions([[1, 0]] * 3, [1.0, 0, 5], [1.0, 1, 0]))
    assert info['gradient/outcome'] == 0.5


def test_value_by_hand():
    batch = positions([[1, 0]] * 2, [1.0, -1.0], [1.0, 1])
    assert value_loss(Says([[0.0, 0]] * 2, [0.5, 0.5]), batch)[0] == (0.25 + 2.25) / 2


class Table:
    """logits[s], value[s] of the states that a table model shows."""

    def __init__(self, logits, value):
        self.logits, self.value = logits, value

    def __call__(self, obs):
        return self.logits[obs], self.value[obs]


def test_a_leaf_is_worth_the_mixture():
    """From state 1 the fast policy, sure of its move, has one way to go; that way's return by the tables."""
    model, told = wild(3, 5, seed=3, share_legal=0.7)
    sure = Table(jnp.where(jnp.arange(3) == 0, 50.0, 0.0)[None].repeat(len(told.value), 0), told.value)
    prior = Table(jnp.log(told.prior + 1e-9), told.value)
    state, total, sign = 1, 0.0, 1.0
    while True:
        total += sign * float(model.reward[state, 0])
        if model.mask[state, 0] == 0:
            break
        state, sign = int(model.after[state, 0]), -sign
    latent, keys = jnp.array([1, 1], jnp.int32), jr.split(jr.key(0), 2)
    even, worth = np.asarray(model.may[1] / model.may[1].sum()), float(told.value[1])
    for parts, value, shares in (
        ((prior, prior, sure, 0.25), 0.75 * worth + 0.25 * total, told.prior[1]),
        ((None, None, sure, 1.0), total, even),
        ((None, prior, None, 0.0), worth, even),
    ):
        leaf = jax.jit(lambda keys, parts=parts: Opinion(*parts)(model, latent, keys))(keys)
        np.testing.assert_allclose(leaf.value, value, rtol=1e-5)
        np.testing.assert_allclose(leaf.prior[0], shares, atol=1e-5)


@pytest.fixture(scope='module')
def taught():
    """Fresh, and after games in which both sides take the first free field of a fixed order."""
    order = jnp.array([4, 0, 8, 2, 6, 1, 7, 3, 5])
    first = lambda boards, keys, t: order[jax.vmap(GAME.legal)(boards)[:, order].argmax(-1)].astype(jnp.int32)
    chance = lambda boards, keys, t: jax.vmap(
        lambda legal, key: jr.categorical(key, jnp.where(legal, 0.0, -1e9)).astype(jnp.int32)
    )(jax.vmap(GAME.legal)(boards), keys)
    side = jnp.arange(128, dtype=jnp.int32) % 2
    games = jax.jit(lambda key: duel(GAME, first, chance, side, key))(jr.key(0))
    mine = games.positions.weight * (games.player == side[None])
    fresh = CREATE(jr.key(1))
    rows = flat(games.positions._replace(weight=mine))
    agent, info = apprentice.taught(apprentice.IMITATION, fresh, GAME, rows, jr.key(2), 300)
    return fresh, agent.promoted(), info


def test_imitation_learns_what_was_played(taught):
    """The middle first, or else a corner. Mirror images make the corners alike."""
    fresh, agent, info = taught
    boards = jnp.stack([GAME.observe(GAME.start()), GAME.observe(GAME.after([0]))])
    assert agent.sigma.net(boards)[0].argmax(-1).tolist() == [4, 4]
    assert agent.fast.net(boards)[0].argmax(-1).tolist() == [4, 4]
    assert info['policy/loss'] < 0.8 * np.log(9)
    same = jax.tree.map(lambda a, b: bool((a == b).all()), agent.rho.net, agent.sigma.net)
    assert jax.tree.all(same), 'the policy gradient begins at what was imitated'
    assert (agent.rho.net.stem.weight != fresh.rho.net.stem.weight).any()


def test_self_play_improves_on_its_past(taught):
    """After 60 rounds rho beats what it began as; without gradient it does not."""
    _, agent, _ = taught
    better, pool = apprentice.past(agent, GAME, jr.key(0))
    better, told = apprentice.taught(apprentice.IMPROVEMENT, better, GAME, pool, jr.key(3), 60)
    score = lambda one: float(against(one.rho.net, agent.rho.net))
    assert score(better) > 0.15
    assert abs(score(agent)) < 0.12
    assert told['gradient/outcome'] > 0


@jax.jit
def against(ours, theirs):
    side = jnp.arange(512, dtype=jnp.int32) % 2
    games = duel(GAME, apprentice.by_net(GAME, ours), apprentice.by_net(GAME, theirs), side, jr.key(9))
    return jnp.where(side == 0, games.result, -games.result).mean()


def leaning(agent, way):
    """Its networks with a bias towards moves of high numbers, or of low ones."""
    bias = lambda net: net.dense.layers[-1].bias
    return eqx.tree_at(bias, agent.rho.net, bias(agent.rho.net) + way * 50.0 * jnp.arange(10))


def test_only_the_moves_of_rho_count():
    """It takes the highest free field, what it was the lowest; each begins half of the games."""
    agent = replace(CREATE(jr.key(0)), cfg=replace(SMALL, rivals=4))
    high, pool = leaning(agent, 1), jax.tree.map(lambda x: x[None], leaning(agent, -1))
    agent = replace(agent, rho=replace(agent.rho, net=high))
    rows = jax.jit(lambda agent, pool: apprentice.games(agent, GAME, pool, jr.key(1), 0))(agent, pool)
    highest, mine = 8 - rows.legal[:, ::-1].argmax(-1), np.asarray(rows.weight) > 0
    np.testing.assert_array_equal(rows.policy.argmax(-1)[mine], highest[mine])
    assert mine.sum() == 2 * 3 + 2 * 2, 'who begins has three in a row first'


def test_its_past_is_joined_now_and_then():
    """Every 20 updates, in the order in which it was; with 60 there is room for the first and three more."""
    agent, pool = apprentice.past(CREATE(jr.key(0)), GAME, jr.key(0))
    weight = lambda tree: np.asarray(tree.stem.weight)
    assert weight(pool).shape[0] == 4
    for i in range(60):
        now = jax.tree.map(lambda x, i=i: jnp.full_like(x, i), agent.rho)
        pool = apprentice.joined(pool, replace(agent, rho=now), jnp.int32(i))
    assert [weight(pool)[k].mean() for k in (1, 2, 3)] == [19, 39, 59]
    np.testing.assert_array_equal(weight(pool)[0], weight(agent.sigma.net))


ONE_EACH = jax.jit(lambda agent, key: apprentice.one_each(agent, GAME, key, 512, 6))


def test_values_are_of_what_rho_plays(taught):
    """In games that it has not seen it is nearer to the outcomes than their mean is; what knows nothing is not."""
    fresh, agent, _ = taught
    agent, rows = apprentice.positions(agent, GAME, jr.key(4))
    learned, _ = apprentice.taught(apprentice.VALUES, agent, GAME, rows, jr.key(5), 400)
    rows = ONE_EACH(agent, jr.key(6))
    rows = jax.tree.map(lambda x: x[np.asarray(rows.weight) == 1], rows)
    error = lambda one: float(value_loss(one.value.net, rows)[0])
    assert error(learned) < 0.9 * float(rows.outcome.var())
    assert error(fresh) > 0.95 * float(rows.outcome.var())


def test_one_position_of_each_game(taught):
    """Games part where the move is any legal one: after `when` moves and one more."""
    _, agent, _ = taught
    rows = ONE_EACH(agent, jr.key(5))
    stones = np.asarray(rows.obs.sum((1, 2, 3)))[np.asarray(rows.weight) == 1]
    assert set(stones) == {1, 2, 3, 4, 5, 6}
    assert set(np.unique(rows.outcome)) <= {-1.0, 0.0, 1.0}


def test_it_acts_by_search(taught):
    _, agent, _ = taught
    obs = GAME.observe(GAME.after([0, 3, 1, 4]))[None]
    action, _ = jax.jit(lambda agent, obs, key: agent.act((), obs, key))(agent, obs, jr.key(0))
    assert action.tolist() == [2], 'it wins'


@pytest.mark.parametrize(
    ('spec', 'changes', 'told'),
    [
        (replace(GAME.spec, action=Continuous(1, (-1,), (1,))), {}, 'discrete actions'),
        (GAME.spec, {'lam': 1.5}, 'a share from 0 to 1'),
        (GAME.spec, {'teacher': 0}, 'teacher 0'),
    ],
)
def test_what_it_cannot_be(spec, changes, told):
    with pytest.raises(UsageError, match=told):
        AlphaGo.create(spec, replace(SMALL, **changes), jr.key(0))


def batch_of(seed, n=16):
    """Random positions, moves and outcomes."""
    rng = np.random.default_rng(seed)
    moves = np.eye(9)[rng.integers(0, 9, n)]
    seen = rng.integers(0, 2, (n, 2, 3, 3))
    outcome, weight = rng.integers(-1, 2, n), rng.integers(0, 2, n)
    as_float = lambda x: jnp.asarray(x, jnp.float32)
    return Position(
        as_float(seen), jnp.ones((n, 9), bool), as_float(moves), jnp.zeros(n), as_float(outcome), as_float(weight)
    )


def all_steps(agent, batch):
    """One step of each kind."""
    agent, _ = agent.update(batch, jr.key(0), jnp.int32(0))
    agent, _ = agent.improve(batch)
    return agent.appraise(batch)[0]


def test_what_every_algorithm_owes(tmp_path):
    """Agents side by side learn as each alone does, give their buffers away, go on bit for bit from a checkpoint."""
    made = jax.jit(jax.vmap(lambda key: AlphaGo.create(GAME.spec, SMALL, key)))(jr.split(jr.key(0), 3))
    alone, many = jax.jit(all_steps, donate_argnums=0), jax.jit(jax.vmap(all_steps, (0, None)))
    of = lambda agents, i: jax.tree.map(lambda x: jnp.array(x[i], copy=True), agents)
    one, three = of(made, 2), made
    for seed in range(3):
        one, three = alone(one, batch_of(seed)), many(three, batch_of(seed))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), of(three, 2), one)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(three))
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), three.value.net, made.value.net)
    assert all(jax.tree.leaves(moved)), 'every weight of it learns'
    path = checkpoint.save(tmp_path, 3, one)
    _, restored = checkpoint.load(path, lambda step: jax.eval_shape(lambda: of(made, 2)))
    again, unbroken = alone(restored, batch_of(3)), alone(one, batch_of(3))
    assert conformance.same(again, unbroken)
    assert not conformance.same(again, alone(of(made, 2), batch_of(3)))

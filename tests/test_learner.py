"""One optimiser step by hand, and how networks follow, freeze and wait for their turn."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stitchrl.core.learner import CACHED, Learner, adam, copy, follow, frozen, gradient, in_cache, polyak, when


class Line(eqx.Module):
    """y = w x + b."""

    w: jax.Array
    b: jax.Array

    def __call__(self, x):
        return self.w * x + self.b


def line(w=1.0, b=0.0):
    return Line(jnp.float32(w), jnp.float32(b))


def squared(net, x, y):
    loss = ((net(x) - y) ** 2).mean()
    return loss, {'line/loss': loss, 'line/out': net(x).mean()}


X, Y = jnp.array([1.0, 2.0, 3.0]), jnp.array([2.0, 4.0, 6.0])


def test_the_first_step_of_adam_by_hand():
    """Its first step is the rate times the sign of the slope: both are negative, so both weights rise."""
    learner, info = Learner.create(line(), adam(0.1)).step(squared, X, Y)
    np.testing.assert_allclose([learner.net.w, learner.net.b], [1.1, 0.1], rtol=1e-5)
    assert info['line/loss'] == pytest.approx((1 + 4 + 9) / 3)  # of the net as it was
    assert info['line/out'] == 2


def scaled(net, x, y, scale, settings):
    loss, info = squared(net, x, y[:, 0])
    return scale * settings['twice'] * loss, info


@pytest.mark.parametrize('pieces', [1, 2, 6])
def test_a_batch_in_pieces_has_the_gradient_of_the_whole(pieces):
    """Arrays are cut by rows, numbers and settings are not; the loss of its first rows alone would be another."""
    x, y = jnp.arange(6.0), jnp.arange(6.0)[:, None] ** 2
    args = x, y, jnp.float32(3.0), {'twice': 2.0}
    (grad, info), whole = gradient(scaled, line(), args, pieces), jax.grad(scaled, has_aux=True)(line(), *args)
    np.testing.assert_allclose([grad.w, grad.b], [whole[0].w, whole[0].b], rtol=1e-6)
    np.testing.assert_allclose([info[name] for name in info], [whole[1][name] for name in info], rtol=1e-6)
    assert info['line/out'] == 2.5
    learner, _ = Learner.create(line(), adam(0.1)).step(scaled, *args, pieces=pieces)
    assert learner.net.w == pytest.approx(0.9 if whole[0].w > 0 else 1.1)


@pytest.mark.parametrize(
    ('rows', 'each', 'expected'), [(256, 30, 8), (256, 1, 1), (64, 30, 2), (4, 3, 1), (257, 30, 1), (250, 30, 10)]
)
def test_pieces_that_stay_in_the_cache(rows, each, expected, monkeypatch):
    """At most 1024 inputs in a piece, not less than a quarter of that; a prime number of rows is not cut."""
    assert CACHED == 1024
    assert in_cache(rows, each) == expected
    monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
    assert in_cache(rows, each) == 1


def in_numpy(slopes, rates, b1=0.9, b2=0.999, eps=1e-8):
    """The path of one weight from 0 under Adam (Kingma and Ba, 2015, algorithm 1)."""
    m = v = w = 0.0
    path = []
    for t, (g, rate) in enumerate(zip(slopes, rates, strict=True), 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        w -= rate * (m / (1 - b1**t)) / ((v / (1 - b2**t)) ** 0.5 + eps)
        path.append(w)
    return path


def descend(tx, slopes):
    """The same path by a Learner: the loss g w has the slope g."""
    step = jax.jit(lambda learner, g: learner.step(lambda net, g: (g * net['w'], {}), g)[0])
    learner, path = Learner.create({'w': jnp.float32(0)}, tx), []
    for g in slopes:
        learner = step(learner, jnp.float32(g))
        path.append(float(learner.net['w']))
    return path


SLOPES = [1.0, -2.0, 0.5, 3.0, 0.0, -0.1, 4.0, 1.0, 1.0, -7.0]


def test_adam_against_a_plain_loop():
    np.testing.assert_allclose(descend(adam(0.01), SLOPES), in_numpy(SLOPES, [0.01] * 10), rtol=1e-4, atol=1e-7)


def test_slopes_as_small_as_epsilon_are_damped():
    """Adam moves by rate x g / (|g| + 1e-8): half the rate where g is 1e-8."""
    assert descend(adam(0.01), [1e-8])[0] == pytest.approx(-0.005, rel=1e-3)
    np.testing.assert_allclose(descend(adam(0.01), [1e-8] * 5), in_numpy([1e-8] * 5, [0.01] * 5), rtol=1e-3)


def test_the_rate_falls_along_a_cosine_to_nothing():
    rates = [0.01 * 0.5 * (1 + np.cos(np.pi * t / 6)) for t in range(6)] + [0.0] * 4
    path = descend(adam(0.01, decay_steps=6), SLOPES)
    np.testing.assert_allclose(path, in_numpy(SLOPES, rates), rtol=1e-4, atol=1e-7)
    assert path[5] == path[9]


def test_a_long_gradient_is_cut_to_its_largest_norm():
    """Only lengths above `clip` are cut: (3, 4) has norm 5 and becomes (0.6, 0.8); (0.3, 0.4) passes."""
    slopes = [(3.0, 4.0), (0.3, 0.4), (-30.0, 40.0)]
    net = {'a': jnp.float32(0), 'b': jnp.float32(0)}
    learner = Learner.create(net, adam(0.1, clip=1.0))
    for a, b in slopes:
        learner, _ = learner.step(lambda net, a, b: (a * net['a'] + b * net['b'], {}), a, b)
    assert learner.net['a'] == pytest.approx(in_numpy([0.6, 0.3, -0.6], [0.1] * 3)[-1], rel=1e-4)
    assert learner.net['b'] == pytest.approx(in_numpy([0.8, 0.4, 0.8], [0.1] * 3)[-1], rel=1e-4)


def test_the_optimiser_remembers():
    """After a large slope a small one moves less than a fresh optimiser would: the state is carried along."""
    learner = Learner.create({'w': jnp.float32(0)}, adam(0.1))
    loss = lambda net, g: (g * net['w'], {})
    after = learner.step(loss, 10.0)[0].step(loss, 0.001)[0]
    stale = Learner(learner.step(loss, 10.0)[0].net, learner.opt, learner.tx).step(loss, 0.001)[0]
    assert float(after.net['w']) == pytest.approx(in_numpy([10, 0.001], [0.1, 0.1])[-1], rel=1e-4)
    assert float(after.net['w']) != pytest.approx(float(stale.net['w']), rel=1e-2)


def test_only_the_first_argument_learns():
    """What a loss is given besides stays a constant, even when it is made of the same numbers."""
    net, teacher = line(), line(3.0, 1.0)
    loss = lambda net, teacher: (((net(X) - teacher(X)) ** 2).mean(), {})
    learner, _ = Learner.create(net, adam(0.1)).step(loss, teacher)
    assert (teacher.w, teacher.b) == (3, 1)
    assert learner.net.w > 1
    own = Learner.create(net, adam(0.1)).step(loss, net)[0]  # its own copy as the teacher: nothing to learn
    assert own.net.w == 1


def test_any_optimiser_of_optax_will_do():
    learner, _ = Learner.create(line(), optax.sgd(0.5)).step(squared, X, Y)
    # d/dw = mean 2 (x - 2x) x = -2 (1 + 4 + 9) / 3, d/db = mean 2 (x - 2x) = -4
    np.testing.assert_allclose([learner.net.w, learner.net.b], [1 + 14 / 3, 2], rtol=1e-6)


def test_optimisers_are_cached_by_their_numbers():
    assert adam(0.01) is adam(0.01)
    assert adam(0.01, 100) is adam(0.01, 100)
    different = {id(adam(*numbers)) for numbers in [(0.01,), (0.02,), (0.01, 100), (0.01, None, 1.0)]}
    assert len(different) == 4


def test_two_learners_with_equal_numbers_share_a_compiled_program():
    traces = []

    @jax.jit
    def step(learner):
        traces.append(1)
        return learner.step(squared, X, Y)[0]

    step(Learner.create(line(), adam(0.01, 50)))
    step(Learner.create(line(2.0), adam(0.01, 50)))
    assert len(traces) == 1
    step(Learner.create(line(), adam(0.02, 50)))
    assert len(traces) == 2


def test_a_frozen_agent_measures_and_does_not_learn():
    agent = {'actor': Learner.create(line(), adam(0.1)), 'target': line(5.0)}
    still = frozen(agent)
    learner, info = still['actor'].step(squared, X, Y)
    assert info['line/loss'] == agent['actor'].step(squared, X, Y)[1]['line/loss']
    assert (learner.net.w, learner.net.b) == (1, 0)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), jax.tree.leaves(still), jax.tree.leaves(agent)))


def test_polyak_by_hand():
    """4 + 0.25 (8 - 4) = 5 and -1 + 0.25 (1 + 1) = -0.5"""
    target = polyak(line(8.0, 1.0), line(4.0, -1.0), 0.25)
    assert (target.w, target.b) == (5, -0.5)
    assert polyak(line(8.0), line(4.0), 1.0).w == 8
    assert polyak(line(8.0), line(4.0), 0.0).w == 4


def test_a_slow_copy_follows_softly_or_now_and_then():
    """4 + 0.25 (8 - 4) at any time; whole after updates 2 and 5 of a period of 3, and between them not at all."""
    after = lambda t, rate: float(follow(line(8.0), line(4.0), jnp.int32(t), rate, 3).w)
    assert [after(t, 0.25) for t in range(3)] == [5, 5, 5]
    assert [after(t, None) for t in range(7)] == [4, 4, 8, 4, 4, 8, 4]


def test_a_copy_has_buffers_of_its_own():
    net = line(3.0)
    other = copy(net)
    assert other.w == net.w
    assert other.w.unsafe_buffer_pointer() != net.w.unsafe_buffer_pointer()
    jax.jit(lambda net: jax.tree.map(lambda x: x + 1, net), donate_argnums=0)(net)  # the original is given away
    assert other.w == 3


def turn(state):
    return state + 1, {'part/loss': state * 2.0, 'part/rows': jnp.ones(3, jnp.int32)}


def test_when_it_is_its_turn():
    state, info = when(jnp.bool_(True), turn, jnp.float32(4), 'part')
    assert state == 5
    assert (info['part/loss'], info['part/ran']) == (8, 1)


def test_when_it_is_not():
    state, info = when(jnp.bool_(False), turn, jnp.float32(4), 'part')
    assert state == 4
    assert (info['part/loss'], info['part/ran']) == (0, 0)
    assert info['part/rows'].tolist() == [0, 0, 0]
    assert info['part/rows'].dtype == jnp.int32


def test_waiting_costs_nothing_as_long_as_the_clock_is_shared():
    """Agents in a batch, one clock: still a branch. Were the clock mapped too, both sides would run."""
    update = lambda agent, t: when(t % 2 == 1, turn, agent, 'part')
    agents = jnp.zeros(3)
    shared = jax.make_jaxpr(jax.vmap(update, in_axes=(0, None)))(agents, jnp.int32(0))
    mapped = jax.make_jaxpr(jax.vmap(update))(agents, jnp.zeros(3, jnp.int32))
    assert 'cond[' in str(shared)
    assert 'cond[' not in str(mapped)

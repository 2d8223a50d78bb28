"""The ensemble: its numbers by hand, how it is propagated, how it is fitted, and that it learns."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from toy_models import ONE, THREE

from stitchrl.core.learner import Learner, adam
from stitchrl.core.spec import Continuous, Observation, Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.models import fit as fitting
from stitchrl.models.ensemble import Dynamics, cross_entropy, objective
from stitchrl.models.fit import Fit, an_epoch, below, elites, fit, followed, kept, moments, parts, rows_of
from stitchrl.models.linear import Linear
from stitchrl.models.member import variance

KEY = jr.key(0)
TWO = Spec(Observation((4,)), Continuous(2, (-1.0, -1.0), (1.0, 1.0)))
pytestmark = pytest.mark.usefixtures('quick_compiles')


def constant(mean, log_var=0.0, propagation='tsinf', **settings) -> Dynamics:
    """Members without weights, which predict `mean` [E] for the change and 10 times it for the reward, with
    log-variance `log_var`; the bounds lie far away."""
    model = Dynamics.create(ONE, KEY, (4,), len(mean), len(mean), propagation, **settings)
    nets = jax.tree.map(jnp.zeros_like, model.members.net.members)
    dim, bias = nets.low.shape[1], nets.layers[-1].bias
    bias = bias.at[:, :dim].set(jnp.asarray(mean)[:, None] * jnp.array([[1.0, 10.0]])[:, :dim])
    return with_nets(model, nets, bias.at[:, dim : 2 * dim].set(log_var), -50.0, 50.0)


def with_nets(model, nets, bias, low, high) -> Dynamics:
    """The model with other members, their last bias and their bounds of the log-variance set."""
    full = lambda x: jnp.full_like(nets.low, x)
    nets = eqx.tree_at(lambda n: (n.layers[-1].bias, n.low, n.high), nets, (bias, full(low), full(high)))
    return replace(model, members=Learner(eqx.tree_at(lambda n: n.members, model.members.net, nets), (), None))


def batch(obs, action, reward, next_obs, mask) -> Transition:
    """Rows from lists."""
    columns = (jnp.asarray(x, jnp.float32) for x in (obs, action, reward, next_obs, mask))
    obs, action, reward, next_obs, mask = columns
    return Transition(obs, action, reward, next_obs, mask, mask, action)


# Numbers by hand


def log_variance(raw, low, high):
    return jnp.log(variance(raw, low, high))


def test_bounds_are_soft():
    """In the middle nothing changes, far outside the bound is met; at the upper bound it is log 2 below it."""
    low, high = jnp.array([-10.0]), jnp.array([10.0])
    raw = jnp.array([[0.0], [1000.0], [-1000.0], [10.0]])
    np.testing.assert_allclose(log_variance(raw, low, high)[:, 0], [0, 10, -10, 10 - np.log(2)], atol=1e-3)


def test_bounds_are_those_of_two_softplus():
    """As the equation has it, slopes too, also where a bound is far away."""
    low, high = jnp.array([-10.0, -2.0]), jnp.array([0.5, 3.0])
    raw = jnp.stack([jnp.linspace(-40, 40, 33)] * 2, 1)
    under = high[None] - jax.nn.softplus(high[None] - raw)
    soft = lambda raw: low[None] + jax.nn.softplus(high[None] - jax.nn.softplus(high[None] - raw) - low[None])
    np.testing.assert_allclose(log_variance(raw, low, high), low[None] + jax.nn.softplus(under - low[None]), atol=1e-5)
    ours, theirs = (jax.grad(lambda raw, f=f: f(raw).sum())(raw) for f in (lambda r: log_variance(r, low, high), soft))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_losses_by_hand():
    """One member, mean (0.5, 5), log-variance log 4: change 1.5 and reward 5 are off by 1 and 0."""
    model = constant([0.5], float(np.log(4)))
    rows = batch([[[0.0]]], [[[0.3]]], [[5.0]], [[[1.5]]], [[1.0]])
    losses, info = model.loss(rows, KEY)
    assert float(losses['nll']) == pytest.approx((1 / 4 + 0 + 2 * np.log(4)) / 2, rel=1e-4)
    assert float(losses['bounds']) == pytest.approx(2 * (50 + 50), abs=2)
    assert (float(losses['decay']), float(losses['ends'])) == (0, 0)
    assert float(info['model/mse']) == pytest.approx(0.5)
    total, _ = objective(model.members.net, model, rows, KEY)
    assert float(total) == pytest.approx(float(losses['nll'] + 0.01 * losses['bounds']))


def test_members_have_rows_and_gradients_of_their_own():
    """Loss and gradient are sums: what member 1 is shown does not reach member 0."""
    model = Dynamics.create(ONE, KEY, (4,), 2, 2)
    rows = batch(*(np.ones((2, 3, 1)) * 0.5 for _ in range(2)), np.zeros((2, 3)), np.ones((2, 3, 1)), np.ones((2, 3)))
    other = rows._replace(next_obs=rows.next_obs.at[1].add(1.0))
    grad = jax.jit(jax.grad(lambda net, rows: objective(net, model, rows, KEY)[0]))
    first, second = grad(model.members.net, rows), grad(model.members.net, other)
    apart = jax.tree.map(lambda a, b: jnp.abs(a - b).reshape(2, -1).max(1), first, second)
    assert max(float(x[0]) for x in jax.tree.leaves(apart)) == 0
    assert max(float(x[1]) for x in jax.tree.leaves(apart)) > 0


def test_cross_entropy_by_hand():
    np.testing.assert_allclose(
        cross_entropy(jnp.log(jnp.array([3.0, 3.0])), jnp.array([1.0, 0.0])), [-np.log(0.75), -np.log(0.25)], rtol=1e-5
    )


def test_scales_by_hand():
    """The rows outside do not count, a constant column stays as it is."""
    model = Dynamics.create(ONE, KEY, (4,), 1, 1)
    rows = batch([[1.0], [3.0], [99.0]], [[0.5], [0.5], [9.0]], [2, 6, 99], [[2.0], [6.0], [0.0]], [1, 1, 1])
    scale = moments(model, rows, jnp.array([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(scale.x_mean, [2, 0.5])
    np.testing.assert_allclose(scale.x_std, [1, 1])
    np.testing.assert_allclose(scale.y_mean, [2, 4])
    np.testing.assert_allclose(scale.y_std, [1, 2])
    np.testing.assert_allclose(scale.y_out(scale.y(jnp.array([[5.0, 6.0]]))), [[5, 6]])


def test_scales_follow_what_is_seen_update_by_update():
    """After two batches they are the moments of both together; far later a batch moves them by a thousandth."""
    model = Dynamics.create(ONE, KEY, (4,), 2, 2)
    rng = np.random.default_rng(0)
    columns = lambda low: [low + rng.normal(size=(2, 5, *tail)) for tail in ((1,), (1,), (), (1,), ())]
    one, two = batch(*columns(0.0)), batch(*columns(3.0))
    grown = lambda model, count: eqx.tree_at(lambda m: m.members.opt.count, model, jnp.int32(count))
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]).reshape(20, *a.shape[2:]), one, two)
    after = followed(grown(followed(model, one), 1), two)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), after.scale, moments(model, both, jnp.ones(20))
    )
    late = followed(grown(after, 10**6), one).scale
    np.testing.assert_allclose(
        late.x_mean, after.scale.x_mean + 1e-3 * (followed(model, one).scale.x_mean - after.scale.x_mean), rtol=1e-5
    )


# Propagation


def stepped(model: Dynamics, rows: int, key=KEY):
    return jax.jit(Dynamics.step)(model, jnp.zeros((rows, 1)), jnp.zeros((rows, 1)), key)


def test_tsinf_keeps_the_member_of_a_row():
    """Two members, changes +1 and -1: after two steps half of the rows are at 2, the others at -2."""
    model = constant([1.0, -1.0], -100.0)
    after, reward, mask = stepped(model, 6)
    np.testing.assert_allclose(after[:, 0], [1, 1, 1, -1, -1, -1], atol=1e-4)
    np.testing.assert_allclose(reward, 10 * after[:, 0], atol=1e-4)
    np.testing.assert_array_equal(mask, np.ones(6))
    np.testing.assert_allclose(stepped(model, 5)[0][:, 0], [1, 1, 1, -1, -1], atol=1e-4)
    again = jax.jit(Dynamics.step)(model, after, jnp.zeros((6, 1)), jr.key(1))[0]
    np.testing.assert_allclose(again[:, 0], [2, 2, 2, -2, -2, -2], atol=1e-4)


def test_ts1_draws_another_member_in_every_step():
    """As many rows for each, in an order that follows the key; after two steps a quarter is at 2, a half at 0."""
    model = constant([1.0, -1.0], -100.0, 'ts1')
    first, other = stepped(model, 4000)[0], stepped(model, 4000, jr.key(1))[0]
    assert int((first > 0).sum()) == 2000
    assert float((first + other == 0).mean()) == pytest.approx(0.5, abs=0.05)
    again = jax.jit(Dynamics.step)(model, first, jnp.zeros((4000, 1)), jr.key(1))[0]
    assert float((abs(again) < 0.5).mean()) == pytest.approx(0.5, abs=0.05)


def test_rows_keep_their_places():
    """Each row is answered at its own input, whoever answers: three members alike, no noise, as their mean says."""
    model = Dynamics.create(ONE, KEY, (8,), 1, 1, 'mean')
    nets = jax.tree.map(lambda leaf: jnp.concatenate([leaf] * 3), model.members.net.members)
    model = replace(with_nets(model, nets, nets.layers[-1].bias, -60.0, -50.0), elites=jnp.arange(3))
    obs, step = jnp.linspace(-2, 2, 7)[:, None], jax.jit(Dynamics.step)
    mean, ts1, tsinf = (step(replace(model, propagation=p), obs, -obs / 2, KEY) for p in ('mean', 'ts1', 'tsinf'))
    assert len(set(mean[0][:, 0].tolist())) == 7
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), mean, ts1)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), mean, tsinf)


def test_mean_propagation_draws_nothing():
    model = constant([1.0, -0.5, 0.1], 2.0, 'mean')
    after, reward, _ = stepped(model, 3)
    np.testing.assert_allclose(after[:, 0], [0.2] * 3, rtol=1e-5)
    np.testing.assert_allclose(reward, [2] * 3, rtol=1e-5)


def test_the_noise_has_the_predicted_deviation():
    after, _, _ = stepped(constant([0.0], float(2 * np.log(0.3))), 20_000)
    assert float(after.std()) == pytest.approx(0.3, rel=0.02)


def test_only_elites_answer():
    model = replace(constant([1.0, 2.0, 3.0], -100.0), elites=jnp.array([2]))
    np.testing.assert_allclose(stepped(model, 2)[0][:, 0], [3, 3], atol=1e-4)


def test_ends_are_a_chance():
    """A logit of 0 is one half; where ends are not learned the task goes on."""
    np.testing.assert_allclose(stepped(constant([0.0], ends=True), 2)[2], [0.5, 0.5])
    np.testing.assert_allclose(stepped(constant([0.0]), 2)[2], [1, 1])


def test_discrete_actions_are_one_of_n():
    model = Dynamics.create(THREE, KEY, (4,), 2, 2, reward=False)
    np.testing.assert_array_equal(model.inputs(jnp.array([[7.0]]), jnp.array([2])), [[7, 0, 0, 1]])
    after, reward, _ = model.step(jnp.zeros((4, 1)), jnp.array([0, 1, 2, 0]), KEY)
    assert (after.shape, reward.tolist()) == ((4, 1), [0, 0, 0, 0])


# Fitting


def test_of_every_five_rows_one_is_held_out_for_good():
    """Parts cover whole groups, do not meet, and do not change as rows come in."""
    held, train, n_held, n_train = parts(23, jnp.int32(18), 5)
    assert (int(n_held), int(n_train)) == (3, 12)
    assert sorted([*held[:3].tolist(), *train[:12].tolist()]) == list(range(15))
    assert [int(row) // 5 for row in held] == [0, 1, 2, 3]
    later = parts(23, jnp.int32(20), 5)
    np.testing.assert_array_equal(held, later[0])
    np.testing.assert_array_equal(train, later[1])
    assert len({int(row) % 5 for row in parts(500, jnp.int32(500), 5)[0]}) == 5


def test_draws_stay_below():
    u = jnp.array([0.0, 0.34, 0.99999994, 0.5])
    np.testing.assert_array_equal(below(u, jnp.int32(3)), [0, 1, 2, 1])


def test_a_member_is_kept_where_it_was_better_by_a_hundredth():
    model = constant([1.0, 2.0, 3.0])
    old = jax.tree.map(lambda leaf: leaf - 1, model.members.net)
    going = fitting.Going(model, old, jnp.array([1.0, 1.0, 1.0]), jnp.int32(0), jnp.int32(1))
    best, error, improved = kept(going, model, jnp.array([0.5, 0.995, 2.0]), 0.01)
    np.testing.assert_allclose(error, [0.5, 1, 1])
    assert bool(improved)
    bias = lambda net: net.members.layers[-1].bias[:, 0]
    np.testing.assert_allclose(bias(best), [1, 1, 2])
    assert not bool(kept(going, model, jnp.array([1.0, 0.995, jnp.inf]), 0.01)[2])


@pytest.mark.nans
def test_elites_have_the_least_error_and_are_numbers():
    np.testing.assert_array_equal(elites(jnp.array([3.0, jnp.nan, 1.0, 2.0]), 3), [2, 3, 0])


def test_elites_are_those_of_the_held_out_rows():
    """Member 0 knows what the rows that are learned from say, member 1 what those held out say. Nobody learns."""
    rows, (held, train, _, _) = 50, parts(50, jnp.int32(50), 5)
    change = jnp.zeros((rows, 1)).at[train].set(1.0).at[held].set(-1.0)
    data = batch(np.zeros((rows, 1)), np.zeros((rows, 1)), np.zeros(rows), change, np.ones(rows))
    model = replace(constant([0.0, -2.0], reward=False), elites=jnp.arange(1))  # the mean of what is learned is 1
    fitted, info = fit.__wrapped__(model, data, jnp.int32(rows), KEY, Fit(batch=4))  # compiled here and for here
    assert fitted.elites.tolist() == [1]
    np.testing.assert_allclose(info['model/held_out'], [4, 0], atol=1e-5)
    np.testing.assert_allclose(info['model/train'], [0, 4], atol=1e-5)
    assert int(info['model/epochs']) == 6


def recording(n: int, seed: int, noise: float = 0.0) -> Transition:
    """Random steps of two carts on springs; places are seen with noise."""
    world, keys = Linear.carts(2), jr.split(jr.key(seed), 3)
    obs = jr.normal(keys[0], (n, 4))
    action = jr.uniform(keys[1], (n, 2), minval=-1, maxval=1)
    after, reward, mask = world.step(obs, action, KEY)
    after = after + noise * jr.normal(keys[2], after.shape)
    return Transition(obs, action, reward, after, mask, mask, action)


SETTINGS = Fit(batch=64, epochs=12)
fresh = lambda **settings: Dynamics.create(TWO, KEY, (32,), 2, 2, lr=5e-3, **settings)


def test_it_learns_a_linear_world_and_says_how_sure_it_is():
    """The change is seen with noise 0.1: of unseen rows the error in the mean is less than half of that, and the
    deviation it states is that noise. From shuffled targets it learns nothing."""
    rows, unseen = recording(1000, 1, 0.1), recording(200, 2)
    model, info = fit(fresh(), rows, jnp.int32(1000), KEY, SETTINGS)
    step = jax.jit(Dynamics.step)
    error = step(replace(model, propagation='mean'), unseen.obs, unseen.action, KEY)[0] - unseen.next_obs
    assert float(jnp.sqrt((error**2).mean())) < 0.05
    spread = np.stack([step(model, unseen.obs, unseen.action, jr.key(i))[0] for i in range(20)]).std(0)
    assert float(spread.mean()) == pytest.approx(0.1, rel=0.2)
    order = jr.permutation(KEY, 1000)
    change = (rows.next_obs - rows.obs)[order]
    wrong = rows._replace(next_obs=rows.obs + change, reward=rows.reward[order])
    _, lost = fit(fresh(), wrong, jnp.int32(1000), KEY, SETTINGS)
    assert float(info['model/held_out'].max()) < 0.3
    assert float(lost['model/held_out'].min()) > 0.8


def test_rows_behind_the_count_are_not_learned_from():
    """The same fit to 500 rows, whatever lies behind them."""
    rows = recording(1000, 1)
    spoiled = jax.tree.map(lambda x: x.at[500:].set(1e6), rows)
    one, two = (fit(fresh(), r, jnp.int32(500), KEY, SETTINGS)[0] for r in (rows, spoiled))
    jax.tree.map(np.testing.assert_array_equal, one, two)


@pytest.mark.nans
@pytest.mark.parametrize(('rows', 'count'), [(50, 0), (50, 4), (3, 3)])
def test_where_nothing_can_be_held_out_nothing_is_learned(rows, count):
    """Members, scales and elites stay as they were, whatever lies behind the count; five rows are enough."""
    model = replace(fresh(), elites=jnp.array([1, 0]))
    after, info = fit(model, recording(rows, 1), jnp.int32(count), KEY, SETTINGS)
    jax.tree.map(np.testing.assert_array_equal, after, model)
    assert (info['model/held_out'].tolist(), int(info['model/epochs'])) == ([0, 0], 0)


@pytest.mark.nans
def test_five_rows_are_enough_to_learn_something():
    model, info = fit(fresh(), recording(50, 1), jnp.int32(5), KEY, SETTINGS)
    assert int(info['model/epochs']) > 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(model))


def test_another_fit_to_the_same_rows_does_not_make_a_member_worse():
    """Steps a hundred times too long spoil every epoch: what was there before is kept, with its error."""
    rows = recording(500, 1)
    model, first = fit(fresh(), rows, jnp.int32(500), KEY, SETTINGS)
    rough = Learner(model.members.net, model.members.opt, adam(0.5))
    static, rough = replace(SETTINGS, static=True), replace(model, members=rough)
    again, second = fit(rough, rows, jnp.int32(500), jr.key(1), static)
    jax.tree.map(np.testing.assert_array_equal, again.members.net, model.members.net)
    np.testing.assert_allclose(second['model/held_out'], first['model/held_out'], rtol=1e-4)
    assert int(second['model/epochs']) == SETTINGS.patience
    spoiled = fit(rough, rows, jnp.int32(500), jr.key(1), SETTINGS)[1]
    assert (spoiled['model/held_out'] > 2 * first['model/held_out']).all()


def test_an_epoch_sees_a_bootstrap_of_its_own():
    """Member 0 drew only row 0, member 1 only row 1: each learns the change of its row."""
    rows = batch([[0.0], [0.0]], [[0.0], [0.0]], [0, 0], [[1.0], [-1.0]], [1, 1])
    model = Dynamics.create(ONE, KEY, (8,), 2, 2, reward=False, lr=0.01)
    boot = jnp.array([[0, 0], [1, 1]])
    model = jax.jit(an_epoch, static_argnums=6)(model, rows, boot, jnp.int32(2), jnp.int32(200), KEY, 1)
    np.testing.assert_allclose(stepped_mean(model), [1, -1], atol=0.1)


def stepped_mean(model: Dynamics) -> list[float]:
    """What each member alone says of the change at 0."""
    alone = [replace(model, propagation='mean', elites=jnp.array([e])) for e in range(2)]
    return [float(one.step(jnp.zeros((1, 1)), jnp.zeros((1, 1)), KEY)[0][0, 0]) for one in alone]


def test_all_steps_of_a_recording_are_rows():
    data = Dataset.from_arrays(
        np.arange(6.0)[:, None], np.zeros((6, 1)), np.arange(6.0), [0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]
    )
    rows = rows_of(data)
    np.testing.assert_array_equal(rows.obs[:, 0], [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(rows.next_obs[[0, 1, 3, 4], 0], [1, 2, 4, 5])
    np.testing.assert_array_equal(rows.mask, [1, 1, 0, 1, 1])


@pytest.mark.parametrize(
    ('settings', 'said'),
    [({'members': 2, 'elites': 3}, '3 elites of 2'), ({'propagation': 'ts2'}, "'ts2'; expected ts1, tsinf, mean")],
)
def test_what_does_not_go_together(settings, said):
    with pytest.raises(UsageError, match=said):
        Dynamics.create(ONE, KEY, **settings)


def test_images_need_another_model():
    with pytest.raises(UsageError, match='predicts vectors'):
        Dynamics.create(Spec(Observation((1, 8, 8), 'uint8'), ONE.action), KEY)

"""MBPO by hand: branches and where they end, the pool, shares, lengths; when a run refreshes, and that it resumes."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from toy_models import ONE, THREE, Line

from stitchrl.algos.modelled.mbpo import MBPO, Config, planned
from stitchrl.algos.online.sac import SAC
from stitchrl.api import train
from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Observation
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.data.pool import Pool
from stitchrl.data.replay import Replay
from stitchrl.envs.pendulum import Pendulum
from stitchrl.errors import UsageError
from stitchrl.loops.offline import create
from stitchrl.loops.plan import Plan
from stitchrl.loops.stream import Stream
from stitchrl.models.branch import branched
from stitchrl.models.ending import Ending, hopper, inverted_pendulum, walker
from stitchrl.models.ensemble import Dynamics
from stitchrl.models.fit import fit

KEY = jr.key(0)
TINY = Config(
    hidden=(8,),
    batch=8,
    steps=60,
    refresh=4,
    rollouts=6,
    keep=2,
    final_length=3,
    grow_from=0,
    grow_to=20,
    model_hidden=(8,),
    members=2,
    elites=1,
    model_batch=8,
    epochs=2,
)
FIVES = np.full((40, 1), 5.0)
DATA = jax.device_put(Dataset.from_arrays(FIVES, 0 * FIVES, np.ones(40), np.arange(40) == 39, next_obs=FIVES))
pytestmark = [pytest.mark.nans, pytest.mark.usefixtures('quick_compiles')]


def roll(model, length, size=8, branches=1):
    """The rows of a pool of `size` after branches from 0 of a policy that always adds one."""
    one = lambda obs, key: jnp.ones((branches, 1))
    start = lambda key: jnp.zeros((branches, 1))
    pool, ended = branched(model, one, start, Pool.create(ONE, size), KEY, jnp.int32(length), 0.5)
    return jax.device_get(pool), float(ended)


def test_a_branch_by_hand():
    """From 0 by ones to an end beyond 2.5: the third step ends the task, the fourth begins another branch at 0. The
    reward is minus the square of what is reached, plus 10."""
    pool, ended = roll(Line(edge=2.5, bonus=10.0), 4)
    obs, action, reward, next_obs, mask, discount, next_action = (column[:4].ravel().tolist() for column in pool.rows)
    assert (obs, next_obs) == ([0, 1, 2, 0], [1, 2, 3, 1])
    assert (action, next_action) == ([1] * 4, [0] * 4)
    assert reward == [9, 6, 1, 9]
    assert (mask, discount) == ([1, 1, 0, 1], [0.5, 0.5, 0, 0.5])
    assert (int(pool.written), ended) == (4, 0.25)
    assert not pool.rows.reward[4:].any()


class Perhaps(Line):
    """Goes on with probability 3/4."""

    def step(self, latent, action, key):
        after, reward, mask = super().step(latent, action, key)
        return after, reward, 0.75 * mask


def test_a_chance_of_an_end_is_a_discount_and_ends_that_share_of_the_branches():
    pool, ended = roll(Perhaps(), 3, size=12_000, branches=4000)
    np.testing.assert_allclose(pool.rows.discount, 0.375)
    second = pool.rows.obs[4000:8000, 0]
    assert set(second) == {0, 1}
    assert abs(second.mean() - 0.75) < 0.03
    assert abs(ended - 0.25) < 0.02


def test_known_ends():
    """Each bound from both sides, and no number."""
    height, angle = jnp.array([[1.0, 0.69, 1, 1, 1, jnp.nan]]).T, jnp.array([[0.0, 0, 0.21, -0.21, 0, 0]]).T
    speed = jnp.array([[0.0, 0, 0, 0, 101, 0]]).T
    obs = jnp.concatenate([height, angle, speed], 1)
    assert hopper(obs).tolist() == [True] + [False] * 5
    assert inverted_pendulum(obs).tolist() == [True, True, False, False, True, True]
    assert walker(obs * jnp.array([[1.0, 5, 0]])).tolist() == [True, False, False, False, True, False]
    model = Ending(Line(edge=-5.0), lambda obs: obs[:, 0] < 0.5)
    latent = jnp.zeros((2, 1))
    after, _, mask = model.step(latent, jnp.array([[0.0], [1.0]]), KEY)
    assert (after[:, 0].tolist(), mask.tolist()) == ([0, 1], [1, 0])


def test_what_is_no_number_is_over():
    """Whatever a task looks at, and where it never ends."""
    latent = jnp.array([[0.0], [jnp.nan], [jnp.inf]])
    model = Ending(Line(), lambda obs: jnp.ones(len(obs), bool))
    assert model.step(latent, jnp.zeros((3, 1)), KEY)[2].tolist() == [1, 0, 0]


@pytest.mark.parametrize(('ends', 'size'), [('inverted_pendulum', 4), ('hopper', 11), ('walker', 17)])
def test_known_ends_are_of_a_space(ends, size):
    """A pendulum of three numbers has no height, so a hopper's bounds say nothing of it."""
    of = lambda n: jax.eval_shape(
        lambda: MBPO.create(replace(ONE, obs=Observation((n,))), replace(TINY, ends=ends), KEY)
    )
    assert of(size).cfg.ends == ends
    with pytest.raises(UsageError, match=rf"'{ends}' is known of observations \({size},\), these are \(3,\)"):
        of(3)


def block(value, n=2):
    column = jnp.full(n, float(value))
    return Transition(column[:, None], column[:, None], column, column[:, None], column, column, column[:, None])


def test_the_newest_rows_are_drawn_and_the_oldest_written_over():
    add = jax.jit(lambda pool, value: pool.add(jax.tree.map(lambda x: x * value, block(1))))
    pool = Pool.create(ONE, 6)
    among = lambda newest: set(np.asarray(pool.sample(KEY, 60, jnp.int32(newest)).reward).tolist())
    for value in (1, 2):
        pool = add(pool, value)
    assert among(100) == {1, 2}, 'nothing that was never written'
    for value in range(3, 12):
        pool = add(pool, value)
        assert among(2) == {value}
        assert among(4) == {value - 1, value}
        assert among(6) == among(100) == {value - 2, value - 1, value}
    assert int(pool.written) < 12


@cache
def fresh():
    return jax.jit(lambda key: MBPO.create(ONE, TINY, key))(KEY)


@pytest.mark.parametrize(('real', 'rows'), [(0.0, 0), (0.25, 2), (0.05, 0), (1.0, 8)])
def test_the_real_share_of_a_batch(real, rows):
    batch = replace(fresh(), cfg=replace(TINY, real=real), pool=fresh().pool.add(block(2, 6))).draw(DATA, KEY)
    assert batch.obs[:, 0].tolist() == [5] * rows + [2] * (8 - rows)
    assert batch.reward.tolist() == [1] * rows + [2] * (8 - rows)


def test_before_anything_was_imagined_all_rows_are_real():
    assert fresh().draw(DATA, KEY).obs.ravel().tolist() == [5] * 8


@pytest.mark.parametrize(('t', 'length'), [(0, 1), (20_000, 1), (33_000, 2), (85_000, 8), (150_000, 15), (10**6, 15)])
def test_branches_grow_with_the_steps(t, length):
    """The authors' schedule on Hopper."""
    assert planned(jnp.int32(t), Config(final_length=15)) == length


def test_an_update_is_the_inner_agent_s():
    update = jax.jit(lambda agent, batch: agent.update(batch, KEY, jnp.int32(0)))
    agent = fresh()
    batch = agent.draw(DATA, KEY)
    after, info = update(agent, batch)
    inner, known = update(agent.inner, batch)
    assert isinstance(inner, SAC)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), (after.inner, info), (inner, known))
    jax.tree.map(np.testing.assert_array_equal, (after.model, after.pool), (agent.model, agent.pool))


def test_any_model_and_any_inner_agent():
    """A model that does not learn is rolled out as it is."""
    made = MBPO.of(ONE, Line(edge=-1.0), fresh().inner, replace(TINY, ends='learned'))
    after = made.refresh(DATA, KEY, jnp.int32(10))
    assert int(after.length) == 2
    assert int(after.pool.written) == 12
    assert float(after.ended) == 1
    assert (after.pool.rows.obs[:12] == 5).all(), 'all begin in the data, for all have ended'
    assert not after.pool.rows.mask[:12].any()
    endless = MBPO.of(ONE, Line(edge=-1.0), fresh().inner, replace(TINY, ends='never')).refresh(
        DATA, KEY, jnp.int32(10)
    )
    assert float(endless.ended) == 0, 'what is known counts'


def test_only_a_recording_is_static(monkeypatch):
    """What a ring holds grows, and a fit follows it."""
    found = []
    monkeypatch.setattr('stitchrl.algos.modelled.mbpo.fit', lambda *args: found.append(args[-1].static) or fit(*args))
    ring = Replay.create(ONE, 40, 1)
    for data in (DATA, ring):
        jax.eval_shape(lambda data=data: MBPO.create(ONE, TINY, KEY).refresh(data, KEY, jnp.int32(0)))
    assert found == [True, False]


@pytest.mark.parametrize(
    ('settings', 'word'),
    [({'real': 1.5}, 'share'), ({'rollouts': 0}, 'at least 1'), ({'normalise': True, 'ends': 'hopper'}, 'normalise')],
)
def test_settings_that_cannot_be_meant(settings, word):
    with pytest.raises(UsageError, match=word):
        MBPO.create(ONE, replace(TINY, **settings), KEY)


def test_discrete_actions_are_refused():
    with pytest.raises(UsageError, match='continuous'):
        MBPO.create(THREE, TINY, KEY)


# The loop


def test_agents_are_refreshed_before_the_first_update_and_every_so_many_steps():
    times = lambda stop, **plan: [t for t in range(stop) if Plan(**plan).refreshes(t)]
    assert times(30, random_steps=7, refresh=10) == [7, 10, 20]
    assert times(12, random_steps=0, refresh=5) == [5, 10], 'never before the first step'
    assert times(12, lanes=4, random_steps=8, refresh=10) == [2, 3, 5, 8, 10]
    assert times(12, random_steps=3) == []
    pieces = list(Plan(random_steps=7, refresh=10).pieces(5, 25))
    assert pieces == [(5, 2, 0), (7, 3, 1), (10, 10, 1), (20, 5, 1)]


def after(stream, live, first, ticks, chunk):
    for part in stream.chunks(jax.tree.map(jnp.copy, live), first, ticks, chunk):
        live = part.state
    return jax.device_get(live)


def test_a_run_that_was_cut_comes_to_the_same():
    """Cut between two refreshes and just before one; with other keys it comes to something else."""
    env = Pendulum.create()
    boundary, plan = jax.device_put(Boundary.blank(env.spec)), Plan(random_steps=6, refresh=4)
    stream = Stream(env, boundary, None, plan, 60, 0)
    live = stream.fresh(create(MBPO, env.spec, TINY, 0, 2))
    whole = after(stream, live, 0, 14, 2)
    for cut in (8, 10):
        half = after(stream, live, 0, cut, 2)
        assert half.agents.pool.written.tolist() != whole.agents.pool.written.tolist()
        jax.tree.map(np.testing.assert_array_equal, after(stream, half, cut, 14, 2), whole)
    assert whole.agents.length.tolist() == [2, 2]
    assert isinstance(whole.agents.model, Dynamics)
    other = after(Stream(env, boundary, None, plan, 60, 1), live, 0, 14, 2)
    assert not np.array_equal(other.agents.pool.rows.obs, whole.agents.pool.rows.obs)


def test_agents_that_do_not_fit_are_refused_before_anything_starts(tmp_path):
    """The authors' roll-outs on Hopper, a hundred thousand times."""
    with pytest.raises(UsageError, match=r'5 agents of mbpo take .* GB .* fewer --seeds or smaller settings'):
        train('mbpo', env='pendulum/swingup', preset='hopper', ends='never', keep=100_000, out=str(tmp_path / 'run'))
    assert not (tmp_path / 'run').exists()

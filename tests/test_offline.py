"""The offline loop: who draws what when, where chunks end, what is measured. Mostly with an agent that only walks."""

from dataclasses import dataclass, replace
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import tiny

from stitchrl.algos.offline import bc
from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.core.learner import Learner, adam
from stitchrl.data.dataset import Dataset
from stitchrl.loops.chunk import first_broken, means
from stitchrl.loops.offline import CREATE, INSPECT, UPDATE, begin, create, many, roots, updates


@dataclass(frozen=True)
class Config:
    """Settings of the walker."""

    batch: int = 4
    steps: int = 10
    breaks: int = -1  # the update in which whoever stands right of 0 leaves the numbers


class Walker(Agent):
    """Goes by the mean reward of its batch and some noise of its own; every other update it also turns."""

    place: jax.Array
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec, cfg, key):
        return cls(jr.normal(key), cfg)

    def act(self, memory, obs, key, t=None):
        return obs, memory

    def update(self, batch, key, t):
        step = batch.reward.mean() + 0.01 * jr.normal(key)
        lost = (t >= self.cfg.breaks) & (self.cfg.breaks >= 0) & (self.place > 0)
        place = jnp.where(lost, jnp.nan, self.place + step)
        turns = (t % 2).astype(jnp.float32)
        info = {'walk/loss': step, 'walk/place': place, 'clock/t': t.astype(jnp.float32)}
        return replace(self, place=place), info | {'turn/ran': turns, 'turn/angle': 10 * turns}

    def inspect(self, batch, key):
        return {'walk/seen': batch.reward.mean()}


def recording(reward, n=12):
    """Two episodes; all steps have this reward."""
    last = np.arange(n) % 6 == 5
    return Dataset.from_arrays(np.arange(n)[:, None], np.zeros((n, 1)), np.broadcast_to(reward, n), last)


DATA, OTHER = recording(np.arange(12.0)), recording(100.0)


def fresh(seed=0, seeds=3, **cfg):
    return create(Walker, DATA.spec, Config(**cfg), seed, seeds)


def walk(start=0, agents=None, steps=10, chunk=4, seed=0, **kwargs):
    """All chunks of a run, each with its own copy of the agents."""
    agents = fresh() if agents is None else agents
    return [
        part._replace(groups=[jax.tree.map(np.asarray, part.agents)])
        for part in updates(agents, DATA, seed, steps, chunk, start, **kwargs)
    ]


def test_agent_i_of_seed_s_is_agent_0_of_seed_s_plus_i():
    for stream in (CREATE, UPDATE, INSPECT):
        assert (roots(5, 3, stream)[2] == roots(7, 1, stream)[0]).all()
    assert len({jr.key_data(roots(0, 1, stream)).tobytes() for stream in (CREATE, UPDATE, INSPECT)}) == 3
    np.testing.assert_array_equal(fresh(seed=0).place[2], fresh(seed=2, seeds=1).place[0])
    assert len(set(fresh().place.tolist())) == 3
    last, alone = walk()[-1], walk(agents=fresh(seed=2, seeds=1), seed=2)[-1]
    np.testing.assert_array_equal(last.agents.place[2:], alone.agents.place)


def test_chunks_end_at_multiples_and_at_the_last_update():
    assert [part.step for part in walk()] == [4, 8, 10]
    assert [part.step for part in walk(start=6)] == [8, 10]
    assert [part.step for part in walk(steps=8)] == [4, 8]
    assert walk(start=10) == []


def test_the_clock_counts_updates_from_0_also_after_a_break():
    assert [part.info['clock/t'][0] for part in walk()] == [1.5, 5.5, 8.5]
    assert walk(start=6)[0].info['clock/t'][0] == 6.5


@pytest.mark.parametrize(('cut', 'chunk'), [(4, 4), (8, 4), (3, 3), (9, 3)])
def test_where_a_run_was_cut_changes_no_bit(cut, chunk):
    whole = walk()[-1].agents.place
    at_cut = walk(steps=cut, chunk=chunk)[-1].agents
    np.testing.assert_array_equal(walk(start=cut, agents=jax.tree.map(jnp.asarray, at_cut))[-1].agents.place, whole)


def test_another_start_or_seed_does():
    whole = walk()[-1].agents.place
    early = jax.tree.map(jnp.asarray, walk(steps=4)[-1].agents)
    assert (walk(start=3, agents=jax.tree.map(jnp.copy, early))[-1].agents.place != whole).all()
    assert (walk(start=4, agents=early, seed=1)[-1].agents.place != whole).all()


def test_metrics_are_means_over_the_chunk_for_each_seed():
    (agents, _), each = many(begin(fresh(), DATA), DATA, roots(0, 3, UPDATE), jnp.int32(0), 4)
    assert each['walk/place'].shape == (4, 3)
    part = walk()[0]
    np.testing.assert_allclose(part.info['walk/place'], np.asarray(each['walk/place']).mean(0), rtol=1e-6)
    np.testing.assert_array_equal(part.agents.place, agents.place)
    assert (part.info['turn/ran'] == 0.5).all()
    assert (part.info['turn/angle'] == 10).all()  # not 5: it turned in half of the updates
    assert part.info['walk/seen'].shape == (3,)


def test_means_by_hand():
    each = {
        'actor/loss': np.array([[0.0, 0], [4, 2], [0, 0], [2, 4]]),
        'actor/ran': np.array([[0.0, 0], [1, 1], [0, 0], [1, 1]]),
        'critic/loss': np.array([[1.0, 2], [3, 4], [5, 6], [7, 8]]),
    }
    result = {name: values.tolist() for name, values in means(each).items()}
    assert result == {'actor/loss': [3, 3], 'actor/ran': [0.5, 0.5], 'critic/loss': [4, 5]}
    resting = {name: values * 0 for name, values in each.items()}
    assert sorted(means(resting)) == ['actor/ran', 'critic/loss']  # a part that never ran has no loss


@pytest.mark.nans
def test_the_agents_before_a_chunk_are_given_away():
    """In a program of its own: JAX gives up donation where one was compiled to hunt for NaNs."""
    agents = fresh(batch=5)
    parts = updates(agents, DATA, 0, 8, 4)
    first = next(parts)
    assert agents.place.is_deleted()
    next(parts)
    assert all(group.place.is_deleted() for group in first.groups)


def test_held_out_losses_are_those_of_the_other_data_and_change_nothing():
    plain, twin = walk(), walk(held_out=OTHER)
    for part, other in zip(plain, twin, strict=True):
        np.testing.assert_array_equal(part.agents.place, other.agents.place)
        assert {name: value.tolist() for name, value in part.info.items()}.items() <= {
            name: value.tolist() for name, value in other.info.items()
        }.items()
        np.testing.assert_allclose(other.info['held_out/walk/loss'], 100, atol=0.1)
        assert 'held_out/turn/ran' not in other.info


@pytest.mark.parametrize('steps', [5, 6])
def test_every_metric_has_its_twin_whosever_turn_it_is(steps):
    """TD3+BC's policy learns in every second update; its loss on what is held out is there after any."""
    data = tiny.dataset()
    inner = jax.device_put(Boundary.fit(data).inward(data))
    part = next(updates(tiny.agents('td3_bc', data.spec), inner, 0, steps, steps, held_out=inner))
    names = {name for name in part.info if not name.startswith('held_out/') and not name.endswith('/ran')}
    assert {'actor/loss', 'critic/loss', 'q/data', 'q/gap'} <= names
    assert {name.removeprefix('held_out/') for name in part.info if name.startswith('held_out/')} == names


class Pair(Agent):
    """A number that learns and a second that looks at it afterwards, as a policy looks at a critic."""

    first: Learner
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec, cfg, key):
        return cls(Learner.create(jnp.zeros(()), adam(0.1)), cfg)

    def act(self, memory, obs, key, t=None):
        return obs, memory

    def update(self, batch, key, t):
        loss = lambda number, batch: (((number - 1) ** 2), {'first/loss': (number - 1) ** 2})
        first, info = self.first.step(loss, batch)
        return replace(self, first=first), info | {'second/number': first.net}


def test_held_out_losses_are_measured_with_nothing_learning():
    """After two steps of 0.1 the number is 0.2, and whoever looks at it on other data sees 0.2, not a third step."""
    part = next(updates(create(Pair, DATA.spec, Config(), 0, 1), DATA, 0, 2, 2, held_out=OTHER))
    np.testing.assert_allclose(part.info['held_out/second/number'], 0.2, rtol=0.01)
    np.testing.assert_allclose(part.info['held_out/first/loss'], 0.8**2, rtol=0.01)
    np.testing.assert_allclose(part.info['second/number'], 0.15, rtol=0.01)  # the mean of 0.1 and 0.2


def test_diagnostics_see_a_batch_of_their_own():
    """The loss is the mean reward of the update's batch, up to 0.01; what `inspect` sees is another batch's."""
    part = walk(steps=1, chunk=1)[0]
    assert (np.abs(part.info['walk/seen'] - part.info['walk/loss']) > 0.1).all()


def test_first_broken_by_hand():
    """The earliest update counts, then a loss before what follows from it, then the lowest seed."""
    ok = np.zeros((5, 2))
    assert first_broken({'a/loss': ok, 'b/loss': ok}, 10) == (None, 0)
    late, early, other = ok.copy(), ok.copy(), ok.copy()
    late[3:, 0] = np.nan
    early[2, 1] = np.inf
    other[2, 0] = -np.inf
    assert first_broken({'a/loss': late, 'b/loss': ok}, 10) == ((13, 0, 'a/loss'), 2)
    assert first_broken({'a/loss': late, 'b/loss': early}, 10) == ((12, 1, 'b/loss'), 3)
    assert first_broken({'a/mean': other, 'b/loss': early}, 10) == ((12, 1, 'b/loss'), 1)
    assert first_broken({'a/loss': early, 'b/loss': other}, 10) == ((12, 0, 'b/loss'), 1)


@pytest.mark.nans
def test_a_run_that_leaves_the_numbers_says_when_and_who():
    agents = fresh(breaks=5)
    lost = int(np.argmax(np.asarray(agents.place) > 0))
    agents = replace(agents, place=jnp.where(jnp.arange(3) == lost, agents.place, -1e6))
    parts = walk(agents=agents)
    assert [part.broken for part in parts] == [None, (5, lost, 'walk/place'), (8, lost, 'walk/place')]
    assert [part.bad for part in parts] == [0, 3, 2]


def test_a_compiled_run_of_bc_in_7_and_193_equals_199_and_1():
    """Programs of four lengths, optimised as for users; the other algorithms are in `test_conformance.py`."""
    rng = np.random.default_rng(0)
    data = Dataset.from_arrays(rng.normal(size=(60, 3)), rng.uniform(-1, 1, (60, 2)), rng.normal(size=60), np.ones(60))
    cfg, root = bc.Config(hidden=(16, 16), batch=32), roots(0, 2, UPDATE)
    start = create(bc.BC, data.spec, cfg, seed=0, seeds=2)
    results = []
    for cuts in [(0, 7, 200), (0, 199, 200)]:
        state = begin(jax.tree.map(jnp.copy, start), data)
        for a, b in pairwise(cuts):
            state, _ = many(state, data, root, jnp.int32(a), b - a)
        results.append(state.agents)
    jax.tree.map(np.testing.assert_array_equal, *results)
    state, _ = many(begin(jax.tree.map(jnp.copy, start), data), data, root, jnp.int32(1), 199)
    state, _ = many(state, data, root, jnp.int32(0), 1)
    assert not np.array_equal(state.agents.actor.net.log_std, results[0].actor.net.log_std)  # the order matters

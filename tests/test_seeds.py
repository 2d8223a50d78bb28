"""Agents beside one another: the same agents however they are grouped, each in its place, and really at once."""

import threading

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from counting import DeviceCounting
from test_offline import DATA, fresh

from stitchrl.loops import seeds
from stitchrl.loops.lab import learned
from stitchrl.loops.offline import updates
from stitchrl.loops.seeds import apart, over_seeds, side_by_side, whole


@pytest.fixture
def cores(monkeypatch):
    """Called with a number of cores, there are so many."""
    return lambda n: monkeypatch.setattr(seeds, 'cores', lambda: n)


def tree(n):
    """A leaf of numbers and one of keys, [n, ...]."""
    return {'place': jnp.arange(3.0 * n).reshape(n, 3), 'key': jr.split(jr.key(0), n)}


@pytest.mark.parametrize(('n', 'most', 'sizes'), [(5, 2, [3, 2]), (8, 3, [3, 3, 2]), (2, 4, [1, 1]), (3, 1, [3])])
def test_groups_are_as_equal_as_they_can_be_and_go_together_again(cores, n, most, sizes):
    cores(most)
    groups = apart(tree(n))
    assert [len(group['place']) for group in groups] == sizes
    again, first = whole(groups), tree(n)
    np.testing.assert_array_equal(again['place'], first['place'])
    np.testing.assert_array_equal(jr.key_data(again['key']), jr.key_data(first['key']))


def test_what_is_taken_apart_is_given_up_unless_it_stays_as_it_is(cores):
    cores(2)
    given, kept = tree(4), tree(1)
    apart(given)
    assert given['place'].is_deleted()
    assert not apart(kept)[0]['place'].is_deleted()
    assert len(apart(tree(4), most=1)) == 1


def test_on_an_accelerator_all_agents_are_one_group(monkeypatch):
    monkeypatch.setenv('NPROC', '1')
    assert seeds.cores() == 1
    monkeypatch.delenv('NPROC')
    assert seeds.cores() >= 1
    monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
    monkeypatch.setattr(seeds.os, 'sched_getaffinity', lambda _: range(16), raising=False)
    assert seeds.cores() == 1


def test_a_single_agent_keeps_its_branches():
    """vmap turns a branch into both of its sides and a choice; alone, only the side that is meant is there."""
    branch = lambda x: jax.lax.cond(x > 0, lambda: x + 1, lambda: x - 1)
    several = jax.make_jaxpr(lambda x: over_seeds(branch, x))
    assert 'cond' in str(several(jnp.ones(1)))
    assert 'cond' not in str(several(jnp.ones(2)))
    np.testing.assert_array_equal(over_seeds(branch, jnp.ones(1)), [2.0])


def test_all_groups_at_once_and_in_order():
    """The first begins here; the others wait for one another, which only those that run at once can."""
    gate, names = threading.Barrier(3), []

    def work(i):
        names.append(threading.current_thread().name)
        return i if i == 0 else gate.wait(timeout=20) * 0 + i

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeds, 'cores', lambda: 4)
        with side_by_side() as every:
            assert every(work, [0, 1, 2, 3]) == [0, 1, 2, 3]
    assert names[0] == 'MainThread'
    assert len(set(names)) == 4


@pytest.mark.parametrize('bad', [0, 1])
def test_an_error_in_any_group_is_raised(bad, cores):
    cores(2)

    def work(i):
        if i == bad:
            raise ValueError(f'group {i}')

    with side_by_side() as every, pytest.raises(ValueError, match=f'group {bad}'):
        every(work, [0, 1])


@pytest.mark.parametrize('most', [2, 5])
def test_offline_grouping_changes_no_agent(cores, most):
    cores(1)
    *_, one = updates(fresh(seeds=5), DATA, 0, 10, 4)
    cores(most)
    *_, many = updates(fresh(seeds=5), DATA, 0, 10, 4)
    assert len(many.groups) == most
    np.testing.assert_allclose(many.agents.place, one.agents.place, rtol=1e-6)
    assert one.info.keys() == many.info.keys()
    for name, values in one.info.items():
        np.testing.assert_allclose(many.info[name], values, rtol=1e-6, err_msg=name)


@pytest.mark.nans
def test_who_broke_is_named_by_its_place_among_all(cores):
    cores(1)
    *_, one = updates(fresh(seeds=5, breaks=6), DATA, 0, 10, 4)
    cores(3)
    *_, many = updates(fresh(seeds=5, breaks=6), DATA, 0, 10, 4)
    assert one.broken is not None
    assert (one.broken, one.bad) == (many.broken, many.bad)


def test_a_run_cut_in_two_is_the_same_bit_for_bit(cores):
    cores(2)
    *_, unbroken = updates(fresh(), DATA, 0, 10, 5)
    first = next(iter(updates(fresh(), DATA, 0, 10, 5)))
    *_, cut = updates(jax.tree.map(jnp.asarray, jax.device_get(first.agents)), DATA, 0, 10, 5, start=5)
    np.testing.assert_array_equal(cut.agents.place, unbroken.agents.place)


@pytest.mark.nans
def test_online_grouping_changes_no_agent(cores):
    """Rings, episodes and metrics of three agents as well."""
    found = []
    for most in (1, 2):
        cores(most)
        small = {'hidden': (8,), 'batch': 4, 'steps': 40, 'seeds': 3}
        found.append(learned('dqn', DeviceCounting.create(), **small))
    one, many = ([trained.agents, trained.replay, trained.info] for trained in found)
    for ours, theirs in zip(jax.tree.leaves(many), jax.tree.leaves(one), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)

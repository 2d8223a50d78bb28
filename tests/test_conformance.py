"""Every algorithm, one contract. The rows are in `conformance.py`."""

import io
import json
from dataclasses import replace
from operator import attrgetter

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from conformance import CHUNK, ROWS, SEEDS, STEPS, Trained, furthest, same

from stitchrl.algos import ALGORITHMS, algorithm
from stitchrl.core.config import from_json, to_json
from stitchrl.core.learner import Learner, polyak
from stitchrl.loops.offline import UPDATE, begin, many, measure, roots
from stitchrl.loops.settings import configure, settings_of
from stitchrl.runs.checkpoint import flatten, unflatten

# JAX gives up donation while it hunts for NaNs; here they are looked for by hand.
pytestmark = [pytest.mark.nans, pytest.mark.usefixtures('quick_compiles')]


@pytest.fixture(scope='module', params=ROWS)
def trained(request):
    return Trained(ROWS[request.param])


def is_learner(part):
    return isinstance(part, Learner)


def part(agent, path):
    """Of an agent, by its path."""
    return attrgetter(path)(agent)


def learners(agent):
    """The learners of an agent, those of its parts too, by path."""
    found = jax.tree_util.tree_flatten_with_path(agent, is_leaf=is_learner)[0]
    return {jax.tree_util.keystr(path): part for path, part in found if is_learner(part)}


def without_moments(agent):
    """As if the states of the optimisers had not been saved."""
    bare = lambda part: replace(part, opt=jax.tree.map(jnp.zeros_like, part.opt)) if is_learner(part) else part
    return jax.tree.map(bare, agent, is_leaf=is_learner)


def test_every_algorithm_has_a_row():
    assert {row.algo for row in ROWS.values()} == set(ALGORITHMS)


@pytest.mark.parametrize('name', ALGORITHMS)
def test_presets_are_configs_and_configs_survive_json(name):
    module = algorithm(name)
    assert 'default' in module.PRESETS
    for preset, (source, _) in module.PRESETS.items():
        cfg = configure(name, preset, {})
        assert source
        assert settings_of(name, preset, {}).seeds == 5  # what a preset says of acting is a setting of the run
        assert hash(cfg) == hash(from_json(module.Config, json.loads(json.dumps(to_json(cfg)))))


def test_leaves_are_arrays_in_buffers_of_their_own(trained):
    leaves = jax.tree.leaves(trained.fresh)
    assert all(isinstance(leaf, jax.Array) and leaf.shape[0] == SEEDS for leaf in leaves)
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)


def test_targets_begin_where_their_networks_do(trained):
    for target, learner in trained.row.targets.items():
        assert same(part(trained.fresh, target), part(trained.fresh, learner).net)


def test_one_trace_for_all_chunks_seeds_and_datasets_of_a_shape(trained):
    agents, _ = trained.first
    before = len(trained.traces)
    assert before
    agents, _ = trained.chunk(agents, trained.data, seed=0, start=CHUNK)
    trained.chunk(trained.fresh, trained.data, seed=10, start=0)
    trained.chunk(agents, trained.other_data, seed=0, start=2 * CHUNK)
    assert len(trained.traces) == before


def test_the_buffers_of_the_old_agent_are_reused(trained):
    given = jax.tree.map(jnp.copy, trained.fresh)
    given = begin(given, trained.data)
    many(given, trained.data, roots(0, SEEDS, UPDATE), jnp.int32(0), CHUNK)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(given))


def test_metrics_are_finite_scalars_named_part_and_quantity(trained):
    _, info = trained.first
    assert {'actor/loss', 'critic/loss', 'model/loss'} & info.keys()
    for name, values in info.items():
        assert name.count('/') == 1
        assert values.shape == (CHUNK, SEEDS)
        assert np.isfinite(values).all()


def test_diagnostics_and_held_out_losses_have_one_value_per_seed(trained):
    """Traced only."""
    keys = jr.split(jr.key(0), SEEDS)
    for held_out in (False, True):
        info = jax.eval_shape(
            lambda *args, h=held_out: measure(*args, h),
            begin(trained.fresh, trained.data),
            trained.data,
            keys,
            jnp.int32(0),
        )
        assert info
        assert all(value.shape == (SEEDS,) for value in info.values())
        assert not held_out or info.keys() == trained.first[1].keys()


def test_seed_2_of_three_equals_seed_2_alone(trained):
    three = jax.tree.map(lambda leaf: leaf[2], trained.first[0])
    alone = trained.alone(trained.agent(2), 0, CHUNK, seed=2)
    assert furthest(three, alone) <= 1e-5
    assert furthest(three, trained.agent(2)) > 1e-4  # it did move


def test_seeds_differ_from_the_start_and_go_apart(trained):
    for agents in (trained.fresh, trained.first[0]):
        for learner in learners(agents).values():
            weights = max(jax.tree.leaves(learner.net), key=lambda leaf: leaf.size)
            pairs = [(0, 1), (0, 2), (1, 2)] if weights[0].size > 1 else []  # a lone number begins where it is told
            assert all(not same(weights[i], weights[j]) for i, j in pairs)
    assert not same(trained.alone(trained.agent(0), 0, 1, seed=0), trained.alone(trained.agent(0), 0, 1, seed=1))


def test_resuming_changes_no_bit(trained):
    cut_late = trained.alone(trained.alone(trained.agent(0), 0, STEPS - 1), STEPS - 1, STEPS)
    assert same(trained.at_200, cut_late)


def test_resuming_at_the_wrong_update_does(trained):
    """The control: an equality that held for any start would show nothing."""
    assert not same(trained.at_200, trained.alone(trained.at_7, 8, STEPS + 1))
    assert not same(trained.at_200, trained.alone(trained.agent(0), 7, STEPS))


def test_resuming_at_any_update_needs_all_that_was_kept(trained):
    """Three random updates; as controls, an optimiser that forgot its moments and a run with other keys."""
    for cut in np.random.default_rng(list(repr(trained.row).encode())).integers(1, STEPS, 3):
        before = trained.alone(trained.agent(0), 0, int(cut))
        assert same(trained.at_200, trained.alone(before, int(cut), STEPS))
        assert not same(trained.at_200, trained.alone(without_moments(before), int(cut), STEPS))
        assert not same(trained.at_200, trained.alone(before, int(cut), STEPS, seed=1))


def test_save_and_load(trained):
    file = io.BytesIO()
    np.savez(file, **flatten(trained.at_7))
    file.seek(0)
    with np.load(file, allow_pickle=False) as leaves:
        again = unflatten(trained.fresh_like(), dict(leaves), 'the file')
    assert same(again, trained.at_7)
    assert same(trained.at_200, trained.alone(jax.device_put(again), 7, STEPS))


def test_every_weight_learns_and_stays_finite(trained):
    """Slopes are finite and reach every leaf: the optimiser keeps their running mean."""
    for learner in learners(trained.at_200).values():
        for leaf in jax.tree.leaves(learner):
            assert np.isfinite(leaf).all()
    before = learners(trained.agent(0))
    for name, learner in learners(trained.at_200).items():
        moved = jax.tree.map(lambda a, b: not same(a, b), learner.net, before[name].net)
        assert jax.tree.all(moved), name


def test_targets_follow_and_are_moved_by_nothing_else(trained):
    """Either exactly where they were, or a step of `rate` towards the new network."""
    before = trained.at_7
    for t in (7, 8):
        after = trained.alone(before, t, t + 1)
        for target, learner in trained.row.targets.items():
            old, new = part(before, target), part(after, target)
            followed = polyak(part(after, learner).net, old, trained.cfg.rate)
            assert same(old, new) or furthest(new, followed) <= 1e-7
        before = after
    for target in trained.row.targets:
        assert not same(part(before, target), part(trained.at_7, target))


def uses_of_keys(agent, data, k_data, k_update, k_act):
    """All that an agent does with keys. Returns nothing of it, so there is nothing to compile."""
    batch = agent.draw(data, k_data)
    agent.update(batch, k_update, jnp.int32(0))
    agent.act(agent.remember(4), data.obs[:4], k_act, jnp.int32(0))
    return 0


def test_a_key_is_used_once(trained):
    agent, data = trained.agent(0), trained.data
    data = jax.device_put(data.with_labels(agent.label(data)))
    twice = lambda agent, data, key: agent.draw(data, key).obs + agent.draw(data, key).obs
    with jax.debug_key_reuse(True):
        jax.jit(uses_of_keys)(agent, data, jr.key(0), jr.key(1), jr.key(2))
        with pytest.raises(jax.errors.KeyReuseError):  # the control
            jax.jit(twice)(agent, data, jr.key(0))


def test_actions_fit_the_space(trained):
    """Greedy and exploring, for any number of observations."""
    obs, spec = trained.data.obs[:5], trained.data.spec
    act = jax.jit(lambda agent, key, t: [agent.act(agent.remember(5), obs, key, u)[0] for u in (None, t)])
    for action in act(trained.at_200, jr.key(0), jnp.int32(0)):
        if spec.discrete:
            assert action.shape == (5,)
            assert action.dtype == jnp.int32
            assert ((action >= 0) & (action < spec.action.n)).all()
        else:
            assert action.shape == (5, 2)
            assert (jnp.abs(action) <= 1).all()

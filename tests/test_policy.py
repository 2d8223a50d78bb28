"""Policies as folders: the same actions after loading, in the user's units, and nothing but numbers inside."""

import contextlib
import hashlib
import json
import os
import sys

import jax
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from test_evaluate import Counting

from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.errors import Corrupt, StitchError, UsageError
from stitchrl.export import runner
from stitchrl.runs import policy
from stitchrl.runs.policy import ABOUT, WEIGHTS, Policy

ARM = Spec(Observation((3,)), Continuous(2, tiny.LOW, tiny.HIGH), 20)
BUTTONS = Spec(Observation((3,)), Discrete(4), 20)
UNITS = {'mean': np.float32([1, -2, 0]), 'std': np.float32([2, 0.5, 4])}
ROWS = {
    'bc': ('bc', {}, ARM),
    'deterministic': ('bc', {'head': 'deterministic'}, ARM),
    'mixture': ('bc', {'head': 'mixture'}, ARM),
    'buttons': ('bc', {}, BUTTONS),
    'filtered_bc': ('filtered_bc', {}, ARM),
    'td3_bc': ('td3_bc', {}, ARM),
    'iql': ('iql', {}, ARM),
}
EVERY = pytest.mark.parametrize('row', ROWS)


def boundary(spec, **changes):
    """Of an arm whose observations have means and deviations of their own."""
    return Boundary(**{**vars(Boundary.blank(spec)), **UNITS, **changes})


def observations(n, seed=0):
    return (UNITS['mean'] + UNITS['std'] * np.random.default_rng(seed).normal(size=(n, 3))).astype(np.float32)


@pytest.fixture
def saved(tmp_path):
    """A function of a row's name that saves its two agents: folder, agents, spec."""

    def save(row):
        algo, changes, spec = ROWS[row]
        agents = tiny.agents(algo, spec, **changes)
        policy.save(tmp_path / 'policy', algo, agents, boundary(spec), spec)
        return tmp_path / 'policy', agents, spec

    return save


@EVERY
def test_loaded_it_acts_as_before_for_one_and_for_many(saved, row):
    folder, agents, spec = saved(row)
    obs = observations(6)
    for seed in (0, 1):
        before, after = Policy(agents, boundary(spec), spec, seed), policy.load(folder, seed)
        many = after(obs)
        np.testing.assert_array_equal(many, before(obs))
        assert many.shape == ((6,) if spec.discrete else (6, 2))
        for one, action in zip(obs, many, strict=True):
            np.testing.assert_allclose(after(one), action, rtol=1e-5)
            assert after(one).shape == action.shape
    assert (policy.load(folder, 0)(obs) != policy.load(folder, 1)(obs)).any()
    algo, again, units, found = policy.load_all(folder)
    assert (algo, found) == (ROWS[row][0], spec)
    assert jax.tree.structure(again) == jax.tree.structure(policy.without_optimisers(agents))
    for name, value in vars(boundary(spec)).items():
        np.testing.assert_array_equal(getattr(units, name), value)


def test_actions_as_worked_with_numpy_alone(saved):
    """tanh(W2 relu(W1 o' + b1) + b2) between the bounds, o' = (o - mean) / std, from the weights in the file."""
    from safetensors.numpy import load_file

    folder, _, _ = saved('deterministic')
    tensors, obs = load_file(folder / WEIGHTS), observations(6)
    w1, b1, w2, b2 = (
        tensors[f"['agents'].actor.net.torso.layers[{i}].{part}"][1] for i in (0, 1) for part in ('weight', 'bias')
    )
    hidden = np.maximum((obs - UNITS['mean']) / UNITS['std'] @ w1 + b1, 0)
    inside, low, high = np.tanh(hidden @ w2 + b2), np.array(tiny.LOW), np.array(tiny.HIGH)
    np.testing.assert_allclose(policy.load(folder, 1)(obs), low + (inside + 1) / 2 * (high - low), rtol=1e-5)


def test_other_units_change_the_action_by_exactly_their_map(saved):
    """Observations x 4 + 8 and actions x 2 - 16, in numbers that floats hold exactly: applied once, each cancels."""
    _, agents, spec = saved('td3_bc')
    plain, obs = boundary(spec), observations(6)
    other = boundary(spec, mean=4 * plain.mean + 8, std=4 * plain.std, low=2 * plain.low - 16, high=2 * plain.high - 16)
    mine, theirs = Policy(agents, plain, spec)(obs), Policy(agents, other, spec)(4 * obs + 8)
    np.testing.assert_allclose(theirs, 2 * mine - 16, rtol=1e-6)
    assert (mine >= tiny.LOW).all()
    assert (mine <= tiny.HIGH).all()
    assert np.ptp(mine, axis=0).min() > 0.1, 'the actions differ, so the comparison says something'


@pytest.mark.parametrize('shape', [(2,), (4,), (5, 2), (3, 3, 3), ()])
def test_another_width_is_refused_with_the_expected_one(saved, shape):
    act = policy.load(saved('bc')[0])
    with pytest.raises(UsageError) as refusal:
        act(np.zeros(shape))
    assert f'observation of shape {shape}; this policy takes (3,), or a batch (n, 3)' in str(refusal.value)


def test_lists_and_other_number_types_are_observations_too(saved):
    act = policy.load(saved('bc')[0])
    expected = act(np.float32([1, 2, 3]))
    for obs in ([1, 2, 3], np.array([1, 2, 3]), np.float64([1, 2, 3])):
        np.testing.assert_array_equal(act(obs), expected)


@pytest.mark.parametrize(
    ('obs', 'words'),
    [
        ([0, np.nan, 0], r'observation\[1\] is nan; this policy takes finite numbers only'),
        ([[0, 1, 2], [0, 1, -np.inf]], r'observation\[1, 2\] is -inf'),
        ([0, 0, 1e300], r'observation\[2\] is inf'),
        (['a', 'b', 'c'], 'observation of <U1; this policy takes float32'),
        ([1j, 0, 0], 'observation of complex128; this policy takes float32'),
        ([0, None, 0], 'observation of object'),
        ([[0], [0, 1]], 'inhomogeneous'),
    ],
)
def test_what_is_no_number_or_not_finite_is_refused(saved, obs, words):
    with pytest.raises(UsageError, match=words):
        policy.load(saved('bc')[0])(obs)


def test_memory_lasts_until_reset_is_called():
    spec = Spec(Observation((1,)), Continuous(1, (-1.0,), (1.0,)))
    act = Policy(Counting(*np.zeros((2, 1), np.float32)), Boundary.blank(spec), spec)
    assert [float(act([0.0])[0]) for _ in range(3)] == [0, 1 / 64, 2 / 64]
    act.reset()
    assert float(act([0.0])[0]) == 0
    act.reset(2)
    for steps in (0, 1):
        np.testing.assert_array_equal(act(np.zeros((2, 1))), np.full((2, 1), steps / 64))


def test_a_seed_that_was_not_trained_is_refused(saved):
    folder, _, _ = saved('bc')
    for seed in (2, -1):
        with pytest.raises(UsageError, match=f'seed {seed}: this run trained 2, numbered from 0'):
            policy.load(folder, seed)


def test_saving_again_replaces_the_folder_and_clears_what_a_kill_left(saved, tmp_path):
    folder, _, spec = saved('bc')
    torn = tmp_path / '.policy.12345'
    torn.mkdir()
    (torn / WEIGHTS).write_bytes(b'half')
    obs, first = observations(6), policy.load(folder)(observations(6))
    policy.save(folder, 'bc', tiny.agents('bc', spec, seed=1), boundary(spec), spec)
    assert (policy.load(folder)(obs) != first).any()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['policy']
    assert sorted(path.name for path in folder.iterdir()) == sorted([WEIGHTS, ABOUT])


def test_a_save_that_fails_leaves_the_old_policy(saved, monkeypatch):
    folder, _, spec = saved('bc')
    obs, first = observations(6), policy.load(folder)(observations(6))
    monkeypatch.setattr(policy, 'sync', lambda path: (_ for _ in ()).throw(OSError(28, 'No space left on device')))
    with pytest.raises(StitchError, match='No space left'):
        policy.save(folder, 'bc', tiny.agents('bc', spec, seed=1), boundary(spec), spec)
    np.testing.assert_array_equal(policy.load(folder)(obs), first)


def test_a_run_folder_will_do(saved, tmp_path):
    folder, _, _ = saved('bc')
    obs = observations(1)[0]
    np.testing.assert_array_equal(policy.load(tmp_path)(obs), policy.load(folder)(obs))


@pytest.mark.parametrize('name', [WEIGHTS, ABOUT])
@pytest.mark.parametrize('damage', ['missing', 'empty', 'truncated'])
def test_a_damaged_file_is_corrupt_by_name(saved, name, damage):
    folder, _, _ = saved('bc')
    if damage == 'missing':
        (folder / name).unlink()
    else:
        os.truncate(folder / name, 0 if damage == 'empty' else (folder / name).stat().st_size // 2)
    with pytest.raises(Corrupt, match=str(folder)):
        policy.load(folder)


def test_every_flipped_bit_of_the_weights_is_noticed(saved):
    folder, _, _ = saved('bc')
    content = (folder / WEIGHTS).read_bytes()
    for bit in range(0, 8 * len(content), 397):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        (folder / WEIGHTS).write_bytes(flipped)
        with pytest.raises(Corrupt, match='its hash differs'):
            policy.load_all(folder)


def test_every_flipped_bit_of_the_description_is_noticed(saved):
    folder, _, _ = saved('bc')
    content = (folder / ABOUT).read_bytes()
    for bit in range(0, 8 * len(content), 17):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        (folder / ABOUT).write_bytes(flipped)
        with pytest.raises(Corrupt):
            policy.load_all(folder)


def test_a_setting_changed_without_its_seal_is_corrupt(saved):
    """Only the seal can tell: these settings act otherwise and fit the same weights."""
    folder, _, _ = saved('bc')
    (folder / ABOUT).write_text((folder / ABOUT).read_text().replace('"horizon": 20', '"horizon": 21'))
    with pytest.raises(Corrupt, match=r'policy\.json: not as it was written'):
        policy.load(folder)


def test_no_folder_no_policy(tmp_path):
    with pytest.raises(Corrupt, match=f'{tmp_path / "absent"}: no usable policy'):
        policy.load(tmp_path / 'absent')


def edit(folder, *path, value):
    """Change one value of policy.json, and its seal as well."""
    tree = json.loads((folder / ABOUT).read_text())
    node = tree
    for name in path[:-1]:
        node = node[name]
    node[path[-1]] = value
    tree['seal'] = runner.seal(tree)
    (folder / ABOUT).write_text(json.dumps(tree))


@pytest.mark.parametrize(
    ('path', 'value', 'words'),
    [
        (['algo'], 'ppo', "unknown algorithm 'ppo'"),
        (['algo'], 'os:system', 'unknown algorithm'),
        (['config'], [], 'no usable policy'),
        (['config', 'hiden'], [8], 'did you mean hidden?'),
        (['config', 'hidden'], [16], r'weight is float32\(2, 3, 8\), expected float32\(2, 3, 16\)'),
        (['config', 'hidden'], [8, 0, 8], 'expected'),
        (['config', 'hidden'], [-8], 'no usable policy'),
        (['config', 'head'], 'mixture', r'expected float32\(2, 8, 25\)'),
        (['spec', 'action', 'kind'], 'fuzzy', 'action kind'),
        (['spec', 'action', 'dim'], 3, r'expected float32\(2, 8, 3\)'),
        (['spec', 'obs', 'shape'], [4], r'expected float32\(2, 4, 8\)'),
        (['seeds'], 3, r'expected float32\(3, 3, 8\)'),
        (['seeds'], -1, 'no usable policy'),
        (['seeds'], 10**12, 'expected'),
        (['sha256'], None, 'its hash differs'),
    ],
)
def test_an_altered_description_is_corrupt(saved, path, value, words):
    folder, _, _ = saved('bc')
    edit(folder, *path, value=value)
    with pytest.raises(Corrupt, match=words):
        policy.load(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**12) | st.floats(-9, 9) | st.sampled_from(['', 'bc', 'iql']),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(['shape', 'dim']), inner, max_size=2),
    max_leaves=3,
)
PLACES = ['algo', 'config', 'spec', 'seeds', 'config/hidden', 'config/lr', 'spec/obs', 'spec/obs/shape', 'spec/action']


@given(place=st.sampled_from([*PLACES, 'spec/action/kind', 'spec/action/dim', 'spec/action/low']), value=JSON)
@settings(max_examples=40)
def test_whatever_the_description_says_it_is_used_or_corrupt(tmp_path_factory, place, value):
    folder = tmp_path_factory.mktemp('fuzz') / 'policy'
    policy.save(folder, 'bc', tiny.agents('bc', ARM), boundary(ARM), ARM)
    edit(folder, *place.split('/'), value=value)
    with contextlib.suppress(Corrupt):
        assert policy.load(folder)(observations(1)).shape == (1, 2)


def test_opening_a_folder_runs_no_code_of_it(saved, tmp_path, monkeypatch):
    """Neither a pickle in the place of the weights nor a module that the description names."""
    folder, _, _ = saved('bc')
    mark, module = tmp_path / 'mark', tmp_path / 'algo_of_a_stranger.py'
    module.write_text(f'open({str(mark)!r}, "w")')
    monkeypatch.syspath_prepend(tmp_path)
    edit(folder, 'algo', value=module.stem)
    with pytest.raises(Corrupt, match='unknown algorithm'):
        policy.load(folder)
    assert module.stem not in sys.modules

    program = f"cos\nsystem\n(S'touch {mark}'\ntR.".encode()
    (folder / WEIGHTS).write_bytes(program)
    edit(folder, 'algo', value='bc')
    edit(folder, 'sha256', value=hashlib.sha256(program).hexdigest())
    with pytest.raises(Corrupt, match='no usable policy'):
        policy.load(folder)
    assert not mark.exists()

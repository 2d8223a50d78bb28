"""Policies taken away: every algorithm acts the same in each of the three forms, and a folder is whole or not there."""

import datetime as dt
import json
import os
import shutil
from functools import cache

import conformance
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from test_evaluate import Counting

import stitchrl
from stitchrl.algos import ALGORITHMS
from stitchrl.api import Run
from stitchrl.cli import main
from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.errors import Corrupt, MissingExtra, StitchError, UsageError
from stitchrl.export import folder, runner, to_onnx, to_stablehlo
from stitchrl.runs import policy

ARM = Spec(Observation((3,)), Continuous(2, tiny.LOW, tiny.HIGH), 20)
BUTTONS = Spec(Observation((3,)), Discrete(4), 20)
SCREEN = Spec(Observation((2, 36, 36), 'uint8'), Discrete(4), 20)
UNITS = {'mean': np.float32([1, -2, 0]), 'std': np.float32([2, 0.5, 4])}
FORMS = tuple(folder.KINDS)
pytestmark = pytest.mark.usefixtures('quick_compiles')
EACH = pytest.mark.parametrize('to', FORMS)
SAME = ('switch', 'late', 'sac, ')  # variants that differ in what they learn, not in how they act
REMEMBER = {'mpc': ARM}  # refused: what they do depends on more than the last observation
ROWS = {
    name: (row.algo, row.settings, BUTTONS if row.discrete else ARM)
    for name, row in conformance.ROWS.items()
    if not any(word in name for word in SAME) and row.algo not in REMEMBER
}
ROWS |= {'dqn, screen': ('dqn', {}, SCREEN), 'bc, one part': ('bc', {'head': 'mixture', 'parts': 1}, ARM)}


def boundary(spec):
    """Numbers have means, deviations and bounds of their own; images have none."""
    return Boundary(**{**vars(Boundary.blank(spec)), **({} if spec.obs.image else UNITS)})


@cache
def made(root, row):
    """(policy folder, {form: export}) of a row, below a folder of the whole session."""
    algo, changes, spec = ROWS[row]
    place = root / row.replace(', ', '-').replace(' ', '_')
    policy.save(place / 'policy', algo, tiny.agents(algo, spec, **changes), boundary(spec), spec)
    for to in FORMS:
        folder.export(place, place / to, to, seed=1)
    return place


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    yield tmp_path_factory.mktemp('exports')
    made.cache_clear()


@pytest.fixture
def arm(root):
    return made(root, 'bc')


def test_every_algorithm_has_a_row():
    assert {algo for algo, _, _ in ROWS.values()} | set(REMEMBER) == set(ALGORITHMS)


@pytest.mark.parametrize('algo', REMEMBER)
def test_those_that_remember_are_refused(tmp_path, algo):
    spec = REMEMBER[algo]
    policy.save(tmp_path / 'policy', algo, tiny.agents(algo, spec), boundary(spec), spec)
    with pytest.raises(UsageError, match=f'{algo} remembers earlier steps'):
        folder.export(tmp_path, tmp_path / 'out', 'numpy')
    assert not (tmp_path / 'out').exists()


def numbers(spec):
    """Eight observations: ordinary, far out, tiny, zero. Further out a float32 itself is no longer sure to 1e-5."""
    if spec.obs.image:
        seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
        return seeds.map(lambda rng: rng.integers(0, 256, (8, *spec.obs.shape), np.uint8))
    element = st.floats(-100, 100, width=32) | st.sampled_from([0.0, -0.0, 1e-40, 100.0])
    return hnp.arrays(np.float32, (8, *spec.obs.shape), elements=element)


@pytest.mark.parametrize('row', ROWS)
def test_all_forms_act_as_the_run_does(root, row):
    spec, place = ROWS[row][2], made(root, row)
    mine, exported = policy.load(place, 1), {to: stitchrl.load_policy(place / to) for to in FORMS}

    discrete = isinstance(spec.action, Discrete)
    sure = 0.5 if discrete else 1e-5 * np.maximum(1, np.subtract(spec.action.high, spec.action.low))

    @given(numbers(spec))
    @settings(max_examples=10 if spec.obs.image else 30)
    def agree(obs):
        expected = mine(obs)
        for to, act in exported.items():
            many = act(obs)
            assert (many.dtype, many.shape) == (expected.dtype, expected.shape), to
            assert (abs(many - expected) < sure).all(), (to, many, expected)
            assert (abs(act(obs[3]) - expected[3]) < sure).all(), (to, act(obs[3]), expected[3])

    agree()
    other = policy.load(place, 0)
    obs = folder.observations(spec, boundary(spec))
    assert (mine(obs) != other(obs)).any(), 'two seeds act differently, so the comparison says something'


@EACH
def test_it_is_of_the_seed_that_was_asked_for_and_says_what_it_is(arm, to):
    about = stitchrl.load_policy(arm / to, seed=1).manifest
    with pytest.raises(UsageError, match='holds agent 1 alone, not 0'):
        stitchrl.load_policy(arm / to, seed=0)
    assert (about['kind'], about['algo'], about['seed']) == (to, 'bc', 1)
    assert Spec.from_json(about['spec']) == ARM
    assert about['compared']['observations'] == 256
    assert about['compared']['largest difference'] < 1e-5
    assert set(about['versions']) == {'stitchrl', 'jax', 'numpy'}
    assert sorted(about['files']) == sorted({path.name for path in (arm / to).iterdir()} - {'manifest.json'})
    with pytest.raises(UsageError, match='seed 2: this run trained 2'):
        folder.export(arm, arm / 'none', to, seed=2)
    assert not (arm / 'none').exists()


@EACH
@pytest.mark.parametrize(
    ('obs', 'words'),
    [
        (np.zeros(4), r'observation of shape \(4,\); this policy takes \(3,\), or a batch \(n, 3\)'),
        (np.zeros((2, 4)), r'observation of shape \(2, 4\)'),
        (np.zeros(()), r'observation of shape \(\)'),
        ([1, np.nan, 0], r'observation\[1\] is nan'),
        (['1', '2', '3'], 'observation of <U1; this policy takes float32'),
    ],
)
def test_what_is_no_observation_is_refused(arm, to, obs, words):
    with pytest.raises(UsageError, match=words):
        stitchrl.load_policy(arm / to)(obs)


@EACH
def test_frames_must_be_bytes(root, to):
    act = stitchrl.load_policy(made(root, 'dqn, screen') / to)
    frame = np.full((2, 36, 36), 7)
    assert act(frame).shape == ()
    for wrong, words in ((frame / 255, 'observation of float64; this policy takes uint8'), (frame * 40, 'from 280')):
        with pytest.raises(UsageError, match=words):
            act(wrong)


def test_an_export_that_is_there_is_left_alone(arm):
    for to in FORMS:
        with pytest.raises(UsageError, match='is there already'):
            folder.export(arm, arm / 'numpy', to)
    with pytest.raises(UsageError, match='no folder'):
        folder.export(arm, arm / 'not' / 'here', 'numpy')
    with pytest.raises(UsageError, match='--to torch: expected one of numpy, stablehlo, onnx'):
        folder.export(arm, arm / 'new', 'torch')


@EACH
def test_a_full_disk_leaves_nothing_behind(arm, to, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, 'sync', lambda path: (_ for _ in ()).throw(OSError(28, 'No space left on device')))
    with pytest.raises(OSError, match='No space left'):
        folder.export(arm, tmp_path / 'out', to)
    assert list(tmp_path.iterdir()) == []
    assert main(['export', str(arm), str(tmp_path / 'out')]) == 1


@pytest.mark.parametrize('row', ['bc', 'dqn'])
def test_an_export_that_acts_otherwise_is_not_kept(root, row, tmp_path, monkeypatch):
    """The negative control of the comparison: a bias that is lost."""
    written = runner.affine
    monkeypatch.setattr(runner, 'affine', lambda x, weight, bias: written(x, weight, 0 * bias))
    with pytest.raises(StitchError, match='does not act as the run does'):
        folder.export(made(root, row), tmp_path / 'out', 'numpy')
    assert list(tmp_path.iterdir()) == []


def test_a_policy_that_remembers_is_refused(tmp_path, monkeypatch):
    spec = Spec(Observation((1,)), Continuous(1, (-1.0,), (1.0,)))
    found = 'counting', Counting(*np.zeros((2, 1), np.float32)), Boundary.blank(spec), spec
    monkeypatch.setattr(policy, 'load_all', lambda place: found)
    with pytest.raises(UsageError, match='counting remembers earlier steps'):
        folder.export(tmp_path, tmp_path / 'out', 'numpy')


@EACH
def test_every_file_is_guarded(arm, to, tmp_path):
    for name in sorted(path.name for path in (arm / to).iterdir()):
        for damage in ('missing', 'truncated', 'flipped'):
            place = shutil.copytree(arm / to, tmp_path / f'{name}-{damage}')
            harm(place / name, damage)
            with pytest.raises(Corrupt, match=str(place)):
                folder.load(place)


def harm(path, damage):
    """One of three."""
    if damage == 'missing':
        path.unlink()
    elif damage == 'truncated':
        os.truncate(path, path.stat().st_size // 2)
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)


def resealed(place, **changes):
    """The manifest with other entries and a seal that fits."""
    about = json.loads((place / runner.MANIFEST).read_text())
    folder.seal(place, {name: value for name, value in (about | changes).items() if name != 'seal'})
    return place


def test_an_expired_program_is_refused_with_the_way_out(arm, tmp_path):
    place = shutil.copytree(arm / 'stablehlo', tmp_path / 'old')
    about = json.loads((place / runner.MANIFEST).read_text())
    made, last = (dt.date.fromisoformat(about[name]) for name in ('made', 'expires'))
    assert (last - made).days == to_stablehlo.DAYS
    resealed(place, expires='2020-01-01')
    with pytest.raises(Corrupt, match=r'expired on 2020-01-01.*stitch export RUN OUT --to stablehlo'):
        folder.load(place)
    resealed(place, expires=dt.date.today().isoformat())  # the last day

    folder.load(place)


def test_a_kind_is_looked_up_and_never_imported(arm, tmp_path):
    place = resealed(shutil.copytree(arm / 'numpy', tmp_path / 'other'), kind='os')
    with pytest.raises(Corrupt, match='no usable export'):
        folder.load(place)
    resealed(place, kind='numpy', format=2)
    with pytest.raises(Corrupt, match='a numpy export of format 2; expected any of format 1'):
        folder.load(place)


def test_bytes_that_are_no_program_are_refused_by_name(arm, tmp_path):
    """Even with a hash and a seal that fit."""
    for to, name in (('stablehlo', to_stablehlo.FILE), ('onnx', to_onnx.FILE)):
        place = shutil.copytree(arm / to, tmp_path / to)
        (place / name).write_bytes(b'nothing of the kind')
        resealed(place, files={name: policy.digest(place / name)})
        with pytest.raises(Corrupt, match=str(place)):
            folder.load(place)


@pytest.mark.parametrize(('to', 'part'), [('stablehlo', 'flatbuffers'), ('onnx', 'onnx')])
def test_a_missing_part_is_named_with_its_command(arm, to, part, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, part, None)
    with pytest.raises(MissingExtra, match=r'pip install "stitchrl\[export\]"'):
        folder.export(arm, tmp_path / 'out', to)
    assert list(tmp_path.iterdir()) == []
    assert main(['export', str(arm), str(tmp_path / 'out'), '--to', to]) == 3


def test_without_onnxruntime_the_manifest_says_that_nothing_was_compared(arm, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'onnxruntime', None)
    about = folder.export(arm, tmp_path / 'out', 'onnx')
    assert about['compared'] == {'not compared': 'ONNX is run by onnxruntime: pip install onnxruntime'}
    with pytest.raises(MissingExtra, match='pip install onnxruntime'):
        stitchrl.load_policy(tmp_path / 'out')


def test_stablehlo_keeps_all_digits_and_goes_to_every_platform(arm):
    exported = jax.export.deserialize(bytearray((arm / 'stablehlo' / to_stablehlo.FILE).read_bytes()))
    assert exported.platforms == to_stablehlo.PLATFORMS
    text = exported.mlir_module()
    assert (
        text.count('precision = [HIGHEST, HIGHEST]') == text.count('stablehlo.dot_general ') == 2 * 3
    )  # layers, places
    assert exported.call(jnp.zeros((5, 3))).shape == (5, 2)


@EACH
def test_the_verb_says_what_was_made_and_how_to_use_it(arm, to, tmp_path, capsys):
    assert main(['export', str(arm), str(tmp_path / 'out'), '--to', to]) == 0
    said = capsys.readouterr().out
    assert f'export: {tmp_path / "out"} ({to}: ' in said
    assert 'compared with the run: observations 256, largest difference' in said
    assert ('expires: ' in said) == (to == 'stablehlo')
    assert main(['export', str(arm), str(tmp_path / 'out'), '--to', to]) == 2
    assert main(['export', str(arm), str(tmp_path / 'again'), '--to', to, '--seed', '1', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['seed'] == 1


def test_a_run_exports_its_policy_from_python(arm, tmp_path):
    obs = np.float32([1, 2, 3])
    act = Run(arm).export(tmp_path / 'out', seed=1)
    np.testing.assert_allclose(act(obs), Run(arm).policy(1)(obs), atol=1e-5)
    act.reset()
    assert act.manifest['kind'] == 'numpy'


def test_a_run_without_a_policy_is_corrupt(tmp_path, capsys):
    assert main(['export', str(tmp_path), str(tmp_path / 'out')]) == 5
    assert f'{tmp_path}: no usable policy' in capsys.readouterr().err

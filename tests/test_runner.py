"""The file that goes along with an exported policy: NumPy alone, and nothing that it reads is believed."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save
from test_export import ARM, boundary, resealed

from stitchrl.export import folder, runner
from stitchrl.runs import policy

ALONE = """
import json, sys
class Alone:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('stitchrl', 'jax', 'jaxlib', 'safetensors', 'equinox', 'ml_dtypes', 'scipy'):
            raise ImportError(f'{name} is not installed on this robot')
sys.meta_path.insert(0, Alone())
sys.path.insert(0, sys.argv[1])
from policy import Policy
print(json.dumps(Policy()(json.loads(sys.argv[2])).tolist()))
"""


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """A folder, and the policy it came from."""
    root = tmp_path_factory.mktemp('runner')
    policy.save(root / 'policy', 'bc', tiny.agents('bc', ARM), boundary(ARM), ARM)
    folder.export(root, root / 'out', 'numpy')
    return root / 'out', policy.load(root)


def test_it_runs_where_only_numpy_is(exported):
    place, mine = exported
    obs = [[0.5, -1.0, 3.0], [0, 0, 0]]
    command = [sys.executable, '-I', '-B', '-c', ALONE, str(place), json.dumps(obs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(done.stdout), mine(obs), atol=1e-5)
    blocked = subprocess.run([*command[:4], ALONE + 'import jax', *command[5:]], capture_output=True, text=True)
    assert 'jax is not installed on this robot' in blocked.stderr, 'the blocker blocks'


def test_it_imports_the_standard_library_and_numpy_and_nothing_newer_than_python_39():
    tree = ast.parse(Path(runner.__file__).read_text(), feature_version=(3, 9))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names == {'__future__', 'hashlib', 'json', 'math', 'pathlib', 'numpy'}
    assert not any(isinstance(node, ast.Match) for node in ast.walk(tree))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {'eval', 'exec', 'compile', '__import__'}


ARRAYS = st.dictionaries(
    st.text('abc.01[]', min_size=1, max_size=5),
    st.sampled_from(['float32', 'int32', 'uint8', 'bool']).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    ),
    max_size=4,
)


@given(ARRAYS)
def test_it_reads_what_safetensors_writes(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp('st') / 'x'
    path.write_bytes(save({name: np.asarray(x, order='C') for name, x in arrays.items()}))
    found = runner.tensors(path)
    assert set(found) == set(arrays)
    for name, x in arrays.items():
        assert (found[name].dtype, found[name].shape, found[name].tobytes()) == (x.dtype, x.shape, x.tobytes())


def weights(header, content=b'', size=None):
    """The bytes of a safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if size is None else size).to_bytes(8, 'little') + text + content


def entry(first, last, shape=(2,), dtype='F32'):
    return {'dtype': dtype, 'shape': list(shape), 'data_offsets': [first, last]}


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (b'', 'its header would end at byte 8 of 0'),
        (b'abc', 'its header would end'),
        (weights({}, size=2**63), 'its header would end at byte 9223372036854775816 of 10'),
        (weights(b'[' * 1000), 'Expecting value|recursion'),
        (weights(b'[]'), 'pop'),
        (weights({'x': entry(0, 8)}), 'x ends at byte .* of'),
        (weights({'x': entry(4, 12)}, bytes(12)), 'x of shape .* cannot lie in bytes'),  # a hole before
        (weights({'x': entry(0, 8)}, bytes(12)), '4 bytes belong to nothing'),
        (weights({'x': entry(0, 8), 'y': entry(4, 12)}, bytes(12)), 'y of shape'),  # an overlap
        (weights({'x': entry(0, 8, [3])}, bytes(8)), 'x of shape'),
        (weights({'x': entry(0, 8, [-2])}, bytes(8)), 'x of shape'),
        (weights({'x': entry(0, 8, [2**62, 2**62])}, bytes(8)), 'x of shape'),
        (weights({'x': entry(8, 0)}, bytes(8)), 'x of shape'),
        (weights({'x': entry(0, 8, dtype='PY')}, bytes(8)), 'PY'),
        (weights({'x': entry(0, 8, ['2'])}, bytes(8)), 'str'),
        (weights({'x': {'shape': [2]}}, bytes(8)), 'data_offsets'),
    ],
)
def test_a_header_that_does_not_fit_its_bytes_is_refused(tmp_path, content, words):
    path = tmp_path / 'x'
    path.write_bytes(content)
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError, RecursionError), match=words):
        runner.tensors(path)


def edited(exported, tmp_path, program, arrays=None):
    """A copy with another program, whose hashes and seal fit."""
    place = shutil.copytree(exported[0], tmp_path / 'edited')
    (place / runner.PROGRAM).write_text(json.dumps(program))
    if arrays is not None:
        (place / runner.WEIGHTS).write_bytes(save(arrays))
    return resealed(place, files={name: policy.digest(place / name) for name in (runner.PROGRAM, runner.WEIGHTS)})


@pytest.mark.parametrize(
    ('program', 'words'),
    [
        ([], 'its spec says'),
        ([{'op': 'system', 'in': ['observation'], 'out': 'x'}], "no step 'system'"),
        ([{'op': '__class__', 'in': ['observation'], 'out': 'x'}], "no step '__class__'"),
        ([{'op': 'tofile', 'in': ['observation'], 'out': 'x', 'to': 'here'}], "no step 'tofile'"),
        ([{'op': 'tanh', 'in': ['nowhere'], 'out': 'x'}], 'x needs nowhere, which is nowhere'),
        ([{'op': 'tanh', 'in': ['observation'], 'out': 'x'}], r'gives actions float32\(3,\)'),
        ([{'op': 'sum', 'in': ['observation'], 'out': 'x', 'to': 1}], r'gives actions float32\(\)'),
        ([{'op': 'matmul', 'in': ['observation', 'boundary.low'], 'out': 'x'}], 'mismatch'),
        ([{'op': 'reshape', 'in': ['observation'], 'out': 'x', 'to': [10**15]}], 'cannot reshape'),
    ],
)
def test_a_program_that_does_not_fit_is_refused_before_it_acts(exported, tmp_path, program, words):
    with pytest.raises(ValueError, match=words):
        runner.Policy(edited(exported, tmp_path, program))


def test_weights_of_another_width_are_refused(exported, tmp_path):
    place = exported[0]
    arrays = runner.tensors(place / runner.WEIGHTS)
    name = 'agent.actor.net.torso.layers.0.weight'
    program = json.loads((place / runner.PROGRAM).read_text())
    with pytest.raises(ValueError, match='mismatch'):
        runner.Policy(edited(exported, tmp_path, program, arrays | {name: np.zeros((4, 8), np.float32)}))


@pytest.mark.parametrize('content', ['', '[]', '3', '{"kind": "numpy"}', '[' * 10_000, '\xff', None])
def test_a_manifest_that_is_none_is_refused_by_name(exported, tmp_path, content):
    place = shutil.copytree(exported[0], tmp_path / 'bad')
    (place / runner.MANIFEST).unlink()
    if content is not None:
        (place / runner.MANIFEST).write_text(content, 'latin-1')
    with pytest.raises(ValueError, match=re.escape(str(place / runner.MANIFEST))):
        runner.manifest(place)


def test_spaces_do_not_break_a_seal_and_values_do(exported, tmp_path):
    place = shutil.copytree(exported[0], tmp_path / 'spaces')
    about = json.loads((place / runner.MANIFEST).read_text())
    (place / runner.MANIFEST).write_text(json.dumps(about))
    assert runner.manifest(place) == about
    for change in ({'seed': 1}, {'spec': about['spec'] | {'horizon': 21}}, {'more': None}):
        (place / runner.MANIFEST).write_text(json.dumps(about | change))
        with pytest.raises(ValueError, match='its seal differs'):
            runner.manifest(place)


@pytest.mark.parametrize(
    ('obs', 'dtype', 'good'),
    [
        ([1, 2, 3], 'float32', True),
        ([True, False, True], 'float32', True),
        (np.float64([1e-300, 0, 1]), 'float32', True),
        (np.int64([0, 255, 7]), 'uint8', True),
        (np.int64([0, 256, 7]), 'uint8', False),
        (np.int64([-1, 0, 7]), 'uint8', False),
        (np.float32([0, 0.5, 1]), 'uint8', False),
        (np.float32([0, 0, 1]), 'uint8', False),  # a frame that was scaled to [0, 1]
        (np.float64([1e39, 0, 1]), 'float32', False),
        (np.array(['2020', '2021', '2022'], 'M8[Y]'), 'float32', False),
    ],
)
def test_numbers_of_another_kind_are_taken_where_they_fit(obs, dtype, good):
    if not good:
        with pytest.raises(ValueError, match='observation'):
            runner.observations(obs, (3,), np.dtype(dtype))
        return
    batch, single = runner.observations(obs, (3,), np.dtype(dtype))
    assert single
    assert batch.dtype == dtype
    np.testing.assert_allclose(batch[0], np.asarray(obs, float), atol=1e-30)


def test_no_observations_no_actions(exported):
    assert runner.Policy(exported[0])(np.zeros((0, 3))).shape == (0, 2)

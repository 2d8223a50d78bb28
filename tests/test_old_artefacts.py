"""What earlier versions wrote is read by this one: tests/data holds a folder for each, made by `python FILE VERSION`.

A folder is never written again. Where a format has to change, either it is still read here or the error names the
command that brings it over. StableHLO is not among them: JAX reads it for six months only.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import stitchrl
from stitchrl.runs import checkpoint
from stitchrl.runs.verify import verify

DATA = Path(__file__).parent / 'data'
OBS = np.float32([[0, 0, 0], [1, -2, 0.5], [-30, 4, 100]])
VERSIONS = sorted(path.name for path in DATA.glob('v*'))
EACH = pytest.mark.parametrize('version', VERSIONS)


def test_there_is_one_of_this_version():
    assert f'v{stitchrl.__version__}' in VERSIONS


@EACH
@pytest.mark.parametrize('what', ['policy', 'numpy', 'onnx'])
def test_it_acts_as_it_did(version, what):
    expected = json.loads((DATA / version / 'expected.json').read_text())['actions']
    np.testing.assert_allclose(stitchrl.load_policy(DATA / version / what)(OBS), expected, atol=1e-5)


@EACH
def test_a_checkpoint_holds_what_it_held(version):
    expected = json.loads((DATA / version / 'expected.json').read_text())['sums']
    (path,) = checkpoint.steps(DATA / version)
    found = checkpoint.restore(path)
    assert {name: x.shape for name, x in found.items()} == {name: tuple(shape) for name, (shape, _) in expected.items()}
    for name, (_, total) in expected.items():
        np.testing.assert_allclose(found[name].astype(float).sum(), total, rtol=1e-6, err_msg=name)


@EACH
def test_all_of_it_is_whole(version):
    for place in (DATA / version).iterdir():
        if place.is_dir():
            assert all(part.good for part in verify(place)[1]), verify(place)


def make(version: str) -> None:
    """A policy, its exports and a checkpoint, some kB in all."""
    import tiny
    from test_export import ARM, boundary

    from stitchrl.export import folder
    from stitchrl.runs import policy

    place = DATA / version
    place.mkdir(parents=True)
    agents = tiny.agents('iql', ARM, seeds=1, hidden=(4,))
    policy.save(place / 'policy', 'iql', agents, boundary(ARM), ARM)
    for to in ('numpy', 'onnx'):
        folder.export(place, place / to, to)
    saved = checkpoint.save(place, 12, policy.without_optimisers(agents))
    sums = {name: [x.shape, float(x.astype(float).sum())] for name, x in checkpoint.restore(saved).items()}
    expected = {'actions': policy.load(place)(OBS).tolist(), 'sums': sums}
    (place / 'expected.json').write_text(json.dumps(expected, indent=1) + '\n')


if __name__ == '__main__':
    make(sys.argv[1])

"""Every part of a run, a policy, an export, a checkpoint and a recording is looked at, and what is wrong has a name."""

import json
import os
import shutil

import numpy as np
import pytest
import tiny
from test_export import resealed

import stitchrl
from stitchrl.cli import main
from stitchrl.errors import UsageError
from stitchrl.export import folder, runner
from stitchrl.runs import checkpoint, policy
from stitchrl.runs.verify import verify

pytestmark = pytest.mark.usefixtures('quick_compiles')


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """(a run, its recording), by the command line."""
    root = tmp_path_factory.mktemp('verify')
    data = tiny.write(root / 'recording.npz')
    sizes = {**tiny.CONFIG, **tiny.RUN}
    words = [word for name, value in sizes.items() for word in (f'--{name}', str(value).strip('(),'))]
    assert main(['train', 'bc', '--data', str(data), '--out', str(root / 'run'), *words]) == 0
    for to in folder.KINDS:
        folder.export(root / 'run', root / to, to)
    return root / 'run', data


@pytest.fixture
def run(trained, tmp_path):
    """A copy to break."""
    return shutil.copytree(trained[0], tmp_path / 'run')


def bad(path, *args):
    """{part: what is said} of the parts that are not good."""
    return {part.part: part.told for part in verify(path, *args)[1] if not part.good}


def newest(run):
    return checkpoint.steps(run / 'checkpoints')[-1]


def test_a_whole_run_is_good_part_by_part(trained, capsys):
    run, _ = trained
    kind, parts = verify(run)
    told = {part.part: part.told for part in parts}
    assert kind == 'run'
    assert all(part.good for part in parts), told
    assert told['STATUS.json'].startswith('finished, ')
    assert told['config.json'] == 'bc'
    assert f'stitchrl {stitchrl.__version__}, jax ' in told['system.json']
    assert sum(name.startswith('checkpoints/step_') for name in told) == checkpoint.KEEP
    assert told['policy'] == 'bc: observation (3,) float32, action in R^2'
    assert told['metrics.jsonl'] == '6 rows'
    assert told['recording'].endswith(f', the recording of {run}')
    assert main(['verify', str(run)]) == 0
    assert capsys.readouterr().out.count('\nok  ') == len(parts)


@pytest.mark.parametrize('what', ['numpy', 'stablehlo', 'onnx', 'policy', 'checkpoint', 'recording'])
def test_whole_parts_of_it_are_good_alone(trained, what, capsys):
    run, data = trained
    place = {'policy': run / 'policy', 'checkpoint': newest(run), 'recording': data}.get(what, run.parent / what)
    assert main(['verify', str(place), '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    assert told['good']
    assert told['kind'] == (what if what in ('policy', 'checkpoint', 'recording') else 'export')
    if what == 'stablehlo':
        assert ', to be used until ' in told['parts'][1]['told']


@pytest.mark.parametrize(
    ('name', 'content', 'words'),
    [
        ('STATUS.json', '{"state": "half", "time": ""}', "state 'half'; expected one of running, finished"),
        ('STATUS.json', '{', 'cannot be read'),
        ('config.json', '{"algo": "ppo", "config": {}, "settings": {}}', "unknown algorithm 'ppo'"),
        ('config.json', '[]', 'TypeError'),
        ('metrics.jsonl', '{"step": 1}\nnothing\n{"step": 2}\n', 'JSONDecodeError'),
        ('system.json', '{}', "KeyError: 'stitchrl'"),
        ('data.json', '{', 'cannot be read'),
    ],
)
def test_a_file_that_says_nothing_is_named(run, name, content, words):
    (run / name).write_text(content)
    found = bad(run)
    part = 'recording' if name == 'data.json' else name
    assert set(found) - {'recording'} == {part} - {'recording'}
    assert words in found[part]


def test_a_setting_that_is_left_out_is_noticed(run):
    tree = json.loads((run / 'config.json').read_text())
    del tree['config']['lr']
    (run / 'config.json').write_text(json.dumps(tree))
    assert 'config is not what it becomes when it is read and written' in bad(run)['config.json']


def test_damage_is_named_and_the_code_is_5(run, capsys):
    files = [newest(run) / checkpoint.contents(newest(run))[0], run / 'policy' / policy.WEIGHTS]
    for path in files:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    found = bad(run)
    assert set(found) == {f'checkpoints/{newest(run).name}', 'policy'}
    assert all('its hash differs' in told for told in found.values())
    assert main(['verify', str(run)]) == 5
    assert capsys.readouterr().out.count('\nBAD ') == 2


def test_what_is_missing_is_named(run):
    shutil.rmtree(run / 'checkpoints')
    shutil.rmtree(run / 'policy')
    (run / 'STATUS.json').unlink()
    assert set(bad(run)) == {'STATUS.json', 'checkpoints', 'policy'}


def test_a_policy_whose_weights_are_nan_is_not_good(run):
    place = run / 'policy'
    algo, agents, boundary, spec = policy.load_all(place)
    agents = policy.jax.tree.map(lambda x: np.full_like(x, np.nan), agents)
    with policy.jax.debug_nans(False):
        policy.save(place, algo, agents, boundary, spec)
        assert 'its action to zeros is [nan, nan]' in bad(place)['policy']


def test_another_recording_in_its_place_is_noticed(run, tmp_path):
    """Wherever the run looks for it, and where it is asked of a file."""
    other = tiny.write(tmp_path / 'other.npz', seed=1)
    about = json.loads((run / 'data.json').read_text())
    (run / 'data.json').write_text(json.dumps(about | {'path': str(other)}))
    assert 'not the recording that' in bad(run)['recording']
    assert 'not the recording that' in bad(other, str(run))['recording']
    (run / 'data.json').write_text(json.dumps(about | {'path': str(tmp_path / 'moved.npz')}))
    assert verify(run)[1][-1].told.startswith('not compared: nothing is at')


def test_a_recording_that_must_not_be_trained_on_is_not_good(tmp_path):
    (tmp_path / 'no.npz').write_bytes(b'\x80\x04nothing')
    assert 'no.npz' in bad(tmp_path / 'no.npz')['recording']
    c = tiny.columns()
    np.savez(
        tmp_path / 'nan.npz', observations=c.obs * np.nan, actions=c.action, rewards=c.reward, terminals=c.terminal
    )
    assert 'observations' in bad(tmp_path / 'nan.npz')['recording']


@pytest.mark.parametrize('to', folder.KINDS)
def test_an_export_that_was_touched_is_not_good(trained, to, tmp_path):
    place = shutil.copytree(trained[0].parent / to, tmp_path / to)
    file = next(iter(json.loads((place / runner.MANIFEST).read_text())['files']))
    os.truncate(place / file, 10)
    assert f'{place / file}: not as it was written' in bad(place)['files']
    (place / runner.MANIFEST).unlink()
    assert runner.MANIFEST in bad(place)['files']


def test_an_expired_export_is_not_good(trained, tmp_path):
    place = resealed(shutil.copytree(trained[0].parent / 'stablehlo', tmp_path / 'old'), expires='2020-01-01')
    assert 'expired on 2020-01-01' in bad(place)['acts']


def test_an_export_that_cannot_be_tried_here_is_said_to_be_so(trained, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'onnxruntime', None)
    (last,) = [part for part in verify(trained[0].parent / 'onnx')[1] if part.part == 'acts']
    assert last.good
    assert last.told == 'not tried: ONNX is run by onnxruntime: pip install onnxruntime'


def test_nothing_is_a_usage_error(tmp_path, capsys):
    with pytest.raises(UsageError, match='nothing is there'):
        verify(tmp_path / 'absent')
    assert main(['verify', str(tmp_path / 'absent')]) == 2
    capsys.readouterr()


@pytest.mark.parametrize('what', ['policy', 'checkpoint', *folder.KINDS])
def test_a_flipped_bit_is_refused_or_changes_nothing(trained, tmp_path, what):
    """60 of them over all files; recipes/bit_flips.py tries 1000."""
    run, _ = trained
    place = {'policy': run / 'policy', 'checkpoint': newest(run)}.get(what, run.parent / what)
    place, rng = shutil.copytree(place, tmp_path / place.name), np.random.default_rng(0)
    files = sorted(path for path in place.rglob('*') if path.is_file())
    for i in range(12):
        path = files[i % len(files)]
        content = path.read_bytes()
        bit = int(rng.integers(8 * len(content)))
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        assert bad(place), f'bit {bit} of {path.name}'
        path.write_bytes(content)
    assert not bad(place)

"""Judging a run by a recording: which one, which of its episodes, and every algorithm that learns from recordings."""

import json

import jax
import numpy as np
import pytest
import tiny

from stitchrl.algos.offline.fqe import Config
from stitchrl.api import Run
from stitchrl.core.boundary import Boundary
from stitchrl.core.config import to_json
from stitchrl.data.dataset import Dataset
from stitchrl.errors import Corrupt, UsageError
from stitchrl.loops import appraise as module
from stitchrl.loops.appraise import FILE, Request, appraise, reachable, recorded
from stitchrl.loops.judge import POINTS, Fits
from stitchrl.loops.settings import Settings
from stitchrl.recordings import load_checked
from stitchrl.runs import policy
from stitchrl.runs.directory import RunDir

pytestmark = pytest.mark.usefixtures('quick_compiles')
QUICK = {'steps': 20, 'fits': 1}


@pytest.fixture(autouse=True)
def small_fits(monkeypatch):
    """Networks that compile fast."""
    monkeypatch.setattr(module, 'FITTING', Config(hidden=(8,), batch=8, steps=20))


def made(folder, path, algo='iql', **settings):
    """A run with random weights, whose data.json knows file and fingerprint."""
    folder.mkdir()
    run, (data, about) = RunDir(folder), load_checked(str(path))
    settings = Settings(data=str(path), seeds=2, seed=3, **settings)
    agents = tiny.agents(algo, data.spec, settings.seeds)
    run.write('config.json', {'algo': algo, 'config': to_json(agents.cfg), 'settings': to_json(settings)})
    run.write('data.json', about)
    policy.save(run.policy, algo, agents, Boundary.fit(data), data.spec)
    run.describe(['train', algo])
    run.status('finished')
    return run


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """A recording, another one, and a run with episodes held out."""
    folder = tmp_path_factory.mktemp('home')
    tiny.write(folder / 'one.npz', 0)
    tiny.write(folder / 'other.npz', 1)
    made(folder / 'iql', folder / 'one.npz', holdout=0.25)
    return folder


def judged(home, run='iql', **request):
    return appraise(RunDir(home / run), Request(**QUICK | request), load_checked)


def test_the_judgement_of_a_run(home):
    result = judged(home)
    assert json.loads((home / 'iql' / FILE).read_text()) == result
    assert np.shape(result['fqe']['values']) == (2, 1)
    assert result['fqe']['gamma'] == 0.99
    assert result['data']['same'] is True
    assert result['rows'] == {'episodes': 3, 'steps': result['rows']['steps'], 'unseen': True}
    assert {'critic/loss', 'actor/loss', 'value/loss'} <= result['losses'].keys()
    assert {'q/data', 'q/policy'} <= result['own'].keys()
    assert np.shape(result['agreement']['distance']) == (2, 2)
    again = Run(home / 'iql').judge(**QUICK)
    assert again['fqe'] == result['fqe']


def test_the_held_out_episodes_are_those_that_training_held_out(home):
    data = load_checked(str(home / 'one.npz'))[0]
    held_out = data.split(0.25, 3)[1]
    assert judged(home)['rows']['steps'] == len(held_out)


def test_another_recording_is_judged_by_when_it_is_named(home):
    result = judged(home, data=str(home / 'other.npz'), gamma=0.5)
    assert result['data']['same'] is False
    assert result['rows']['episodes'] == 12
    assert result['rows']['unseen'] is True
    assert result['fqe']['gamma'] == 0.5


def test_a_recording_that_changed_is_refused_until_it_is_named(home, tmp_path):
    run = made(tmp_path / 'run', tiny.write(tmp_path / 'data.npz', 0), 'bc')
    tiny.write(tmp_path / 'data.npz', 1)
    with pytest.raises(Corrupt, match='fingerprint differs'):
        appraise(run, Request(**QUICK), load_checked)
    assert appraise(run, Request(**QUICK, data=str(tmp_path / 'data.npz')), load_checked)['data']['same'] is False
    (tmp_path / 'data.npz').unlink()
    with pytest.raises(UsageError, match='not there any more'):
        appraise(run, Request(**QUICK), load_checked)


def test_without_a_recording_it_says_so(home, tmp_path):
    run = made(tmp_path / 'memory', home / 'one.npz', 'bc')
    run.write('data.json', run.data() | {'path': None, 'fingerprint': None})
    with pytest.raises(UsageError, match='data from memory; name a file'):
        appraise(run, Request(**QUICK), load_checked)
    found = appraise(run, Request(**QUICK, data=str(home / 'one.npz')), load_checked)
    assert found['data']['same'] is None
    assert found['rows']['unseen'] is None
    (run.path / 'data.json').unlink()
    with pytest.raises(UsageError, match='acting alone'):
        appraise(run, Request(**QUICK), load_checked)


def test_a_recording_that_was_read_in_blocks_is_named_before_it_is_loaded(home, tmp_path):
    run = made(tmp_path / 'run', home / 'one.npz', 'bc')
    config = run.read('config.json')
    run.write('config.json', config | {'settings': config['settings'] | {'stream': True}})
    with pytest.raises(UsageError, match='read in blocks, would be taken into memory as a whole; name it'):
        appraise(run, Request(**QUICK), load_checked)


def test_a_recording_of_another_width_is_refused(home, tmp_path):
    c = tiny.columns()
    np.savez(tmp_path / 'wide.npz', observations=c.obs[:, :2], actions=c.action, rewards=c.reward, terminals=c.terminal)
    with pytest.raises(UsageError, match='observations are'):
        judged(home, data=str(tmp_path / 'wide.npz'))


def discrete(path):
    """A recording of choices."""
    rng, c = np.random.default_rng(0), tiny.columns()
    action, ends = rng.permutation(len(c)) % 3, {'terminals': c.terminal, 'timeouts': c.timeout}
    np.savez(path, observations=c.obs, actions=action, rewards=c.reward, next_observations=c.next_obs, **ends)
    return path


@pytest.mark.parametrize('algo', ['bc', 'filtered_bc', 'awr', 'sarsa', 'td3_bc', 'cql', 'discrete_cql', 'dqn'])
def test_every_kind_of_run_can_be_judged(algo, tmp_path):
    choices = algo in ('discrete_cql', 'dqn', 'awr')
    path = discrete(tmp_path / 'data.npz') if choices else tiny.write(tmp_path / 'data.npz')
    run = made(tmp_path / 'run', path, algo)
    result = appraise(run, Request(**QUICK), load_checked)
    assert np.isfinite(result['fqe']['values']).all()
    assert result['losses']
    assert ('q/policy' in result['own']) == (algo not in ('bc', 'filtered_bc', 'awr'))
    assert ('distance' in result['agreement']) != choices


def test_there_are_three_fits_at_least_where_nothing_else_is_asked(home, monkeypatch):
    asked = []

    def fits(policies, boundary, data, cfg, number, seed, tell):
        asked.append(number)
        shape = len(jax.tree.leaves(policies)[0]), number, POINTS
        return Fits(np.arange(POINTS), np.zeros(shape), np.zeros(shape), 1.0)

    monkeypatch.setattr(module, 'judge', fits)
    _, agents, boundary, _ = policy.load_all(home / 'iql' / 'policy')
    data = load_checked(str(home / 'one.npz'))[0]
    for count in (1, 2):
        some = jax.tree.map(lambda x, count=count: x[:count], agents)
        assert np.shape(module.fqe(some, boundary, data, Request())['values']) == (count, asked[-1])
    assert asked == [3, 2]
    module.fqe(agents, boundary, data, Request(fits=1))
    assert asked[-1] == 1


def test_the_recorder_s_value_by_hand():
    """Rewards 1, 2, 4 to a true end are worth 3 at gamma 1/2; 1, 1 to a cut 1.5, a quarter of its weight unseen."""
    obs, action = np.zeros((5, 1)), np.zeros((5, 1))
    data = Dataset.from_arrays(obs, action, [1, 2, 4, 1, 1], [0, 0, 1, 0, 0], [0, 0, 0, 0, 1], obs)
    assert recorded(data, 0.5) == {'value': 2.25, 'cut': 0.125}
    assert reachable(data, 0.5) == [0, 8]

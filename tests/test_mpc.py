"""MPC as a run: from a recording or by acting, judged, resumed, taken up again, planned with."""

import argparse
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from stitchrl import api
from stitchrl.algos.modelled.mpc import MPC
from stitchrl.cli import main
from stitchrl.cli.plan import planning
from stitchrl.core.boundary import Boundary
from stitchrl.errors import UsageError
from stitchrl.loops import work as module
from stitchrl.loops.launch import begin, resume
from stitchrl.loops.settings import Settings, configure
from stitchrl.models.model import Valued
from stitchrl.report.stage import Stage
from stitchrl.runs import checkpoint
from stitchrl.runs.directory import RunDir
from stitchrl.runs.policy import Policy

pytestmark = [pytest.mark.nans, pytest.mark.usefixtures('quick_compiles')]
SMALL = {'hidden': (8,), 'members': 2, 'elites': 2, 'horizon': 3, 'particles': 2, 'samples': 8, 'batch': 4}
FITS = {'refresh': 10, 'epochs': 2}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(module, 'CHUNKS', (8,))


def started(out, algo='mpc', **settings):
    """A run that acts in the cart-pole world, whose actions are discrete."""
    cfg = configure(algo, 'default', SMALL | FITS | {'steps': 32})
    own = {'env': 'cartpole/upright', 'lanes': 2, 'random_steps': 16, 'every': 16, 'seeds': 2, 'eval_episodes': 2}
    return begin(algo, cfg, Settings(**{**own, **settings, 'out': str(out)}), None, None, ['train', algo])


def finished(session, state=None, start=0):
    for _ in session.go(session.fresh() if state is None else state, start):
        pass
    return session.run


def newest(session):
    return checkpoint.latest(session.run.checkpoints, session.work.like, pytest.fail)


@pytest.fixture(scope='module')
def online(tmp_path_factory):
    """A finished run that fitted its models twice."""
    out = tmp_path_factory.mktemp('online') / 'run'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, 'CHUNKS', (8,))
        session = started(out)
        finished(session)
    return session


@pytest.fixture(scope='module')
def offline(tmp_path_factory):
    """A run of a recording, never judged, and the recording."""
    folder = tmp_path_factory.mktemp('offline')
    data = tiny.dataset()
    return api.train('mpc', data, out=str(folder / 'run'), seeds=2, steps=8, iterations=2, **SMALL), data


def test_a_run_that_was_stopped_goes_on_as_if_it_was_not(tmp_path, online):
    """All bits of the last checkpoint, fits among them; another seed is the control."""
    cut = started(tmp_path / 'cut')
    for part in cut.go(cut.fresh()):
        if part.step == 16:
            break
    again, state, step = resume(RunDir(tmp_path / 'cut'), None, pytest.fail)
    finished(again, state, step)
    one, other = (jax.tree.map(np.asarray, newest(session)[1]) for session in (again, online))
    jax.tree.map(np.testing.assert_array_equal, one, other)
    first = [np.asarray(jax.tree.leaves(session.work.fresh().agents.model)[0]) for session in (again, online)]
    last = np.asarray(jax.tree.leaves(newest(online)[1].agents.model)[0])
    np.testing.assert_array_equal(*first)
    assert (first[0] != last).any()


def test_it_looks_back_when_it_is_time_and_learns_nowhere_else(online):
    """Fits before steps 16, 20 and 30: updates in between measure the model as it is."""
    session, agents = online, newest(online)[1].agents
    assert [t for t in range(17) if session.work.stream.plan.refreshes(t)] == [8, 10, 15]
    np.testing.assert_array_equal(agents.model.members.opt.count, [120, 120])  # three fits, two epochs of 20 updates
    rows = session.run.rows('metrics.jsonl')
    assert {'model/loss', 'model/mse', 'model/apart'} <= rows[-1].keys()


def test_random_steps_ask_no_planner(online):
    """Nobody was asked before the first fit, so memories are as they began; after it they are not."""
    chunks = online.work.chunks(online.work.fresh(), 0)
    ages = [np.asarray(part.live.memory.age).max() for part in chunks]
    assert ages[:2] == [0, 0]
    assert min(ages[2:]) > 0


def test_the_policy_of_a_run_is_loaded_and_forgets_between_episodes(offline):
    run, data = offline
    policy, obs = run.policy(1), np.asarray(data.obs[:3])
    with pytest.raises(UsageError, match=r'remembers 1 environment and was given 3.*reset\(3\)'):
        policy(obs)
    policy.reset(3)
    first, second = policy(obs), policy(obs)
    assert first.shape == (3, 2)
    assert (first >= tiny.LOW).all()
    assert (first <= tiny.HIGH).all()
    assert policy.memory.age.tolist() == [[2, 2, 2]]
    policy.reset(3)
    np.testing.assert_array_equal(policy(obs), first)
    assert (first != second).any()  # the second plan begins where the first ended
    assert 'model/loss' in run.metrics()[-1]


def test_what_cannot_be_done_with_it_says_so(offline, tmp_path):
    run, data = offline
    with pytest.raises(UsageError, match='mpc remembers earlier steps'):
        run.export(tmp_path / 'out')
    path = tiny.write(tmp_path / 'recording.npz')
    with pytest.raises(UsageError, match='this one remembers'):
        run.judge(path, steps=20)
    with pytest.raises(UsageError, match='replan every 9 steps'):
        api.train('mpc', data, out=str(tmp_path / 'no'), replan=9, **SMALL)
    assert not (tmp_path / 'no').exists()


def test_a_value_behind_the_plan(offline):
    """The example of docs/planning.md: a critic of the same recording says what comes after the horizon."""
    run, data = offline
    near, critic = run.policy(), Policy(tiny.agents('iql', data.spec), Boundary.blank(data.spec), data.spec)
    far = MPC.of(Valued(near.agents.model, critic.agents.value.net), near.agents.planner, near.agents.cfg)
    obs = jnp.ones((4, 3))
    value = jax.vmap(lambda model: model.value(obs))(far.model)
    np.testing.assert_allclose(value[0], jax.vmap(lambda net: net(obs))(critic.agents.value.net)[0])
    assert Policy(far, near.boundary, near.spec)(np.ones(3, np.float32)).shape == (2,)


@pytest.mark.parametrize('options', [[], ['--planner', 'exhaustive', '--horizon', '2', '--replan', '2']])
def test_plan_from_the_command_line(online, capsys, options):
    path = str(online.run.path)
    assert main(['plan', path, '--episodes', '1', *options, '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    assert told['planner']['name'] == ('exhaustive' if options else 'shooting')
    assert len(told['error']) == told['steps_ahead'] == told['planner']['horizon']
    assert np.shape(told['returns']) == (2, 1)
    assert (online.run.path / 'plots' / 'plan.png').read_bytes()[:4] == b'\x89PNG'


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['--planner', 'cem'], 'cem needs continuous'),
        (['--env', 'pendulum/swingup'], 'observations'),
        (['--horizon', '0'], 'horizon is 0'),
        (['--out', 'plan.jpg'], 'name it plan.png'),
        (['--episodes', '0'], 'expected at least 1'),
    ],
)
def test_plan_refuses(online, capsys, options, said):
    assert main(['plan', str(online.run.path), *options]) == 2
    assert said in capsys.readouterr().err


def test_a_run_without_a_model_cannot_be_planned_with():
    spec = tiny.dataset().spec
    place = Stage(tiny.agents('bc', spec), Boundary.blank(spec), None, 'nowhere')
    with pytest.raises(UsageError, match='holds no model of the world'):
        planning(place, argparse.Namespace(run='runs/bc-0001'))

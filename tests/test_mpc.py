"""MPC as a run: from a recording or by acting, judged, resumed, taken up again, planned with."""

import argparse
import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from stitchrl import api
from stitchrl.algos.modelled.mpc import MPC, Config
from stitchrl.cli import main
from stitchrl.cli.plan import covered, lines, planning
from stitchrl.core.boundary import Boundary
from stitchrl.errors import UsageError
from stitchrl.loops import work as module
from stitchrl.loops.launch import begin, resume
from stitchrl.loops.settings import Settings, configure
from stitchrl.models.ending import GOES_ON, Known
from stitchrl.planners import named
from stitchrl.report.stage import Stage
from stitchrl.runs import checkpoint
from stitchrl.runs.directory import RunDir
from stitchrl.runs.policy import Policy

pytestmark = [pytest.mark.nans, pytest.mark.usefixtures('quick_compiles')]
SMALL = {'hidden': (8,), 'members': 2, 'elites': 2, 'horizon': 3, 'particles': 2, 'samples': 8, 'batch': 4}
FITS = {'refresh': 8, 'epochs': 2}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(module, 'CHUNKS', (8,))


def started(out, algo='mpc', **settings):
    """A run that acts in the cart-pole world, whose actions are discrete."""
    cfg = configure(algo, 'default', SMALL | FITS | {'steps': 32})
    own = {'env': 'cartpole/upright', 'lanes': 2, 'random_steps': 16, 'ratio': 0.5}  # pieces of four ticks, all of them
    own |= {'every': 16, 'seeds': 2, 'eval_episodes': 2}
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
    """Fits before steps 16 and 24: updates in between measure the model as it is."""
    session, agents = online, newest(online)[1].agents
    assert [t for t in range(16) if session.work.stream.plan.refreshes(t)] == [8, 12]
    np.testing.assert_array_equal(agents.model.members.opt.count, [80, 80])  # two fits, two epochs of 20 updates
    rows = session.run.rows('metrics.jsonl')
    assert {'model/loss', 'model/mse', 'model/apart'} <= rows[-1].keys()


def test_random_steps_ask_no_planner(online):
    """Nobody was asked before the first fit, so memories are as they began; after it they are not."""
    chunks = online.work.chunks(online.work.fresh(), 0)
    ages = [np.asarray(part.state.memory.age).max() for part in chunks]
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


def run_example(heading, folder):
    """The Python under a heading of docs/planning.md, run; its names."""
    text = (Path(__file__).parents[1] / 'docs' / 'planning.md').read_text()
    (folder / 'example.py').write_text(text.split(f'## {heading}\n')[1].split('```python\n')[1].split('```')[0])
    return runpy.run_path(str(folder / 'example.py'))


def test_the_example_of_a_value_behind_the_plan(monkeypatch, tmp_path):
    """As it stands in the docs, with agents that have learned nothing: the critic says what the model's state is
    worth."""
    spec = tiny.dataset().spec

    def train(algo, data, **settings):
        small = {name: value for name, value in SMALL.items() if algo == 'mpc' and name != 'horizon'}
        agents = tiny.agents(algo, spec, **small | {'hidden': (8,)} | settings)
        return SimpleNamespace(policy=lambda: Policy(agents, Boundary.blank(spec), spec))

    monkeypatch.setattr('stitchrl.load', lambda path: tiny.dataset())
    monkeypatch.setattr('stitchrl.train', train)
    names = run_example('What comes after the horizon', tmp_path)
    obs = jnp.ones((4, 3))
    value = jax.vmap(lambda model: model.value(obs))(names['far'].agents.model)
    np.testing.assert_allclose(value, jax.vmap(lambda net: net(obs))(names['critic'].value.net))
    assert names['far'](np.ones(3, np.float32)).shape == (2,)


def test_the_example_of_the_ladder(monkeypatch, tmp_path):
    """As it stands in the docs, up to where training would begin: when each fits, and how long it follows a plan."""
    sessions = []

    def train(algo, **settings):
        sessions.append(api.session(algo, out=str(tmp_path / str(len(sessions))), **settings))
        return SimpleNamespace(score=lambda field: field)

    monkeypatch.setattr('stitchrl.train', train)
    run_example('The ladder', tmp_path)
    fits = [[t for t in range(1000) if session.work.stream.plan.refreshes(t)] for session in sessions]
    assert fits == [[200], [200, 400, 600, 800], [200, 400, 600, 800]]
    assert [session.cfg.replan for session in sessions] == [1, 10, 1]


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
        (['--out', '/nowhere/to/be/found/plan.png'], 'cannot be written; name a file in a folder that is there'),
        (['--out', f'{__file__}/plan.png'], 'cannot be written; name a file in a folder that is there'),
    ],
)
def test_plan_refuses(online, capsys, monkeypatch, options, said):
    """Before anything is played."""
    monkeypatch.setattr('stitchrl.report.rollout.play', lambda *args: pytest.fail('it played'))
    assert main(['plan', str(online.run.path), *options]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    'settings', [{'refresh': -5}, {'epochs': 0}, {'patience': 0}, {'noise': -0.1}, {'noise': float('nan')}]
)
def test_numbers_that_cannot_be_meant_are_refused(settings):
    (name, value), spec = *settings.items(), tiny.dataset().spec
    with pytest.raises(UsageError, match=f'{name} (is )?{value:g}.*; expected'):
        jax.eval_shape(lambda: MPC.create(spec, Config(**settings), jax.random.key(0)))


@pytest.mark.parametrize('planner', ['gradient', 'exhaustive', 'shooting'])
def test_numbers_of_a_preset_that_another_planner_has_not(planner):
    """Are refused with what leaves them out."""
    spec = tiny.dataset().spec
    with pytest.raises(UsageError, match=r'where a preset sets them: (--samples None)?.?(--iterations None)?$') as said:
        named(planner, spec, 3, 10, 10)
    assert ('--samples None' in str(said.value)) == (planner != 'shooting')


def staged(algo, **settings):
    """Agents of an algorithm in a place that has only a space."""
    spec = tiny.dataset().spec
    return Stage(tiny.agents(algo, spec, **settings), Boundary.blank(spec), SimpleNamespace(spec=spec), 'nowhere')


def test_a_run_without_a_model_cannot_be_planned_with():
    with pytest.raises(UsageError, match='holds no model of the world'):
        planning(staged('bc'), argparse.Namespace(run='runs/bc-0001'))


def test_the_model_of_another_algorithm_is_planned_with():
    place = staged('mbpo', model_hidden=(8,), members=2, elites=2, rollouts=8, gamma=0.9)
    options = {'planner': 'cem', 'horizon': 2, 'replan': None, 'samples': 8, 'iterations': 2, 'particles': 2}
    agents = planning(place, argparse.Namespace(run='runs/mbpo-0001', **options))
    assert (agents.cfg.gamma, agents.planner.gamma, agents.planner.samples) == (0.9, 0.9, 8)
    assert Policy(agents, place.boundary, tiny.dataset().spec)(np.ones(3, np.float32)).shape == (2,)


ASKED = {'run': 'runs/0001', 'horizon': 2, 'replan': None, 'samples': None, 'iterations': None, 'particles': None}


def test_the_known_ends_of_a_run_are_planned_with(monkeypatch):
    """Here the task is over with the first step; the model, which knows no ends, is the control."""
    over = Known(lambda obs: jnp.zeros(len(obs), bool), None)
    monkeypatch.setitem(GOES_ON, 'never', over)
    place = staged('mbpo', model_hidden=(8,), members=2, elites=2, rollouts=8, ends='never')
    agents = planning(place, argparse.Namespace(**ASKED, planner='cem'))
    step = lambda model: jax.vmap(lambda one: one.step(jnp.ones((4, 3)), jnp.ones((4, 2)), jax.random.key(0)))(model)[2]
    assert (step(agents.model) == 0).all()
    assert (step(place.agents.model) == 1).all()


@pytest.mark.parametrize(('named', 'samples', 'iterations'), [(None, 8, 2), ('cem', 8, 2), ('mppi', 400, 5)])
def test_the_planner_of_the_run_keeps_its_numbers_when_named(named, samples, iterations):
    """Where the run left its choice open too: that is cem."""
    place = staged('mpc', **SMALL, iterations=2)
    planner = planning(place, argparse.Namespace(**ASKED | {'planner': named})).planner
    assert (planner.samples, planner.iterations) == (samples, iterations)


def test_a_model_that_draws_nothing_says_nothing_of_how_sure_it_is():
    found = SimpleNamespace(draws=False)
    told = {'planner': {'name': 'cem', 'horizon': 3, 'replan': 1, 'samples': 8, 'iterations': 2}, 'steps_ahead': 3}
    told |= {'error': [0.1, 0.2], 'error_if_nothing_moved': [0.3, 0.4], 'covered_by_90_percent': covered(found)}
    how, *_, sure = lines(told)
    assert how == 'cem, 3 steps ahead, 8 samples, 2 iterations, a new plan at every step'
    assert sure == 'it draws nothing, and so says nothing of how sure it is'

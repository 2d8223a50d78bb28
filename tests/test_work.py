"""Runs that learn online, alone or after a recording: from a request to a folder that can be resumed."""

import json
import shutil

import jax
import numpy as np
import pytest

from stitchrl.api import train
from stitchrl.data.dataset import Dataset
from stitchrl.data.rollouts import random_transitions
from stitchrl.envs.pointmaze import PointMaze
from stitchrl.errors import UsageError
from stitchrl.loops import work as module
from stitchrl.loops.launch import begin, resume
from stitchrl.loops.online import Live
from stitchrl.loops.settings import Settings, configure, settings_of
from stitchrl.loops.work import Work
from stitchrl.runs import checkpoint
from stitchrl.runs.directory import RunDir

pytestmark = [
    pytest.mark.nans,
    pytest.mark.usefixtures('quick_compiles'),
]  # JAX gives up donation while it hunts for NaNs
SMALL = {'hidden': (8,), 'batch': 4}
ONLINE = {'env': 'cartpole/upright', 'lanes': 2, 'random_steps': 8, 'every': 16, 'seeds': 2, 'eval_episodes': 2}
MAZE = 'pointmaze/umaze'
TABLE = {'inner': 'table'}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Sixteen steps between evaluations, in chunks of eight."""
    monkeypatch.setattr(module, 'CHUNKS', (8,))


def started(out, algo='dqn', data=None, steps=48, own=None, **settings):
    cfg = configure(algo, 'default', SMALL | {'steps': steps} | (own or {}))
    return begin(algo, cfg, Settings(**{**ONLINE, **settings, 'out': str(out)}), data, None, ['train', algo])


def finished(session, state=None, start=0):
    for _ in session.go(session.fresh() if state is None else state, start):
        pass
    return session.run


def same(one, other):
    equal = jax.tree.map(lambda a, b: np.asarray(a).tobytes() == np.asarray(b).tobytes(), one, other)
    return jax.tree.all(equal)


def newest(session):
    return checkpoint.latest(session.run.checkpoints, session.work.like, pytest.fail)


@pytest.fixture(scope='module')
def maze():
    env = PointMaze.create('umaze', horizon=20)
    return Dataset.from_columns(random_transitions(env, jax.random.key(0), 400))


def test_a_run_that_was_stopped_goes_on_as_if_it_was_not(tmp_path):
    """Agents, ring, environments and clock: all bits of the last checkpoint, and every row of the logs."""
    whole = started(tmp_path / 'whole')
    finished(whole)
    cut = started(tmp_path / 'cut')
    for part in cut.go(cut.fresh()):
        if part.step == 32:
            break
    again, state, step = resume(RunDir(tmp_path / 'cut'), None, pytest.fail)
    assert step == 32
    assert isinstance(state, Live)
    finished(again, state, step)
    assert same(newest(again)[1], newest(whole)[1])
    rows = lambda run, name: [{k: v for k, v in row.items() if k != 'seconds'} for row in run.rows(name)]
    for name in ('metrics.jsonl', 'eval.jsonl'):
        assert rows(again.run, name) == rows(whole.run, name) != []
    other = started(tmp_path / 'other', seed=5)  # the control
    finished(other)
    assert not same(newest(other)[1], newest(whole)[1])


def test_the_same_request_twice_gives_the_same_metrics(tmp_path):
    """But for the time it took; of host environments, which start from seeds as well."""
    runs = [finished(started(tmp_path / name, env='CartPole-v1', steps=32)) for name in 'ab']
    one, two = ([{k: v for k, v in row.items() if k != 'seconds'} for row in run.rows('metrics.jsonl')] for run in runs)
    assert one == two
    assert len(one) == 8


def test_a_host_run_is_resumed_with_new_episodes_and_its_old_ring(tmp_path):
    session = started(tmp_path / 'run', env='CartPole-v1', steps=48)
    for part in session.go(session.fresh()):
        if part.step == 32:
            break
    again, state, step = resume(RunDir(tmp_path / 'run'), None, pytest.fail)
    before = np.asarray(state.replay.last).copy()
    finished(again, state, step)
    live = newest(again)[1]
    np.testing.assert_array_equal(np.asarray(live.replay.last) - before, 8)  # 16 steps in two lanes


def test_first_data_then_acting(tmp_path, maze):
    """Updates on the recording, then steps that are counted on; each batch half from either."""
    run = train(
        'iql',
        maze,
        env=MAZE,
        steps=8,
        online_steps=16,
        out=str(tmp_path / 'run'),
        lanes=2,
        seeds=2,
        eval_episodes=2,
        **SMALL,
    )
    assert [row['step'] for row in run.metrics() if row['seed'] == 0] == [8, 16, 24]
    assert {row['step'] for row in run.evaluations()} == {8, 24}
    config = json.loads((run.path / 'config.json').read_text())
    assert config['config']['actor_decay'] is False  # or the actor would not learn online
    assert run.policy()(np.zeros(2, np.float32)).shape == (2,)
    step, live = checkpoint.load(
        checkpoint.steps(run.dir.checkpoints)[-1],
        Work(
            'iql',
            configure('iql', 'default', SMALL | {'steps': 8}),
            asked(online_steps=16),
            maze,
            PointMaze.create('umaze'),
        ).like,
    )
    assert (step, isinstance(live, Live)) == (24, True)


def asked(**settings):
    return Settings(**{'lanes': 2, 'seeds': 2, **settings})


def test_a_checkpoint_of_either_phase_is_resumed(tmp_path, maze):
    """With a recording from a file, cut in the first and in the second phase."""
    path = tmp_path / 'maze.npz'
    rows = np.asarray(maze.starts)
    np.savez(
        path,
        observations=maze.obs[rows],
        actions=maze.action[rows],
        rewards=maze.reward[rows],
        terminals=maze.mask[rows] == 0,
        timeouts=(maze.ends[rows + 1] > 0) & (maze.mask[rows] > 0),
        next_observations=maze.obs[rows + 1],
    )
    from stitchrl.recordings import load_checked

    load = lambda settings: load_checked(settings.data, settings.format)
    settings = {'env': MAZE, 'data': str(path), 'online_steps': 16, 'eval_env': None}
    make = lambda name: begin(
        'iql',
        configure('iql', 'default', SMALL | {'steps': 16}),
        Settings(**{**ONLINE, **settings, 'every': 8, 'out': str(tmp_path / name)}),
        *load_checked(str(path)),
        ['train'],
    )
    whole = make('whole')
    finished(whole)
    for stop in (8, 24):
        cut = make(f'cut{stop}')
        for part in cut.go(cut.fresh()):
            if part.step == stop:
                break
        again, state, step = resume(cut.run, load, pytest.fail)
        assert (step, isinstance(state, Live)) == (stop, stop > 16)
        finished(again, state, step)
        assert same(newest(again)[1], newest(whole)[1])


def test_a_run_begins_with_what_another_has_learned(tmp_path):
    first = started(tmp_path / 'first')
    finished(first)
    second = started(tmp_path / 'second', start=str(tmp_path / 'first'))
    assert same(second.fresh().agents, newest(first)[1].agents)
    assert int(second.fresh().replay.last.sum()) == 0  # its ring is its own
    for part in second.go(second.fresh()):
        if part.step == 32:
            break
    shutil.rmtree(tmp_path / 'first')  # not needed any more
    again, state, step = resume(RunDir(tmp_path / 'second'), None, pytest.fail)
    finished(again, state, step)
    with pytest.raises(UsageError, match='a run of dqn, whose agents cannot go on as double_dqn'):
        started(tmp_path / 'third', algo='double_dqn', start=str(tmp_path / 'second')).fresh()
    with pytest.raises(UsageError, match='must be the same'):
        started(tmp_path / 'fourth', seeds=3, start=str(tmp_path / 'second')).fresh()


def test_an_agent_that_writes_beside_its_data_goes_on_without(tmp_path, maze):
    run = train('awr', maze, env=MAZE, steps=8, online_steps=8, out=str(tmp_path / 'run'), **SMALL)
    assert np.isfinite([row['value/loss'] for row in run.metrics() if row['step'] > 8]).all()


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        ({'lanes': 0}, 'lanes is 0, ratio 1 and mix 0.5; expected at least 1, above 0'),
        ({'ratio': 0.0}, 'ratio 0 and mix'),
        ({'seeds': 0}, 'expected at least 1 step and 1 seed'),
        ({'env': None}, 'name a recording'),
        ({'env': 'Pendulum-v1'}, 'dqn needs discrete actions, those of Pendulum-v1 are continuous'),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, settings, said):
    with pytest.raises(UsageError, match=said):
        started(tmp_path / 'run', **settings)


@pytest.mark.parametrize('env', ['cartpole/upright', 'CartPole-v1'])
def test_an_environment_that_shows_no_states_is_refused_for_a_table_before_anything_starts(tmp_path, env):
    with pytest.raises(UsageError, match=r'a table needs observations one-hot, here an episode begins with \['):
        started(tmp_path / 'run', algo='dyna', env=env, own=TABLE)
    assert not (tmp_path / 'run').exists()
    session = started(tmp_path / 'rooms', algo='dyna', env='stitchrl.envs.gridworld:GridWorld', own=TABLE)
    assert session.spec.obs.shape == session.fresh().world.obs.shape[2:]


def test_a_ring_that_does_not_fit_is_refused_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'free', lambda: 1000)
    with pytest.raises(UsageError, match=r'the rings of 2 seeds, 104 steps each, take 0\.0 GB and 0\.0 GB are free'):
        started(tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_online_steps_need_an_environment(tmp_path, maze):
    with pytest.raises(UsageError, match='online_steps needs an environment'):
        train('iql', maze, steps=8, online_steps=8, out=str(tmp_path / 'run'), **SMALL)


def test_a_preset_may_say_how_to_act():
    assert settings_of('dqn', 'default', {}).random_steps == 20_000
    assert settings_of('dqn', 'default', {'random_steps': 5}).random_steps == 5
    assert settings_of('iql', 'default', {}) == Settings()
    with pytest.raises(UsageError, match='no preset'):
        settings_of('dqn', 'nothing', {})


@pytest.mark.parametrize(
    ('every', 'rate', 'unit', 'expected'),
    [(16, 1e9, 1, (8, 16)), (20, 1e9, 1, (7, 21)), (16, 1e9, 3, (9, 18))],
)
def test_chunks_are_whole_rounds_of_all_lanes(every, rate, unit, expected):
    assert module.stretches(every, rate, unit) == expected

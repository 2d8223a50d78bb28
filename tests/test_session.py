"""A run from request to result: interrupted anywhere and resumed it is the unbroken run, bit for bit."""

import collections
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import tiny

from stitchrl.algos.offline import bc
from stitchrl.core.learner import Learner
from stitchrl.data.controls import shuffled
from stitchrl.errors import Corrupt, StitchError, UsageError
from stitchrl.loops import session as module
from stitchrl.loops import work
from stitchrl.loops.launch import begin, resume
from stitchrl.loops.offline import UPDATE, roots, updates
from stitchrl.loops.session import Session
from stitchrl.loops.settings import Settings, configure
from stitchrl.recordings import load_checked
from stitchrl.runs import checkpoint
from stitchrl.runs.directory import RunDir
from stitchrl.runs.signals import AtOnce, Interrupted

ALGOS = ('bc', 'td3_bc', 'iql')
EVERY = pytest.mark.parametrize('algo', ALGOS)
STEPS, CHUNK = tiny.CONFIG['steps'], tiny.RUN['every']


@pytest.fixture(scope='module')
def recording(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp('data') / 'recording.npz')


def load(settings):
    return load_checked(settings.data, settings.format)


def started(algo, recording, out, changes=None, **settings):
    """A session on the recording, as the command line makes it."""
    settings = Settings(**{'data': str(recording), 'out': str(out), **tiny.RUN, **settings})
    cfg = configure(algo, 'default', tiny.CONFIG | (changes or {}))
    return begin(algo, cfg, settings, *load(settings), ['train', algo])


def agents(session):
    """Random weights, the same each time; initialising as the package does takes seconds to compile."""
    cfg = {name: getattr(session.cfg, name) for name in ('lr', 'batch', 'steps')}
    return tiny.agents(session.algo, session.spec, session.settings.seeds, **cfg)


def finish(session, start=0, now=None):
    for _ in session.go(agents(session) if now is None else now, start):
        pass
    return session.run


def last(run, like):
    return checkpoint.load(checkpoint.steps(run.checkpoints)[-1], lambda _: like)


def rows(run):
    """metrics.jsonl but for the time it took."""
    return [{k: v for k, v in row.items() if k != 'seconds'} for row in run.rows('metrics.jsonl')]


def bits(tree):
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(tree)]


@pytest.fixture(scope='module')
def unbroken(recording, tmp_path_factory):
    """A function of an algorithm's name: its run to the end, done once."""
    done = {}

    def run(algo):
        if algo not in done:
            done[algo] = finish(started(algo, recording, tmp_path_factory.mktemp('unbroken')))
        return done[algo]

    return run


class Stopped(Exception):
    """What a consumer of the generator may raise."""


def stop_after(session, chunks, how):
    """Consume that many chunks, then call `how` while the generator waits, and go on."""
    for number, _ in enumerate(session.go(agents(session)), 1):
        if number == chunks:
            how()


def fail():
    raise Stopped


STOPS = {
    'exception': (fail, Stopped),
    'SIGINT': (lambda: os.kill(os.getpid(), signal.SIGINT), Interrupted),
    'SIGTERM': (lambda: os.kill(os.getpid(), signal.SIGTERM), Interrupted),
}


@pytest.mark.parametrize('stop', STOPS)
@EVERY
def test_resumed_it_is_the_unbroken_run_bit_for_bit(algo, stop, recording, unbroken, tmp_path):
    how, error = STOPS[stop]
    whole, cut = unbroken(algo), started(algo, recording, tmp_path / 'cut')
    with pytest.raises(error):
        stop_after(cut, 2, how)
    assert cut.run.read('STATUS.json')['state'] == 'interrupted'
    assert [row['step'] for row in rows(cut.run)][-1] == 2 * CHUNK < STEPS
    again, now, start = resume(RunDir.find(tmp_path / 'cut'), load, pytest.fail)
    assert start == 2 * CHUNK
    finish(again, start, now)
    assert bits(last(again.run, now)) == bits(last(whole, now))
    assert rows(again.run) == rows(whole)
    assert (again.run.policy / 'weights.safetensors').read_bytes() == (
        whole.policy / 'weights.safetensors'
    ).read_bytes()
    assert again.run.read('STATUS.json')['state'] == 'finished'


def without_moments(now):
    """As if the optimisers had not been saved."""
    is_learner = lambda node: isinstance(node, Learner)
    blank = lambda node: replace(node, opt=jax.tree.map(jnp.zeros_like, node.opt)) if is_learner(node) else node
    return jax.tree.map(blank, now, is_leaf=is_learner)


@EVERY
def test_without_the_optimisers_or_with_another_clock_it_is_another_run(algo, recording, unbroken, tmp_path):
    """What the test above must be able to see: a chunk more from the middle leads to the end only if nothing lacks."""
    whole, cut = unbroken(algo), started(algo, recording, tmp_path / 'cut')
    with pytest.raises(Stopped):
        stop_after(cut, 2, fail)

    def end(spoil, start=2 * CHUNK):
        again, now, _ = resume(RunDir(tmp_path / 'cut'), load, pytest.fail)
        return bits(next(updates(spoil(now), again.data, tiny.RUN['seed'], STEPS, CHUNK, start)).agents)

    expected = bits(last(whole, agents(cut))[1])
    assert end(lambda now: now) == expected
    assert end(without_moments) != expected
    assert end(lambda now: now, CHUNK) != expected


def test_after_a_kill_what_was_logged_beyond_the_checkpoint_is_forgotten(recording, unbroken, tmp_path):
    """SIGKILL leaves the rows of a chunk whose checkpoint never came, half a line, and a state that says running."""
    cut = started('bc', recording, tmp_path / 'cut')
    with pytest.raises(Stopped):
        stop_after(cut, 2, fail)
    cut.run.status('running')
    cut.run.append('metrics.jsonl', [{'step': 3 * CHUNK, 'seed': 3, 'actor/loss': 1e9}])
    cut.run.append('eval.jsonl', [{'step': 3 * CHUNK, 'seed': 3, 'episode': 0, 'return': 1e9}])
    with (cut.run.path / 'metrics.jsonl').open('a') as file:
        file.write('{"step": 12, "se')
    again, now, start = resume(RunDir(tmp_path / 'cut'), load, pytest.fail)
    finish(again, start, now)
    assert rows(again.run) == rows(unbroken('bc'))
    assert again.run.rows('eval.jsonl') == []


def test_behind_a_damaged_checkpoint_the_one_before_leads_to_the_same_end(recording, unbroken, tmp_path):
    cut, said = started('bc', recording, tmp_path / 'cut'), []
    with pytest.raises(Stopped):
        stop_after(cut, 2, fail)
    (checkpoint.steps(cut.run.checkpoints)[-1] / 'agents' / '_METADATA').unlink()
    again, now, start = resume(RunDir(tmp_path / 'cut'), load, said.append)
    assert (start, len(said)) == (CHUNK, 1)
    finish(again, start, now)
    assert rows(again.run) == rows(unbroken('bc'))
    assert bits(last(again.run, now)) == bits(last(unbroken('bc'), now))
    for path in checkpoint.steps(again.run.checkpoints):
        assert checkpoint.verify(path), 'the damaged one was replaced'


def test_a_kill_between_the_last_checkpoint_and_its_policy_is_mended_by_resuming(recording, unbroken, tmp_path):
    run = finish(started('bc', recording, tmp_path / 'run'))
    (run.policy / 'weights.safetensors').unlink()
    run.status('running')
    again, now, start = resume(run, load, pytest.fail)
    assert start == STEPS
    finish(again, start, now)
    assert bits(module.policy.load_all(run.policy)[1]) == bits(module.policy.load_all(unbroken('bc').policy)[1])


def test_resuming_needs_the_recording_as_it_was(recording, tmp_path):
    mine = tmp_path / 'mine.npz'
    mine.write_bytes(recording.read_bytes())
    finish(started('bc', mine, tmp_path / 'run'))
    tiny.write(mine, seed=1)
    with pytest.raises(Corrupt, match=f'{mine}: not the recording that {tmp_path / "run"} was trained on'):
        resume(RunDir(tmp_path / 'run'), load, pytest.fail)


def test_a_run_and_its_recording_may_be_moved(recording, unbroken, tmp_path):
    first = tmp_path / 'first.npz'
    first.write_bytes(recording.read_bytes())
    with pytest.raises(Stopped):
        stop_after(started('iql', first, tmp_path / 'here'), 1, fail)
    there = (tmp_path / 'here').rename(tmp_path / 'there')
    second = first.rename(tmp_path / 'second.npz')
    with pytest.raises(UsageError, match=f'{first}: not there any more; say where it is: stitch resume {there} --data'):
        resume(RunDir.find(there), load, pytest.fail)
    again, now, start = resume(RunDir.find(there), load, pytest.fail, str(second))
    chunks = again.go(now, start)
    next(chunks)
    chunks.close()
    again, now, start = resume(RunDir.find(there), load, pytest.fail)  # it has been told once
    assert start == 2 * CHUNK
    finish(again, start, now)
    assert bits(last(again.run, now)) == bits(last(unbroken('iql'), now))
    assert rows(again.run) == rows(unbroken('iql'))
    assert not (tmp_path / 'here').exists()


def test_a_second_signal_leaves_a_run_interrupted(recording, tmp_path, monkeypatch):
    def broken(state, start):
        yield from ()
        raise AtOnce

    session = started('bc', recording, tmp_path / 'run')
    monkeypatch.setattr(session.work, 'chunks', broken)
    with pytest.raises(AtOnce):
        finish(session)
    status = session.run.read('STATUS.json')
    assert (status['state'], status['reason']) == ('interrupted', 'stopped at once, after the last checkpoint')


def test_data_from_memory_cannot_be_found_again(tmp_path):
    data = tiny.dataset()
    cfg = configure('bc', 'default', tiny.CONFIG)
    begin('bc', cfg, Settings(out=str(tmp_path / 'run')), data, {'path': None}, None)
    with pytest.raises(UsageError, match='from memory'):
        resume(RunDir(tmp_path / 'run'), load, pytest.fail)


@pytest.mark.parametrize('moment', ['in the chunk', 'at the consumer'])
def test_a_signal_between_evaluations_saves_whenever_it_comes(recording, tmp_path, moment):
    session, watch = started('bc', recording, tmp_path / 'run', every=STEPS), module.Nobody()
    session.work.pace = (CHUNK, STEPS)
    kill = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    use = kill if moment == 'at the consumer' else lambda part: None
    if moment == 'in the chunk':
        watch.chunk = kill
    with pytest.raises(Interrupted) as stop:
        collections.deque(map(use, session.go(agents(session), watch=watch)))
    assert stop.value.code == 128 + signal.SIGTERM
    assert [path.name for path in checkpoint.steps(session.run.checkpoints)] == ['step_000000000', 'step_000000004']
    status = session.run.read('STATUS.json')
    assert (status['state'], status['reason']) == ('interrupted', 'SIGTERM after step 4')
    assert shlex.split(status['resume']) == ['stitch', 'resume', str(tmp_path / 'run')]
    assert str(stop.value) == f'SIGTERM: saved after step 4; go on with: {status["resume"]}'


def test_a_second_signal_ends_at_once(recording, tmp_path):
    session = started('bc', recording, tmp_path / 'run')
    with pytest.raises(KeyboardInterrupt):
        stop_after(session, 1, lambda: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)])
    assert checkpoint.latest(session.run.checkpoints, lambda _: agents(session), pytest.fail)[0] == CHUNK


def test_a_signal_after_the_last_update_changes_nothing(recording, tmp_path):
    session = started('bc', recording, tmp_path / 'run')
    stop_after(session, 3, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert session.run.read('STATUS.json')['state'] == 'finished'


def first_draw(session, row):
    """(update, seed, batch) of the first draw of a row of the data, by sampling as the loop says it does."""
    keys = roots(session.settings.seed, session.settings.seeds, UPDATE)
    for t in range(STEPS):
        for seed, root in enumerate(keys):
            batch = session.data.sample(jr.split(jr.fold_in(root, t))[0], session.cfg.batch)
            if (np.asarray(batch.obs) == np.asarray(session.data.obs[row])).all(1).any():
                return t, seed, batch
    return STEPS, 0, None


def poisoned(tmp_path, when):
    """A TD3+BC session in whose data one reward is not a number, first drawn at an update that `when` accepts."""
    data, cfg = tiny.dataset(), configure('td3_bc', 'default', tiny.CONFIG | {'normalise': False})
    settings = Settings(out=str(tmp_path / 'run'), **tiny.RUN)
    session = begin('td3_bc', cfg, settings, data, {}, None)
    found = {row: first_draw(session, row) for row in data.starts[:25]}
    row = next(row for row, (t, _, _) in found.items() if when(t))
    reward = np.where(np.arange(len(data.reward)) == row, np.nan, data.reward).astype(np.float32)
    return Session('td3_bc', cfg, settings, data.with_columns(reward=reward), session.run), *found[row]


@pytest.mark.nans
def test_the_batch_that_broke_an_agent_with_labels_holds_them(tmp_path):
    """One reward that is not a number spoils the weights of all steps; the batch must still be drawn and kept."""
    data, cfg = tiny.dataset(), configure('awr', 'default', tiny.CONFIG)
    session = begin('awr', cfg, Settings(out=str(tmp_path / 'run'), **tiny.RUN), data, {}, None)
    reward = np.where(np.arange(len(data.reward)) == data.starts[0], np.nan, data.reward).astype(np.float32)
    session = Session('awr', cfg, session.settings, data.with_columns(reward=reward), session.run)
    with pytest.raises(StitchError, match='not finite from step 0 on'):
        finish(session)
    assert np.isnan(np.load(session.run.path / 'broken_batch.npz')['weight']).all()


@pytest.mark.nans
@pytest.mark.parametrize(('place', 'kept'), [((4, 5), 'step_000000004'), ((6, 7), 'step_000000004')])
def test_a_value_that_is_not_finite_stops_the_run_and_names_where_it_came_from(tmp_path, place, kept):
    """Early in a chunk it stops the run with that chunk; late in it, where patience lasts into the next, the batch
    that is written is still the first one."""
    session, update, seed, batch = poisoned(tmp_path, lambda t: t in place)
    with pytest.raises(StitchError) as stop:
        finish(session)
    assert stop.value.code == 1
    name = seed + tiny.RUN['seed']
    assert f'critic/loss of seed {name} is not finite from step {update} on' in str(stop.value)
    assert f'the last good checkpoint is {session.run.checkpoints / kept}' in str(stop.value)
    status = session.run.read('STATUS.json')
    assert (status['state'], status['reason']) == ('failed', str(stop.value))
    written = np.load(session.run.path / 'broken_batch.npz')
    assert np.isnan(written['reward']).any()
    assert sorted(written) == sorted(batch._fields)
    for field in set(batch._fields) - {'reward'}:
        np.testing.assert_array_equal(written[field], getattr(batch, field))
    step, now = checkpoint.latest(session.run.checkpoints, lambda _: agents(session), pytest.fail)
    assert step == CHUNK
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(now))


@pytest.mark.nans
@pytest.mark.parametrize(('steps', 'name', 'update'), [(1, 'a weight', 0), (12, 'actor/loss', 1)])
def test_weights_that_are_not_finite_are_never_saved(recording, tmp_path, monkeypatch, steps, name, update):
    """The loss of an update is of the weights before it: a gradient that breaks them shows one update later."""

    def broken(actor, batch):
        zero = sum((0 * x).sum() for x in jax.tree.leaves(actor))
        loss = 1 + jnp.sqrt(zero**2)  # the slope of the root at 0 is infinite, times 0
        return loss, {'actor/loss': loss}

    monkeypatch.setattr(bc, 'likelihood', broken)
    session = started('bc', recording, tmp_path / 'run', {'lr': 0.1234, 'steps': steps}, every=1)
    with pytest.raises(StitchError, match=f'{name} of seed 3 is not finite from step {update} on'):
        finish(session)
    assert [path.name for path in checkpoint.steps(session.run.checkpoints)] == ['step_000000000']
    assert session.run.read('STATUS.json')['state'] == 'failed'


@pytest.mark.nans
def test_a_run_that_broke_is_not_to_be_resumed_but_its_last_good_weights_begin_another(recording, tmp_path):
    """The same settings lead to the same end; with a rate that does not overflow the next run goes on."""
    session = started('td3_bc', recording, tmp_path / 'a run', {'lr': 1e20}, every=STEPS)
    assert session.run.read('STATUS.json')['resume'] is not None
    with pytest.raises(StitchError, match='Resumed with the same settings it most likely ends the same way') as stop:
        finish(session)
    assert f"--start '{tmp_path / 'a run'}'" in str(stop.value)
    status = session.run.read('STATUS.json')
    assert (status['state'], status['resume']) == ('failed', None)
    again = started('td3_bc', recording, tmp_path / 'again', start=str(tmp_path / 'a run'))
    finish(again, 0, again.fresh())
    assert again.run.read('STATUS.json')['state'] == 'finished'


def test_what_fails_for_another_reason_is_a_failed_run_that_can_go_on(recording, unbroken, tmp_path, monkeypatch):
    session = started('bc', recording, tmp_path / 'run')
    with monkeypatch.context() as patch, pytest.raises(OSError, match='No space'):
        stop_after(session, 1, lambda: patch.setattr(module.policy, 'save', full))
    status = session.run.read('STATUS.json')
    assert (status['state'], status['reason']) == ('failed', 'OSError: [Errno 28] No space left on device')
    again, now, start = resume(session.run, load, pytest.fail)
    finish(again, start, now)
    assert rows(again.run) == rows(unbroken('bc'))


def full(*_):
    raise OSError(28, 'No space left on device')


def test_held_out_episodes_are_apart_and_every_loss_has_its_twin(recording, tmp_path):
    session = started('bc', recording, tmp_path / 'run', holdout=0.25)
    units = session.boundary
    raw = lambda data: {tuple(row) for row in np.round(np.asarray(data.obs) * units.std + units.mean, 3)}
    assert len(session.held_out.episodes()) == 3
    assert len(session.data) + len(session.held_out) == len(load(session.settings)[0])
    assert not raw(session.data) & raw(session.held_out)
    inside = np.asarray(session.data.obs)[np.asarray(session.data.starts)]
    np.testing.assert_allclose(inside.mean(0), 0, atol=1e-5, err_msg='fitted on what is learned from alone')
    for row in rows(finish(session)):
        assert row.keys() == {
            'step',
            'seed',
            'actor/loss',
            'actor/distance',
            'held_out/actor/loss',
            'held_out/actor/distance',
        }
        assert row['held_out/actor/loss'] != row['actor/loss']


def test_what_is_selected_by_return_is_selected_by_shuffled_rewards(recording, tmp_path):
    """A control that left the choice of episodes to the true rewards would not be one."""
    session = started('filtered_bc', recording, tmp_path / 'run', shuffle_rewards=True, seed=0)
    data = load(session.settings)[0]
    expected = data.relabel(lambda data: shuffled(data, 0)).best(0.1)
    found = np.asarray(session.data.obs) * session.boundary.std + session.boundary.mean
    np.testing.assert_allclose(found, expected.obs, atol=1e-5)
    true = data.best(0.1).obs
    assert true.shape != expected.obs.shape or (true != expected.obs).any()


@pytest.mark.parametrize(
    ('steps', 'every', 'rate', 'expected'),
    [
        (12, 4, 1e12, (4, 4)),
        (12, None, 1e12, (12, 12)),
        (50_000, None, 1e12, (2500, 2500)),
        (50_000, None, 1, (10, 2500)),
        (1000, 120, 1, (10, 120)),
        (1000, 101, 1, (10, 110)),
        (100, 5000, 1, (10, 100)),
    ],
)
def test_chunks_fit_between_evaluations(recording, tmp_path, monkeypatch, steps, every, rate, expected):
    monkeypatch.setitem(work.RATE, 'cpu', rate)
    session = started('bc', recording, tmp_path / 'run', {'steps': steps}, every=every)
    assert session.work.pace == expected


@pytest.mark.parametrize(('changes', 'settings'), [({'steps': 0}, {}), ({}, {'seeds': 0})])
def test_no_steps_and_no_seeds_are_refused(recording, tmp_path, changes, settings):
    with pytest.raises(UsageError, match='expected at least 1 step and 1 seed'):
        started('bc', recording, tmp_path / 'run', changes, **settings)


# An environment that waits while `hold` exists, so that a signal surely comes while the command is at work.
WAITING = """
import time
from pathlib import Path
import gymnasium as gym
import numpy as np

HERE = Path(__file__).parent

class Waiting(gym.Env):
    observation_space = gym.spaces.Box(-9, 9, (3,))
    action_space = gym.spaces.Box(np.float32([-2, 0]), np.float32([2, 10]))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.normal(size=3).astype(np.float32), {}

    def step(self, action):
        (HERE / 'playing').touch()
        while (HERE / 'hold').exists():
            time.sleep(0.01)
        return np.zeros(3, np.float32), float(action.sum()), True, False, {}
"""


@pytest.fixture(scope='module')
def stitch(tmp_path_factory):
    """A function that starts the command line in a folder where `waiting:Waiting` can be imported."""
    folder = tmp_path_factory.mktemp('commands')
    (folder / 'waiting.py').write_text(WAITING)
    cache = {'JAX_COMPILATION_CACHE_DIR': str(folder / 'cache'), 'JAX_ENABLE_COMPILATION_CACHE': 'true'}
    path = os.pathsep.join([str(folder), *sys.path])
    processes = []

    def start(*args):
        command = [sys.executable, '-m', 'stitchrl', *map(str, args)]
        processes.append(
            subprocess.Popen(
                command,
                cwd=folder,
                env=os.environ | cache | {'PYTHONPATH': path},
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        )
        return processes[-1]

    start.folder = folder
    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def until(condition, process):
    """Wait for what a command does next; its words if it ended first."""
    for _ in range(6000):
        if condition():
            return
        if process.poll() is not None:
            pytest.fail(process.stdout.read())
        time.sleep(0.01)
    pytest.fail('nothing happened for a minute')


@pytest.mark.timeout(300)
def test_the_command_is_interrupted_and_resumed_by_what_it_printed(recording, stitch, tmp_path):
    """Ctrl-C and kill from outside: saved, the code that shells expect, a command that goes on to the same end."""
    out, playing, hold = tmp_path / 'a run', stitch.folder / 'playing', stitch.folder / 'hold'
    options = [f'--{name}={value}' for name, value in {**tiny.CONFIG, **tiny.RUN, 'hidden': 8}.items()]
    options += ['--data', recording, '--eval-env', 'waiting:Waiting', '--eval-episodes', 2]
    hold.touch()
    process = stitch('train', 'bc', *options, '--out', out)
    for number in (signal.SIGINT, signal.SIGTERM):
        until(playing.exists, process)
        process.send_signal(number)
        hold.unlink()
        said = process.communicate(timeout=60)[0]
        status = RunDir(out).read('STATUS.json')
        assert process.returncode == 128 + number, said
        assert f'{number.name}: saved after step' in said
        assert status['state'] == 'interrupted'
        assert f'go on with: {status["resume"]}' in said
        playing.unlink()
        if number == signal.SIGINT:
            hold.touch()
        process = stitch(*shlex.split(status['resume'])[1:])
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 0, said
    assert RunDir(out).read('STATUS.json')['state'] == 'finished'
    whole = started('bc', recording, tmp_path / 'unbroken', eval_episodes=2)
    finish(whole, now=whole.fresh())
    assert rows(RunDir(out)) == rows(whole.run)
    assert bits(last(RunDir(out), whole.fresh())) == bits(last(whole.run, whole.fresh()))
    evaluations = RunDir(out).rows('eval.jsonl')
    assert [(row['step'], row['seed'], row['episode']) for row in evaluations] == [
        (step, seed, episode) for step in (4, 8, 12) for seed in (3, 4) for episode in (0, 1)
    ]

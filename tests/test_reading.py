"""Reading while learning: what is in the buffer follows from seed and update, so a cut run goes on as the unbroken."""

import builtins

import jax
import jax.random as jr
import numpy as np
import pytest
import tiny

from stitchrl.algos import algorithm
from stitchrl.api import train
from stitchrl.cli import main
from stitchrl.core.boundary import Boundary
from stitchrl.data.dataset import Dataset
from stitchrl.data.survey import survey
from stitchrl.errors import BadData, MissingExtra, UsageError
from stitchrl.loops import reading as module
from stitchrl.loops import work
from stitchrl.loops.launch import begin, resume
from stitchrl.loops.offline import updates
from stitchrl.loops.reading import Reading
from stitchrl.loops.settings import Settings, configure
from stitchrl.runs import checkpoint
from stitchrl.runs.directory import RunDir

pytestmark = pytest.mark.usefixtures('quick_compiles')
BLOCK, ROWS = 8, 16  # two of seven blocks are in the buffer; four rows are drawn for an update


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    return tiny.write(tmp_path_factory.mktemp('data') / 'recording.npz')


@pytest.fixture(scope='module')
def data(path):
    return survey(path, size=BLOCK)


def reading(data, seed=0, rows=ROWS, chunk=4, batch=4):
    return Reading(data, Boundary.fit(data), batch, rows, seed, chunk)


def held(buffer):
    """For each slot the first observation in it."""
    size = len(buffer.reward) // len(buffer.counts)
    return np.asarray(buffer.obs)[::size].copy()


def bits(tree):
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(tree)]


def test_the_schedule_worked_by_hand(data):
    """8 rows of a block, 4 drawn an update: a block comes in every second update, in the order that Grain gives."""
    source = reading(data)
    assert (source.slots, source.every, source.whole) == (2, 1, False)
    assert [source.due(t) for t in range(6)] == [2, 2, 3, 3, 4, 4]
    first = lambda number: source.order[number][0].obs[0]
    for t, blocks in ((0, (0, 1)), (1, (0, 1)), (2, (2, 1)), (4, (2, 3)), (5, (2, 3)), (9, (4, 5))):
        np.testing.assert_array_equal(held(source.at(t)), [first(number) for number in blocks])
    source.close()


def test_between_two_changes_lie_updates_that_divide_a_chunk(data):
    blocks = len(data.blocks)
    every = lambda chunk, slots, batch: reading(data, rows=slots * BLOCK, chunk=chunk, batch=batch).every
    assert blocks == 7
    assert every(6, 4, 1) == 3  # at most an eighth of 4 x 8 rows: 4, of which 3 divides 6
    assert every(7, 6, 1) == 1
    assert every(12, 6, 1) == 6
    assert every(12, 2, 100) == 1
    assert every(12, 7, 1) == 12  # all of the recording: nothing ever changes


def test_an_epoch_brings_every_block_once_and_the_next_another_order(data):
    order, blocks = reading(data).order, len(data.blocks)
    epochs = [[order[e * blocks + i][0].obs.tobytes() for i in range(blocks)] for e in range(3)]
    assert len(set(epochs[0])) == blocks
    assert set(epochs[0]) == set(epochs[1]) == set(epochs[2])
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_the_buffer_at_an_update_is_the_same_however_it_was_reached(data):
    source = reading(data, seed=5)
    going = [bits(source.at(t)) for t in range(0, 40, 4)]
    for t in (36, 4, 20):
        assert bits(reading(data, seed=5).at(t)) == going[t // 4]
        assert bits(source.at(t)) == going[t // 4]  # back and forth
    assert bits(reading(data, seed=6).at(20)) != going[5]


def test_a_recording_that_fits_is_everything_and_read_once(data, monkeypatch):
    source = reading(data, rows=10**6)
    assert source.whole
    first = bits(source.at(0))
    monkeypatch.setattr(module, 'put', pytest.fail)
    assert bits(source.at(10**5)) == first
    assert int(np.asarray(source.at(0).counts).sum()) == len(data)


def test_what_is_drawn_is_in_the_agents_units(data):
    inner = Boundary.fit(data, normalise=True, reward='range')
    whole = inner.inward(Dataset.from_columns(tiny.columns()))
    source = Reading(data, inner, 4, 10**6, 0, 4)
    batch = source.at(0).sample(jr.key(0), 64)
    at = [int(np.flatnonzero(np.isclose(whole.obs, obs, atol=1e-6).all(1))[0]) for obs in np.asarray(batch.obs)]
    np.testing.assert_allclose(batch.action, whole.action[at], atol=1e-6)
    np.testing.assert_allclose(batch.reward, whole.reward[at], rtol=1e-5)
    np.testing.assert_allclose(batch.next_obs, whole.obs[np.array(at) + 1], atol=1e-5)


def learned(data, steps, order=0, chunk=4, start=0, agents=None):
    """Two IQL agents after `steps` updates; `order`: seed of the blocks' order alone."""
    agents = tiny.agents('iql', data.spec) if agents is None else agents
    for part in updates(agents, reading(data, order, chunk=chunk), 3, steps, chunk, start):
        agents = part.agents
    return jax.tree.map(np.asarray, agents)


def test_three_ways_to_the_same_weights_and_one_to_others(data):
    unbroken = learned(data, 20)
    cut = learned(data, 8)
    assert bits(learned(data, 20, start=8, agents=jax.tree.map(jax.numpy.asarray, cut))) == bits(unbroken)
    assert bits(learned(data, 20, order=1)) != bits(unbroken)


SETTINGS = {**tiny.RUN, 'stream': True, 'buffer_rows': ROWS}


def load(settings):
    data = survey(settings.data, settings.format, size=BLOCK)
    return data, data.about()


def started(path, out, algo='iql', changes=None, **settings):
    settings = Settings(**{'data': str(path), 'out': str(out), **SETTINGS, **settings})
    cfg = configure(algo, 'default', tiny.CONFIG | (changes or {}))
    return begin(algo, cfg, settings, *load(settings), ['train', algo])


def finish(session, now, start=0):
    for _ in session.go(now, start):
        pass
    return checkpoint.load(checkpoint.steps(session.run.checkpoints)[-1], lambda _: now)


def rows(run):
    return [{k: v for k, v in row.items() if k != 'seconds'} for row in run.rows('metrics.jsonl')]


def test_a_run_that_was_cut_in_an_epoch_goes_on_as_the_unbroken_one(path, tmp_path):
    fresh = lambda session: tiny.agents('iql', session.spec, session.settings.seeds)
    whole = started(path, tmp_path / 'whole')
    done = finish(whole, fresh(whole))
    cut = started(path, tmp_path / 'cut')
    assert 0 < cut.work.data.due(8) - cut.work.data.slots < len(cut.work.data.data.blocks)
    for part in cut.go(fresh(cut)):
        if part.step == 8:
            break
    again, now, start = resume(RunDir.find(tmp_path / 'cut'), load, pytest.fail)
    assert start == 8
    assert bits(finish(again, now, start)) == bits(done)
    assert rows(again.run) == rows(whole.run)
    assert again.run.read('data.json')['fingerprint'] == whole.run.read('data.json')['fingerprint']


def test_the_batch_of_an_update_that_broke_is_found_again(path, tmp_path):
    session = started(path, tmp_path / 'run')
    parts = list(session.work.chunks(tiny.agents('iql', session.spec), 0))
    drawn = session.work.batch(parts[-1], 1, 2)  # the buffer has gone on since
    fresh = started(path, tmp_path / 'other').work
    assert bits(fresh.batch(parts[-1], 1, 2)) == bits(drawn)
    assert bits(fresh.batch(parts[-1], 1, 11)) != bits(drawn)


@pytest.mark.parametrize(
    ('algo', 'settings', 'said'),
    [
        ('awr', {}, 'awr with these settings chooses or labels steps by looking at all'),
        ('sarsa', {}, 'sarsa with these settings'),
        ('filtered_bc', {}, 'filtered_bc with these settings'),
        ('iql', {'holdout': 0.2}, 'holdout keeps back whole episodes'),
        ('iql', {'shuffle_rewards': True}, 'shuffle_rewards permutes them'),
        ('iql', {'online_steps': 10}, 'learning online mixes'),
        ('iql', {'buffer_rows': 0}, 'buffer_rows is 0; expected at least 1'),
    ],
)
def test_what_needs_the_whole_recording_is_refused_and_leaves_nothing(path, tmp_path, algo, settings, said):
    with pytest.raises(UsageError, match=said):
        started(path, tmp_path / 'run', algo, **settings)
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('algo', ['bc', 'td3_bc', 'iql', 'cql'])
def test_what_looks_at_single_steps_is_admitted(algo):
    found = algorithm(algo)
    assert found.ALGO.in_parts(found.Config())


def test_a_stream_needs_a_recording_on_the_disk(tmp_path):
    with pytest.raises(UsageError, match='stream reads a recording from the disk'):
        train('iql', tiny.dataset(), stream=True, out=str(tmp_path / 'run'), **tiny.CONFIG)


def test_a_buffer_that_does_not_fit_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.setattr(work, 'free', lambda: 100)
    with pytest.raises(UsageError, match=r'a buffer of 16 rows takes 0\.0 GB and 0\.0 GB are free'):
        started(path, tmp_path / 'run')


def test_without_grain_the_command_that_installs_it_is_named(data, monkeypatch):
    known = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == 'grain':
            raise ImportError(name)
        return known(name, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', missing)
    with pytest.raises(MissingExtra, match=r'pip install "stitchrl\[stream\]"'):
        reading(data)


def test_a_file_that_shrinks_while_it_is_read_stops_the_run_with_its_name(tmp_path):
    path = tiny.write(tmp_path / 'shrinking.npz')
    source = reading(survey(path, size=BLOCK))
    with path.open('r+b') as file:
        file.truncate(500)
    with pytest.raises(BadData, match=r'shrinking\.npz: truncated or damaged'):
        source.at(0)


def test_the_command_trains_says_what_is_read_and_refuses_to_mix(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ['--hidden', '8', '--batch', '4', '--steps', '4', '--seeds', '1', '--every', '4']
    assert main(['train', 'iql', '--data', str(path), '--stream', *small]) == 0
    said = capsys.readouterr().out
    assert 'all of it fits into the buffer' in said
    assert RunDir.find('runs/iql-0001').read('config.json')['settings']['stream'] is True
    assert main(['train', 'iql', '--data', str(path), '--stream', '--holdout', '0.1', *small]) == 2
    assert 'leave --stream out' in capsys.readouterr().err

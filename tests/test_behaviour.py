import json
import os

import fakes
import numpy as np
import pytest

from stitchrl.errors import UsageError
from stitchrl.report.behaviour import behaviour, imitation


@pytest.fixture
def data(tmp_path):
    return fakes.write(tmp_path / 'walks.npz', fakes.recording())


def test_the_recording_is_found_where_the_run_found_it(tmp_path, data):
    known = behaviour(fakes.run(tmp_path / 'iql', data=data))
    assert (known.episodes, known.mean, known.most) == (20, pytest.approx(0.1), 1.0)
    assert len(known.columns) == 100
    assert 'fingerprint is the one' in known.note


def test_without_its_file_the_run_still_knows_the_returns(tmp_path, data):
    run = fakes.run(tmp_path / 'iql', data=data)
    moved = data.rename(tmp_path / 'moved.npz')
    known = behaviour(run)
    assert (known.columns, known.episodes, known.mean) == (None, 20, pytest.approx(0.1))
    assert 'is not there any more; --data PATH' in known.note
    assert behaviour(run, str(moved)).columns is not None


def test_what_was_read_in_blocks_is_not_taken_into_memory_unasked(tmp_path, data):
    run = fakes.run(tmp_path / 'iql', data=data)
    config = run.read('config.json')
    run.write('config.json', config | {'settings': config['settings'] | {'stream': True}})
    known = behaviour(run)
    assert (known.columns, known.episodes) == (None, 20)
    assert 'read in blocks while learning' in known.note
    assert behaviour(run, str(data)).columns is not None


def test_another_recording_is_not_taken_for_it(tmp_path, data):
    run = fakes.run(tmp_path / 'iql', data=data)
    fakes.write(data, fakes.recording(seed=1))
    assert 'is not the recording' in behaviour(run).note
    assert behaviour(run).columns is None
    with pytest.raises(UsageError, match='its fingerprint differs'):
        behaviour(run, str(data))
    data.write_bytes(b'no array')
    assert 'cannot be read any more' in behaviour(run).note


def test_data_from_memory_is_known_by_its_counts(tmp_path, data):
    run = fakes.run(tmp_path / 'iql')
    assert 'data from memory' in behaviour(run).note
    assert 'steps and returns agree' in behaviour(run, str(data)).note
    with pytest.raises(UsageError, match='is not the recording'):
        behaviour(run, str(fakes.write(tmp_path / 'other.npz', fakes.recording(30))))


def test_the_newest_fitting_neighbour_is_the_baseline(tmp_path, data):
    run = fakes.run(tmp_path / 'iql', data=data)
    assert imitation(run) is None
    fakes.run(tmp_path / 'other_place', 'bc', data=data, env='pointmaze/medium')
    fakes.run(tmp_path / 'stopped', 'bc', data=data, state='interrupted')
    fakes.run(tmp_path / 'from_memory', 'bc')
    fakes.run(tmp_path / 'not_bc', 'td3_bc', data=data)
    (tmp_path / 'no_run').mkdir()
    (tmp_path / 'no_run' / 'STATUS.json').write_text('{')
    assert imitation(run) is None
    old, new = (fakes.run(tmp_path / name, 'bc', data=data) for name in ('z_old', 'a_new'))
    os.utime(old.path / 'STATUS.json', (1, 1))
    assert imitation(run).name == 'a_new'
    assert imitation(run, str(old.path)).name == 'z_old'
    assert imitation(new) is None


def test_a_control_with_shuffled_rewards_is_no_baseline(tmp_path, data):
    run, other = fakes.run(tmp_path / 'iql', data=data), fakes.run(tmp_path / 'bc', 'bc', data=data)
    config = other.read('config.json')
    config['settings']['shuffle_rewards'] = True
    (other.path / 'config.json').write_text(json.dumps(config))
    assert imitation(run) is None
    assert np.isfinite(behaviour(run).mean)

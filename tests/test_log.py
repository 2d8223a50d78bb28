"""metrics.jsonl, eval.jsonl and the TensorBoard events of a run."""

import json

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from stitchrl.loops.chunk import Chunk
from stitchrl.runs.directory import RunDir
from stitchrl.runs.log import Events, number


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path)


def chunk(step, **info):
    """Of two seeds."""
    return Chunk(step, None, {name.replace('_', '/'): np.float32(values) for name, values in info.items()}, None, 0)


def scalars(run):
    """(name, step, value) of every scalar in events/, read by the records' own framing: length, crc, bytes, crc."""
    found = []
    for path in sorted((run.path / 'events').iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            size = int.from_bytes(content[at : at + 8], 'little')
            event = Event.FromString(content[at + 12 : at + 12 + size])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            at += 16 + size
    return found


def test_a_row_per_seed_with_the_mean_over_seeds_in_the_events(run):
    with Events(run) as log:
        log.metrics(chunk(50, actor_loss=[1, 3], q_gap=[-1, 0.5]), 7)
        log.metrics(chunk(100, actor_loss=[0, 1]), 7)
    rows = run.rows('metrics.jsonl')
    seconds = [row.pop('seconds') for row in rows]
    assert rows == [
        {'step': 50, 'seed': 7, 'actor/loss': 1.0, 'q/gap': -1.0},
        {'step': 50, 'seed': 8, 'actor/loss': 3.0, 'q/gap': 0.5},
        {'step': 100, 'seed': 7, 'actor/loss': 0.0},
        {'step': 100, 'seed': 8, 'actor/loss': 1.0},
    ]
    assert 0 <= seconds[0] == seconds[1] <= seconds[2] == seconds[3] < 60
    assert scalars(run) == [('actor/loss', 50, 2.0), ('q/gap', 50, -0.25), ('actor/loss', 100, 0.5)]


def test_values_that_are_not_finite_stay_json(run):
    """`NaN` is no JSON; a strict reader must still get through the file."""
    with Events(run) as log:
        log.metrics(chunk(1, actor_loss=[np.nan, -np.inf]), 0)
    strict = lambda word: pytest.fail(f'{word} is not JSON')
    rows = [json.loads(line, parse_constant=strict) for line in (run.path / 'metrics.jsonl').read_text().splitlines()]
    assert [row['actor/loss'] for row in rows] == ['nan', '-inf']


@pytest.mark.parametrize(('value', 'written'), [(0.1, 0.1), (np.float32(0.5), 0.5), (np.nan, 'nan'), (np.inf, 'inf')])
def test_numbers_and_words(value, written):
    assert number(value) == written
    assert type(number(value)) is type(written)


def test_episodes_are_rows_as_they_are_and_means_in_the_events(run):
    rows = [
        {'step': 50, 'seed': s, 'episode': e, 'return': float(s + e), 'length': 10, 'success': e == 0}
        for s in (0, 1)
        for e in (0, 1)
    ]
    with Events(run) as log:
        log.episodes(rows, 50)
    assert run.rows('eval.jsonl') == rows
    assert scalars(run) == [('eval/return', 50, 1.0), ('eval/length', 50, 10.0), ('eval/success', 50, 0.5)]


def test_without_success_none_is_made_up(run):
    with Events(run) as log:
        log.episodes([{'step': 1, 'seed': 0, 'episode': 0, 'return': 2.0, 'length': 3}], 1)
    assert [name for name, _, _ in scalars(run)] == ['eval/return', 'eval/length']
    assert 'success' not in run.rows('eval.jsonl')[0]


def test_the_events_are_closed_when_a_run_fails(run):
    def fail():
        with Events(run) as log:
            log.metrics(chunk(50, actor_loss=[1, 3]), 0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert scalars(run) == [('actor/loss', 50, 2.0)]


@pytest.mark.parametrize('broken', ['never opened', 'while it writes'])
def test_a_run_goes_on_without_its_events(run, broken, monkeypatch):
    if broken == 'never opened':
        (run.path / 'events').touch()
    with Events(run) as log:
        if broken == 'while it writes':
            monkeypatch.setattr('os.fsync', lambda _: (_ for _ in ()).throw(OSError(28, 'No space left on device')))
        for step in (1, 2, 3):
            log.metrics(chunk(step, actor_loss=[1, 3]), 0)
    assert [row['step'] for row in run.rows('metrics.jsonl')] == [1, 1, 2, 2, 3, 3]
    said = (run.path / 'log.txt').read_text().splitlines()
    assert len(said) == 1
    assert 'TensorBoard events: ' in said[0]

"""Parts and unions keep whole episodes, their values and their order."""

from collections import Counter
from dataclasses import replace

import numpy as np
import planted
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stitchrl.data import edit, order
from stitchrl.data.check import fingerprint
from stitchrl.data.dataset import Dataset
from stitchrl.data.draft import ROWS, take
from stitchrl.data.episodes import episode_ends
from stitchrl.errors import BadData, UsageError

N = planted.N


def bits(columns, fields=ROWS):
    """The episodes, each as its bits, in order."""
    there = [getattr(columns, field) for field in fields if getattr(columns, field) is not None]
    return [tuple(x[rows].tobytes() for x in there) for rows in order.pieces(episode_ends(columns))]


@st.composite
def recordings(draw, successors=None):
    """Random episodes; the last may stop in the middle, next_observations may be missing."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=2, max_size=12))
    n = sum(lengths)
    g = np.random.default_rng(draw(st.integers(0, 2**31)))
    ends = np.isin(np.arange(n), np.cumsum(lengths) - 1)
    task = ends & (g.random(n) < 0.5)
    timeout = ends & ~task
    timeout[-1] &= draw(st.booleans())
    with_next = draw(st.booleans()) if successors is None else successors
    obs, after = g.normal(size=(2, n, 3)).astype(np.float32)
    inside = np.flatnonzero(~ends)
    obs[inside + 1] = after[inside]
    return planted.Columns(
        obs,
        g.uniform(-1, 1, (n, 2)).astype(np.float32),
        g.integers(-3, 4, n).astype(np.float32),
        task,
        timeout,
        after if with_next else None,
        episode=np.repeat(np.arange(len(lengths)), lengths),
    )


@given(recordings(), st.floats(0.01, 0.99), st.integers(0, 5))
def test_split_then_merge_gives_the_same_episodes(columns, fraction, seed):
    rest, held = edit.split(columns, fraction, seed)
    both = edit.merge([rest, held], ['a', 'b'])
    assert Counter(bits(both)) == Counter(bits(edit.marked(columns)))
    assert len(rest) + len(held) == len(columns)
    assert min(len(bits(rest)), len(bits(held))) >= 1
    place = bits(edit.marked(columns)).index
    assert [place(e) for e in bits(rest)] == sorted(place(e) for e in bits(rest))


def test_split_holds_out_the_episodes_that_a_dataset_does():
    rest, held = edit.split(planted.healthy(), 0.3, 7)
    ours = [Dataset.from_columns(part).obs for part in (rest, held)]
    theirs = Dataset.from_columns(planted.healthy()).split(0.3, 7)
    assert all(np.array_equal(a, b.obs) for a, b in zip(ours, theirs, strict=True))
    assert fingerprint(edit.split(planted.healthy(), 0.3, 8)[1]) != fingerprint(held)


@given(recordings(successors=True), st.integers(-10, 10), st.floats(0.01, 1))
def test_filter_by_return_agrees_with_a_dataset(columns, least, best):
    data = Dataset.from_columns(columns)
    assert edit.returns(columns).tolist() == data.returns().tolist()
    numbers = np.flatnonzero(data.returns() >= least)
    if len(numbers):
        kept = edit.keep(columns, edit.chosen(columns, min_return=least))
        assert np.array_equal(Dataset.from_columns(kept).obs, data.keep(numbers).obs)
    kept = edit.keep(columns, edit.chosen(columns, best=best))
    assert np.array_equal(Dataset.from_columns(kept).obs, data.best(best).obs)


def test_returns_without_successors_are_those_of_a_dataset():
    columns = planted.healthy(next_obs=None, reward=np.ones(N, np.float32))
    assert edit.returns(columns).tolist() == Dataset.from_columns(columns).returns().tolist()
    assert edit.returns(columns).tolist() == [20, 35, 50, 40, 29, 60, 25, 15, 79, 45]


@given(recordings(), st.data())
def test_what_is_kept_is_kept_bit_by_bit(columns, data):
    every = bits(edit.marked(columns))
    wanted = np.array(data.draw(st.lists(st.booleans(), min_size=len(every), max_size=len(every))))
    assert bits(edit.keep(columns, wanted)) == [e for e, want in zip(every, wanted, strict=True) if want]


def test_conditions_together():
    steps = np.array(planted.LENGTHS)
    columns = planted.healthy(reward=np.ones(N, np.float32))
    told = lambda **asked: steps[edit.chosen(columns, **asked)].tolist()
    assert told() == steps.tolist()
    assert told(min_length=45) == [50, 60, 80, 45]
    assert told(min_length=45, best=0.5) == [60, 80]
    assert told(episodes=slice(3, 6)) == [41, 29, 60]
    assert told(episodes=slice(0, 8), min_return=41) == [50, 41, 60]
    assert told(best=0.01) == [80]


def test_an_end_that_nobody_marked_is_marked_before_it_gets_a_neighbour():
    columns = planted.DEFECTS['stops in the middle'][0]
    both = edit.merge([replace(columns, next_obs=None)] * 2, ['a', 'b'])
    assert np.flatnonzero(episode_ends(both)).tolist() == [*planted.STOPS, *planted.STOPS + N]


def test_episode_numbers_stay_apart():
    parts = [edit.keep(planted.healthy(), np.array(numbers)) for numbers in ([0, 1], [1, 2], [7])]
    both = edit.merge(parts, ['a', 'b', 'c'])
    assert list(dict.fromkeys(both.episode.tolist())) == [0, 1, 2, 3, 7]
    half = replace(parts[1], episode=None, time=None)
    joined = edit.merge([parts[0], half], ['a', 'b'])
    assert joined.episode is None
    assert joined.time is None


def test_a_part_without_timeouts_has_none():
    one = edit.keep(planted.healthy(), np.array([0, 1]))
    both = edit.merge([replace(one, timeout=None), one], ['a', 'b'])
    assert both.timeout.tolist() == [False] * 110
    assert edit.merge([replace(one, timeout=None)] * 2, ['a', 'b']).timeout is None


DIFFERENT = {
    'observations (float32 N x 4 and float32 N x 3)': {'obs': planted.healthy().obs[:, :3], 'next_obs': None},
    'actions (float32 N x 2 and int32 N)': {'action': np.zeros(N, np.int32)},
    'next_observations (float32 N x 4 and no such column)': {'next_obs': None},
    'action bounds ((-1.0, -1.0) to (1.0, 1.0) and none stated': {'low': None, 'high': None},
    'action bounds ((-1.0, -1.0) to (1.0, 1.0) and (-2.0, -2.0)': {'low': (-2.0, -2.0)},
}


@pytest.mark.parametrize('words', DIFFERENT)
def test_what_does_not_belong_together_is_named(words):
    with pytest.raises(BadData) as caught:
        edit.merge([planted.healthy(), planted.healthy(**DIFFERENT[words])], ['one.npz', 'two.npz'])
    assert str(caught.value).startswith('one.npz and two.npz differ in ')
    assert words in str(caught.value)


def test_drop_dims():
    columns = edit.drop_dims(planted.healthy(), [0, 2])
    assert np.array_equal(columns.obs, planted.healthy().obs[:, [1, 3]])
    assert np.array_equal(columns.next_obs, planted.healthy().next_obs[:, [1, 3]])
    assert edit.drop_dims(planted.healthy(next_obs=None), [3]).next_obs is None


@pytest.mark.parametrize(
    ('words', 'request_'),
    [
        ('observations have dimensions 0 to 3', lambda c: edit.drop_dims(c, [4])),
        ('at least one dimension', lambda c: edit.drop_dims(c, [0, 1, 2, 3])),
        ('no rows of numbers', lambda c: edit.drop_dims(planted.images(planted.PIXELS), [0])),
        ('between 0 and 1', lambda c: edit.split(c, 1.0, 0)),
        ('one episode cannot be split', lambda c: edit.split(take(c, np.arange(20)), 0.5, 0)),
        ('lies in', lambda c: edit.chosen(c, best=0)),
        ('no episode is left of 10 episodes of 15 to 80 steps', lambda c: edit.chosen(c, min_length=81)),
    ],
)
def test_requests_that_cannot_be_meant(words, request_):
    with pytest.raises(UsageError, match=words):
        request_(planted.healthy())


def test_a_range_that_was_only_seen():
    free = planted.healthy(low=None, high=None)
    assert not edit.assumed(free)
    assert edit.assumed(replace(free, action=3 * free.action))
    assert not edit.assumed(planted.healthy())

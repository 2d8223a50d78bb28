"""A repaired copy has no error left, keeps every bit of what nothing was wrong with, and is not changed by more."""

from dataclasses import replace

import numpy as np
import planted
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stitchrl.data import order
from stitchrl.data.check import check, fingerprint
from stitchrl.data.draft import ROWS
from stitchrl.data.episodes import episode_ends
from stitchrl.data.repair import Asked, repair
from stitchrl.errors import BadData

N, STOPS = planted.N, planted.STOPS
EVERY = Asked(time_limits=True, copies=True, constants=True, cut=False)

REFUSED = {  # defect -> words of the refusal; all other defects can be mended
    'action far outside': 'lies outside',
    'choice below 0': 'no choice',
    'integers in a bounded space': 'these actions are choices',
    'a wider successor': '400 x 5',
    'one observation too many': '401 rows',
    'rewards too short': '391 rows',
    'two rewards per step': '400 x 2',
    'text as rewards': 'dtype is <U1',
    'flags that are numbers': 'dtype is float64',
    'times too short': '399 rows',
    'swapped axes': 'the axes are swapped',
    'swapped axes of actions': 'the axes are swapped',
    'no rows': 'no rows',
    'no end anywhere': 'no end of an episode',
}


def errors(columns):
    return [finding for finding in check(columns) if finding.severity == 'error']


def prints(columns):
    """The episodes, each as its bits."""
    return [bits(columns, rows) for rows in order.pieces(episode_ends(columns))]


def bits(columns, rows):
    return tuple(getattr(columns, field)[rows].tobytes() for field in ROWS if has(columns, field))


def same(a, b):
    """Bit by bit, the recorder's numbers and times too."""
    told = [(getattr(a, f), getattr(b, f)) for f in ('episode', 'time')]
    return fingerprint(a) == fingerprint(b) and all(x is y or np.array_equal(x, y, equal_nan=True) for x, y in told)


def what(changes):
    return [change.what for change in changes]


def test_nothing_is_done_to_a_healthy_recording():
    for asked in (None, EVERY):
        mended, changes = repair(planted.healthy(), asked=asked)
        assert same(mended, planted.healthy())
        assert changes == []


@pytest.mark.parametrize('name', planted.DEFECTS)
def test_a_planted_defect_is_mended_or_refused_by_name(name):
    columns = planted.DEFECTS[name][0]
    before = {f: getattr(columns, f).copy() for f in ROWS if getattr(columns, f) is not None}
    if name in REFUSED:
        with pytest.raises(BadData, match=r'--fix cannot mend') as caught:
            repair(columns)
        assert REFUSED[name] in str(caught.value)
    else:
        mended, changes = repair(columns)
        assert errors(mended) == []
        again, more = repair(mended)
        assert same(again, mended)
        assert more == []
        assert changes or not errors(columns)
    for field, x in before.items():
        np.testing.assert_array_equal(getattr(columns, field), x)  # the source is as it was


def test_episodes_with_nan_go_and_the_rest_keeps_every_bit():
    mended, changes = repair(planted.spoilt([25, 26, 200], np.nan, 'reward'))
    whole = planted.healthy()
    gone = np.isin(whole.episode, [1, 5])
    for field in ROWS:
        assert np.array_equal(getattr(mended, field), getattr(whole, field)[~gone])
    (change,) = changes
    assert (change.field, change.count, change.before, change.after) == ('rewards', 95, N, N - 95)
    assert change.rows == ((20, 55), (175, 235))
    assert '3 rows' in change.what


def test_cut_keeps_what_lies_before_the_first_nan():
    mended, changes = repair(planted.spoilt(([25, 30], 1), np.nan, 'obs'), asked=Asked(cut=True))
    assert len(mended) == N - 30
    assert mended.timeout[24]
    assert np.array_equal(mended.obs[:25], planted.healthy().obs[:25])
    assert [change.rows for change in changes] == [((24, 25),), ((25, 55),)]
    nothing_before, _ = repair(planted.spoilt((20, 1), np.nan, 'obs'), asked=Asked(cut=True))
    assert len(nothing_before) == N - 35


def test_nothing_would_be_left():
    with pytest.raises(BadData, match='nothing would be left'):
        repair(planted.healthy(reward=np.full(N, np.nan, np.float32)))


@pytest.mark.parametrize('bound', [1.0, 0.1, 0.3])
def test_rounding_is_clipped_to_bounds_of_any_fineness(bound):
    columns = planted.healthy(low=(-bound,) * 2, high=(bound,) * 2)
    columns = replace(columns, action=(columns.action * np.float32(bound)))
    columns.action[[7, 70], 1] = np.float32(bound * (1 + 1e-6))
    mended, changes = repair(columns)
    assert [change.rows for change in changes] == [((7, 8), (70, 71))]
    assert [finding for finding in check(mended) if 'outside' in finding.what] == []
    last = mended.action[7, 1]
    assert (
        float(last) <= bound < float(np.nextafter(last, np.float32(2)))
    )  # not outside, and no further in than need be
    rest = np.delete(np.arange(N), [7, 70])
    assert np.array_equal(mended.action[rest], columns.action[rest])


def test_bounds_that_are_given_are_kept_in_the_copy():
    mended, changes = repair(planted.healthy(low=None, high=None), -2, [2, 3])
    assert (mended.low, mended.high) == ((-2, -2), (2, 3))
    assert 'bounds stated' in changes[0].what


def test_shuffled_rows_are_sorted_by_number_and_time():
    torn = planted.reordered(planted.SHUFFLED)
    runs = np.r_[np.diff(torn.episode) != 0, True]
    torn = replace(torn, timeout=torn.timeout | (runs & ~torn.terminal))  # as readers mark each change of the number
    mended, changes = repair(torn)
    assert same(mended, planted.healthy())
    assert what(changes) == ['rows sorted by number and time']


def test_recordings_with_the_same_numbers_and_times_stay_apart():
    g = np.random.default_rng(5)
    one = planted.reordered(np.arange(105))
    two = replace(one, reward=g.normal(size=105).astype(np.float32))
    both = replace(one, **{f: np.concatenate([getattr(one, f), getattr(two, f)]) for f in ROWS})
    mended, changes = repair(both)
    assert mended.episode.tolist() == np.repeat(np.arange(6), [20, 35, 50] * 2).tolist()
    assert fingerprint(mended) == fingerprint(both)
    assert len(changes) == 1


def test_an_episode_with_the_same_number_twice_goes():
    mended, changes = repair(planted.reordered(planted.TWICE))
    assert same(mended, planted.healthy())
    assert changes[0].rows == ((N, N + 20),)


def test_what_could_mean_two_things_is_refused():
    both = planted.reordered(np.r_[np.arange(105), np.arange(105)])
    later = replace(both, time=both.time + np.repeat([0, 0.0101], 105), next_obs=None)
    with pytest.raises(BadData, match='overlap in time'):
        repair(later)
    with pytest.raises(BadData, match='neither times nor next_observations'):
        repair(planted.reordered(planted.SHUFFLED, time=None, next_obs=None))
    with pytest.raises(BadData, match='not finite'):
        repair(replace(planted.reordered(planted.SHUFFLED), time=np.full(N, np.nan)))
    with pytest.raises(BadData, match='the same number and time'):
        repair(planted.reordered(planted.SHUFFLED, time=np.floor(planted.healthy().time)))
    with pytest.raises(BadData, match='nothing says where episodes stop'):
        repair(replace(planted.rolled(-1), **planted.NO_FLAGS, episode=None, time=None))


def test_a_clock_that_its_successors_contradict_is_not_sorted_by():
    time = planted.healthy().time
    time[60:100] = time[60:100][::-1]
    with pytest.raises(BadData, match='fewer rows are followed by their next_observations'):
        repair(planted.healthy(time=time))


def test_one_end_has_one_flag_and_steps_without_successor_go():
    mended, changes = repair(planted.DEFECTS['both flags'][0])
    assert fingerprint(mended) == fingerprint(planted.healthy())
    assert [change.rows for change in changes] == [((19, 20), (54, 55))]
    alone = replace(planted.spoilt([54, 55], True, 'timeout'), next_obs=None, episode=None, time=None)
    mended, changes = repair(replace(alone, terminal=alone.terminal & (np.arange(N) != 54)))
    assert what(changes) == ['an episode of one step that has no successor; left out']
    assert np.array_equal(mended.obs, np.delete(planted.healthy().obs, 55, axis=0))


def test_a_clock_that_jumps_cuts_the_episode():
    mended, _ = repair(planted.DEFECTS['a gap in the clock'][0])
    assert np.flatnonzero(mended.timeout).tolist() == sorted([120, *planted.CUT])
    assert mended.episode[[120, 121, 145, 146]].tolist() == [3, 10, 10, 4]
    assert errors(mended) == []


def test_on_request_only():
    limits, copies, flat = (
        planted.DEFECTS[name][0]
        for name in ('time limits as terminals', 'an episode that is there twice', 'a constant dimension')
    )
    for columns in (limits, copies, flat):
        assert fingerprint(repair(columns)[0]) == fingerprint(columns)
    mended, _ = repair(limits, asked=Asked(time_limits=True))
    assert np.flatnonzero(mended.terminal).tolist() == [219, 249]
    assert np.flatnonzero(mended.timeout).tolist() == [49, 99, 149, 199, 299, 349, 399]
    assert fingerprint(repair(copies, asked=Asked(copies=True))[0]) == fingerprint(planted.healthy())
    mended, _ = repair(flat, asked=Asked(constants=True))
    assert np.array_equal(mended.obs, planted.healthy().obs[:, [0, 1, 3]])
    assert mended.next_obs.shape == (N, 3)


@st.composite
def plants(draw):
    """A random recording with random defects, and the numbers of the episodes that have none."""
    lengths = draw(st.lists(st.integers(2, 12), min_size=2, max_size=8))
    n, stops = sum(lengths), np.cumsum(lengths) - 1
    episode = np.repeat(np.arange(len(lengths)), lengths)
    g = np.random.default_rng(draw(st.integers(0, 2**31)))
    after, obs = g.normal(size=(2, n, 2)).astype(np.float32)
    inside = np.flatnonzero(np.r_[np.diff(episode) == 0, False])
    obs[inside + 1] = after[inside]
    ends = np.isin(np.arange(n), stops)
    task = ends & (g.random(n) < 0.5)
    columns = planted.Columns(
        obs,
        g.uniform(-1, 1, (n, 1)).astype(np.float32),
        g.normal(size=n).astype(np.float32),
        task,
        ends & ~task,
        after if draw(st.booleans()) else None,
        low=(-1.0,),
        high=(1.0,),
        episode=episode if draw(st.booleans()) else None,
        time=0.1 * np.arange(n) if draw(st.booleans()) else None,
    )
    fields = ['reward', 'obs', 'action'] + ['next_obs'] * (columns.next_obs is not None)
    spoiled = set()
    for field, where, value in draw(
        st.lists(st.tuples(st.sampled_from(fields), st.integers(0, n - 1), st.sampled_from([np.nan, np.inf, -np.inf])))
    ):
        getattr(columns, field)[where] = value
        spoiled.add(int(episode[where]))
    for where in draw(st.lists(st.integers(0, n - 1), max_size=3)):
        columns.action[where] = np.float32(1 + 1e-6)  # by rounding
        spoiled.add(int(episode[where]))
    for where in draw(st.lists(st.sampled_from(stops.tolist()), max_size=3)):
        columns.timeout[where] = True  # maybe beside a terminal
        spoiled.add(int(episode[where]))
    if columns.episode is not None and draw(st.booleans()):
        columns.timeout[stops[0]] = columns.terminal[stops[0]] = False  # only the number says so
        spoiled.add(0)
    if columns.episode is not None and columns.time is not None and draw(st.booleans()):
        columns = replace(
            columns, **{f: getattr(columns, f)[rows] for rows in [g.permutation(n)] for f in ROWS if has(columns, f)}
        )
    return columns, spoiled


def has(columns, field):
    return getattr(columns, field) is not None


@settings(max_examples=150)
@given(plants(), st.booleans())
def test_random_defects(plant, cut):
    columns, spoiled = plant
    healthy_ones = untouched(columns, spoiled)
    try:
        mended, _ = repair(columns, asked=Asked(cut=cut))
    except BadData as refusal:
        shuffled = columns.episode is not None and (np.diff(columns.episode) < 0).any()
        words = ('nothing would be left', 'overlap in time')
        assert [not healthy_ones, shuffled][[word in str(refusal) for word in words].index(True)]  # noqa: PT017
        return
    assert errors(mended) == []
    again, more = repair(mended, asked=Asked(cut=cut))
    assert same(again, mended)
    assert more == []
    assert set(healthy_ones) <= set(prints(mended))


def untouched(columns, spoiled):
    """The episodes without a defect, in the order of time where rows were shuffled."""
    number = columns.episode
    if number is None:
        ends = columns.terminal | columns.timeout
        number = np.cumsum(np.r_[False, ends[:-1]])
    elif columns.time is not None:
        rows = np.lexsort((columns.time, number))
        columns = replace(columns, **{f: getattr(columns, f)[rows] for f in ROWS if has(columns, f)})
        number = columns.episode
    found = []
    for e in np.setdiff1d(np.unique(number), list(spoiled)):
        rows = np.flatnonzero(number == e)
        found.append(bits(columns, slice(rows[0], rows[-1] + 1)))
    return found

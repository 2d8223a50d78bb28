"""Where episodes stop and what is sampled from them: a table worked by hand, properties of any recording."""

from collections import namedtuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from stitchrl.core.spec import Continuous, Discrete
from stitchrl.data.columns import Columns
from stitchrl.data.dataset import Dataset
from stitchrl.errors import BadData, UsageError

GAMMA = 0.5  # powers of two throughout, so that every expected number is exact
X = None  # a cell of the table that nobody reads: mask on a final row

Case = namedtuple('Case', 'obs next_obs terminal timeout rows mask ends steps windows')

# Rewards are 1, 2, 4, 8, 16, row by row, so a sum says which rows are in it. `steps[n]` lists transitions
# over up to n steps, (obs, reward, next_obs, mask, discount); `windows` those of 3 rows, (obs, ends, inside).
CASES = {
    'terminal': Case(
        obs=[0, 1, 2, 10, 11],
        next_obs=[1, 2, 3, 11, 12],
        terminal=[0, 0, 1, 0, 1],
        timeout=[0, 0, 0, 0, 0],
        rows=[0, 1, 2, 3, 10, 11, 12],
        mask=[1, 1, 0, X, 1, 0, X],
        ends=[0, 0, 0, 1, 0, 0, 1],
        steps={
            1: [
                (0, 1, 1, 1, 0.5),
                (1, 2, 2, 1, 0.5),
                (2, 4, 3, 0, 0),
                (10, 8, 11, 1, 0.5),
                (11, 16, 12, 0, 0),
            ],
            2: [(0, 2, 2, 1, 0.25), (1, 4, 3, 0, 0), (2, 4, 3, 0, 0), (10, 16, 12, 0, 0), (11, 16, 12, 0, 0)],
            3: [(0, 3, 3, 0, 0), (1, 4, 3, 0, 0), (2, 4, 3, 0, 0), (10, 16, 12, 0, 0), (11, 16, 12, 0, 0)],
        },
        windows=[
            ([0, 1, 2], [0, 0, 0], [1, 1, 1]),
            ([1, 2, 3], [0, 0, 1], [1, 1, 1]),
            ([2, 3, 3], [0, 1, 1], [1, 1, 0]),
            ([10, 11, 12], [0, 0, 1], [1, 1, 1]),
            ([11, 12, 12], [0, 1, 1], [1, 1, 0]),
        ],
    ),
    'timeout': Case(
        obs=[0, 1, 2, 10, 11],
        next_obs=[1, 2, 3, 11, 12],
        terminal=[0, 0, 0, 0, 0],
        timeout=[0, 0, 1, 0, 1],
        rows=[0, 1, 2, 3, 10, 11, 12],
        mask=[1, 1, 1, X, 1, 1, X],
        ends=[0, 0, 0, 1, 0, 0, 1],
        steps={
            1: [
                (0, 1, 1, 1, 0.5),
                (1, 2, 2, 1, 0.5),
                (2, 4, 3, 1, 0.5),
                (10, 8, 11, 1, 0.5),
                (11, 16, 12, 1, 0.5),
            ],
            2: [
                (0, 2, 2, 1, 0.25),
                (1, 4, 3, 1, 0.25),
                (2, 4, 3, 1, 0.5),
                (10, 16, 12, 1, 0.25),
                (11, 16, 12, 1, 0.5),
            ],
            3: [
                (0, 3, 3, 1, 0.125),
                (1, 4, 3, 1, 0.25),
                (2, 4, 3, 1, 0.5),
                (10, 16, 12, 1, 0.25),
                (11, 16, 12, 1, 0.5),
            ],
        },
        windows=[
            ([0, 1, 2], [0, 0, 0], [1, 1, 1]),
            ([1, 2, 3], [0, 0, 1], [1, 1, 1]),
            ([2, 3, 3], [0, 1, 1], [1, 1, 0]),
            ([10, 11, 12], [0, 0, 1], [1, 1, 1]),
            ([11, 12, 12], [0, 1, 1], [1, 1, 0]),
        ],
    ),
    'both on one row: the task ended': Case(
        obs=[0, 1, 10],
        next_obs=[1, 2, 11],
        terminal=[0, 1, 0],
        timeout=[0, 1, 1],
        rows=[0, 1, 2, 10, 11],
        mask=[1, 0, X, 1, X],
        ends=[0, 0, 1, 0, 1],
        steps={
            1: [(0, 1, 1, 1, 0.5), (1, 2, 2, 0, 0), (10, 4, 11, 1, 0.5)],
            2: [(0, 2, 2, 0, 0), (1, 2, 2, 0, 0), (10, 4, 11, 1, 0.5)],
            3: [(0, 2, 2, 0, 0), (1, 2, 2, 0, 0), (10, 4, 11, 1, 0.5)],
        },
        windows=[
            ([0, 1, 2], [0, 0, 1], [1, 1, 1]),
            ([1, 2, 2], [0, 1, 1], [1, 1, 0]),
            ([10, 11, 11], [0, 1, 1], [1, 1, 0]),
        ],
    ),
    'neither: the recording stops in the middle': Case(
        obs=[0, 10, 11],
        next_obs=[1, 11, 12],
        terminal=[1, 0, 0],
        timeout=[0, 0, 0],
        rows=[0, 1, 10, 11, 12],
        mask=[0, X, 1, 1, X],
        ends=[0, 1, 0, 0, 1],
        steps={
            1: [(0, 1, 1, 0, 0), (10, 2, 11, 1, 0.5), (11, 4, 12, 1, 0.5)],
            2: [(0, 1, 1, 0, 0), (10, 4, 12, 1, 0.25), (11, 4, 12, 1, 0.5)],
            3: [(0, 1, 1, 0, 0), (10, 4, 12, 1, 0.25), (11, 4, 12, 1, 0.5)],
        },
        windows=[
            ([0, 1, 1], [0, 1, 1], [1, 1, 0]),
            ([10, 11, 12], [0, 0, 1], [1, 1, 1]),
            ([11, 12, 12], [0, 1, 1], [1, 1, 0]),
        ],
    ),
    'no flags at all, but row 1 does not lead to row 2': Case(
        obs=[0, 1, 10],
        next_obs=[1, 2, 11],
        terminal=[0, 0, 0],
        timeout=None,
        rows=[0, 1, 2, 10, 11],
        mask=[1, 1, X, 1, X],
        ends=[0, 0, 1, 0, 1],
        steps={
            1: [(0, 1, 1, 1, 0.5), (1, 2, 2, 1, 0.5), (10, 4, 11, 1, 0.5)],
            2: [(0, 2, 2, 1, 0.25), (1, 2, 2, 1, 0.5), (10, 4, 11, 1, 0.5)],
            3: [(0, 2, 2, 1, 0.25), (1, 2, 2, 1, 0.5), (10, 4, 11, 1, 0.5)],
        },
        windows=[
            ([0, 1, 2], [0, 0, 1], [1, 1, 1]),
            ([1, 2, 2], [0, 1, 1], [1, 1, 0]),
            ([10, 11, 11], [0, 1, 1], [1, 1, 0]),
        ],
    ),
    'one-step episodes': Case(
        obs=[0, 10, 20],
        next_obs=[1, 11, 21],
        terminal=[1, 0, 1],
        timeout=[0, 1, 0],
        rows=[0, 1, 10, 11, 20, 21],
        mask=[0, X, 1, X, 0, X],
        ends=[0, 1, 0, 1, 0, 1],
        steps={
            1: [(0, 1, 1, 0, 0), (10, 2, 11, 1, 0.5), (20, 4, 21, 0, 0)],
            2: [(0, 1, 1, 0, 0), (10, 2, 11, 1, 0.5), (20, 4, 21, 0, 0)],
            3: [(0, 1, 1, 0, 0), (10, 2, 11, 1, 0.5), (20, 4, 21, 0, 0)],
        },
        windows=[
            ([0, 1, 1], [0, 1, 1], [1, 1, 0]),
            ([10, 11, 11], [0, 1, 1], [1, 1, 0]),
            ([20, 21, 21], [0, 1, 1], [1, 1, 0]),
        ],
    ),
    # Without next_obs: what followed a terminal does not matter (mask 0) and its own observation stands in;
    # the last step before a cut has no successor and becomes the final row, its reward lost.
    'terminal, without next_obs': Case(
        obs=[0, 1, 2, 10, 11],
        next_obs=None,
        terminal=[0, 0, 1, 0, 1],
        timeout=[0, 0, 0, 0, 0],
        rows=[0, 1, 2, 2, 10, 11, 11],
        mask=[1, 1, 0, X, 1, 0, X],
        ends=[0, 0, 0, 1, 0, 0, 1],
        steps={
            1: [
                (0, 1, 1, 1, 0.5),
                (1, 2, 2, 1, 0.5),
                (2, 4, 2, 0, 0),
                (10, 8, 11, 1, 0.5),
                (11, 16, 11, 0, 0),
            ],
            2: [(0, 2, 2, 1, 0.25), (1, 4, 2, 0, 0), (2, 4, 2, 0, 0), (10, 16, 11, 0, 0), (11, 16, 11, 0, 0)],
            3: [(0, 3, 2, 0, 0), (1, 4, 2, 0, 0), (2, 4, 2, 0, 0), (10, 16, 11, 0, 0), (11, 16, 11, 0, 0)],
        },
        windows=[
            ([0, 1, 2], [0, 0, 0], [1, 1, 1]),
            ([1, 2, 2], [0, 0, 1], [1, 1, 1]),
            ([2, 2, 2], [0, 1, 1], [1, 1, 0]),
            ([10, 11, 11], [0, 0, 1], [1, 1, 1]),
            ([11, 11, 11], [0, 1, 1], [1, 1, 0]),
        ],
    ),
    'timeout, without next_obs': Case(
        obs=[0, 1, 2, 10, 11],
        next_obs=None,
        terminal=[0, 0, 0, 0, 0],
        timeout=[0, 0, 1, 0, 1],
        rows=[0, 1, 2, 10, 11],
        mask=[1, 1, X, 1, X],
        ends=[0, 0, 1, 0, 1],
        steps={
            1: [(0, 1, 1, 1, 0.5), (1, 2, 2, 1, 0.5), (10, 8, 11, 1, 0.5)],
            2: [(0, 2, 2, 1, 0.25), (1, 2, 2, 1, 0.5), (10, 8, 11, 1, 0.5)],
            3: [(0, 2, 2, 1, 0.25), (1, 2, 2, 1, 0.5), (10, 8, 11, 1, 0.5)],
        },
        windows=[
            ([0, 1, 2], [0, 0, 1], [1, 1, 1]),
            ([1, 2, 2], [0, 1, 1], [1, 1, 0]),
            ([10, 11, 11], [0, 1, 1], [1, 1, 0]),
        ],
    ),
    'both on one row, without next_obs: the task ended and no step is lost': Case(
        obs=[0, 1, 10, 11],
        next_obs=None,
        terminal=[0, 1, 0, 0],
        timeout=[0, 1, 0, 1],
        rows=[0, 1, 1, 10, 11],
        mask=[1, 0, X, 1, X],
        ends=[0, 0, 1, 0, 1],
        steps={
            1: [(0, 1, 1, 1, 0.5), (1, 2, 1, 0, 0), (10, 4, 11, 1, 0.5)],
            2: [(0, 2, 1, 0, 0), (1, 2, 1, 0, 0), (10, 4, 11, 1, 0.5)],
            3: [(0, 2, 1, 0, 0), (1, 2, 1, 0, 0), (10, 4, 11, 1, 0.5)],
        },
        windows=[
            ([0, 1, 1], [0, 0, 1], [1, 1, 1]),
            ([1, 1, 1], [0, 1, 1], [1, 1, 0]),
            ([10, 11, 11], [0, 1, 1], [1, 1, 0]),
        ],
    ),
    'neither, without next_obs or timeouts': Case(
        obs=[0, 10, 11, 12],
        next_obs=None,
        terminal=[1, 0, 0, 0],
        timeout=None,
        rows=[0, 0, 10, 11, 12],
        mask=[0, X, 1, 1, X],
        ends=[0, 1, 0, 0, 1],
        steps={
            1: [(0, 1, 0, 0, 0), (10, 2, 11, 1, 0.5), (11, 4, 12, 1, 0.5)],
            2: [(0, 1, 0, 0, 0), (10, 4, 12, 1, 0.25), (11, 4, 12, 1, 0.5)],
            3: [(0, 1, 0, 0, 0), (10, 4, 12, 1, 0.25), (11, 4, 12, 1, 0.5)],
        },
        windows=[
            ([0, 0, 0], [0, 1, 1], [1, 1, 0]),
            ([10, 11, 12], [0, 0, 1], [1, 1, 1]),
            ([11, 12, 12], [0, 1, 1], [1, 1, 0]),
        ],
    ),
    'one-step episodes, without next_obs: one that was cut holds nothing': Case(
        obs=[0, 10, 20],
        next_obs=None,
        terminal=[1, 0, 1],
        timeout=[0, 1, 0],
        rows=[0, 0, 20, 20],
        mask=[0, X, 0, X],
        ends=[0, 1, 0, 1],
        steps={n: [(0, 1, 0, 0, 0), (20, 4, 20, 0, 0)] for n in (1, 2, 3)},
        windows=[([0, 0, 0], [0, 1, 1], [1, 1, 0]), ([20, 20, 20], [0, 1, 1], [1, 1, 0])],
    ),
}


def column(values):
    """[N] -> [N, 1] float32, as an observation or an action."""
    return np.asarray(values, np.float32)[:, None]


def load(case):
    """The recording of a case; the action of a row is its observation / 100, so each row has an own one."""
    after = None if case.next_obs is None else column(case.next_obs)
    reward = 2.0 ** np.arange(len(case.obs))
    return Dataset.from_arrays(column(case.obs), column(case.obs) / 100, reward, case.terminal, case.timeout, after)


def drawn(dataset, steps, n=256):
    """Every transition over up to `steps` steps that can be drawn, each once, in time order."""
    batch = jax.tree.map(np.asarray, dataset.sample(jr.key(0), n, steps, GAMMA))
    columns = (batch.obs[:, 0], batch.reward, batch.next_obs[:, 0], batch.mask, batch.discount)
    return sorted(set(zip(*(x.tolist() for x in columns), strict=True)))


@pytest.mark.parametrize('name', CASES)
def test_rows(name):
    case, dataset = CASES[name], load(CASES[name])
    assert dataset.obs[:, 0].tolist() == case.rows
    assert dataset.ends.tolist() == case.ends
    assert [X if end else m for m, end in zip(dataset.mask, case.ends, strict=True)] == case.mask
    assert dataset.starts.tolist() == [row for row, end in enumerate(case.ends) if not end]
    assert len(dataset) == len(dataset.starts)


@pytest.mark.parametrize('name', CASES)
def test_final_rows_hold_only_an_observation(name):
    dataset = load(CASES[name])
    final = dataset.ends > 0
    assert (dataset.action[final] == 0).all()
    assert (dataset.reward[final] == 0).all()
    np.testing.assert_array_equal(dataset.action[~final], dataset.obs[~final] / np.float32(100))


@pytest.mark.parametrize('steps', [1, 2, 3])
@pytest.mark.parametrize('name', CASES)
def test_transitions(name, steps):
    assert drawn(load(CASES[name]), steps) == CASES[name].steps[steps]


@pytest.mark.parametrize('name', CASES)
def test_windows(name):
    windows = jax.tree.map(np.asarray, load(CASES[name]).windows(jr.key(0), 256, 3))
    seen = {
        (tuple(obs), tuple(ends), tuple(inside))
        for obs, ends, inside in zip(windows.obs[..., 0], windows.ends, windows.inside, strict=True)
    }
    assert seen == {tuple(map(tuple, window)) for window in CASES[name].windows}


def test_windows_carry_action_reward_and_mask_of_their_rows():
    dataset = load(CASES['terminal'])
    windows = jax.tree.map(np.asarray, dataset.windows(jr.key(0), 64, 3))
    at = {1.0: ([2, 4, 0], [1, 0], [0.01, 0.02, 0]), 11.0: ([16, 0, 0], [0], [0.11, 0, 0])}
    for first, (reward, mask, action) in at.items():
        row = int(np.argmax(windows.obs[:, 0, 0] == first))
        assert windows.reward[row].tolist() == reward
        assert windows.mask[row, : len(mask)].tolist() == mask
        np.testing.assert_allclose(windows.action[row, :, 0], action, rtol=1e-6)


def test_the_next_action_is_the_one_recorded_there_and_zero_at_the_end():
    batch = jax.tree.map(np.asarray, load(CASES['timeout']).sample(jr.key(0), 256, 2, GAMMA))
    expected = {0: 0.02, 1: 0, 2: 0, 10: 0, 11: 0}  # two steps on from 0 lies row 2; from the others an end
    for obs, action in zip(batch.obs[:, 0], batch.next_action[:, 0], strict=True):
        assert action == np.float32(expected[int(obs)])


# Any recording: episodes of 1 to 6 steps that end as a task or by a cut, with or without next observations.
recordings = st.tuples(st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=8), st.booleans())


def build(recording):
    """A dataset whose observation is [episode, position in it]; None where no step is left."""
    episodes, with_next = recording
    obs = np.array([(e, i) for e, (length, _) in enumerate(episodes) for i in range(length)], np.float32)
    last = np.concatenate([np.arange(length) == length - 1 for length, _ in episodes])
    task = np.repeat([ended for _, ended in episodes], [length for length, _ in episodes])
    reward = np.arange(len(obs), dtype=np.float32) ** 2 % 7
    after = obs + np.array([0, 1], np.float32) if with_next else None
    try:
        return Dataset.from_arrays(obs, column(reward) / 10, reward, last & task, last & ~task, after)
    except BadData:
        assert not with_next
        assert all(length == 1 and not ended for length, ended in episodes)
        return None


@given(recordings)
def test_row_i_plus_1_is_the_successor_of_row_i(recording):
    dataset = build(recording)
    if dataset is None:
        return
    now, after = dataset.obs[dataset.starts], dataset.obs[dataset.starts + 1]
    ended = dataset.mask[dataset.starts] == 0
    step = np.where(ended & (not recording[1]), 0, 1)  # without next_obs a terminal's own observation stands in
    np.testing.assert_array_equal(after[:, 0], now[:, 0])
    np.testing.assert_array_equal(after[:, 1], now[:, 1] + step)


@given(recordings)
def test_a_final_row_is_never_a_start_and_every_other_row_is(recording):
    dataset = build(recording)
    if dataset is None:
        return
    assert dataset.starts.tolist() == np.flatnonzero(dataset.ends == 0).tolist()
    assert dataset.ends[-1] == 1
    assert (dataset.mask[dataset.ends > 0] == 1).all()  # an end of the recording is no end of the task


@given(recordings, st.integers(1, 4))
@settings(max_examples=40)
def test_windows_never_cross_an_end(recording, length):
    dataset = build(recording)
    if dataset is None:
        return
    windows = jax.tree.map(np.asarray, dataset.windows(jr.key(1), 32, length))
    assert (windows.obs[..., 0] == windows.obs[:, :1, 0]).all()
    inside = windows.inside > 0
    assert (inside[:, 0] & (windows.ends[:, 0] == 0)).all()
    assert (inside[:, 1:] == (inside[:, :-1] & (windows.ends[:, :-1] == 0))).all()
    outside = ~inside[:, 1:, None]
    assert (np.where(outside, windows.obs[:, 1:] - windows.obs[:, :-1], 0) == 0).all()
    assert (windows.ends[~inside] == 1).all()


def in_plain_python(dataset, row, steps, gamma):
    """(reward, mask, discount, last row) of one n-step transition, one step after the other."""
    reward, mask, power = 0.0, 1.0, 1.0
    for _ in range(steps):
        reward += power * dataset.reward[row]
        mask *= dataset.mask[row]
        power *= gamma
        row += 1
        if dataset.ends[row]:
            break
    return reward, mask, power * mask, row


@given(recordings, st.integers(1, 4))
@settings(max_examples=40)
def test_n_steps_equal_a_plain_loop(recording, steps):
    dataset = build(recording)
    if dataset is None:
        return
    batch = jax.tree.map(np.asarray, dataset.sample(jr.key(2), 32, steps, 0.9))
    start = {tuple(dataset.obs[row]): row for row in dataset.starts[::-1]}
    for i, obs in enumerate(batch.obs):
        reward, mask, discount, last = in_plain_python(dataset, start[tuple(obs)], steps, 0.9)
        np.testing.assert_allclose([batch.reward[i], batch.discount[i]], [reward, discount], rtol=1e-6)
        assert batch.mask[i] == mask
        np.testing.assert_array_equal(batch.next_obs[i], dataset.obs[last])
        np.testing.assert_array_equal(batch.next_action[i], dataset.action[last])


def whole(dataset):
    """The episodes of a dataset as bytes, so that sets of them can be compared."""
    columns = (dataset.obs, dataset.action, dataset.reward, dataset.mask, dataset.ends)
    return [b''.join(x[a : b + 1].tobytes() for x in columns) for a, b in dataset.episodes()]


@given(recordings, st.floats(0.01, 1), st.integers(0, 5))
def test_best_split_keep_and_relabel_keep_episodes_whole(recording, fraction, seed):
    dataset = build(recording)
    if dataset is None:
        return
    episodes, returns = whole(dataset), dataset.returns()
    best = dataset.best(fraction)
    assert [e for e in episodes if e in whole(best)] == whole(best)
    threshold = np.sort(returns)[::-1][len(whole(best)) - 1]
    assert (best.returns() >= threshold).all()
    assert (best.returns() > threshold).sum() == (returns > threshold).sum()
    assert whole(dataset.keep(np.arange(0, len(episodes), 2))) == episodes[::2]
    if len(episodes) > 1:
        rest, held = dataset.split(fraction, seed)
        assert sorted(whole(rest) + whole(held)) == sorted(episodes)
        assert len(rest)
        assert len(held)
    relabelled = dataset.relabel(lambda d: np.ones(len(d.obs)))
    np.testing.assert_array_equal(relabelled.returns(), np.diff(dataset.episodes())[:, 0])
    np.testing.assert_array_equal(relabelled.ends, dataset.ends)


def test_the_return_of_an_episode_is_its_plain_sum():
    assert load(CASES['terminal']).returns().tolist() == [1 + 2 + 4, 8 + 16]
    assert load(CASES['timeout, without next_obs']).returns().tolist() == [
        1 + 2,
        8,
    ]  # the steps at the cut are lost
    assert load(CASES['terminal']).episodes().tolist() == [[0, 3], [4, 6]]


def rows(episodes, length=2):
    """`episodes` episodes of `length` steps; the return of episode e is e."""
    terminal = np.tile(np.arange(length) == length - 1, episodes)
    reward = np.repeat(np.arange(episodes), length) * terminal
    obs = np.arange(episodes * length)
    return Dataset.from_arrays(column(obs), column(obs * 0), reward, terminal)


@pytest.mark.parametrize(
    ('episodes', 'fraction', 'kept'),
    [(10, 0.1, 1), (11, 0.1, 2), (10, 0.25, 3), (10, 1.0, 10), (3, 0.01, 1), (100, 0.07, 7), (50, 0.14, 7)],
)
def test_best_keeps_a_share_of_the_episodes_rounded_up(episodes, fraction, kept):
    best = rows(episodes).best(fraction)
    assert best.returns().tolist() == list(range(episodes - kept, episodes))


def test_among_equals_the_first_are_kept():
    """Every other one of 400 episodes returns 2, the others nothing: the first 100 of those 200."""
    data = rows(400).relabel(lambda data: data.obs[:, 0] // 2 % 2)
    chosen = data.best(0.25)
    assert (chosen.returns() == 2).all()
    assert chosen.obs[::3, 0].tolist() == list(range(2, 402, 4))


@pytest.mark.parametrize('fraction', [0.0, -0.1, 1.1, float('nan')])
def test_best_refuses_a_share_that_is_none(fraction):
    with pytest.raises(UsageError, match='share of episodes'):
        rows(4).best(fraction)


def test_split_is_random_repeatable_and_of_the_size_asked_for():
    dataset = rows(100)
    rest, held = dataset.split(0.2, seed=1)
    assert (len(rest.episodes()), len(held.episodes())) == (80, 20)
    again, other = dataset.split(0.2, seed=1)[1], dataset.split(0.2, seed=2)[1]
    assert held.returns().tolist() == again.returns().tolist() != other.returns().tolist()
    assert len(set(np.diff(held.returns()))) > 1  # not one block at either end
    with pytest.raises(UsageError, match='only one'):
        rows(1).split(0.5, seed=0)


def test_with_columns_takes_whole_columns_only():
    dataset = rows(3)
    double = dataset.with_columns(reward=dataset.reward * 2, obs=dataset.obs + 1)
    assert double.returns().tolist() == [0, 2, 4]
    assert double.obs[0, 0] == 1
    with pytest.raises(UsageError, match='column reward has 6 rows, the dataset 9'):
        dataset.with_columns(reward=np.zeros(6, np.float32))


@pytest.mark.parametrize('draw', ['sample', 'windows'])
def test_every_step_is_drawn_equally_often(draw):
    """Over steps, not over episodes: one episode of 1 step, one of 30, and chi-square over the 31 counts."""
    terminal = np.isin(np.arange(31), [0, 30])
    dataset = Dataset.from_arrays(column(np.arange(31)), column(np.zeros(31)), np.zeros(31), terminal)
    n = 31_000
    first = dataset.sample(jr.key(3), n).obs if draw == 'sample' else dataset.windows(jr.key(3), n, 2).obs[:, 0]
    counts = np.bincount(np.asarray(first)[:, 0].astype(int), minlength=31)
    assert 0.01 < scipy.stats.chisquare(counts).pvalue < 0.99
    starts = np.asarray(dataset.sample(jr.key(4), n).obs)[:, 0]
    apart = np.histogram2d(starts[:-1], starts[1:], bins=31)[0]
    assert (
        scipy.stats.chisquare(apart.ravel()).pvalue > 0.01
    )  # neighbours in a batch have nothing to do with each other


def test_compiled_and_plain_draw_the_same_rows():
    dataset = load(CASES['timeout'])
    plain = dataset.sample(jr.key(5), 16, 3, 0.9)
    compiled = jax.jit(lambda d, k: d.sample(k, 16, 3, 0.9))(dataset, jr.key(5))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), plain, compiled)
    other = dataset.sample(jr.key(6), 16, 3, 0.9)
    assert np.asarray(plain.obs).tolist() != np.asarray(other.obs).tolist()


def test_discrete_actions_stay_integers():
    terminal = [0, 0, 1]
    dataset = Dataset.from_arrays(column([0, 1, 2]), np.array([0, 3, 1]), np.ones(3), terminal)
    assert dataset.spec.action == Discrete(4)
    batch = dataset.sample(jr.key(0), 8)
    assert batch.action.dtype == batch.next_action.dtype == jnp.int32
    assert batch.action.shape == (8,)
    assert dataset.windows(jr.key(0), 8, 3).action.shape == (8, 3)


def test_images_keep_their_bytes():
    obs = np.arange(3 * 4, dtype=np.uint8).reshape(3, 2, 2)
    columns = Columns(obs, np.zeros(3, np.int32), np.ones(3, np.float32), np.array([False, False, True]))
    dataset = Dataset.from_columns(columns)
    assert dataset.spec.obs.shape == (2, 2)
    assert dataset.sample(jr.key(0), 4).obs.dtype == jnp.uint8


def test_the_horizon_is_the_longest_episode():
    assert rows(3, length=7).spec.horizon == 7
    assert load(CASES['timeout, without next_obs']).spec.horizon == 2


@pytest.mark.parametrize(
    ('low', 'high', 'action', 'expected'),
    [
        (None, None, [-0.5, 0.25], Continuous(1, (-1.0,), (1.0,))),  # within [-1, 1]: taken to be the space
        (None, None, [-3.0, 5.0], Continuous(1, (-3.0,), (5.0,))),  # else the range of the data
        (-4.0, 8.0, [-3.0, 5.0], Continuous(1, (-4.0,), (8.0,))),  # a bound for all coordinates
        ([-4.0], [8.0], [-3.0, 5.0], Continuous(1, (-4.0,), (8.0,))),
    ],
)
def test_bounds_of_actions(low, high, action, expected):
    bounds = {} if low is None else {'low': low, 'high': high}
    dataset = Dataset.from_arrays(column([0, 1]), column(action), np.ones(2), [0, 1], **bounds)
    assert dataset.spec.action == expected


def test_bounds_without_room_between_them_are_refused():
    with pytest.raises(BadData, match='not in order'):
        Dataset.from_arrays(column([0, 1]), column([0, 0]), np.ones(2), [0, 1], low=1.0, high=-1.0)
    with pytest.raises(BadData, match='dimension 0 is always 3'):
        Dataset.from_arrays(column([0, 1]), column([3, 3]), np.ones(2), [0, 1])  # a single action, outside [-1, 1]


def test_a_recording_without_a_single_successor_is_refused():
    with pytest.raises(BadData, match='no step with a successor in 2 rows'):
        Dataset.from_arrays(column([0, 5]), column([0, 0]), np.ones(2), [0, 0], [1, 1])

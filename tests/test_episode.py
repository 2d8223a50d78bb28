"""What lengths and ends of episodes say, with episodes made by hand."""

import numpy as np
import pytest

from stitchrl.envs.episode import Episode, ends, limits, numbers, pace, repeated

STEP, OVER, CUT = (False, False), (True, False), (False, True)


def episode(length, last, number=1, seed=0):
    g = np.random.default_rng(seed)
    made = Episode(number)
    made.add(g.normal(size=2))
    for t in range(1, length + 1):
        made.add(g.normal(size=2), 1.0, last if t == length else STEP)
    return made


def names(findings):
    return [finding.name for finding in findings]


@pytest.mark.parametrize(
    ('lengths', 'last', 'horizon', 'name'),
    [
        ([80, 80, 80], OVER, 80, 'limit_as_end'),
        ([80, 80, 80, 13, 20], OVER, 80, 'limit_as_end'),  # some fall before
        ([12, 12, 12], OVER, None, 'constant_length'),
        ([60, 60, 60, 13, 20], OVER, 500, 'constant_length'),
        ([5, 5, 5, 4, 3], OVER, 1000, 'ok'),  # short ones are alike by chance
        ([1, 1, 1], OVER, None, 'ok'),  # a bandit
        ([80, 80], OVER, None, 'ok'),  # too few to say
        ([80, 80, 80], CUT, 80, 'ok'),
        ([80, 80, 80], CUT, None, 'ok'),
        ([80, 33, 80], CUT, None, 'end_as_limit'),
        ([80, 33, 41], CUT, 80, 'end_as_limit'),
        ([80, 33, 80], CUT, 80, 'ok'),  # one alone may be an operator
        ([7, 9, 30], STEP, 500, 'ok'),
    ],
)
def test_time_limits_told_from_ends(lengths, last, horizon, name):
    episodes = [episode(length, last, i) for i, length in enumerate(lengths, 1)]
    assert names(limits(episodes, horizon))[0] == name


@pytest.mark.parametrize(
    ('last', 'horizon', 'name'),
    [
        (STEP, None, 'endless'),
        (STEP, 10, 'past_limit'),
        (OVER, 9, 'past_limit'),
        (OVER, 10, 'ok'),
        (STEP, 11, 'ok'),
        (OVER, None, 'ok'),
    ],
)
def test_ends_of_an_episode_of_ten_steps(last, horizon, name):
    assert names(ends([episode(10, last)], horizon, 10))[0] == name


def test_one_end_is_enough_to_say_that_it_ends():
    assert names(ends([episode(10, STEP), episode(7, OVER)], None, 10)) == ['ok']


def test_numbers_are_looked_at_in_both_places():
    made = episode(4, OVER, number=3)
    made.obs[2][1], made.rewards[0] = np.inf, np.nan
    seen, given = numbers(made)
    assert (seen.step, seen.what, seen.episode) == (2, 'observation[1] is inf', 3)
    assert (given.step, given.what) == (1, 'the reward is nan')


def test_where_two_episodes_part():
    first = episode(5, OVER)
    assert list(repeated(first, episode(5, OVER), 'not_repeatable', 'twice')) == []
    assert [found.step for found in repeated(first, episode(5, OVER, seed=1), 'not_repeatable', 'twice')] == [0]
    assert [found.step for found in repeated(first, episode(5, CUT), 'not_repeatable', 'twice')] == [5]
    longer = episode(6, OVER)
    longer.prints[:6] = first.prints
    assert [found.step for found in repeated(first, longer, 'not_repeatable', 'twice')] == [6]


def test_an_outline_keeps_what_tells_episodes_apart():
    made = episode(5, OVER)
    assert made.outline().obs == []
    assert made.outline().prints == made.prints
    assert len(made.obs) == 6


def test_the_slowest_step_is_named():
    made = Episode(2)
    made.add(np.zeros(1))
    for seconds in (0.1, 0.7, 0.2):
        made.timed(seconds)
        made.add(np.zeros(1), 0.0, STEP)
    slow, told = pace([made], 0.5)
    assert (slow.name, slow.episode, slow.step, slow.what) == ('slow', 2, 2, 'took 0.7 s, more than 0.5 s')
    assert told.what == '3 with random actions, 3 a second'
    assert names(pace([made], 0.7)) == ['ok']

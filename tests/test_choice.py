"""Patterns over the names of columns."""

from pathlib import Path

import pytest

from stitchrl.data.formats.choice import Choice, check, listing, matching, pick
from stitchrl.errors import UsageError

NAMES = ['t', 'q0', 'q1', 'dq0', 'joint[0]', 'joint[1]', 'tau.x', 'reward', 'reward2']
PATH = Path('log.csv')


@pytest.mark.parametrize(
    ('pattern', 'fits'),
    [
        ('q*', ['q0', 'q1']),
        ('q?', ['q0', 'q1']),
        ('q', []),
        ('*0', ['q0', 'dq0']),
        ('joint[0]', ['joint[0]']),  # brackets stand for themselves
        ('joint[?]', ['joint[0]', 'joint[1]']),
        ('tau.?', ['tau.x']),
        ('tauX?', []),
        ('*', NAMES),
    ],
)
def test_what_a_pattern_stands_for(pattern, fits):
    assert matching(pattern, NAMES) == fits


def test_patterns_in_their_order_and_each_column_once():
    assert pick(PATH, 'obs', 'dq*, q*,q1', NAMES) == ['dq0', 'q0', 'q1']
    assert pick(PATH, 'reward', 'reward', NAMES) == ['reward']  # the name itself, though reward2 begins with it
    assert pick(PATH, 'reward', 'a,b', ['a,b', 'c']) == ['a,b']


@pytest.mark.parametrize(
    ('field', 'said', 'words'),
    [
        ('obs', 'q*,p*', "no column 'p\\*' for obs"),
        ('obs', 'jiont*', r'did you mean joint\[1\] or joint\[0\]\?'),
        ('action', 'zzz', 'there are t, q0, q1'),
        ('reward', 'reward*', 'stands for reward, reward2; name one column'),
    ],
)
def test_what_will_not_do(field, said, words):
    with pytest.raises(UsageError, match=words):
        pick(PATH, field, said, NAMES)


def test_a_name_that_two_columns_have():
    with pytest.raises(UsageError, match="two columns are called 'a'"):
        pick(PATH, 'obs', 'a', ['a', 'b', 'a'])


def test_formats_with_fixed_names_refuse_a_choice():
    check(PATH, Choice(), 'npz', ())
    check(PATH, Choice(obs='x'), 'csv', ('obs',))
    with pytest.raises(
        UsageError, match=r'log\.csv: obs was chosen, but it is read as npz; its columns have fixed names'
    ):
        check(PATH, Choice(obs='x'), 'npz', ())
    with pytest.raises(UsageError, match='only obs can be chosen'):
        check(PATH, Choice(reward='x'), 'csv', ('obs',))


def test_long_lists_are_cut():
    assert listing([str(i) for i in range(30)], 2) == '0, 1, ... (30 in all)'
    assert listing([]) == 'none'

"""A finding is one line that says where, what and what to do."""

import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.finding import Finding, error, named, warning


def test_words():
    rows = np.array([1234, 1300, 2000])
    assert str(error('rewards', 'NaN', 'repair it', rows)) == 'rewards, row 1,234 (first of 3): NaN. Fix: repair it'
    assert str(error('rewards', 'NaN', 'repair it', rows[:1])) == 'rewards, row 1,234: NaN. Fix: repair it'
    assert str(warning('rewards', 'constant', 'none')) == 'rewards: constant. Fix: none'


def test_fields():
    rows = np.array([4, 7])
    assert error('actions', 'odd', 'even', rows) == Finding('error', 'actions', 4, 2, 'odd', 'even')
    assert warning('actions', 'odd', 'even') == Finding('warning', 'actions', None, None, 'odd', 'even')
    assert type(error('actions', 'odd', 'even', rows).row) is int  # JSON knows no numpy integers


def test_named_holds_the_columns_there_are():
    columns = Columns(np.ones((2, 1)), np.ones((2, 1)), np.ones(2), np.ones(2, bool), low=(0.0,))
    assert list(named(columns)) == ['observations', 'actions', 'rewards', 'terminals']
    assert named(columns)['actions'] is columns.action

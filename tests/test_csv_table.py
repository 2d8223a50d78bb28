"""CSV: what is chosen, what a cell may be, and that a file of text is never taken for more than it is."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stitchrl.data.check import check
from stitchrl.data.formats import Choice, csv_table, read
from stitchrl.errors import BadData, UsageError

LOG = """t,id,q0,q1,dq0,tau0,tau1,r,fell
0.0,7,0,1,2,0.5,-0.5,1,0
0.1,7,3,4,5,0.25,0.5,2,1
0.0,9,6,7,8,0.1,0.2,3,false
0.1,9,9,10,11,0.3,0.4,4,0
"""
CHOICE = Choice(obs='q*,dq*', action='tau*', reward='r', episode='id', terminal='fell', time='t')


@pytest.fixture
def path(tmp_path):
    return written(tmp_path, LOG)


def written(tmp_path, text, name='log.csv'):
    (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return tmp_path / name


def refused(path, *words, choice=CHOICE, error=BadData, **options):
    with pytest.raises(error) as caught:
        read(path, choice=choice, **options)
    message = str(caught.value)
    assert '\n' not in message
    assert str(path) in message
    for word in words:
        assert word in message, message


def test_what_is_chosen(path):
    columns = read(path, choice=CHOICE)
    np.testing.assert_array_equal(columns.obs, np.arange(12, dtype=np.float32).reshape(4, 3))
    np.testing.assert_array_equal(columns.action[:, 1], np.float32([-0.5, 0.5, 0.2, 0.4]))
    np.testing.assert_array_equal(columns.reward, [1, 2, 3, 4])
    np.testing.assert_array_equal(columns.terminal, [False, True, False, False])
    np.testing.assert_array_equal(columns.timeout, [False, False, False, True])  # the task ended in the first episode
    np.testing.assert_array_equal(columns.episode, [7, 7, 9, 9])
    np.testing.assert_array_equal(columns.time, [0, 0.1, 0, 0.1])
    assert columns.next_obs is None
    assert columns.notes[0] == 'observations: one row is q0, q1, dq0, side by side; a policy wants them in this order'
    assert 'rewards: column r' in columns.notes


@pytest.mark.parametrize(
    'change',
    [
        lambda text: text.replace(',', ';'),
        lambda text: text.replace(',', '\t'),
        lambda text: '\ufeff' + text,
        lambda text: text.replace('\n', '\r\n'),
        lambda text: text.replace('\n', '\n\n'),
        lambda text: text.rstrip('\n'),
        lambda text: text.replace('0.25', ' 0.25 ').replace('q0', ' q0 ', 1),
        lambda text: text.replace('7', '"7"'),
    ],
    ids=['semicolons', 'tabs', 'byte order mark', 'crlf', 'blank lines', 'no last line end', 'spaces', 'quotes'],
)
def test_as_programs_write_it(tmp_path, path, change):
    other = read(written(tmp_path, change(LOG), 'x.csv'), choice=CHOICE)
    np.testing.assert_array_equal(other.obs, read(path, choice=CHOICE).obs)


def test_the_order_is_that_of_the_patterns(path):
    columns = read(path, choice=Choice(obs='dq0,q*', action='tau1'))
    np.testing.assert_array_equal(columns.obs[0], [2, 0, 1])
    assert columns.action.shape == (4, 1)
    assert columns.timeout is None
    np.testing.assert_array_equal(columns.reward, 0)
    assert any('no rewards: zeros here' in note for note in columns.notes)


def test_one_column_in_digits_is_one_of_choices(tmp_path):
    text = 'q,a,b\n1,0,0.0\n2,3,3.0\n'
    columns = read(written(tmp_path, text), choice=Choice(obs='q', action='a'))
    assert columns.discrete
    np.testing.assert_array_equal(columns.action, [0, 3])
    assert any('1.0 would be continuous' in note for note in columns.notes)
    assert not read(tmp_path / 'log.csv', choice=Choice(obs='q', action='b')).discrete
    assert not read(tmp_path / 'log.csv', choice=Choice(obs='q', action='a,b')).discrete


def test_names_of_episodes_are_numbered(tmp_path):
    text = 'q,a,run\n1,0.0,walk-3\n2,0.0,walk-3\n3,0.0,walk-1\n'
    columns = read(written(tmp_path, text), choice=Choice(obs='q', action='a', episode='run'))
    np.testing.assert_array_equal(columns.episode, [0, 0, 1])
    np.testing.assert_array_equal(columns.timeout, [False, True, True])
    assert 'episode: 2 names, numbered as they come' in columns.notes


def test_an_episode_that_comes_back_is_found(tmp_path):
    text = 'q,a,id\n1,0.0,1\n2,0.0,2\n3,0.0,1\n'
    columns = read(written(tmp_path, text), choice=Choice(obs='q', action='a', episode='id'))
    np.testing.assert_array_equal(columns.timeout, True)
    said = [str(finding) for finding in check(columns) if finding.severity == 'error']
    assert any('episodes, row 2' in line for line in said), said


CELLS = {
    'text': ('0,1,2', 'zero,1,2', ["q0, row 0 (line 2): 'zero' is no number", 'Fix: ']),
    'an empty cell': ('3,4,5', '3,,5', ['q1, row 1 (line 3): empty']),
    'a decimal comma': ('6,7,8', '6,"7,5",8', ["q1, row 2 (line 4): '7,5' is no number", 'decimal point']),
    'a number that Python alone takes': ('9,10,11', '9,1_0,11', ["q1, row 3 (line 5): '1_0' is no number"]),
    'a row that is short': ('9,10,11', '9,10', ['row 3 (line 5) has 8 cells, but there are 9 names', 'was cut']),
    'a row that is long': ('9,10,11', '9,10,11,12', ['row 3 (line 5) has 10 cells']),
    'a flag': (',1,0\n', ',1,maybe\n', ["fell, row 0 (line 2): 'maybe' is no flag"]),
    'a quote that does not end': ('0,1,2', '"0,1,2', ['truncated or damaged CSV file']),
    'a cell that is very long': ('0,1,2', f'0,{"1" * 200_000},2', ['truncated or damaged CSV file', 'field']),
}


@pytest.mark.parametrize('name', CELLS)
def test_cells_that_will_not_do(tmp_path, name):
    good, bad, words = CELLS[name]
    assert good in LOG
    refused(written(tmp_path, LOG.replace(good, bad, 1)), *words)


def test_not_a_number_is_left_for_check(tmp_path):
    columns = read(written(tmp_path, LOG.replace('0,1,2', '0,nan,2')), choice=CHOICE)
    assert any('observations, row 0: NaN in dimension 1' in str(finding) for finding in check(columns))


CHOICES = {
    'nothing': (Choice(), 'which columns are the observations? There are t, id, q0', 'stitch data convert log.csv'),
    'no actions': (Choice(obs='q*'), 'which columns are the actions?'),
    'a column for two things': (Choice(obs='q*', action='q0'), "column 'q0' was chosen as obs and as action"),
    'a reward in the observations': (Choice(obs='*', action='tau*'), "column 'tau0' was chosen as obs and as action"),
    'a name that is not there': (Choice(obs='p*', action='tau*'), "no column 'p*' for obs"),
}


@pytest.mark.parametrize('name', CHOICES)
def test_choices_that_will_not_do(path, name):
    choice, *words = CHOICES[name]
    refused(path, *words, choice=choice, error=UsageError)


def test_the_clock_may_be_an_observation(path):
    assert read(path, choice=Choice(obs='t,q*', action='tau*', time='t')).obs.shape == (4, 3)


def test_files_that_are_not_csv(tmp_path):
    refused(written(tmp_path, b'a,b\n\x00\x01'), 'not csv')
    refused(written(tmp_path, b'a,b\n' + b'\xff\xfe,1\n'), 'truncated or damaged CSV file')
    refused(written(tmp_path, LOG, 'log.txt'), 'of a table pass --format csv')
    assert len(read(tmp_path / 'log.txt', 'csv', CHOICE)) == 4
    refused(written(tmp_path, LOG, 'log.npz'), 'not npz; it looks like text')
    refused(written(tmp_path, b'\x80\x04\x95abc', 'x.csv'), 'pickle')


def test_no_rows(tmp_path):
    columns = read(written(tmp_path, LOG.splitlines()[0] + '\n'), choice=CHOICE)
    assert columns.obs.shape == (0, 3)
    assert any('no rows' in str(finding) for finding in check(columns))


def test_long_lines_and_large_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_table, 'MAX_LINE', 100)
    refused(written(tmp_path, LOG + 'x' * 101), 'a line of more than 100 signs')
    monkeypatch.setattr(csv_table.convert, 'MAX_BYTES', 50)
    refused(tmp_path / 'log.csv', 'of text, at most 50 bytes are read')


@given(
    st.integers(1, 4),
    st.lists(st.lists(st.floats(width=32, allow_nan=False), min_size=5, max_size=5), min_size=1, max_size=30),
)
def test_blocks_make_no_difference(tmp_path_factory, cells, rows):
    path = tmp_path_factory.mktemp('blocks') / 'x.csv'
    with path.open('w', newline='') as file:
        csv.writer(file).writerows([['a', 'b', 'c', 'd', 'e'], *rows])
    choice = Choice(obs='a,b', action='c,d', reward='e')
    whole = read(path, choice=choice)
    np.testing.assert_array_equal(whole.obs, np.float32(rows)[:, :2])
    np.testing.assert_array_equal(whole.reward, np.float32(rows)[:, 4])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_table, 'CELLS', 5 * cells)
        for field in ('obs', 'action', 'reward'):
            np.testing.assert_array_equal(getattr(read(path, choice=choice), field), getattr(whole, field))

"""What the screen says of a recording, in a window of eighty characters and in a wide one."""

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from stitchrl.data.check import check
from stitchrl.data.columns import Columns
from stitchrl.data.inspect import inspect


def recording(n=200, width=3, **changes):
    g = np.random.default_rng(0)
    states = g.normal(size=(n + 1, width)).astype(np.float32)
    terminal = np.isin(np.arange(n), [30, 80, 199])
    timeout = np.arange(n) == 150
    after = states[1:] + (terminal | timeout)[:, None]  # what was seen before the reset
    columns = Columns(states[:-1], np.full((n, 2), 0.5, np.float32), np.ones(n, np.float32), terminal, timeout, after)
    return replace(columns, **changes)


def screen(columns, width=100, **options):
    console = Console(width=width)
    with console.capture() as capture:
        console.print(inspect(columns, check(columns), **options))
    return capture.get()


def line(text, *words):
    """The one line that holds all these words, its blanks squeezed."""
    (found,) = [' '.join(x.split()) for x in text.splitlines() if all(word in x for word in words)]
    return found


def test_what_it_says():
    text = screen(recording(notes=('a note',)), title='walk.npz')
    assert text.startswith('walk.npz\n200 steps, 7.6 kB in memory, sha256 ')
    assert line(text, 'what the agent saw').startswith('observations what the agent saw 200 x 3 float32 -')
    assert line(text, 'terminals', 'bool') == 'terminals the task ended 200 bool true in 3'
    assert line(text, 'a note') == '- a note'
    assert line(text, '  1  0.5   0.5').startswith('1 0.5 0.5 0.5 0 ')
    assert line(text, 'length') == 'length 31 49.5 50 70'
    assert line(text, '3  the task ended') == '3 the task ended'
    assert line(text, 'operator') == '1 a time limit or an operator cut it'


def test_findings():
    columns = recording()
    columns.reward[7] = np.nan
    text = screen(columns)
    assert line(text, 'error') == 'error rewards, row 7: NaN.'
    assert line(text, 'repair') == 'fix: repair these rows or drop their episodes'
    fine = np.random.default_rng(1).uniform(-1, 1, (200, 2)).astype(np.float32)
    assert 'nothing to report' in screen(recording(action=fine, reward=fine[:, 0]))
    assert 'nothing to report' not in text


def test_wide_recordings_are_shortened():
    text = screen(recording(width=40, action=np.arange(200, dtype=np.int32)))
    assert text.count('more, all in --json') == 2
    assert 'and 24 more' in text
    assert 'and 184 more' in text


def test_the_longest_bar_is_that_of_the_largest_count():
    text = screen(recording(action=np.repeat(np.int32([0, 1, 2]), [150, 48, 2])))
    section = text.split('different choices')[1].split('Episodes')[0]
    bars = [row.split() for row in section.splitlines() if row.strip()]
    assert [(name, len(bar), count) for name, bar, count in bars] == [
        ('0', 40, '150'),
        ('1', 13, '48'),
        ('2', 1, '2'),
    ]


def returned(rewards):
    """The lines on returns, of one-step episodes with these rewards: [(the bin, its bar, its count)]."""
    n = len(rewards)
    columns = recording(n, reward=np.float32(rewards), terminal=np.ones(n, bool), timeout=np.zeros(n, bool))
    section = screen(columns, width=80).split('number of episodes')[1].split('Findings')[0]
    lines = [line.rsplit(maxsplit=1) for line in section.splitlines() if line.strip()]
    return [(bar.rstrip(' ▏▎▍▌▋▊▉█').strip(), bar.count('█'), int(count.replace(',', ''))) for bar, count in lines]


@pytest.mark.parametrize(('value', 'words'), [(1e20, '1e+20'), (-1e18, '-1e+18'), (-200, '-200'), (1e-7, '1e-07')])
def test_equal_returns_are_one_line(value, words):
    assert returned([value] * 250) == [(words, 40, 250)]


SPREADS = {  # times a normal number, about this
    'plain': (1, 0),
    'near 4e10': (1e10, 4e10),
    'tiny': (1e-8, 0),
    'huge': (1e37, 0),
    'far from zero': (1e4, 1e9),
    'close together': (1e-3, 1000),
}


@pytest.mark.parametrize('name', SPREADS)
def test_returns_of_any_size_have_columns_that_can_be_read(name):
    scale, about = SPREADS[name]
    rows = returned(about + scale * np.random.default_rng(0).normal(size=30_000))
    assert sum(count for _, _, count in rows) == 30_000
    names = [name.split(' to ') for name, _, _ in rows]
    assert all(low != high for low, high in names)
    assert [high for _, high in names[:-1]] == [low for low, _ in names[1:]]
    assert max(len(name) for name, _, _ in rows) <= 34


@pytest.mark.parametrize('width', [80, 120])
def test_no_line_is_wider_than_the_window(width):
    text = screen(recording(width=40, n=200), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert '…' not in text


@pytest.mark.parametrize(
    'columns',
    [
        recording(reward=np.zeros(7, np.float32)),
        recording(obs=np.zeros((200, 8, 8, 3), np.uint8), next_obs=None, timeout=None),
        recording(reward=np.full(200, np.nan, np.float32)),
        recording(obs=np.full((200, 3), np.nan, np.float32), action=np.full((200, 2), np.inf, np.float32)),
        recording(reward=np.linspace(1e30, 2e30, 200, dtype=np.float32)),
        recording(obs=np.full((200, 3), 1e20, np.float32), reward=np.full(200, -1e18, np.float32)),
    ],
)
def test_any_recording_has_a_screen(columns):
    assert 'Findings' in screen(columns)

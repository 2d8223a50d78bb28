import re
from dataclasses import replace

import fakes
import numpy as np

from stitchrl.cli import main
from stitchrl.data.check import check
from stitchrl.report import recording


def written(tmp_path, columns, **options):
    path = recording.write(tmp_path / 'page.html', columns, check(columns), **options)
    html = path.read_text()
    return html, re.sub(r'\s+', ' ', re.sub(r'<[^>]+>', ' ', html.partition('<body>')[2]))


def test_a_page_holds_what_the_screen_does(tmp_path):
    html, text = written(tmp_path, fakes.recording(), title='walks', command='stitch data inspect walks.npz')
    for words in (
        'walks',
        '100 steps, 20 episodes',
        'Fit to train on',
        'the task ended 2',
        'dimension 1',
        'at a bound',
    ):
        assert words in text
    assert 'stitch data inspect walks.npz' in text
    assert html.count('<img') == 3  # returns, lengths, actions


def test_findings_are_the_verdict(tmp_path):
    columns = fakes.recording()
    html, _ = written(tmp_path, columns)
    broken = replace(columns, reward=np.where(np.arange(100) == 3, np.nan, columns.reward).astype(np.float32))
    bad, text = written(tmp_path, broken)
    assert 'mark bad' not in html
    assert 'mark bad' in bad
    assert '1 error: not fit to train on' in text
    assert 'rewards, row 3' in text


def test_columns_that_do_not_fit_together_are_only_listed(tmp_path):
    columns = fakes.recording()
    html, text = written(tmp_path, replace(columns, reward=columns.reward[:-1]))
    assert 'not fit to train on' in text
    assert 'As they lie in memory' in text
    assert '<img' not in html


def test_choices_have_a_bar_each(tmp_path):
    columns = replace(fakes.recording(), action=np.arange(100, dtype=np.int32) % 3)
    _, text = written(tmp_path, columns)
    assert 'How often each of 3 actions was taken' in text


def test_only_the_first_dimensions_are_shown(tmp_path):
    wide = np.random.default_rng(0).uniform(-1, 1, (100, 40)).astype(np.float32)
    columns = replace(fakes.recording(), obs=wide, next_obs=None)
    _, text = written(tmp_path, columns)
    assert 'The first 16 of 40' in text


def test_numbers_are_short_and_readable():
    told = [recording.number(x) for x in (0.0, -1234567.8, 0.123456, 12.34567, float('nan'), float('inf'))]
    assert told == ['0', '-1,234,568', '0.1235', '12.35', 'nan', 'inf']


def test_the_verb_writes_it_beside_what_it_prints(tmp_path, capsys):
    data = fakes.write(tmp_path / 'walks.npz', fakes.recording())
    out = tmp_path / 'walks.html'
    assert main(['data', 'inspect', str(data), '--report', str(out)]) == 0
    assert f'page: {out}' in capsys.readouterr().out.replace('\n', '')
    assert f'stitch data inspect {data} --report {out}' in out.read_text()
    assert main(['data', 'inspect', str(data), '--report', str(tmp_path / 'nowhere' / 'x.html')]) == 2

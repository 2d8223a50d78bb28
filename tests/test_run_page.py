"""The report of a run, from the folder to the page."""

import re

import fakes
import pytest

from stitchrl.api import Run
from stitchrl.errors import UsageError
from stitchrl.report import video
from stitchrl.report.run_page import Request, write


@pytest.fixture(autouse=True)
def short_films(monkeypatch):
    monkeypatch.setattr(video, 'FRAMES', 4)


def text(path):
    html = path.read_text(encoding='utf-8')
    assert not re.search(r'https?:|<script|<link|\bon\w+=|@import|url\(', html)
    body = html.partition('<body>')[2]
    return html, re.sub(r'\s+', ' ', re.sub(r'<[^>]+>', ' ', body)).replace('&#39;', "'")


def test_a_finished_run_gets_every_section(tmp_path):
    data = fakes.write(tmp_path / 'walks.npz', fakes.recording())
    run = fakes.run(tmp_path / 'iql-0001', data=data, gamma=0.9)
    fakes.run(tmp_path / 'bc-0001', 'bc', data=data, scores=(0.0, 0.1, 0.1))
    html, told = text(Run(run.path).report(episodes=2))
    assert (run.path / 'report.html').read_text(encoding='utf-8') == html
    for words in (
        'iql in pointmaze/umaze: success rate 0.50 [0.25, 0.75]',
        'Better than the recording',
        'Better than BC (bc-0001)',
        'Over-estimation at the start',
        'Discounted with gamma 0.9',
        'Best: return',
        'Worst: return',
        'its fingerprint is the one the run noted',
        'stitch train iql --data here.npz',
        'gamma 0.9',
    ):
        assert words in told, words
    assert html.count('data:image/webp') == 6  # three films, each with a still
    assert html.count('data:image/png') == 6  # learning twice, Q, promises, returns, lengths


def test_what_is_missing_is_said_and_nothing_fails(tmp_path):
    run = fakes.run(tmp_path / 'iql', env=None, scores=(0.5,), state='interrupted')
    _, told = text(write(run, Request()))
    for words in (
        'is interrupted after 12 of 12 steps: SIGTERM',
        '1 seed only',
        'Not told apart from the recording',
        'Over-estimation is not measured',
        'None: ',
        'say where to play: --env ENV',
        'trained on data from memory',
    ):
        assert words in told, words


def test_imitation_has_no_value_to_check_and_a_place_that_cannot_be_drawn_no_film(tmp_path):
    run = fakes.run(tmp_path / 'bc', 'bc')
    _, told = text(write(run, Request(str(tmp_path / 'page.html'), episodes=0)))
    assert 'bc learns no Q of its actions' in told
    assert 'None: no episodes were asked for' in told


def test_a_run_that_was_never_judged_has_a_page_too(tmp_path):
    run = fakes.run(tmp_path / 'iql')
    (run.path / 'eval.jsonl').unlink()
    _, told = text(write(run, Request(episodes=0)))
    assert 'Never judged' in told
    assert 'Value health' in told


def test_an_unfair_comparison_is_told(tmp_path):
    run = fakes.run(tmp_path / 'a' / 'iql')
    other = fakes.run(tmp_path / 'b' / 'bc', 'bc', scores=(0.1, 0.2))
    _, told = text(write(run, Request(baseline=str(other.path), episodes=0)))
    assert 'Compared with bc: data (fingerprint): not known' in told
    assert 'bc has 2 seeds' in told


def test_what_was_asked_for_by_name_must_be_there(tmp_path):
    run = fakes.run(tmp_path / 'iql')
    for request in (Request(baseline=str(tmp_path)), Request(env='pointmaze/nowhere'), Request(data='nothing.npz')):
        with pytest.raises(UsageError if request.data is None else Exception, match='no'):
            write(run, request)
    assert not (run.path / 'report.html').exists()

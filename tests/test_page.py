import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stitchrl.envs.pointmaze import PointMaze
from stitchrl.errors import UsageError
from stitchrl.report import canvas, figures, page
from stitchrl.report.page import Picture, Section, Table, Verdict, Whisker
from stitchrl.report.statistics import Interval, interval

VOID = {'meta', 'img', 'br', 'source'}
NASTY = '<script>alert("1")</script> & <b>bold</b> \'quoted\' {{ 7 * 7 }} {% raw %} http://example.org'
PNG = canvas.png(canvas.blank(2, 1), None)
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 1"><rect width="2" height="1"/></svg>'
RATE = interval([[1, 1, 0, 1], [1, 1, 1, 1]], rate=True)


class Page(HTMLParser):
    """Tags with their attributes, the text in each kind of tag, and a check that every tag is closed."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.text.append((self.open[-1] if self.open else '', ' '.join(data.split())))

    def of(self, tag):
        return [text for where, text in self.text if where == tag]

    def attributes(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def full(text='a text'):
    """Every part of the page, with this text wherever a text can be."""
    return {
        'title': text,
        'verdict': [Verdict(text, True), Verdict(text, False)],
        'tables': [Table(text, (text, 'score', 'steps'), [(text, Whisker(RATE), '1,000'), ('x', text, 3)])],
        'pictures': [Picture(PNG, text, text), Picture(SVG, text, text)],
        'notes': [text],
        'reproduce': {'command': text, 'versions': {text: text}, 'seeds': [0, 1, text]},
    }


def made(tmp_path, **parts):
    path = page.write(tmp_path / 'report.html', **({'title': 'a title'} | parts))
    return path.read_text(encoding='utf-8')


def test_nothing_is_loaded_from_anywhere(tmp_path):
    html = made(tmp_path, **full())
    assert not re.search(r'https?:|//|@import|url\(|<script|<link|<iframe|\bon\w+=', html.replace(';base64,', ''))
    found = Page(html)
    addresses = [value for _, attrs in found.tags for name, value in attrs.items() if name in ('src', 'href')]
    assert len(addresses) == 2
    assert all(address.startswith('data:image/') for address in addresses)
    (policy,) = [tag['content'] for tag in found.attributes('meta') if 'http-equiv' in tag]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_every_text_is_shown_as_it_stands(tmp_path):
    plain, nasty = Page(made(tmp_path, **full())), Page(made(tmp_path, **full(NASTY)))
    assert [tag for tag, _ in nasty.tags] == [tag for tag, _ in plain.tags]
    assert [text for _, text in nasty.text] == [text.replace('a text', NASTY) for _, text in plain.text]
    assert [tag['alt'] for tag in nasty.attributes('img')] == [NASTY] * 2
    assert sum(NASTY in text for _, text in nasty.text) == 15


@settings(max_examples=25)
@given(st.text(st.characters(exclude_categories=('Cs', 'Cc', 'Z'))).filter(bool))
def test_any_text_comes_back(tmp_path_factory, text):
    found = Page(made(tmp_path_factory.mktemp('page'), title=text, verdict=[Verdict(text, True)]))
    assert found.of('title') == found.of('h1') == found.of('span') == [text]


@pytest.mark.parametrize(
    ('flags', 'told'),
    [
        ([True], 'It holds'),
        ([True, True], 'All 2 statements hold'),
        ([True, False, True], '2 of 3 statements hold'),
        ([False], '0 of 1 statements hold'),
    ],
)
def test_the_verdict_counts_what_holds_and_marks_each_for_eyes_and_ears(tmp_path, flags, told):
    found = Page(made(tmp_path, verdict=[Verdict(f'statement {k}', flag) for k, flag in enumerate(flags)]))
    assert found.of('h2') == [told]
    marks = [(tag['class'], tag['aria-label']) for tag in found.attributes('svg')]
    assert marks == [('mark good', 'holds') if flag else ('mark bad', 'does not hold') for flag in flags]


def test_what_a_test_left_open_is_neither_and_a_headline_may_stand_over_it(tmp_path):
    found = Page(made(tmp_path, verdict=[Verdict('a', None), Verdict('b', True)], headline='a headline'))
    assert found.of('h2') == ['a headline']
    assert [tag['aria-label'] for tag in found.attributes('svg')] == ['left open', 'holds']
    assert Page(made(tmp_path, verdict=[Verdict('a', None)])).of('h2') == ['0 of 1 statements hold']


def test_sections_come_in_order_with_their_own_pictures(tmp_path):
    sections = [
        Section('first', ['a paragraph'], [Table('numbers', ('a', 'b'), [('x', 1)])]),
        Section('second', pictures=[Picture(PNG, 'left', 'a'), Picture(PNG, 'right', 'b', PNG)], beside=True),
    ]
    found = Page(made(tmp_path, sections=sections, notes=['a note']))
    assert found.of('h2') == ['first', 'second', 'Notes']
    assert found.of('p') == ['a paragraph']
    assert [tag.get('class') for tag in found.attributes('div')] == ['scroll', 'beside']
    assert found.attributes('table') == [{'class': 'numbers'}]
    assert [tag['media'] for tag in found.attributes('source')] == ['screen and (max-width: 40rem)']
    with pytest.raises(UsageError, match='no `alt`'):
        made(tmp_path, sections=[Section('', pictures=[Picture(PNG, 'a maze', '')])])


def test_a_page_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(UsageError, match='cannot be written'):
        page.write(tmp_path / 'nowhere' / 'page.html', 'a title')


def test_tables_name_their_rows_and_columns_and_set_numbers_flush(tmp_path):
    rows = [('BC', '1,000', '95 %', 'at most 2', True), ('IQL', 20, 1.5, '3', False)]
    found = Page(made(tmp_path, tables=[Table('a caption', ('name', 'a', 'b', 'c', 'd'), rows)]))
    heads = found.attributes('th')
    assert [head['scope'] for head in heads] == ['col'] * 5 + ['row'] * 2
    assert ['class' in head for head in heads[:5]] == [False, True, True, False, False]
    assert ['class' in cell for cell in found.attributes('td')] == [True, True, False, False] * 2
    assert found.of('td') == ['1,000', '95 %', 'at most 2', 'True', '20', '1.5', '3', 'False']
    assert found.of('caption') == ['a caption']


def test_a_score_is_written_and_drawn_on_its_scale(tmp_path):
    score = Interval(0.5, 0.25, 1.0, 't-interval', 5, 50)
    found = Page(made(tmp_path, tables=[Table('', ('a', 'b'), [('IQL', Whisker(score))])]))
    assert found.of('span') == ['0.50 [0.25, 1.00]']
    assert found.of('small') == ['5 seeds x 50 episodes, t-interval']
    assert [tag['d'] for tag in found.attributes('path')[1:]] == ['M25.0 6H100.0']
    assert [tag['cx'] for tag in found.attributes('circle')] == ['50.0']


def test_a_score_may_say_itself_how_it_was_made():
    assert Whisker(interval([30.0]), how='mean of 9 episodes').words == ('30.0', 'mean of 9 episodes')


def test_a_score_without_an_interval_is_only_a_dot(tmp_path):
    cell = Whisker(interval([30.0]), 0, 120)
    found = Page(made(tmp_path, tables=[Table('', ('a', 'b'), [('IQL', cell)])]))
    assert [tag['class'] for tag in found.attributes('path')] == ['scale']
    assert [tag['cx'] for tag in found.attributes('circle')] == ['25.0']
    assert found.of('span') == ['30.0']
    assert found.of('small') == ['1 seed, no interval from one seed']


def test_a_score_off_its_scale_is_drawn_at_its_end():
    cell = Whisker(RATE, -100, 100)
    assert [cell.at(value) for value in (-500, -100, 0, 50, 500)] == [0, 0, 50, 75, 100]


def test_pictures_are_in_the_file_whole(tmp_path):
    found = Page(made(tmp_path, **full()))
    kinds, images = zip(*(tag['src'].split(';base64,') for tag in found.attributes('img')), strict=True)
    assert kinds == ('data:image/png', 'data:image/svg+xml')
    assert [base64.b64decode(image) for image in images] == [PNG, SVG.encode()]
    assert [tag.get('width') for tag in found.attributes('img')] == ['192', None]  # two inches
    assert found.of('figcaption') == ['a text'] * 2


def test_how_to_reproduce_shows_the_command_first_and_the_rest_in_order(tmp_path):
    facts = {'machine': '2 cores', 'command': 'stitch demo', 'versions': {'jax': '0.10'}, 'seeds': [0, 1]}
    found = Page(made(tmp_path, reproduce=facts))
    assert found.of('code') == ['stitch demo']
    assert found.of('dt') == ['machine', 'versions', 'jax', 'seeds']
    assert found.of('dd') == ['2 cores', '0.10', '0, 1']
    assert facts['command'] == 'stitch demo'


def test_parts_that_are_not_given_leave_no_trace(tmp_path):
    found = Page(made(tmp_path))
    assert found.of('h1') == ['a title']
    assert not {'h2', 'section', 'table', 'figure', 'ul', 'pre', 'dl'} & {tag for tag, _ in found.tags}


def test_what_cannot_be_shown_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(UsageError, match=r"row 2 of table 'scores' has 1 cells; expected 2"):
        made(tmp_path, tables=[Table('scores', ('a', 'b'), [(1, 2), (1,)])])
    with pytest.raises(UsageError, match=r"picture 'a maze' has no `alt`"):
        made(tmp_path, pictures=[Picture(b'', 'a maze', ' ')])
    with pytest.raises(UsageError, match=r"picture 'a maze' is neither a PNG, a WebP nor the text of an SVG"):
        made(tmp_path, pictures=[Picture(b'GIF89a', 'a maze', 'a maze')])
    assert list(tmp_path.iterdir()) == []


def test_a_page_with_real_figures_is_small_enough_to_send(tmp_path):
    env, g = PointMaze.create('junctions'), np.random.default_rng(0)
    walks = [1.5 + np.cumsum(g.normal(size=(40, 2)), 0) % 6 for _ in range(100)]
    panels = [figures.Panel('data', data=walks)] + [figures.Panel('BC', paths=walks, solved=[True] * 100)] * 3
    images = [figures.maze(env, panels), figures.value_map(env, figures.places(env)[..., 0])]
    made(tmp_path, pictures=[Picture(image, 'a caption', 'a maze') for image in images])
    assert (tmp_path / 'report.html').stat().st_size < 3e6

"""The page of a run that learned a game: its ladder, its sample games, and diagrams by hand."""

import re
from types import SimpleNamespace

import fakes
import numpy as np
import pytest

from stitchrl.envs.board import ConnectFour, TicTacToe
from stitchrl.loops.match import Match
from stitchrl.report import ladder, stones
from stitchrl.report.run_page import Request, write
from stitchrl.report.stage import stage

pytestmark = pytest.mark.usefixtures('quick_compiles')
GAME = TicTacToe.create()
WON, LOST = [0, 3, 1, 4, 2], [0, 3, 1, 4, 8, 5]  # by who began


def match(*games):
    """Games by their moves, all of which somebody won."""
    moves = np.full((len(games), 9), -1)
    for row, game in zip(moves, games, strict=True):
        row[: len(game)] = game
    return Match(np.array([1.0 if len(game) % 2 else -1.0 for game in games]), moves)


def test_a_diagram_counts_the_moves():
    owner, number = stones.placed(GAME, [4, 0, 8])
    assert owner.tolist() == [[1, -1, -1], [-1, 0, -1], [-1, -1, 0]]
    assert number.tolist() == [[2, 0, 0], [0, 1, 0], [0, 0, 3]]
    drawn = stones.svg(ConnectFour.create(), [3, 3, 2])
    assert re.findall(r'>(\d+)</text>', drawn) == ['3', '1', '2'], 'from the lowest row upwards'
    assert drawn.count('<circle') == 42
    x, y = re.search(r'x="([\d.]+)" y="([\d.]+)"[^>]*>2</text>', drawn).groups()
    assert (float(x), float(y)) == (3.5 * stones.SIDE, 4.5 * stones.SIDE), 'the second stone lies on the first'


def test_results_and_examples_are_those_of_the_agent():
    played = (match(WON, LOST), match(WON, WON))  # it began twice: won, lost; the other began twice and won
    assert ladder.results([played]).tolist() == [[1, -1, -1, -1]]
    assert ladder.example(played, 1) == (WON, True)
    assert ladder.example(played, -1) == (LOST, True), 'the longest'
    assert ladder.example(played, 0) is None
    part = ladder.ladder('tictactoe', {'random': [played], 'minimax': [played]})
    assert [row[:4] for row in part.tables[0].rows] == [['random', 1, 0, 3], ['minimax', 1, 0, 3]]
    shown = ladder.samples(GAME, {'random': [played], 'minimax': [played]}, 'tictactoe')
    assert [picture.caption for picture in shown.pictures] == [
        'Won against minimax, dark, in 5 moves.',
        'Lost against minimax, dark, in 6 moves.',
    ]


def test_long_games_have_fewer_rungs(monkeypatch):
    """Go's random games are long; those of connect four are not."""
    monkeypatch.setattr(ladder, 'matched', lambda *_: [])
    monkeypatch.setattr(ladder, 'ladder', lambda title, matches: (title, *matches))
    monkeypatch.setattr(ladder, 'samples', lambda *_: None)
    here = lambda name, longest: SimpleNamespace(
        name=name, env=SimpleNamespace(game=None, spec=SimpleNamespace(horizon=longest))
    )
    assert ladder.sections(here('go_9x9/random', 162), 4)[0] == ('go_9x9', 'random', 'uct-25')
    assert ladder.sections(here('connect_four', 42), 4)[0] == ('connect_four', *ladder.RUNGS)


def test_the_page_of_a_game(tmp_path, monkeypatch):
    monkeypatch.setattr(ladder, 'RUNGS', ('random',))
    monkeypatch.setattr(ladder, 'SOLVED', {})
    run = fakes.game_run(tmp_path / 'zero')
    assert ladder.climbs(stage(run))
    html = write(run, Request(episodes=4)).read_text()
    for title in ('Ladder', 'Sample games', '8 games of each agent on every rung', 'Won against random'):
        assert title in html
    assert 'Value health' not in html
    assert 'Ladder' not in write(run, Request(episodes=0)).read_text()

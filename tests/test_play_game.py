"""Games in the terminal: what is shown, what is refused, and how a game ends."""

import io
import json

import fakes
import pytest

from stitchrl import envs
from stitchrl.cli import main
from stitchrl.cli.play_game import Seat, Thought
from stitchrl.envs.board import ConnectFour, TicTacToe
from stitchrl.report import stones

pytestmark = pytest.mark.usefixtures('quick_compiles')
GAME = TicTacToe.create()


def scripted(*moves):
    """A search that finds these in turn, visited 10 times each and worth half a win."""
    left = list(moves)

    def think(board, number):
        move = left.pop(0)
        return Thought(move, [10.0 * (move == i) for i in range(9)], [0.5 * (move == i) for i in range(9)])

    return think


def played(monkeypatch, lines, think, you=0, game=GAME):
    monkeypatch.setattr('sys.stdin', io.StringIO('\n'.join(lines) + '\n'))
    return Seat(game, think, you, 'nobody').play()


def test_boards_show_who_moves_where():
    assert stones.text(GAME, GAME.after([0, 4])) == '6 7 8\n3 O 5\nX 1 2'
    game = ConnectFour.create()
    rows = stones.text(game, game.after([3, 3, 0])).splitlines()
    assert rows == ['. . . . . . .'] * 4 + ['. . . O . . .', 'X . . X . . .', '0 1 2 3 4 5 6']
    assert stones.text(game, game.after([3, 3])).splitlines()[-2:] == ['. . . X . . .', '0 1 2 3 4 5 6']


@pytest.mark.parametrize(
    ('you', 'lines', 'theirs', 'moves', 'result', 'said'),
    [
        (0, '012', [3, 4], [0, 3, 1, 4, 2], 1, 'You win.'),
        (1, '01', [3, 4, 5], [3, 0, 4, 1, 5], -1, 'You lose.'),
        (0, '02378', [1, 4, 5, 6], [0, 1, 2, 4, 3, 5, 7, 6, 8], 0, 'Drawn.'),
        (0, '0q', [3], [0, 3], None, 'The game was left.'),
        (0, '0', [3], [0, 3], None, 'The game was left.'),  # the pipe is empty
    ],
)
def test_games_end(monkeypatch, capsys, you, lines, theirs, moves, result, said):
    told = played(monkeypatch, list(lines), scripted(*theirs), you)
    assert (told['result'], told['moves']) == (result, moves)
    assert capsys.readouterr().out.strip().endswith(said)
    assert [row['move'] for row in told['searches']] == theirs


def test_its_visits_and_values_are_shown(monkeypatch, capsys):
    played(monkeypatch, ['0'], scripted(4))
    assert '      4       10    +0.500  <' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('word', 'why'),
    [('4', 'it is taken'), ('9', 'moves are 0 to 8'), ('-1', 'it is no number'), ('b2', 'it is no number')],
)
def test_what_is_no_move_is_said_and_asked_again(monkeypatch, capsys, word, why):
    told = played(monkeypatch, [word, '0'], scripted(4, 8), you=1)
    out = capsys.readouterr().out
    assert f'{word!r} is no move here: {why}' in out
    assert 'Legal: 0 1 2 3 5 6 7 8' in out
    assert told['moves'][:2] == [4, 0]


def test_advice_and_the_search_in_ones_place(monkeypatch, capsys):
    told = played(monkeypatch, ['h', ''], scripted(8, 2, 4))
    assert told['moves'] == [2, 4]
    out = capsys.readouterr().out
    assert '      8       10' in out
    assert 'You play 2.' in out


def test_against_uct_from_a_pipe(monkeypatch, capsys):
    monkeypatch.setattr('sys.stdin', io.StringIO('\n' * 9))
    assert main(['play', 'tictactoe', '--simulations', '30', '--json']) == 0
    told, shown = (json.loads(text) if text[0] == '{' else text for text in capsys.readouterr())
    assert told['result'] in (-1, 0, 1)
    assert 'UCT, 30 simulations a move' in shown
    assert all(sum(row['visits']) == 30 for row in told['searches'])
    GAME.after(told['moves'])


@pytest.fixture(params=['alphazero', 'alphago'])
def run(tmp_path, request):
    return fakes.game_run(tmp_path / 'played', request.param)


def test_against_a_run(monkeypatch, capsys, run):
    monkeypatch.setattr('sys.stdin', io.StringIO('\n' * 9))
    assert main(['play', str(run.path), '--second', '--seed-index', '1', '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    algo = run.read('config.json')['algo']
    assert told['opponent'] == f'{algo} of {run.path}, 20 simulations a move'
    assert all(sum(row['visits']) == 20 for row in told['searches'])
    assert told['searches'][0]['move_number'] == 0
    GAME.after(told['moves'])
    assert main(['play', str(run.path), '--seed-index', '2']) == 2
    assert 'this run trained 2' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('options', 'told'),
    [
        (['tictactoe', '--simulations', '0'], 'expected at least 1'),
        (['tictactoe', '--out', 'film.webp'], 'not filmed'),
        (['tictactoo'], 'tictactoo'),
    ],
)
def test_what_cannot_be_played(options, told, capsys):
    assert main(['play', *options]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize('name', envs.GAMES)
def test_every_game_has_a_face(name):
    if envs.GAMES[name][0] == envs.PGX:
        pytest.importorskip('pgx', reason='this game is one of pgx; pip install "stitchrl[games]"')
    game = envs.rules(name)
    assert len(stones.text(game, game.start()).splitlines()) >= game.spec.obs.shape[1]

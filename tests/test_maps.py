"""Maps drawn as text: the arrays they become, the errors of bad ones, shortest ways."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from stitchrl.envs.maps import BESIDE, distances, read_map
from stitchrl.errors import UsageError

GOOD = """
    ####
    #.G#
    #S.#
    ####
"""


def test_arrays_have_the_last_line_first():
    walls, start, goal = read_map(GOOD)
    assert walls.sum() == 12
    assert not walls[1:3, 1:3].any()
    assert (start, goal) == ((1, 1), (2, 2))


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('#.G#', '#.G##', 'line 2 has 5 cells, line 1 has 4'),
        ('#S.#', '#Sx#', 'line 3 holds x'),
        ('#S.#', '#SG#', '2 cells G'),
        ('#S.#', '#..#', '0 cells S'),
        ('#S.#', '#S..', 'open at its edge'),
        ('#.G#\n    #S.#', '##G#\n    #S##', 'no way leads from S to G'),
        (GOOD, '', '0 cells S'),
    ],
)
def test_a_bad_map_is_refused_in_words(old, new, message):
    text = GOOD.replace(old, new)
    assert text != GOOD
    with pytest.raises(UsageError, match=message):
        read_map(text)


def test_distances_by_hand():
    walls, start, goal = read_map('#####\n#G#S#\n#...#\n#####')
    assert distances(walls, goal)[1:3, 1:4].tolist() == [[1, 2, 3], [0, -1, 4]]
    assert distances(walls, start)[goal] == 4


def test_a_chamber_without_a_door_is_minus_one():
    walls, _, goal = read_map('#####\n#SG##\n#####\n#..##\n#####')
    assert (distances(walls, goal)[1, 1:3] == -1).all()


@given(arrays(bool, (7, 8)))
def test_every_step_of_the_shortest_way_is_one_closer(walls):
    walls[[0, -1]] = walls[:, [0, -1]] = True
    walls[3, 4] = False
    moves = distances(walls, (3, 4))
    assert (moves[walls] == -1).all()
    assert np.argwhere(moves == 0).tolist() == [[3, 4]]
    for y, x in np.argwhere(~walls):
        beside = [int(moves[y + dy, x + dx]) for dy, dx in BESIDE if not walls[y + dy, x + dx]]
        if moves[y, x] > 0:
            assert min(beside) == moves[y, x] - 1
            assert max(beside) <= moves[y, x] + 1
        if moves[y, x] < 0:
            assert set(beside) <= {-1}

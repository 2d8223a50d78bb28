"""Maps of cells drawn as text, and how far apart their cells are. Imports no JAX.

One letter per cell: `#` wall, `.` floor, `S` start, `G` goal; the first line is the top row. Arrays are
[y, x] with y upwards, so that `imshow(walls, origin='lower')` looks like the text.
"""

from typing import NamedTuple

import numpy as np

from stitchrl.errors import UsageError

BESIDE = ((1, 0), (0, 1), (-1, 0), (0, -1))  # (y, x): north, east, south, west


class Map(NamedTuple):
    """A text map as arrays. Cells are (y, x), y upwards."""

    walls: np.ndarray  # [H, W] bool
    start: tuple[int, int]
    goal: tuple[int, int]


def read_map(text: str) -> Map:
    """Arrays of a text map. UsageError says which line is wrong and how."""
    lines = [line.strip() for line in text.strip().splitlines()]
    check_lines(lines)
    cells = np.array([list(line) for line in lines[::-1]])
    walls = cells == '#'
    if not (walls[[0, -1]].all() and walls[:, [0, -1]].all()):
        raise UsageError('the map is open at its edge; close first and last line and column with #')
    start, goal = where(cells, 'S'), where(cells, 'G')
    if distances(walls, goal)[start] < 0:
        raise UsageError('no way leads from S to G in this map; open a wall between them')
    return Map(walls, start, goal)


def where(cells: np.ndarray, letter: str) -> tuple[int, int]:
    """Where (y, x) the only `letter` of the map stands."""
    y, x = np.argwhere(cells == letter)[0]
    return int(y), int(x)


def check_lines(lines: list[str]) -> None:
    """Raise UsageError unless the lines are equally long and hold one S, one G and else only # and `.`."""
    for number, line in enumerate(lines, 1):
        if len(line) != len(lines[0]):
            raise UsageError(f'map line {number} has {len(line)} cells, line 1 has {len(lines[0])}')
        if odd := ' '.join(sorted(set(line) - set('#.SG'))):
            raise UsageError(f'map line {number} holds {odd}; a cell is one of # . S G')
    for letter in 'SG':
        if (count := ''.join(lines).count(letter)) != 1:
            raise UsageError(f'the map has {count} cells {letter}; it needs exactly one')


def distances(walls: np.ndarray, goal: tuple[int, int]) -> np.ndarray:
    """Moves to `goal` (y, x) on the shortest way, [H, W] int32; -1 in walls and where no way leads to it."""
    moves = np.full(walls.shape, -1, np.int32)
    moves[goal] = 0
    front = [goal]
    while front:
        beside = {(y + dy, x + dx) for y, x in front for dy, dx in BESIDE}
        fresh = [cell for cell in sorted(beside) if not walls[cell] and moves[cell] < 0]
        for cell in fresh:
            moves[cell] = moves[front[0]] + 1
        front = fresh
    return moves

"""A small world whose every answer can be computed: learning tests compare with it.

A text map, one letter per unit cell: `#` wall, `.` floor, `S` start, `G` goal. The first line is the top row; inside,
arrays are indexed [y, x] with y upwards, so `imshow(walls, origin='lower')` looks like the text.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.spec import Discrete, Observation, Spec
from stitchrl.envs.env import Env, State
from stitchrl.errors import UsageError

ACTIONS = ('stay', 'north', 'east', 'south', 'west')
MOVES = np.array([(0, 0), (1, 0), (0, 1), (-1, 0), (0, -1)], np.int32)  # [5, 2] in (y, x)

CORRIDOR = """
#######
#S...G#
#######
"""


class Map(NamedTuple):
    """A text map as arrays."""

    walls: np.ndarray  # [H, W] bool, [y, x], y upwards
    start: tuple[int, int]  # (y, x)
    goal: tuple[int, int]


def read_map(text: str) -> Map:
    """Arrays of a text map. UsageError names the line and what is wrong with it."""
    lines = [line.strip() for line in text.strip().splitlines()]
    for number, line in enumerate(lines, 1):
        if len(line) != len(lines[0]):
            raise UsageError(f'map line {number} has {len(line)} cells, line 1 has {len(lines[0])}; pad it with #')
        if odd := set(line) - set('#.SG'):
            raise UsageError(f'map line {number}: unknown {sorted(odd)}; a cell is one of # . S G')
    cells = np.array([list(line) for line in lines[::-1]])
    for letter, name in (('S', 'start'), ('G', 'goal')):
        if (count := int((cells == letter).sum())) != 1:
            raise UsageError(f'map has {count} {name} cells; write exactly one {letter}')
    walls = cells == '#'
    if not (walls[[0, -1]].all() and walls[:, [0, -1]].all()):
        raise UsageError('map is open at its edge; close the first and last line and column with #')
    start, goal = (tuple(int(i) for i in np.argwhere(cells == letter)[0]) for letter in 'SG')
    if distances(walls, goal)[start] < 0:
        raise UsageError('map: no way leads from S to G; open a wall between them')
    return Map(walls, start, goal)


def distances(walls: np.ndarray, goal: tuple[int, int]) -> np.ndarray:
    """Moves from each cell to `goal` on the shortest way, [H, W] int32; -1 in walls and cells cut off from it."""
    steps = np.full(walls.shape, -1, np.int32)
    steps[goal] = 0
    front = [goal]
    while front:
        reached = [(y + dy, x + dx) for y, x in front for dy, dx in MOVES[1:]]
        fresh = {cell for cell in reached if not walls[cell] and steps[cell] < 0}
        for cell in fresh:
            steps[cell] = steps[front[0]] + 1
        front = sorted(fresh)
    return steps

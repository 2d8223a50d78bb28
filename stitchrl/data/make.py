"""Recordings that can be made on the spot, by name."""

from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stitchrl.data.formats import npz
from stitchrl.errors import UsageError, meant

Arrays = dict[str, np.ndarray]


class Recipe(NamedTuple):
    """How a recording is made: (steps, seed) -> arrays of an npz file."""

    make: Callable[[int, int], Arrays]
    line: str


def walks(maze: str, kind: str, steps: int, seed: int) -> Arrays:
    """Segments in one of the package's mazes."""
    import jax.random as jr

    from stitchrl.data.collect import segments
    from stitchrl.envs.pointmaze import PointMaze

    return npz.arrays_of(segments(PointMaze.create(maze), jr.key(seed), steps, kind))


def table(family: str, world: str, kind: str, steps: int, seed: int) -> Arrays:
    """Five moves in one of the package's small worlds, by a policy that is a table."""
    import jax.random as jr

    from stitchrl.data.grids import collect
    from stitchrl.envs.gridworld import GridWorld
    from stitchrl.envs.pointmass import PointMass

    made = PointMass.create(world) if family == 'pointmass' else GridWorld.create(world, anywhere=True)
    return npz.arrays_of(collect(made, kind, jr.key(seed), steps))


def ogbench(name: str, steps: int, seed: int) -> Arrays:
    """A set of OGBench, collected by the wheel's own oracles."""
    from stitchrl.data.ogbench import collect

    return collect(name, steps, seed)


KINDS = {
    'stitch': 'short walks that cross the junctions in all directions; chains of them lead to the goal',
    'cut': 'the same, but no chain leads to the goal',
    'along': 'short walks that all point along the way to the goal',
}
TABLES = {
    'random': 'any of five moves with the same chance',
    'expert': 'shortest ways, three moves in ten random',
    'replay': 'from random moves to one random move in ten, as a replay buffer fills up',
}
WORLDS: dict[str, tuple[str, ...]] = {'gridworld': ('rooms', 'corridor'), 'pointmass': ('easy', 'medium', 'hard')}
OGBENCH = {
    'pointmaze-medium-navigate': 'a point that goes to corner after corner of a maze; no rewards',
    'cube-single-play': 'an arm that carries a cube from place to place; no rewards',
}
TASKS = ('', *(f'-task{n}' for n in range(1, 6)))


def recipes() -> dict[str, Recipe]:
    """All that can be made, by name."""
    found = {}
    for maze, (kind, line) in product(('junctions', 'medium'), KINDS.items()):
        found[f'pointmaze/{maze}-{kind}'] = Recipe(partial(walks, maze, kind), line)
    for family, worlds in WORLDS.items():
        for world, (kind, line) in product(worlds, TABLES.items()):
            found[f'{family}/{world}-{kind}'] = Recipe(partial(table, family, world, kind), line)
    for name, line in OGBENCH.items():
        found[f'ogbench/{name}'] = Recipe(partial(ogbench, name), line)
        for task in TASKS:
            full, of = f'{name}-singletask{task}', task[1:] or 'its default task'
            found[f'ogbench/{full}'] = Recipe(partial(ogbench, full), f'the same with the rewards of {of}')
    return found


RECIPES = recipes()


def make(name: str, steps: int, seed: int, out: Path) -> int:
    """Write the recording `name` to `out`, an npz file that does not exist yet; returns the number of its rows.

    Raises UsageError for a name, size or path that will not do, MissingExtra; before any work is done.
    """
    if name not in RECIPES:
        raise UsageError(f'no recording {name!r} can be made{meant(name, RECIPES)}')
    if steps < 1:
        raise UsageError(f'--steps {steps}: at least 1 is needed')
    if not 0 <= seed < 2**32:
        raise UsageError(f'--seed {seed}: expected a number from 0 to 2^32 - 1')
    check_out(out)
    arrays = RECIPES[name].make(steps, seed)
    npz.write(out, arrays)
    return len(arrays['observations'])


def check_out(out: Path) -> None:
    """UsageError unless `out` is a new npz file in a folder that is there."""
    if out.suffix != '.npz':
        raise UsageError(f'--out {out}: expected a name that ends in .npz')
    if out.exists():
        raise UsageError(f'--out {out}: is there already; choose another name or delete it')
    if not out.parent.is_dir():
        raise UsageError(f'--out {out}: no folder {out.parent}; make it first')

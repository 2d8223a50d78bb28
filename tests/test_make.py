"""Recordings made by name: each is what its name says, and bad requests are refused before any work."""

import numpy as np
import pytest

from stitchrl.data import grids, make
from stitchrl.data.check import check
from stitchrl.data.formats import read
from stitchrl.errors import UsageError


@pytest.mark.parametrize(
    ('name', 'width', 'discrete'),
    [
        ('pointmaze/junctions-stitch', 2, False),
        ('gridworld/rooms-random', 81, True),
    ],
)
def test_the_packages_own_sets(tmp_path, name, width, discrete):
    path = tmp_path / 'x.npz'
    rows = make.make(name, 500, 0, path)
    columns = read(path)
    assert rows == len(columns) >= 500
    assert columns.obs.shape[1] == width
    assert columns.discrete == discrete
    assert columns.notes == ()
    assert not [finding for finding in check(columns) if finding.severity == 'error']


def test_the_seed_decides(tmp_path):
    for number, seed in enumerate((0, 0, 1)):
        make.make('gridworld/rooms-random', 500, seed, tmp_path / f'{number}.npz')
    first, again, other = (read(tmp_path / f'{number}.npz') for number in range(3))
    np.testing.assert_array_equal(first.action, again.action)
    assert not np.array_equal(first.action[:100], other.action[:100])


def test_tables_are_told_world_and_kind(monkeypatch):
    told = []
    monkeypatch.setattr(
        grids, 'collect', lambda world, kind, key, steps: told.append((type(world).__name__, kind, steps))
    )
    monkeypatch.setattr(make.npz, 'arrays_of', lambda columns: columns)
    for name in ('pointmass/hard-replay', 'gridworld/corridor-expert'):
        make.RECIPES[name].make(9, 0)
    assert told == [('PointMass', 'replay', 9), ('GridWorld', 'expert', 9)]


def test_every_recipe_has_a_line():
    assert len(make.RECIPES) == 35
    assert all(recipe.line for recipe in make.RECIPES.values())


def test_ogbench_names_are_known_to_the_collector():
    ogbench = pytest.importorskip('stitchrl.data.ogbench')
    for name in make.RECIPES:
        if name.startswith('ogbench/'):
            assert ogbench.split(name.removeprefix('ogbench/'))[0] in make.OGBENCH
    assert ogbench.SOURCES.keys() == make.OGBENCH.keys()


BAD = {
    'an unknown name': (('gridworld/room-random', 10, 0, 'x.npz'), 'did you mean gridworld/rooms-random'),
    'nothing like a name': (
        ('zzz', 10, 0, 'x.npz'),
        "no recording 'zzz' can be made; known: pointmaze/junctions-stitch, .* more$",
    ),
    'no steps': (('gridworld/rooms-random', 0, 0, 'x.npz'), '--steps 0: at least 1'),
    'a negative seed': (('gridworld/rooms-random', 10, -1, 'x.npz'), '--seed -1'),
    'another format': (('gridworld/rooms-random', 10, 0, 'x.hdf5'), r'ends in \.npz'),
    'a file that is there': (('gridworld/rooms-random', 10, 0, 'there.npz'), 'is there already'),
    'no folder': (('gridworld/rooms-random', 10, 0, 'nowhere/x.npz'), 'no folder'),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_requests(tmp_path, monkeypatch, name):
    (recipe, steps, seed, out), words = BAD[name]
    (tmp_path / 'there.npz').touch()
    monkeypatch.setattr(make.npz, 'write', lambda *_: pytest.fail('work was done'))
    with pytest.raises(UsageError, match=words):
        make.make(recipe, steps, seed, tmp_path / out)

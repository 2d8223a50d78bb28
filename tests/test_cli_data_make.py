"""`stitch data make`: what it prints, what it writes."""

import json
import subprocess
import sys

import numpy as np
import pytest

from stitchrl.cli.data import main
from stitchrl.data import make
from stitchrl.errors import UsageError


@pytest.fixture
def blink(monkeypatch, tmp_path):
    """A recipe that takes no time, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    arrays = lambda steps, seed: {'observations': np.full((steps, 1), seed)}
    monkeypatch.setitem(make.RECIPES, 'a/blink', make.Recipe(arrays, 'for a test'))
    return tmp_path


def test_without_a_name_it_lists_what_there_is(capsys):
    assert main(['make']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(make.RECIPES)
    assert lines[0].startswith('pointmaze/junctions-stitch ')


def test_a_person_reads_where_it_lies_and_what_comes_next(blink, capsys):
    assert main(['make', 'a/blink', '--steps', '7', '--seed', '3']) == 0
    out = capsys.readouterr().out
    assert 'a-blink.npz: 7 rows in ' in out
    assert 'next: stitch data inspect a-blink.npz' in out
    np.testing.assert_array_equal(np.load(blink / 'a-blink.npz')['observations'], np.full((7, 1), 3))


def test_a_program_reads_json(blink, capsys):
    assert main(['make', 'a/blink', '--steps', '2', '--out', 'x.npz', '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told['path'], told['name'], told['rows']) == ('x.npz', 'a/blink', 2)


def test_a_file_is_not_written_over(blink):
    main(['make', 'a/blink', '--steps', '2'])
    with pytest.raises(UsageError, match='is there already'):
        main(['make', 'a/blink', '--steps', '2'])


def test_listing_needs_no_jax():
    code = 'import sys; from stitchrl.cli.data import main; main(["make"])'
    code += '; assert not {"jax", "h5py", "ogbench", "rich"} & set(sys.modules)'
    subprocess.run([sys.executable, '-c', code], check=True, stdout=subprocess.DEVNULL)

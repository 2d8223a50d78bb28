"""What was saved survives kill -9: ten random moments here, two hundred in `recipes/kills.py`, and every operation."""

import importlib.util
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

spec = importlib.util.spec_from_file_location('kills', Path(__file__).parents[1] / 'recipes' / 'kills.py')
kills = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kills)
WHOLE = {'whole', 'whole, in the middle of a save'}


@pytest.fixture(scope='module')
def killer():
    with kills.Killer() as killer:
        yield killer


@pytest.mark.timeout(300)  # it waits for the disk, which others may keep busy
def test_ten_kills_in_the_middle_of_saving_lose_nothing_that_was_said(killer, tmp_path):
    rng = np.random.default_rng(0)
    found = Counter(killer.outcome(tmp_path / str(i), killer.at_random(tmp_path / str(i), rng)) for i in range(10))
    assert found.keys() <= WHOLE, found
    assert found['whole, in the middle of a save'], 'no kill came in the middle of a save'


@pytest.mark.timeout(300)
def test_a_kill_before_any_file_operation_loses_nothing(killer, tmp_path):
    found = Counter(killer.outcome(*place) for place in killer.at_every_operation(tmp_path))
    assert found.keys() <= WHOLE, found
    assert found.total() > 20, 'a save has more operations than that'


@pytest.mark.parametrize('part', ['checkpoints/step_000000001', 'policy'])
def test_what_is_lost_is_told_from_what_is_whole(killer, tmp_path, part):
    """The control: without a file of the only checkpoint, or of the policy."""
    kills.Session.save(kills.saver(tmp_path), 1, kills.filled(killer.like, 1))
    assert killer.outcome(tmp_path, 1) == 'whole'
    for path in [tmp_path / part, tmp_path / 'checkpoints' / 'step_000000002']:
        for file in path.glob('*.json'):
            file.unlink()
    assert killer.outcome(tmp_path, 2).startswith('lost: ')

"""Five recordings of one task are what their names say."""

import fakes
import numpy as np
import pytest

from stitchrl.core.spec import Discrete, Observation, Spec
from stitchrl.data.columns import Columns
from stitchrl.envs.pointmaze import PointMaze
from stitchrl.errors import Corrupt, UsageError
from stitchrl.loops import suite
from stitchrl.loops.cast import RANDOM

MAZE = PointMaze.create('umaze', 30)


def column(value, episodes=2):
    """Episodes of two steps with reward `value` each."""
    n = 2 * episodes
    obs, last = np.full((n, 2), value, np.float32), np.arange(n) % 2 == 1
    return Columns(obs, obs, obs[:, 0], last & False, last, obs, (-1.0, -1.0), (1.0, 1.0))


@pytest.fixture
def played(monkeypatch):
    """Who was asked to play, and a run whose ring holds nines."""
    asked = []

    def cast(who, spec, place, noise, agent):
        asked.append((who, noise, agent))
        return {'random': 1.0, 'm': 2.0, 'e': 4.0}[who], None

    monkeypatch.setattr(suite, 'cast', cast)
    monkeypatch.setattr(suite, 'gather', lambda player, boundary, env, seed, episodes, limit: column(player, episodes))
    monkeypatch.setattr(suite.RunDir, 'find', lambda path: path)
    monkeypatch.setattr(suite, 'recording', lambda run, agent: (column(9.0, 1), MAZE.spec, 7))
    return asked


def test_each_is_what_its_name_says(played):
    made = suite.sets(MAZE, 'maze', 'm', 'e', seed=0, episodes=3, noise=0.2, agent=1)
    assert played == [(RANDOM, 0.0, 1), ('m', 0.2, 1), ('e', 0.2, 1)]
    rewards = {name: columns.reward.tolist() for name, columns in made.items()}
    assert rewards == {
        'random': [1.0] * 6,
        'medium': [2.0] * 6,
        'medium-replay': [9.0] * 2,
        'expert': [4.0] * 6,
        'medium-expert': [2.0] * 6 + [4.0] * 6,
    }
    both = made['medium-expert']
    assert {len(getattr(both, name)) for name in suite.ARRAYS} == {12}
    assert both.timeout.sum() == 6
    assert both.low == (-1.0, -1.0)


def test_medium_lies_between_random_and_expert(played):
    made = suite.sets(MAZE, 'maze', 'm', 'e', seed=0, episodes=3)
    assert suite.share(made) == pytest.approx(1 / 3)
    assert np.isnan(suite.share(made | {'expert': made['random']}))


def test_a_medium_run_of_another_task_is_refused_before_anything_is_played(played, monkeypatch):
    other = Spec(Observation((5,)), Discrete(2))
    monkeypatch.setattr(suite, 'recording', lambda run, agent: (None, other, 7))
    with pytest.raises(UsageError, match=r'observations are \(5,\) in m but \(2,\) in maze'):
        suite.sets(MAZE, 'maze', 'm', 'e', seed=0, episodes=3)
    assert played == []


def test_a_medium_run_without_a_ring_is_refused(tmp_path):
    run = fakes.run(tmp_path / 'bc', 'bc')
    with pytest.raises(Corrupt, match='no whole checkpoint'):
        suite.sets(MAZE, 'maze', str(run.path), str(run.path), seed=0, episodes=1)

import fakes
import pytest

from stitchrl.envs.pointmaze import PointMaze
from stitchrl.errors import UsageError
from stitchrl.report.stage import stage


def test_a_run_plays_where_it_was_judged_or_where_it_is_told_to(tmp_path):
    run = fakes.run(tmp_path / 'iql')
    here = stage(run)
    assert (here.name, here.env.walls.shape) == (fakes.MAZE, (5, 5))
    assert stage(run, 'pointmaze/medium').env.walls.shape == (8, 8)
    maze = PointMaze.create('junctions')
    assert (stage(run, maze).env, stage(run, maze).name) == (maze, 'PointMaze')


def test_code_named_in_a_folder_is_not_imported(tmp_path):
    run = fakes.run(tmp_path / 'iql', env='antigravity:Env')
    with pytest.raises(UsageError, match=r'is code; if you trust it: --env antigravity:Env'):
        stage(run)
    with pytest.raises(UsageError, match='cannot import environment'):
        stage(run, 'stitchrl_has_none:Env')


def test_a_place_that_is_unknown_or_does_not_fit_is_refused(tmp_path):
    with pytest.raises(UsageError, match='--env ENV'):
        stage(fakes.run(tmp_path / 'a', env=None))
    with pytest.raises(UsageError, match='actions are'):
        stage(fakes.run(tmp_path / 'b'), 'pointmass/easy')

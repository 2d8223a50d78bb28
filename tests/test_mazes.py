from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from stitchrl.envs.pointmaze import PointMaze
from stitchrl.report import canvas, mazes
from stitchrl.report.figures import sheet


@pytest.fixture
def env():
    return PointMaze.create('umaze')


@pytest.fixture
def ax(env):
    return sheet(env, [('a title', 'a subtitle')], 1)[1][0]


def colours(ax, points):
    """The colours [N, 3] in 0 to 255 at these places (x, y) of the maze."""
    import io

    image = np.asarray(Image.open(io.BytesIO(canvas.png(ax.figure, None))).convert('RGB'))
    pixels = ax.transData.transform(points).astype(int)
    return image[image.shape[0] - 1 - pixels[:, 1], pixels[:, 0]].astype(int)


def near(colour, found):
    return np.abs(np.array(to_rgb(colour)) * 255 - found).max(-1) <= 2


def test_every_wall_of_the_map_is_a_wall_in_the_picture(env, ax):
    walls = np.asarray(env.walls)
    y, x = np.indices(walls.shape).reshape(2, -1)
    inside = (x > 0) & (x < walls.shape[1] - 1) & (y > 0) & (y < walls.shape[0] - 1)
    cells = np.stack([x, y], 1)[inside]
    for corner in (0.1, 0.1), (0.9, 0.1), (0.1, 0.9), (0.9, 0.9):
        assert (near(mazes.WALL, colours(ax, cells + corner)) == walls[y, x][inside]).all()


def test_the_goals_cell_is_golden_and_the_start_a_disc_of_true_size(env, ax):
    start, goal = np.asarray(env.start), np.asarray(env.goal)
    half = np.array(to_rgb(mazes.GOAL)) * 0.5 + 0.5
    corners = np.array([(-0.45, -0.45), (0.45, -0.45), (-0.45, 0.45), (0.45, 0.45)])
    assert near(half, colours(ax, goal + corners)).all()
    assert not near(half, colours(ax, start + corners)).any()
    rim = np.array([(0.3, 0), (-0.3, 0), (0, 0.3)])
    assert near(canvas.INK, colours(ax, start + rim)).all()
    assert near('white', colours(ax, start + 0.9 * rim)).all()


def test_the_picture_is_to_scale(ax):
    (x0, y0), (x1, y1) = ax.transData.transform([(1, 1), (2, 2)])
    assert x1 - x0 == pytest.approx(y1 - y0)


def test_sides_where_wall_meets_floor():
    walls = np.ones((3, 4), bool)
    walls[1, 1:3] = False
    around = {
        ((1, 1), (1, 2)),
        ((3, 1), (3, 2)),
        ((1, 1), (2, 1)),
        ((2, 1), (3, 1)),
        ((1, 2), (2, 2)),
        ((2, 2), (3, 2)),
    }
    assert set(mazes.edges(walls)) == around
    assert len(mazes.edges(walls)) == 6


def test_a_segment_goes_from_light_to_dark_and_points_where_it_went(ax):
    before = len(ax.texts)
    mazes.draw_data(ax, [np.array([(1.5, 3.5), (2.5, 3.5), (3.5, 3.5)])])
    lines = ax.collections[-1].get_colors()[:, :3]
    assert lines[0].sum() > lines[-1].sum()
    (arrow,) = ax.texts[before:]
    assert arrow.xy == pytest.approx((3.5, 3.5))
    assert arrow.xyann[0] < 3.5
    assert arrow.xyann[1] == pytest.approx(3.5)


@pytest.mark.parametrize('steps', [1, 3])
def test_a_segment_that_stood_still_has_no_direction(ax, steps):
    before = len(ax.texts)
    mazes.draw_data(ax, [np.full((steps, 2), 1.5)])
    assert len(ax.texts) == before
    assert len(ax.collections[-1].get_colors()) == steps - 1


def test_failed_paths_are_crossed_and_lie_under_solved_ones(ax):
    before = len(ax.lines)
    paths = [np.array([(1.5, 3.5), (x, 3.5)]) for x in (2.0, 2.5, 3.0)]
    mazes.draw_paths(ax, paths, [True, False, False])
    first, cross, second, again, solved = ax.lines[before:]
    assert [line.get_color() for line in (first, second, solved)] == [mazes.FAILED, mazes.FAILED, mazes.SOLVED]
    assert [line.get_marker() for line in (cross, again)] == ['X', 'X']
    assert (cross.get_xdata()[0], again.get_xdata()[0]) == (2.5, 3.0)


def test_maps_share_one_scale(env):
    figure, axes = sheet(env, [('', '')] * 2, 2, right=1)
    maps = [np.full(env.walls.shape, 1.0), np.full(env.walls.shape, 3.0)]
    mazes.draw_values(axes, maps, figure.add_axes((0.95, 0.1, 0.02, 0.8)))
    images = [ax.images[-1] for ax in axes]
    assert [image.get_clim() for image in images] == [(1, 3), (1, 3)]
    assert [image.get_extent() for image in images] == [ax.images[0].get_extent() for ax in axes]
    low, high = (colours(ax, np.array([(1.9, 3.9)])) for ax in axes)
    assert low.sum() > high.sum()


def test_the_key_names_what_is_there_and_nothing_else():
    assert list(mazes.keys(True, False, False)) == ['recorded, from start to end']
    assert list(mazes.keys(False, True, True)) == ['reached the goal', 'failed, and ended at the cross']
    assert mazes.keys(False, False, False) == {}


def test_the_key_lies_inside_the_figure():
    figure = canvas.blank(3.5, 1)
    mazes.draw_keys(figure, mazes.keys(True, True, True), 1)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= 3.5 * canvas.DPI


def test_only_walls_start_and_goal_are_asked_of_a_maze(ax, env):
    plain = SimpleNamespace(walls=np.asarray(env.walls), start=np.asarray(env.start), goal=np.asarray(env.goal))
    other = sheet(plain, [('a title', 'a subtitle')], 1)[0]
    assert canvas.png(other, None) == canvas.png(ax.figure, None)

from dataclasses import replace
from io import BytesIO

import jax
import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from stitchrl.data.collect import segments
from stitchrl.data.columns import Columns
from stitchrl.envs.pointmaze import PointMaze, slide
from stitchrl.errors import UsageError
from stitchrl.report import figures
from stitchrl.report.canvas import DPI
from stitchrl.report.figures import Panel
from stitchrl.report.mazes import FAILED, SOLVED

PATH = np.array([(1.5, 3.5), (2.5, 3.5), (3.5, 3.0), (3.5, 1.5)])


@pytest.fixture(scope='module')
def env():
    return PointMaze.create('umaze')


@pytest.fixture(scope='module')
def recording(env):
    return segments(env, jax.random.key(0), 500)


def pixels(data):
    image = Image.open(BytesIO(data))
    assert image.format == 'PNG'
    return np.asarray(image.convert('RGB')).astype(int)


def count(data, colour):
    """Pixels near a colour, as blended with white by at most a half."""
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return (np.abs(pixels(data) - (0.5 * wanted + 127.5)).max(-1) < 20).sum()


def test_a_sheet_of_panels_is_a_png_of_its_size(env, recording, tmp_path):
    panels = [
        Panel('The data', 'a subtitle', data=figures.sample(recording, 20)),
        Panel('BC', paths=[PATH[:2]], solved=[False]),
        Panel('IQL', paths=[PATH], solved=[True]),
    ]
    data = figures.maze(env, panels, tmp_path / 'maze.png')
    assert (tmp_path / 'maze.png').read_bytes() == data
    tall, wide = figures.size(env, 2)
    width = 2 * wide + 3 * figures.GAP
    height = 2 * (tall + 0.42) + 3 * figures.GAP + 2 * figures.KEY[1]
    assert pixels(data).shape[:2] == pytest.approx((height * DPI, width * DPI), abs=1)
    assert len(np.unique(pixels(data).reshape(-1, 3), axis=0)) > 100


def test_the_same_input_draws_the_same_picture_and_changes_no_settings(env):
    before = dict(mpl.rcParams)
    panels = [Panel('IQL', paths=[PATH], solved=[True])]
    assert figures.maze(env, panels) == figures.maze(env, panels)
    assert dict(mpl.rcParams) == before


def test_solved_and_failed_paths_have_colours_of_their_own(env):
    solved, failed = (figures.maze(env, [Panel('', paths=[PATH], solved=[flag])]) for flag in (True, False))
    assert count(solved, SOLVED) > 100 > 20 > count(failed, SOLVED)
    assert count(failed, FAILED) > 100 > 20 > count(solved, FAILED)


@pytest.mark.parametrize('columns', [1, 2, 3, 9])
def test_panels_come_in_rows(env, columns):
    height, width, _ = pixels(figures.maze(env, [Panel('a')] * 3, columns=columns)).shape
    assert round(width / figures.size(env, min(columns, 3))[1] / DPI) == min(columns, 3)
    assert round(height / figures.size(env, min(columns, 3))[0] / DPI) == -(-3 // min(columns, 3))


def test_mazes_are_drawn_large_enough_to_read_and_small_enough_for_a_page(env):
    junctions = PointMaze.create('junctions')
    assert figures.size(junctions, 1) == pytest.approx((3.52, 4.4))
    assert figures.size(env, 1) == pytest.approx((3.2, 3.2))
    assert figures.size(junctions, 4) == pytest.approx((2.15 * 0.8, 2.15))
    assert pixels(figures.maze(junctions, [Panel('a')] * 4, columns=4)).shape[1] < 9.5 * DPI


def test_panels_that_cannot_be_drawn_are_refused(env):
    with pytest.raises(UsageError, match='no panels'):
        figures.maze(env, [])
    with pytest.raises(UsageError, match=r"'IQL' has 1 paths and 2 flags in `solved`; expected one flag for each"):
        figures.maze(env, [Panel('IQL', paths=[PATH], solved=[True, False])])


def test_what_v_says_inside_walls_changes_nothing(env):
    values = -np.linalg.norm(figures.places(env) - np.asarray(env.goal), axis=-1)
    walls = np.kron(np.asarray(env.walls), np.ones((16, 16), bool))
    assert figures.value_map(env, values) == figures.value_map(env, np.where(walls, 1e6, values))
    assert figures.value_map(env, values) != figures.value_map(env, np.where(walls, values, -values))


def test_several_maps_stand_in_a_row(env, tmp_path):
    one = np.arange(25.0).reshape(5, 5)
    data = figures.value_map(env, {'early': one, 'late': one + 1}, tmp_path / 'value.png')
    assert (tmp_path / 'value.png').read_bytes() == data
    width = pixels(data).shape[1] / DPI
    assert width == pytest.approx(2 * figures.size(env, 2)[1] + 3 * figures.GAP + 0.7, abs=0.02)
    assert len(np.unique(pixels(data).reshape(-1, 3), axis=0)) > 100


@pytest.mark.parametrize('shape', [(4, 5), (25,), (10, 5), (2, 2), (5, 5, 1), (0, 0)])
def test_values_that_do_not_cover_the_maze_are_refused(env, shape):
    with pytest.raises(UsageError, match=r"values 'late' have shape .*the maze has \(5, 5\) cells"):
        figures.value_map(env, {'late': np.zeros(shape)})


def test_learning_curves_are_a_png_and_show_every_series(tmp_path):
    steps, g = np.arange(0, 5000, 1000), np.random.default_rng(0)
    series = {name: (steps, g.uniform(size=(3, 5))) for name in ('BC', 'IQL')}
    data = figures.curves(series, tmp_path / 'curves.png', 'success rate', rate=True)
    assert (tmp_path / 'curves.png').read_bytes() == data
    assert pixels(data).shape == (int(3.9 * DPI), int(7.6 * DPI), 3)
    blue, orange = count(data, SOLVED), count(data, FAILED)
    assert min(blue, orange) > 100
    assert count(figures.curves({'BC': series['BC']}), FAILED) < orange / 4


@pytest.mark.parametrize('shape', [(1, 4), (5, 1), (5, 4), (12, 4)])
def test_curves_of_any_number_of_seeds_and_steps_that_all_scored_the_same(shape):
    assert pixels(figures.curves({'BC': (np.arange(shape[1]), np.ones(shape))}, rate=True)).std() > 1


def test_no_series_is_refused():
    with pytest.raises(UsageError, match='no series'):
        figures.curves({})


def episodes():
    """Three episodes of 2, 1 and 3 steps; observation 10 k + t."""
    obs = np.array([0, 1, 10, 20, 21, 22], np.float32)[:, None]
    ends = np.array([0, 1, 1, 0, 0, 1], bool)
    return Columns(obs, obs, obs[:, 0], ends, None, obs + 1)


def test_a_sample_holds_whole_episodes_with_their_last_observation():
    assert [obs[:, 0].tolist() for obs in figures.sample(episodes())] == [[0, 1, 2], [10, 11], [20, 21, 22, 23]]


def test_a_sample_is_spread_over_the_recording():
    assert [obs[0, 0] for obs in figures.sample(episodes(), 2)] == [0, 20]


def test_without_next_observations_a_sample_ends_one_earlier():
    found = figures.sample(replace(episodes(), next_obs=None))
    assert [obs[:, 0].tolist() for obs in found] == [[0, 1], [10], [20, 21, 22]]


def test_a_sample_of_segments_joins_up(env, recording):
    for segment in figures.sample(recording, 10):
        assert np.abs(np.diff(segment, axis=0)).max() < 0.7  # a step along an axis, and a corner's push


def test_v_is_asked_only_where_the_disc_fits(env):
    places = figures.places(env, 4)
    assert places.shape == (20, 20, 2)
    floor = ~np.kron(np.asarray(env.walls), np.ones((4, 4), bool))
    spots = places[floor]
    again = jax.vmap(slide, (None, 0, None))(env.walls, spots, np.zeros(2, np.float32))
    assert np.abs(again - spots).max() < 1e-5
    y, x = np.nonzero(floor)
    middles = (np.stack([x, y], 1) + 0.5) / 4
    assert (np.floor(spots) == np.floor(middles)).all()  # every square stands for a place in its own cell
    free = np.abs(middles % 1 - 0.5).max(1) < 0.2
    assert np.abs(spots - middles)[free].max() < 1e-6

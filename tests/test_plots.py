from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from stitchrl.report import plots
from stitchrl.report.canvas import DPI, SERIES


def pixels(data):
    image = Image.open(BytesIO(data))
    assert image.format == 'PNG'
    return np.asarray(image.convert('RGB')).astype(int)


def near(data, colour, by=60):
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return (np.abs(pixels(data) - wanted).max(-1) < by).sum(0)


@pytest.mark.parametrize('values', [np.zeros(5), np.array([7.0]), np.arange(10.0), np.r_[0.0, 1e9], np.r_[1e-9, 2e-9]])
def test_any_values_have_a_histogram(values):
    assert near(plots.histogram(values, 'return', 'episodes', {'this run': 3.0}), plots.BAR).sum() > 300


def test_whole_numbers_have_a_bar_each():
    assert plots.edges(np.array([2, 5, 3])).tolist() == [1.5, 2.5, 3.5, 4.5, 5.5]
    assert len(plots.edges(np.array([0.0, 0.5]))) == plots.BINS + 1
    assert len(plots.edges(np.array([0, 1000]))) == plots.BINS + 1
    assert len(plots.edges(np.full(3, 0.1))) == 2


@pytest.mark.parametrize('value', [-40.0, 5.0, 90.0])
def test_a_mark_is_drawn_even_where_no_episode_was(value):
    marked = near(plots.histogram(np.linspace(0, 10, 50), 'x', 'y', {'this run': value}), SERIES[0])
    assert marked.max() > 0.5 * plots.HALF[1] * DPI  # a line as tall as the axes


def test_shares_and_dimensions_are_drawn_for_many():
    assert near(plots.shares(['stay', 'go'], [0, 9], ''), plots.BAR).sum() > 1000
    g = np.random.default_rng(0)
    for width in (1, 3, 17):
        a, bound = g.uniform(-1, 1, (100, width)), np.ones(width)
        height = 1.75 * -(-min(width, plots.DIMS) // plots.ACROSS)
        assert pixels(plots.dimensions(a, -bound, bound, [0.1] * width)).shape[0] == pytest.approx(height * DPI, abs=1)


def test_promises_above_the_line_lie_above_it():
    high = plots.promises(np.full((1, 5), 9.0), np.full((1, 5), 1.0))
    low = plots.promises(np.full((1, 5), 1.0), np.full((1, 5), 9.0))
    wanted = np.array([int(SERIES[0][i : i + 2], 16) for i in (1, 3, 5)])
    middles = [np.argwhere(np.abs(pixels(data) - wanted).max(-1) < 40).mean(0) for data in (high, low)]
    assert middles[0][0] < middles[1][0]  # rows count from the top
    assert middles[0][1] < middles[1][1]

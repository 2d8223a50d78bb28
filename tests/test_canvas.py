from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from stitchrl.errors import UsageError
from stitchrl.report import canvas


def luminance(colour):
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize('colour', [canvas.INK, canvas.SOFT, *canvas.SERIES])
def test_text_in_these_colours_can_be_read_on_white(colour):
    assert 1.05 / (luminance(colour) + 0.05) >= 4.5  # what WCAG asks of text


def test_a_figure_has_the_size_it_was_given_and_is_written_as_it_is_returned(tmp_path):
    data = canvas.png(canvas.blank(2, 1.5), tmp_path / 'a.png')
    assert (tmp_path / 'a.png').read_bytes() == data
    image = Image.open(BytesIO(data))
    assert image.format == 'PNG'
    assert image.size == (2 * canvas.DPI, 1.5 * canvas.DPI)
    assert 'Software' not in image.info


def drawn(steps, scores, rate=False, k=0):
    """Axes with one curve on them, and where it ends."""
    ax = canvas.blank(4, 3).subplots()
    return ax, canvas.draw_curve(ax, k, 'a name', steps, scores, rate)


def heights(ax):
    """The band's lower and upper edge."""
    vertices = ax.collections[0].get_paths()[0].vertices
    return vertices[:, 1].min(), vertices[:, 1].max()


def test_the_band_is_the_t_interval_of_the_seeds():
    ax, end = drawn([0], [[0.0], [1.0]])
    assert end == (0, 0.5)
    half = 12.7062 * 0.5  # t of 1 degree of freedom at 97.5 % times the standard error
    assert heights(ax) == pytest.approx((0.5 - half, 0.5 + half), rel=1e-4)


def test_the_band_of_a_rate_stays_a_rate():
    assert heights(drawn([0], [[0.0], [1.0]], rate=True)[0]) == (0, 1)


def test_each_seed_is_a_line_and_the_mean_the_thick_one():
    ax, end = drawn([0, 10], [[1, 2], [3, 4], [5, 9]])
    *seeds, mean = ax.lines
    assert [list(line.get_ydata()) for line in seeds] == [[1, 2], [3, 4], [5, 9]]
    assert list(mean.get_ydata()) == [3, 5]
    assert end == (10, 5)
    assert mean.get_linewidth() > 3 * seeds[0].get_linewidth()


def test_one_seed_has_no_band():
    assert heights(drawn([0, 10], [[2, 2]])[0]) == (2, 2)


def test_a_curve_of_one_point_is_marked():
    assert drawn([5], [[1], [2]])[0].lines[-1].get_marker() == 'o'
    assert drawn([5, 6], [[1, 1], [2, 2]])[0].lines[-1].get_marker() != 'o'


def test_colours_that_come_round_again_are_dashed():
    first, again = (drawn([0, 1], [[1, 2]], k=k)[0].lines[-1] for k in (0, len(canvas.SERIES)))
    assert first.get_color() == again.get_color()
    assert (first.get_linestyle(), again.get_linestyle()) == ('-', '--')


@pytest.mark.parametrize(
    ('steps', 'scores'),
    [([0, 1], [[1, 2, 3]]), ([0, 1], [1, 2]), ([], [[]]), (0, [[1]])],
)
def test_scores_that_do_not_fit_their_steps_are_refused(steps, scores):
    with pytest.raises(UsageError, match=r'a name: steps have shape .*expected \[N\] and \[seeds, N\]'):
        drawn(steps, scores)


def test_names_stand_in_their_curves_colours_in_the_order_of_their_ends():
    ax = canvas.blank(4, 3).subplots()
    canvas.name_ends(ax, {'low': (1, 0.2), 'high': (1, 0.9), 'as low': (1, 0.2)})
    assert [text.get_color() for text in ax.texts] == list(canvas.SERIES[:3])
    y = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert y['high'] > y['low'] > y['as low']


def test_a_curve_that_ended_early_is_drawn_on_in_dots():
    ax = canvas.blank(4, 3).subplots()
    canvas.name_ends(ax, {'early': (1, 0.2), 'late': (3, 0.9)})
    (dots,) = ax.lines
    assert (list(dots.get_xdata()), list(dots.get_ydata())) == ([1, 3], [0.2, 0.2])
    assert (dots.get_color(), dots.get_linestyle()) == (canvas.SERIES[0], ':')
    assert [text.xy for text in ax.texts] == [(3, 0.2), (3, 0.9)]


@given(arrays(float, st.integers(1, 8), elements=st.floats(0, 1)))
def test_names_are_apart_and_in_order_and_none_is_too_high(ys):
    gap = 0.1
    places = canvas.spread(ys, gap, 1.0)
    assert places.max() <= 1.0
    assert (np.diff(np.sort(places)) >= gap - 1e-9).all()
    order = np.argsort(places)
    assert (np.diff(ys[order]) >= 0).all()


def test_names_far_enough_apart_stay_where_they_are():
    assert canvas.spread(np.array([0.5, 0.1, 0.9]), 0.1, 1.0).tolist() == [0.5, 0.1, 0.9]


def test_equal_names_hang_down_from_the_top_the_first_one_highest():
    assert canvas.spread(np.ones(3), 0.1, 1.0) == pytest.approx([1.0, 0.9, 0.8])


def test_heights_hold_seeds_and_levels_but_not_the_band_of_a_few():
    ax, _ = drawn([0], [[0.0], [1.0]])
    canvas.limit(ax, [[[0.0], [1.0]]], [4.0])
    assert ax.get_ylim() == pytest.approx((-0.24, 4.24))
    canvas.limit(ax, [[[2.0]]], [])
    assert ax.get_ylim() == pytest.approx((1.9, 2.1))
    canvas.limit(ax, [[[0.0]]], [])
    assert ax.get_ylim() == (-1, 1)


def test_levels_are_dashed_and_named():
    ax, _ = drawn([0, 1], [[0.0, 1.0]])
    before = len(ax.lines)
    canvas.draw_levels(ax, {'the mean': 0.25, 'the best': 0.75})
    assert [line.get_ydata()[0] for line in ax.lines[before:]] == [0.25, 0.75]
    assert all(line.get_linestyle() == '--' for line in ax.lines[before:])
    assert [text.get_text() for text in ax.texts] == ['the mean', 'the best']

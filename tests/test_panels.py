import matplotlib.image
import numpy as np

from stitchrl.report import canvas
from stitchrl.report.panels import board, dots, legend, look, mark
from stitchrl.report.statistics import interval


def test_a_board_says_its_title_and_labels_every_axis():
    figure, axes = board('The claim', [('left', 'x', 'reward'), ('right', 'alpha', 'success')])
    assert figure.get_suptitle() == 'The claim'
    assert [ax.get_title(loc='left') for ax in axes] == ['left', 'right']
    assert [(ax.get_xlabel(), ax.get_ylabel()) for ax in axes] == [('x', 'reward'), ('alpha', 'success')]


def test_dots_show_the_interval_and_the_control_is_grey():
    figure, (ax,) = board('t', [('', 'x', 'y')])
    found = [interval([1.0, 2.0, 3.0]), interval([4.0])]
    dots(ax, 0, [0, 1], found, 'ours')
    dots(ax, 1, [0, 1], found, 'control', control=True)
    ours, control = ax.containers
    (segments,) = (bars.get_segments() for bars in ours.lines[2])
    np.testing.assert_allclose([segments[0][0][1], segments[0][1][1]], [found[0].low, found[0].high])
    np.testing.assert_allclose(segments[1][0][1], segments[1][1][1])  # one seed has no interval
    assert control.lines[0].get_color() == look(1, True)['color'] != ours.lines[0].get_color()
    assert control.lines[0].get_linestyle() == '--'
    mark(ax, 2.0, 'par')
    legend(ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ['ours', 'control']
    assert canvas.png(figure, None).startswith(b'\x89PNG')


def test_five_series_differ_in_colour_and_marker(tmp_path):
    looks = [look(k) for k in range(5)]
    assert len({one['color'] for one in looks}) == len({one['marker'] for one in looks}) == 5
    figure, _ = board('t', [('', 'x', 'y')])
    canvas.png(figure, tmp_path / 'a.png')
    assert matplotlib.image.imread(tmp_path / 'a.png').shape[1] > 600

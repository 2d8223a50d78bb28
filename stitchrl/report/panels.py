"""Small charts side by side under one sentence: the figures of experiments."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stitchrl.report import canvas
from stitchrl.report.canvas import EDGE, FAINT, INK, SERIES, SOFT
from stitchrl.report.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = 'osD^v'  # one to each colour, so that a grey print can be read
CONTROL = SERIES[4]  # controls are grey and broken


def board(title: str, panels: Sequence[tuple[str, str, str]], height: float = 3.5) -> tuple['Figure', list['Axes']]:
    """A figure that says `title`, with a panel for each (heading, x label, y label), and the panels' axes."""
    figure = canvas.blank(max(3.9 * len(panels), 6.2), height, 'constrained')
    figure.suptitle(title, x=0.01, ha='left', color=INK, weight='bold', size=12)
    axes = list(np.ravel(figure.subplots(1, len(panels))))
    for ax, (heading, xlabel, ylabel) in zip(axes, panels, strict=True):
        ax.set_title(heading, loc='left', color=SOFT, size=10)
        ax.set_xlabel(xlabel, color=SOFT, size=9)
        ax.set_ylabel(ylabel, color=SOFT, size=9)
        ax.grid(axis='y', color=FAINT)
        ax.set_axisbelow(True)
        ax.tick_params(length=0, labelcolor=SOFT, labelsize=8.5)
        ax.spines[['top', 'right', 'left']].set_visible(False)
        ax.spines['bottom'].set_color(EDGE)
    return figure, axes


def look(k: int, control: bool = False) -> dict[str, Any]:
    """Colour, marker and line of the k-th series."""
    if control:
        return {'color': CONTROL, 'marker': 'X', 'linestyle': '--'}
    return {'color': (*SERIES[:4], INK)[k % 5], 'marker': MARKERS[k % 5], 'linestyle': '-'}


def dots(ax: 'Axes', k: int, x: Any, found: Sequence[Interval], label: str, control: bool = False, **more: Any) -> None:
    """Means with their intervals, joined by a line; `more` goes to matplotlib's errorbar."""
    mean = np.array([one.mean for one in found])
    low = np.array([one.mean if one.low is None else one.low for one in found])
    high = np.array([one.mean if one.high is None else one.high for one in found])
    style: dict[str, Any] = look(k, control) | {'markersize': 5, 'linewidth': 1.6, 'capsize': 2.5, 'elinewidth': 1.1}
    # the interquartile mean may lie a rounding error outside its bootstrap's quantiles
    ax.errorbar(x, mean, [np.maximum(mean - low, 0), np.maximum(high - mean, 0)], label=label, **style | more)


def mark(ax: 'Axes', value: float, text: str = '') -> None:
    """A thin line at a height that means something, named at its right end."""
    ax.axhline(value, color=INK, linewidth=0.9, linestyle=':')
    if text:
        place: Any = ax.get_yaxis_transform()
        ax.annotate(text, (0.99, value), (0, 2), place, 'offset points', color=INK, size=8, va='bottom', ha='right')


def legend(ax: 'Axes', **more: Any) -> None:
    """The key, without a frame."""
    style: dict[str, Any] = {'frameon': False, 'fontsize': 8, 'labelcolor': SOFT}
    ax.legend(**style | more)

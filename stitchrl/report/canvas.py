"""What every figure is drawn on and with: paper, colours, curves with their names at their ends.

The colours stay apart in the common kinds of colour blindness; where one carries a meaning a mark or a label
carries it too, so that a grey print can be read. Nothing touches matplotlib's global state.
"""

from collections.abc import Iterable, Mapping
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stitchrl.errors import UsageError
from stitchrl.report.statistics import interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, FAINT = '#1F2937', '#5B6472', '#E1E5EA'  # titles, text beside them, lines behind the data
EDGE = '#9AA3B0'
SERIES = ('#1A6FBA', '#C65102', '#00785A', '#5E1F7A', '#6B7280')  # each dark enough for text on white
DPI = 180
HALO: dict[str, Any] = {'boxstyle': 'square,pad=0.1', 'facecolor': 'white', 'edgecolor': 'none', 'alpha': 0.75}
APART = 0.065  # of the height of the axes, between the names of two curves


def blank(width: float, height: float, layout: Literal['constrained'] | None = None) -> 'Figure':
    """An empty figure of so many inches; its parts are placed by hand unless `layout` says otherwise."""
    from matplotlib.figure import Figure

    return Figure((width, height), dpi=DPI, layout=layout, facecolor='white')


def png(figure: 'Figure', path: str | Path | None) -> bytes:
    """The figure as a PNG, also written to `path` where there is one."""
    buffer = BytesIO()
    figure.savefig(buffer, format='png', metadata={'Software': None})
    if path is not None:
        Path(path).write_bytes(buffer.getvalue())
    return buffer.getvalue()


def draw_axes(ax: 'Axes', xlabel: str, ylabel: str, percent: bool) -> None:
    """Quiet axes for curves: a line below, a grid of heights, numbers with separators."""
    from matplotlib.ticker import MaxNLocator

    width = ax.figure.get_figwidth()  # type: ignore[union-attr]
    ax.set_xlabel(xlabel, color=SOFT)
    ax.set_ylabel(ylabel, color=SOFT)
    ax.grid(axis='y', color=FAINT)
    ax.set_axisbelow(True)
    ax.margins(x=0)
    ax.tick_params(length=0, labelcolor=SOFT, labelsize=9)
    ax.spines[['top', 'right', 'left']].set_visible(False)
    ax.spines['bottom'].set_color(EDGE)
    ax.xaxis.set_major_locator(MaxNLocator(6 if width > 5 else 3, integer=True, steps=[1, 2, 2.5, 5, 10]))
    ax.xaxis.set_major_formatter('{x:,.0f}')
    ax.yaxis.set_major_formatter('{x:,g}')
    if percent:
        ax.set_ylim(-0.03, 1.03)
        ax.yaxis.set_major_formatter(lambda y, _: f'{100 * y:.0f} %')


def draw_curve(ax: 'Axes', k: int, name: str, steps: Any, scores: Any, rate: bool) -> tuple[float, float]:
    """One series in the k-th colour, the first on top; returns where its mean ends."""
    steps, scores = np.asarray(steps), np.asarray(scores, float)
    if scores.ndim != 2 or scores.shape[1:] != steps.shape or not steps.size:
        raise UsageError(f'{name}: steps have shape {steps.shape}, scores {scores.shape}; expected [N] and [seeds, N]')
    found = [interval(column, rate=rate) for column in scores.T]
    mean = [one.mean for one in found]
    low = [one.mean if one.low is None else one.low for one in found]
    high = [one.mean if one.high is None else one.high for one in found]
    look: dict[str, Any] = {'color': SERIES[k % len(SERIES)], 'zorder': 3 - 0.1 * k}
    marker = 'o' if steps.size == 1 else None  # a line through one point is invisible
    ax.plot(steps, scores.T, linewidth=0.7, alpha=0.35, **look)
    ax.fill_between(steps, low, high, linewidth=0, alpha=0.13, **look)
    style = '-' if k < len(SERIES) else '--'  # the colours are used up
    ax.plot(steps, mean, style, linewidth=2.4, marker=marker, **look)
    return float(steps[-1]), float(mean[-1])


def limit(ax: 'Axes', scores: Iterable[Any], levels: Iterable[float]) -> None:
    """Heights that hold every seed and level; the band of a few seeds may leave them, or it would flatten the rest."""
    ends = [x for values in (*scores, *levels) for x in (np.min(values), np.max(values))]
    low, high = float(min(ends)), float(max(ends))
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    ax.set_ylim(low - room, high + room)


def draw_levels(ax: 'Axes', levels: Mapping[str, float]) -> None:
    """Named heights to compare with, dashed across the axes."""
    for name, height in levels.items():
        ax.axhline(height, color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        place: Any = ax.get_yaxis_transform()
        ax.annotate(name, (0.01, height), (0, 3), place, 'offset points', color=SOFT, size=8.5, bbox=HALO, zorder=5)


def name_ends(ax: 'Axes', ends: Mapping[str, tuple[float, float]]) -> None:
    """Each curve's name at the right, joined to its end by a thin line, so that no key has to be looked up.

    A curve that ends before the others is drawn on in dots at the height where it ended.
    """
    right = max(x for x, _ in ends.values())
    low, high = ax.get_ylim()
    heights = spread(np.array([y for _, y in ends.values()]), APART * (high - low), high)
    for k, (name, (x, y)) in enumerate(ends.items()):
        colour = SERIES[k % len(SERIES)]
        line = {'arrowstyle': '-', 'color': colour, 'linewidth': 0.8, 'relpos': (0, 0.5), 'shrinkB': 3}
        place: Any = ax.get_yaxis_transform()  # x from 0 to 1 over the axes, y in the data's units
        text = {'color': colour, 'weight': 'bold', 'size': 9, 'va': 'center'}
        if x < right:
            ax.plot([x, right], [y, y], ':', color=colour, linewidth=1.4, marker='o', markersize=4, markevery=[0])
        ax.annotate(name, (right, y), (1.04, heights[k]), textcoords=place, arrowprops=line, **text)


def spread(heights: np.ndarray, gap: float, top: float) -> np.ndarray:
    """The heights [K] pushed apart to `gap`, in the same order, none over `top`."""
    moved = heights.copy()
    order = np.lexsort((-np.arange(len(heights)), heights))  # of equals the first comes highest
    for below, above in pairwise(order):
        moved[above] = max(moved[above], moved[below] + gap)
    moved[order[-1]] = min(moved[order[-1]], top)
    for above, below in pairwise(order[::-1]):
        moved[below] = min(moved[below], moved[above] - gap)
    return moved

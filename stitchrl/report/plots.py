"""Charts of half a page: how often a value occurs, shares of choices, promise against result."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stitchrl.report import canvas
from stitchrl.report.canvas import EDGE, HALO, INK, SERIES, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HALF = (4.2, 3.2)  # inches
BINS, DIMS, ACROSS = 30, 12, 4  # of a histogram; dimensions that get one; of them in a row
BAR = '#9DB4C8'


def histogram(values: np.ndarray, xlabel: str, ylabel: str, marks: Mapping[str, float] | None = None) -> bytes:
    """How often values [N] occur, as a PNG; `marks`: {name: value} drawn as named lines across it."""
    figure = canvas.blank(*HALF, 'constrained')
    ax = figure.subplots()
    canvas.draw_axes(ax, xlabel, ylabel, False)
    numbers(ax)
    bins = edges(values)
    ax.hist(values, bins.tolist(), color=BAR, edgecolor='white', linewidth=0.5)
    most = float(np.histogram(values, bins)[0].max())
    top = 1.0 + 0.13 * len(marks or {})
    ax.set_ylim(0, top * most * 1.02)
    ax.margins(x=0.02)
    for k, (name, value) in enumerate((marks or {}).items()):
        mark(ax, name, value, SERIES[k], 1 - (0.5 + k) * 0.13 / top)
    return canvas.png(figure, None)


def numbers(ax: 'Axes') -> None:
    """Few ticks, for numbers of any size."""
    from matplotlib.ticker import MaxNLocator

    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter('{x:,g}')


def edges(values: np.ndarray) -> np.ndarray:
    """Of the bins of a histogram: one around each whole number where they are few, one alone for equal values."""
    low, high = float(values.min()), float(values.max())
    whole = np.array_equal(values, np.round(values))
    if whole and high - low < BINS:
        return np.arange(low, high + 2) - 0.5
    return np.histogram_bin_edges(values, BINS if high - low > 1e-9 * max(abs(low), abs(high)) else 1)


def mark(ax: 'Axes', name: str, value: float, colour: str, height: float) -> None:
    """A named line at `value`, its name on the side where there is room; `height` in [0, 1] of the axes."""
    low, high = ax.get_xlim()
    low, high = min(low, value), max(high, value)
    ax.set_xlim(low, high + (high == value) * 0.02 * (high - low))
    right = value > (low + high) / 2
    ax.axvline(value, color=colour, linewidth=2)
    place: Any = ax.get_xaxis_transform()
    side: Any = {'ha': 'right' if right else 'left', 'va': 'center', 'textcoords': 'offset points', 'bbox': HALO}
    ax.annotate(name, (value, height), (-5 if right else 5, 0), place, color=colour, weight='bold', size=9, **side)


def shares(names: Sequence[str], counts: Sequence[int], xlabel: str) -> bytes:
    """A bar for each choice, as a PNG."""
    figure = canvas.blank(HALF[0], min(HALF[1], 0.9 + 0.32 * len(names)), 'constrained')
    ax = figure.subplots()
    part = 100 * np.asarray(counts) / max(1, sum(counts))
    ax.barh(range(len(names)), part, color=BAR, height=0.7)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlabel(xlabel, color=SOFT)
    ax.tick_params(length=0, labelcolor=SOFT, labelsize=9)
    ax.spines[:].set_visible(False)
    for k, value in enumerate(part):
        ax.annotate(f'{value:.3g} %', (value, k), (4, 0), textcoords='offset points', va='center', size=9, color=INK)
    ax.set_xlim(0, 1.2 * max(part))
    ax.set_xticks([])
    return canvas.png(figure, None)


def dimensions(
    values: np.ndarray, low: np.ndarray, high: np.ndarray, saturated: Sequence[float], across: int = ACROSS
) -> bytes:
    """A small histogram for each dimension of actions [N, A] between their bounds [A], as a PNG."""
    count = min(DIMS, values.shape[1])
    across = min(across, count)
    down = -(-count // across)
    figure = canvas.blank(0.1 + 2.15 * across, 1.75 * down, 'constrained')
    figure.get_layout_engine().set(wspace=0.1, hspace=0.08)  # type: ignore[union-attr]
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for d, ax in enumerate(axes):
        if d >= count:
            ax.set_axis_off()
            continue
        ax.hist(values[:, d], BINS, range=(low[d], high[d]), color=BAR, edgecolor='white', linewidth=0.3)
        ax.set_title(f'action {d}', loc='left', size=9.5, color=INK, weight='bold')
        ax.set_title(f'{saturated[d]:.0%} at a bound', loc='right', size=8.5, color=SOFT)
        ax.set_xticks([low[d], high[d]], [f'{low[d]:.3g}', f'{high[d]:.3g}'])
        ax.set_yticks([])
        ax.tick_params(length=0, labelcolor=SOFT, labelsize=8.5)
        ax.spines[['top', 'left', 'right']].set_visible(False)
        ax.spines['bottom'].set_color(EDGE)
    return canvas.png(figure, None)


def promises(promised: np.ndarray, delivered: np.ndarray) -> bytes:
    """Q at the start over the return that followed, both [S, E], a dot for each episode and the line of equality."""
    figure = canvas.blank(*HALF, 'constrained')
    ax = figure.subplots()
    canvas.draw_axes(ax, 'discounted return that followed', 'Q at the start', False)
    numbers(ax)
    both = np.concatenate([promised.ravel(), delivered.ravel()])
    room = 0.08 * np.ptp(both) or 1.0
    low, high = both.min() - room, both.max() + room
    ax.plot([low, high], [low, high], color=EDGE, linewidth=1.2, zorder=1)
    ax.annotate('as promised', (0.91, 0.95), xycoords='axes fraction', ha='right', va='center', size=8.5, color=SOFT)
    for k, (x, y) in enumerate(zip(delivered, promised, strict=True)):
        colour, shape = SERIES[k % len(SERIES)], 'osD^v'[k % 5]
        ax.plot(x, y, shape, markersize=4.5, color=colour, alpha=0.55, markeredgewidth=0, zorder=2)
        ax.plot(x.mean(), y.mean(), shape, markersize=10, color=colour, markeredgecolor='white', zorder=3)
    ax.set(xlim=(low, high), ylim=(low, high), aspect='equal')
    return canvas.png(figure, None)

"""The parts of a picture of a maze: walls, recorded segments, a policy's paths, a heat map, their key."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stitchrl.report.canvas import EDGE, INK, SERIES, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stitchrl.envs.pointmaze import PointMaze

WALL, START, GOAL = '#E6E9EE', '#FFFFFF', '#FFC933'
SOLVED, FAILED = SERIES[:2]
TIME = ('#F7C873', '#E07A3F', '#A23B5F', '#3B1457')  # from where a segment starts to where it ends
VALUE = 'YlGnBu'


def draw_title(ax: 'Axes', title: str, subtitle: str) -> None:
    """Two lines over the picture, from its left edge."""
    ax.set_title(title, loc='left', color=INK, weight='bold', size=11, pad=19 if subtitle else 6)
    ax.annotate(subtitle, (0, 1), (0, 6), 'axes fraction', 'offset points', color=SOFT, size=8.5)


def draw_maze(ax: 'Axes', env: 'PointMaze', cell: float) -> None:
    """Walls without their outer half, the start as a disc of true size, the goal as a starred cell.

    `cell`: inches to a cell, for the size of words and marks.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Circle, Rectangle

    from stitchrl.envs.pointmaze import RADIUS

    walls, start, goal = np.asarray(env.walls), np.asarray(env.start), np.asarray(env.goal)
    height, width = walls.shape
    solid = np.where(walls[..., None], to_rgba(WALL), 0.0)
    ax.imshow(solid, origin='lower', extent=(0, width, 0, height), interpolation='nearest', zorder=2)
    ax.add_collection(LineCollection(edges(walls), colors=EDGE, linewidths=1, capstyle='round', zorder=3))
    ax.add_patch(Rectangle((goal[0] - 0.5, goal[1] - 0.5), 1, 1, facecolor=GOAL, alpha=0.5, linewidth=0, zorder=0))
    ax.plot(*goal, '*', markersize=30 * cell, markerfacecolor=GOAL, markeredgecolor=INK, zorder=6)
    ax.add_patch(Circle(tuple(start), RADIUS, facecolor=START, edgecolor=INK, linewidth=1.2, zorder=3))
    draw_name(ax, start, 'start', 15 * cell)
    draw_name(ax, goal, 'goal', 15 * cell)
    ax.set(xlim=(0.5, width - 0.5), ylim=(0.5, height - 0.5), xticks=(), yticks=(), aspect='equal')
    ax.spines[:].set_visible(False)


def draw_name(ax: 'Axes', middle: np.ndarray, name: str, size: float) -> None:
    """A word at the foot of a cell, where the middle of the disc seldom comes."""
    from matplotlib.patheffects import withStroke

    x, y = middle - (0, 0.46)
    halo = [withStroke(linewidth=1.5, foreground='white')]
    ax.text(x, y, name, ha='center', va='baseline', size=size, color=INK, path_effects=halo, zorder=7)


def edges(walls: np.ndarray) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The sides of cells, as pairs of (x, y), where wall and floor meet; `walls` is [H, W]."""
    upright = np.argwhere(walls[:, 1:] != walls[:, :-1]).tolist()
    level = np.argwhere(walls[1:] != walls[:-1]).tolist()
    return [((x + 1, y), (x + 1, y + 1)) for y, x in upright] + [((x, y + 1), (x + 1, y + 1)) for y, x in level]


def draw_data(ax: 'Axes', segments: Sequence[np.ndarray]) -> None:
    """Recorded segments, each [t, 2]: light where they start, dark and pointed where they end."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LinearSegmentedColormap

    shade = LinearSegmentedColormap.from_list('time', TIME)
    point: dict[str, Any] = {'arrowstyle': '-|>', 'color': TIME[-1], 'linewidth': 0, 'mutation_scale': 7}
    for segment in segments:
        steps = list(np.stack([segment[:-1], segment[1:]], 1))
        colours = shade(np.linspace(0, 1, len(steps)))
        ax.add_collection(LineCollection(steps, colors=colours, linewidths=1.1, capstyle='round', zorder=4))
        before = segment[np.linalg.norm(segment - segment[-1], axis=1) > 0.1]
        if len(before):  # it moved, so it has a direction
            tip = segment[-1]
            near = tip + 0.01 * (before[-1] - tip)
            ax.annotate('', tip, near, arrowprops=point | {'shrinkA': 0, 'shrinkB': 0}, zorder=5)


def draw_paths(ax: 'Axes', paths: Sequence[np.ndarray], solved: Sequence[bool]) -> None:
    """Episodes, each [t, 2], solved ones over failed ones, with a cross where a failed one ended."""
    cross: dict[str, Any] = {'markersize': 6, 'markeredgecolor': 'white', 'markeredgewidth': 0.6}
    for path, reached in sorted(zip(paths, solved, strict=True), key=lambda pair: pair[1]):
        colour = SOLVED if reached else FAILED
        ax.plot(*np.transpose(path), color=colour, linewidth=1.2, alpha=0.45, zorder=4)
        if not reached:
            ax.plot(*path[-1], 'X', color=FAILED, zorder=5, **cross)


def draw_values(axes: Sequence['Axes'], maps: Sequence[np.ndarray], beside: 'Axes') -> None:
    """Heat maps under the walls of mazes already drawn, all on one scale, which stands in `beside`."""
    low, high = min(map(np.nanmin, maps)), max(map(np.nanmax, maps))
    for ax, values in zip(axes, maps, strict=True):
        left, right, bottom, top = ax.images[0].get_extent()
        extent = (left, right, bottom, top)
        image = ax.imshow(values, origin='lower', extent=extent, cmap=VALUE, vmin=low, vmax=high, zorder=1)
    bar = beside.figure.colorbar(image, cax=beside)
    bar.outline.set_visible(False)
    beside.tick_params(length=0, labelcolor=SOFT, labelsize=8)
    beside.set_title('V', color=SOFT, size=9, style='italic')


def keys(data: bool, solved: bool, failed: bool) -> dict[str, Any]:
    """What the colours mean: words and the lines they stand for."""
    from matplotlib.lines import Line2D

    entries: dict[str, Any] = {}
    if data:
        entries['recorded, from start to end'] = tuple(Line2D([], [], color=c, linewidth=2.5) for c in TIME)
    if solved:
        entries['reached the goal'] = Line2D([], [], color=SOLVED, linewidth=2)
    if failed:
        cross: dict[str, Any] = {'marker': 'X', 'markeredgecolor': 'white', 'markersize': 8}
        entries['failed, and ended at the cross'] = Line2D([], [], color=FAILED, linewidth=2, **cross)
    return entries


def draw_keys(figure: 'Figure', entries: dict[str, Any], columns: int) -> None:
    """The entries of `keys` at the foot of the figure, in rows of `columns`."""
    from matplotlib.legend_handler import HandlerTuple

    look: dict[str, Any] = {'frameon': False, 'labelcolor': SOFT, 'fontsize': 9}
    pieces = {tuple: HandlerTuple(None, 0)}  # one after the other
    figure.legend(list(entries.values()), list(entries), loc='lower center', ncols=columns, handler_map=pieces, **look)

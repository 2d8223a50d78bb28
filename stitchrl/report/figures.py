"""Pictures as PNG: what was recorded and done in a maze, what its places are worth, learning curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.episodes import episode_ends
from stitchrl.errors import UsageError
from stitchrl.report import canvas, mazes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stitchrl.envs.pointmaze import PointMaze

CELL = 0.44  # inches to a cell of a maze
NARROW, WIDE = 3.2, 9.2  # inches: what a subtitle needs, and what a page holds; cells grow and shrink to fit
GAP = 0.15  # inches around a picture
WIDE_CHART, NARROW_CHART = (7.6, 3.9), (4.2, 3.4)  # inches: across a page, and for half of it or a phone
KEY = 2.6, 0.25  # inches to an entry of the key, across and down


@dataclass(frozen=True)
class Panel:
    """One picture of a maze, with whatever of these is given. Positions are (x, y) in cells."""

    title: str
    subtitle: str = ''  # about forty letters
    data: Sequence[np.ndarray] | None = None  # recorded segments, each [t, 2]
    paths: Sequence[np.ndarray] | None = None  # a policy's episodes, each [t, 2]
    solved: Sequence[bool] = ()  # of each path: did it reach the goal?


def maze(env: 'PointMaze', panels: Sequence[Panel], path: str | Path | None = None, *, columns: int = 2) -> bytes:
    """One panel beside the other, in rows of `columns`. Returns the PNG, and writes it where `path` says.

    Raises UsageError on no panels and on a panel whose `solved` is not one flag for each of its paths.
    """
    check(panels)
    flags = [flag for panel in panels for flag in panel.solved]
    keys = mazes.keys(any(panel.data for panel in panels), any(flags), not all(flags))
    columns = min(columns, len(panels))
    beside = max(1, int(columns * size(env, columns)[1] / KEY[0]))  # entries of the key in a row
    below = KEY[1] * -(-len(keys) // beside)
    figure, axes = sheet(env, [(panel.title, panel.subtitle) for panel in panels], columns, below=below)
    for panel, ax in zip(panels, axes, strict=True):
        mazes.draw_data(ax, panel.data or ())
        mazes.draw_paths(ax, panel.paths or (), panel.solved)
    mazes.draw_keys(figure, keys, beside)
    return canvas.png(figure, path)


def value_map(
    env: 'PointMaze',
    values: np.ndarray | Mapping[str, np.ndarray],
    path: str | Path | None = None,
    *,
    columns: int = 3,
) -> bytes:
    """V over the maze as a PNG: [H, W] or [H k, W k] (see `places`), [y, x] with y upwards; NaN stays blank.

    {title: values} puts several on one scale, as to see the value flow back from the goal. What V says inside
    walls is left out of picture and scale. Raises UsageError on a shape that does not cover the maze.
    """
    maps = dict(values) if isinstance(values, Mapping) else {'': values}
    floors = [on_floor(env, title, map_) for title, map_ in maps.items()]
    columns = min(columns, len(maps))
    figure, axes = sheet(env, [(title, '') for title in maps], columns, right=0.7)
    width, height = figure.get_size_inches()
    tall = size(env, columns)[0]
    beside = figure.add_axes(((width - 0.7) / width, GAP / height, 0.12 / width, tall / height))
    mazes.draw_values(axes, floors, beside)
    return canvas.png(figure, path)


def curves(
    series: Mapping[str, tuple[Any, Any]],
    path: str | Path | None = None,
    ylabel: str = 'return',
    *,
    xlabel: str = 'steps',
    rate: bool = False,
    inches: tuple[float, float] = WIDE_CHART,
    levels: Mapping[str, float] | None = None,
) -> bytes:
    """Learning curves as a PNG, {name: (steps [N], scores [S, N])}: seeds thin, their mean thick in a band.

    Mean and band are `statistics.interval` over the seeds, step by step; `rate`: scores in [0, 1], shown in
    percent. `levels`: {name: height} of lines to compare with. Raises UsageError on no series, shapes that do not
    fit and scores that are not finite.
    """
    if not series:
        raise UsageError('no series to draw; give at least one')
    figure = canvas.blank(*inches, 'constrained')
    ax = figure.subplots()
    canvas.draw_axes(ax, xlabel, ylabel, rate)
    ends = {name: canvas.draw_curve(ax, k, name, *pair, rate) for k, (name, pair) in enumerate(series.items())}
    if not rate:
        canvas.limit(ax, [scores for _, scores in series.values()], (levels or {}).values())
    canvas.name_ends(ax, ends)
    canvas.draw_levels(ax, levels or {})
    return canvas.png(figure, path)


def sample(columns: Columns, count: int = 100) -> list[np.ndarray]:
    """Up to `count` episodes evenly spread over a recording, as observations [T + 1, ...].

    Without next observations in the recording they are [T, ...]: the last one is not known.
    """
    last = np.flatnonzero(episode_ends(columns))
    first = np.r_[0, last[:-1] + 1]
    chosen = np.unique(np.linspace(0, len(last) - 1, count).round().astype(int))
    begun = [columns.obs[first[k] : last[k] + 1] for k in chosen]
    if columns.next_obs is None:
        return begun
    return [np.concatenate([obs, columns.next_obs[last[k]][None]]) for obs, k in zip(begun, chosen, strict=True)]


def places(env: 'PointMaze', fine: int = 16) -> np.ndarray:
    """Where to ask V for a map of `fine` x `fine` squares to a cell: positions [H fine, W fine, 2], (x, y).

    A square too near a wall for the disc stands for the nearest place where it fits: nobody is asked about a
    place where nothing has ever been. Squares inside walls mean nothing; `value_map` leaves them out.
    """
    import jax
    import jax.numpy as jnp

    from stitchrl.envs.pointmaze import slide

    height, width = env.walls.shape
    y, x = np.mgrid[: height * fine, : width * fine]
    middles = jnp.asarray((np.stack([x, y], -1).reshape(-1, 2) + 0.5) / fine, jnp.float32)
    fits = jax.vmap(slide, (None, 0, None))(env.walls, middles, jnp.zeros(2))
    return np.asarray(fits).reshape(*x.shape, 2)


def check(panels: Sequence[Panel]) -> None:
    """UsageError on panels that cannot be drawn."""
    if not panels:
        raise UsageError('no panels to draw; give at least one')
    for panel in panels:
        if len(panel.paths or ()) != len(panel.solved):
            raise UsageError(
                f'panel {panel.title!r} has {len(panel.paths or ())} paths and {len(panel.solved)} flags in '
                '`solved`; expected one flag for each path'
            )


def on_floor(env: 'PointMaze', title: str, values: np.ndarray) -> np.ndarray:
    """The values [H k, W k] with NaN inside walls."""
    walls, values = np.asarray(env.walls), np.asarray(values, float)
    fine = values.shape[0] // len(walls) if values.ndim == 2 else 0
    covered = np.kron(walls, np.ones((fine, fine), bool))
    if not fine or covered.shape != values.shape:
        raise UsageError(
            f'values {title!r} have shape {values.shape}; the maze has {walls.shape} cells, expected as many or '
            'the same multiple of both'
        )
    return np.where(covered, np.nan, values)


def size(env: 'PointMaze', columns: int) -> tuple[float, float]:
    """Height and width of each picture of the maze in inches; it shows half of each outer wall."""
    height, width = env.walls.shape
    wide = min(max(CELL * (width - 1), NARROW), WIDE / columns - GAP)
    return wide * (height - 1) / (width - 1), wide


def sheet(
    env: 'PointMaze', titles: Sequence[tuple[str, str]], columns: int, right: float = 0, below: float = 0
) -> tuple['Figure', list['Axes']]:
    """The maze once per (title, subtitle), to scale, with room in inches at the right and below."""
    rows = -(-len(titles) // columns)
    tall, wide = size(env, columns)
    head = max(0.42 if subtitle else 0.25 if title else 0 for title, subtitle in titles)
    width = columns * (wide + GAP) + GAP + right
    height = rows * (tall + head + GAP) + GAP + below
    figure = canvas.blank(width, height)
    axes = []
    for k, (title, subtitle) in enumerate(titles):
        left = GAP + k % columns * (wide + GAP)
        bottom = height - (k // columns + 1) * (head + tall + GAP)
        ax = figure.add_axes((left / width, bottom / height, wide / width, tall / height))
        mazes.draw_title(ax, title, subtitle)
        mazes.draw_maze(ax, env, wide / (env.walls.shape[1] - 1))
        axes.append(ax)
    return figure, axes

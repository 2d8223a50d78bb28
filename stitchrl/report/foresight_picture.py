"""The picture of `stitch plan`: predicted against real trajectories, error by horizon, calibration, promises."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stitchrl.report import canvas, panels
from stitchrl.report.canvas import EDGE, FAINT, INK, SERIES, SOFT
from stitchrl.report.foresight import LEVELS, Foresight
from stitchrl.report.plots import numbers
from stitchrl.report.rollout import Played
from stitchrl.report.statistics import interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN, FANS = 3, 6  # numbers seen that are drawn, those that move most; looks ahead along an episode
BLUE = SERIES[0]
WIDE, HEAD, ROW, BELOW, LEFT = 10.8, 1.0, 1.15, 3.1, 0.06  # inches, but for the left edge


def draw(title: str, subtitle: str, found: Foresight, played: Played, path: str | Path | None = None) -> bytes:
    """One PNG: an episode of the first agent with what was foreseen along it above, three charts of all below."""
    chosen = sorted(np.argsort(-moves(found), kind='stable')[:SHOWN].tolist())
    tall = HEAD + ROW * len(chosen) + BELOW
    figure = canvas.blank(WIDE, tall)
    figure.text(LEFT, 1 - 0.3 / tall, title, color=INK, weight='bold', size=13)
    figure.text(LEFT, 1 - 0.56 / tall, subtitle, color=SOFT, size=9.5)
    sides, middle = {'left': LEFT, 'right': 0.985}, BELOW / tall
    above = figure.add_gridspec(len(chosen), 1, top=1 - HEAD / tall, bottom=middle, hspace=0.14, **sides)
    below = figure.add_gridspec(1, 3, top=middle - 0.8 / tall, bottom=0.5 / tall, wspace=0.25, **sides)
    rows, charts = ([figure.add_subplot(grid[i]) for i in range(n)] for grid, n in ((above, len(chosen)), (below, 3)))
    for ax, dim in zip(rows, chosen, strict=True):
        trajectory(ax, dim, found, played)
        ax.tick_params(labelbottom=ax is rows[-1])
    rows[-1].set_xlabel('steps of an episode', color=SOFT, size=9)
    key(rows[0])
    for ax, part in zip(charts, (by_horizon, calibration, promises), strict=True):
        quiet(ax)
        part(ax, found)
    return canvas.png(figure, path)


def moves(found: Foresight) -> np.ndarray:
    """[O]: how much each number changes over a look ahead, in its own deviations: what stands still shows nothing."""
    change = found.seen[:, :, -1] - found.start
    return (change**2).mean((0, 1)) / found.spread**2


def trajectory(ax: 'Axes', dim: int, found: Foresight, played: Played) -> None:
    """What was seen of one number in the first episode of the first agent, and fans of what was foreseen."""
    path, horizon = played.path, found.seen.shape[2]
    assert path is not None
    quiet(ax)
    length = int(played.length[0, 0])
    ax.plot(np.arange(length + 1), path[0, 0, : length + 1, dim], color=INK, linewidth=1.5, zorder=3)
    for n in looks(found):
        t = int(found.moments[0, n, 1])
        x = np.arange(t, t + horizon + 1)
        ahead = np.quantile(found.foreseen[0, n, :, :, dim], [0.05, 0.25, 0.5, 0.75, 0.95], axis=1)  # [5, H]
        ahead = np.concatenate([np.full((5, 1), found.start[0, n, dim]), ahead], 1)
        ax.fill_between(x, ahead[0], ahead[4], color=BLUE, alpha=0.16, linewidth=0, zorder=1)
        ax.fill_between(x, ahead[1], ahead[3], color=BLUE, alpha=0.28, linewidth=0, zorder=1)
        ax.plot(x, ahead[2], color=BLUE, linewidth=1.2, linestyle=(0, (4, 1.5)), zorder=4)
        ax.plot(t, found.start[0, n, dim], 'o', color=BLUE, markeredgecolor='white', markersize=6, zorder=5)
    ax.set_ylabel(f'obs[{dim}]', color=SOFT, size=9)
    ax.margins(x=0.01)


def looks(found: Foresight) -> list[int]:
    """Moments of the first agent's first episode whose looks ahead do not meet, FANS of them at most."""
    episode, horizon = found.moments[0, 0, 0], found.seen.shape[2]
    chosen: list[int] = []
    for n, (e, t) in enumerate(found.moments[0]):
        if e == episode and (not chosen or t >= found.moments[0, chosen[-1], 1] + horizon + 1):
            chosen.append(n)
    keep = np.unique(np.linspace(0, len(chosen) - 1, FANS).round().astype(int))
    return [chosen[i] for i in keep]


def key(ax: 'Axes') -> None:
    """What the lines are, over the first trajectory."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries: list[Any] = [
        Line2D([], [], color=INK, linewidth=1.5, label='what was seen'),
        Line2D([], [], color=BLUE, linestyle=(0, (4, 1.5)), marker='o', markevery=[0], label='foreseen from here'),
        Patch(color=BLUE, alpha=0.4, linewidth=0, label='middle half of it'),
        Patch(color=BLUE, alpha=0.16, linewidth=0, label='middle 90 %'),
    ]
    ax.legend(
        handles=entries, ncols=4, loc='lower right', bbox_to_anchor=(1.005, 0.98), frameon=False, fontsize=8.5,
        labelcolor=SOFT, handlelength=1.8,
    )  # fmt: skip


def by_horizon(ax: 'Axes', found: Foresight) -> None:
    """Error against steps ahead: seeds thin, their mean thick in its interval, and of saying that nothing moves."""
    steps = np.arange(1, found.seen.shape[2] + 1)
    for k, (name, error) in enumerate({'the model': found.error, 'nothing moves': found.still}.items()):
        colour, style = (BLUE, '-') if k == 0 else (SERIES[4], (0, (4, 2)))
        if len(error) > 2:  # that of two seeds is as wide as the chart
            band = [interval(column) for column in error.T]
            low, high = ([getattr(one, end) or one.mean for one in band] for end in ('low', 'high'))
            ax.fill_between(steps, np.maximum(low, 0), high, color=colour, alpha=0.13, linewidth=0)
        ax.plot(steps, error.T, color=colour, linewidth=0.6, alpha=0.4)
        ax.plot(steps, error.mean(0), color=colour, linewidth=2.2, linestyle=style, label=name)
    panels.mark(ax, 1.0, 'always saying the mean')
    ax.set_ylim(0, max(1.12, 1.05 * float(found.error.mean(0).max())))
    ax.set_title('How far off, by steps ahead', loc='left', color=INK, size=10, weight='bold')
    ax.set_xlabel('steps ahead', color=SOFT, size=9)
    ax.set_ylabel('error, in deviations', color=SOFT, size=9)
    panels.legend(ax, loc='upper left', bbox_to_anchor=(0, 0.88), frameon=True, edgecolor='none', framealpha=0.8)


def calibration(ax: 'Axes', found: Foresight) -> None:
    """How often what came lay within what was said, against how often it should."""
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.set_title('Does it know how sure it is?', loc='left', color=INK, size=10, weight='bold')
    if not found.draws:
        ax.set(xticks=[], yticks=[])
        ax.text(0.5, 0.5, 'it draws nothing,\nand so does not say', ha='center', color=SOFT, size=9.5, style='italic')
        return
    ax.plot([0, 1], [0, 1], color=EDGE, linewidth=1, linestyle=':')
    horizon = found.seen.shape[2]
    for k, step in enumerate(dict.fromkeys((1, horizon))):
        colour, covered = SERIES[k], found.coverage(step)
        ax.plot(LEVELS, covered.T, color=colour, linewidth=0.6, alpha=0.4)
        label = f'{step} step{"s" * (step > 1)} ahead'
        ax.plot(
            LEVELS, covered.mean(0), color=colour, linewidth=2.2, marker=panels.MARKERS[k], markevery=3, label=label
        )
    ax.text(0.97, 0.05, 'too sure of itself', ha='right', color=SOFT, size=8.5, style='italic')
    ax.text(0.03, 0.93, 'less sure than it could be', color=SOFT, size=8.5, style='italic')
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda x, _: f'{100 * x:.0f} %')
    ax.set_xlabel('middle share of what was foreseen', color=SOFT, size=9)
    ax.set_ylabel('of what came, inside it', color=SOFT, size=9)
    panels.legend(ax, loc='lower right', bbox_to_anchor=(1, 0.1), frameon=True, edgecolor='none', framealpha=0.8)


def promises(ax: 'Axes', found: Foresight) -> None:
    """Rewards expected over a look ahead against those that came."""
    ends = [float(f(x)) for f, x in ((np.min, found.rewards), (np.max, found.rewards))]
    ends = [min(ends[0], float(found.expected.min())), max(ends[1], float(found.expected.max()))]
    room = 0.04 * (ends[1] - ends[0]) or 1.0
    ax.plot([ends[0] - room, ends[1] + room], [ends[0] - room, ends[1] + room], color=EDGE, linewidth=1, linestyle=':')
    for s in range(len(found.rewards)):
        colour = SERIES[s % len(SERIES)]
        ax.plot(found.rewards[s], found.expected[s], panels.MARKERS[s % 5], color=colour, markersize=3.6, alpha=0.55,
                markeredgewidth=0)  # fmt: skip
    ax.set(xlim=(ends[0] - room, ends[1] + room), ylim=(ends[0] - room, ends[1] + room))
    numbers(ax)
    ax.set_title('Rewards: foreseen and collected', loc='left', color=INK, size=10, weight='bold')
    ax.set_xlabel(f'collected in {found.seen.shape[2]} steps', color=SOFT, size=9)
    ax.set_ylabel('foreseen', color=SOFT, size=9)


def quiet(ax: 'Axes') -> None:
    """Axes that stay in the background."""
    ax.grid(axis='y', color=FAINT)
    ax.set_axisbelow(True)
    ax.tick_params(length=0, labelcolor=SOFT, labelsize=8.5)
    ax.spines[['top', 'right', 'left']].set_visible(False)
    ax.spines['bottom'].set_color(EDGE)

"""Does fitted Q evaluation know what policies earn? Ten of graded quality in two worlds, against their true returns.

    python recipes/fqe.py [truth | support]

truth: each policy is one that knows the way, with a share from 0 to 1 of its actions drawn at random instead. The
recording is of three of them, those with shares 1/3, 2/3 and 1, each a third of the steps. True returns are rolled out
without the time limit, to steps where what is left weighs under 1e-5; in the grid world they are checked against the
exact ones. Expected: rank correlation (Spearman) of estimates and truths at least 0.8, mean absolute error at most
0.05.

Two controls must miss that error: a wrong discount, and a bootstrap through the ends of the task. Both still rank
well, for a good policy has a high value under any discount: only the error tells. Writes recipes/results/fqe.json and
docs/images/fqe.png.

support: the same ten policies in the maze, from recordings of a single one of them each. Nothing is expected; it shows
what becomes of the estimates where a policy does what the recording never did. Writes recipes/results/fqe_support.json.
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from fqe_worlds import POLICIES, World, exact, grid, maze, recording, truths
from scipy.stats import spearmanr

from stitchrl.core.boundary import Boundary
from stitchrl.data.dataset import Dataset
from stitchrl.envs.gridworld import GridWorld
from stitchrl.loops.judge import Fits, judge
from stitchrl.report import canvas
from stitchrl.report.panels import board, look
from stitchrl.report.statistics import interval
from stitchrl.runs.directory import system

WRONG = 0.9  # a discount that is not GAMMA
RANK, ERROR = 0.8, 0.05  # marks: least rank correlation, largest mean absolute error
HERE = Path(__file__).parent


def estimates(world: World, data: Dataset, fits: int, samples: int = 4, **settings: Any) -> Fits:
    """Fits of all ten policies; `settings` of FQE instead of the world's."""
    boundary = Boundary.blank(world.env.spec)
    return judge(world.policies, boundary, data, replace(world.cfg, **settings), fits, samples)


def endless(data: Dataset) -> Dataset:
    """The recording as if the task never ended: what a bootstrap through its ends would learn from."""
    return data.with_columns(mask=np.ones_like(data.mask))


def compared(found: Fits, truth: np.ndarray) -> dict[str, Any]:
    """Rank correlation and errors of estimates [P, F] against true values [P]."""
    values = [interval(row) for row in found.value]
    error = np.abs(np.array([one.mean for one in values]) - truth)
    inside = [one.low is not None and one.low <= x <= one.high for one, x in zip(values, truth, strict=True)]
    return {
        'rank_correlation': round(float(spearmanr([one.mean for one in values], truth).statistic), 3),
        'mean_error': round(float(error.mean()), 4),
        'largest_error': round(float(error.max()), 4),
        'intervals_with_the_truth': int(sum(inside)),
        'largest_drift': round(float(found.drift.max()), 4),
        'estimates': [{name: asdict(one)[name] for name in ('mean', 'low', 'high')} for one in values],
    }


def study(world: World, episodes: int, steps: int, fits: int) -> dict[str, Any]:
    """A world with its controls."""
    played, data = truths(world, episodes), recording(world, steps)
    truth = played.mean(1)
    found = {
        'fqe': estimates(world, data, fits),
        f'control: gamma {WRONG}': estimates(world, data, fits, gamma=WRONG),
        'control: bootstrap through ends': estimates(world, endless(data), fits),
    }
    result = {
        'settings': asdict(world.cfg) | {'fits': fits, 'recorded_steps': len(data), 'played_episodes': episodes},
        'true_returns': truth.round(4).tolist(),
        'standard_errors': (played.std(1) / episodes**0.5).round(4).tolist(),
    }
    if isinstance(world.env, GridWorld):
        result['exact'] = exact(world).round(4).tolist()
    return result | {name: compared(one, truth) for name, one in found.items()}


def draw(studies: dict[str, dict[str, Any]], path: Path) -> None:
    """Estimates over true returns, a panel for each world."""
    labels = [(name, 'true discounted return', 'estimate') for name in studies]
    figure, axes = board('Fitted Q evaluation of ten policies, without playing them', labels, 4.1)
    for ax, one in zip(axes, studies.values(), strict=True):
        truth = np.array(one['true_returns'])
        top = 1.5 * truth.max()  # most of the third row lie above
        ax.plot([0, top], [0, top], color=canvas.EDGE, linewidth=1)
        for k, name in enumerate(name for name in one if name == 'fqe' or name.startswith('control')):
            rows = one[name]['estimates']
            mean, low, high = (np.array([row[part] for row in rows]) for part in ('mean', 'low', 'high'))
            style = look(k, False) | {'linestyle': 'none', 'markersize': 5, 'capsize': 2.5, 'elinewidth': 1.1}
            ax.errorbar(truth, mean, [mean - low, high - mean], label=name.replace('fqe', 'FQE'), **style)
        ax.set(xlim=(-0.03, 1.08 * truth.max()), ylim=(-0.05, top))
    key: Any = {'loc': 'outside lower center', 'ncols': 3}
    figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, fontsize=8, labelcolor=canvas.SOFT, **key)
    canvas.png(figure, path)


def missed(studies: dict[str, dict[str, Any]]) -> list[str]:
    """Marks that FQE misses, and controls that miss none."""
    found = []
    for world, one in studies.items():
        for part in ('fqe', *(name for name in one if name.startswith('control'))):
            good = one[part]['rank_correlation'] >= RANK and one[part]['mean_error'] <= ERROR
            found += [f'{world}, {part}'] if good != (part == 'fqe') else []
    return found


def keep(name: str, command: str, studies: dict[str, Any], **more: Any) -> None:
    """Write a result with its command, versions and machine."""
    result = {'command': command, 'system': system()} | more | studies
    (HERE / 'results' / name).write_text(json.dumps(result, indent=1) + '\n')


def truth() -> None:
    """Both worlds; exit code 1 where a mark is missed or a control meets it."""
    studies = {
        'grid world': study(grid(steps=10_000), 2000, 60_000, 5),
        'maze': study(maze('medium', steps=10_000), 2000, 60_000, 5),
    }
    for name, one in studies.items():
        for part in (part for part in one.values() if isinstance(part, dict) and 'mean_error' in part):
            print(name, {key: value for key, value in part.items() if key != 'estimates'})
    keep('fqe.json', 'python recipes/fqe.py', studies, marks={'rank': RANK, 'error': ERROR})
    draw(studies, HERE.parent / 'docs' / 'images' / 'fqe.png')
    if wrong := missed(studies):
        raise SystemExit(f'not as expected: {"; ".join(wrong)}')


def support() -> None:
    """Recordings of one policy each, from one without random actions to one of nothing else."""
    world = maze('medium', steps=6000)
    played, found = truths(world, 1000).mean(1), {}
    for i in (0, 3, 6, 9):
        share = f'{i / (POLICIES - 1):.0%} random actions'
        found[share] = compared(estimates(world, recording(world, 20_000, (i,)), 3), played)
        print(share, {key: value for key, value in found[share].items() if key != 'estimates'})
    keep('fqe_support.json', 'python recipes/fqe.py support', found, true_returns=played.round(4).tolist())


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('part', nargs='?', default='truth', choices=('truth', 'support'))
    {'truth': truth, 'support': support}[parser.parse_args().part]()


if __name__ == '__main__':
    main()

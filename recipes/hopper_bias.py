"""How far does Q lie above the truth? Five ways to teach SAC's critics on Hopper-v5.

    python recipes/online.py hopper_single hopper_own hopper_mean hopper_doubleq hopper_min
    python recipes/hopper_bias.py [--runs runs/online]

Each policy plays 20 greedy episodes; Q of its first action is held against the discounted return that followed. An
episode that the time limit cuts counts, since 1,000 steps are more than 5 / (1 - gamma). Writes
recipes/results/hopper_bias.json and docs/images/hopper_bias.png.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from stitchrl.report import canvas, value
from stitchrl.report.panels import board, dots, mark
from stitchrl.report.rollout import play
from stitchrl.report.stage import stage
from stitchrl.report.statistics import interval
from stitchrl.runs.directory import RunDir, system

WAYS = {'one critic': 'single', 'own': 'own', 'mean': 'mean', 'doubleq': 'doubleq', 'min': 'min'}
EPISODES, HERE = 20, Path(__file__).parent


def biases(run: RunDir) -> tuple[np.ndarray, np.ndarray]:
    """Q and return at the starts of the episodes, [S, E] each."""
    here = stage(run)
    played = play(here.agents, here.boundary, here.env, 0, EPISODES, value.needed(here))
    measured = value.measure(here, played)
    if isinstance(measured, str):
        raise SystemExit(f'{run.path}: {measured}')
    return measured.promised, measured.delivered


def main() -> None:
    """Measure every run that is there, write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--runs', type=Path, default=Path('runs/online'))
    folder = parser.parse_args().runs
    found = {
        way: biases(RunDir(folder / f'hopper_{name}'))
        for way, name in WAYS.items()
        if (folder / f'hopper_{name}' / 'policy').is_dir()
    }
    rows, shown = {}, []
    for way, (promised, delivered) in found.items():
        shown.append(interval(promised - delivered))
        rows[way] = {
            'q': str(interval(promised)),
            'discounted_return': str(interval(delivered)),
            'bias': str(shown[-1]),
            'bias_per_seed': np.round((promised - delivered).mean(1), 2).tolist(),
        }
        print(f'{way:12s} Q {rows[way]["q"]}   return {rows[way]["discounted_return"]}   bias {rows[way]["bias"]}')
    result = {'command': 'python recipes/hopper_bias.py', 'system': system(), 'rows': rows}
    (HERE / 'results' / 'hopper_bias.json').write_text(json.dumps(result, indent=1) + '\n')
    heading = ('SAC on Hopper-v5 after 50,000 steps', 'how the critics are taught', 'Q less the return that followed')
    figure, (ax,) = board('How far Q lies above what follows', [heading])
    dots(ax, 0, range(len(shown)), shown, '', linestyle='none')
    ax.set_xticks(range(len(shown)), list(found))
    mark(ax, 0.0, 'as promised')
    (HERE.parent / 'docs' / 'images' / 'hopper_bias.png').write_bytes(canvas.png(figure, None))


if __name__ == '__main__':
    main()

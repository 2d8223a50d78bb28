"""MBPO on MuJoCo: does learning from short imagined roll-outs need fewer steps of the world?

    python recipes/mbpo.py [PART ...]

inverted          InvertedPendulum-v5, 3 seeds, 10,000 steps. Score: mean of the last 5 evaluations of 20 episodes.
                  Mark: at least 900
inverted_unlearned  the control: the same roll-outs of a model whose weights stay as they began. Must stay below
inverted_learned  the same, but it also learns where the task ends
hopper            Hopper-v5, 2 seeds, 20,000 steps, 5 episodes every 1,000 steps. Mark: the area under the curve, which
                  is the mean of all evaluations, above that of `hopper_sac`
hopper_sac        SAC alone with the same networks, one update after a step
hopper_sac_ratio  SAC with as many updates as MBPO makes: what the updates do without a model
hopper_100k       the authors' settings: about 3,000 at 75,000 to 100,000 steps. For an accelerator, not run by default

Sizes are those of the preset `small`, for one core, with 4 updates a step; the authors take models of 4 x 200, 400
roll-outs and 20 updates a step (10 on InvertedPendulum). Finished parts are kept in --runs and not trained again.
Writes recipes/results/mbpo.json, a row per part, beside those that are there.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from stitchrl.api import Run, train
from stitchrl.report.scores import curves
from stitchrl.report.statistics import last_mean
from stitchrl.runs.directory import system

INVERTED = {
    'env': 'InvertedPendulum-v5',
    'preset': 'small',
    'steps': 10_000,
    'seeds': 3,
    'random_steps': 500,
    'target_entropy': -0.05,
    'rollouts': 5000,
    'ratio': 4.0,
    'every': 1000,
}
HOPPER = {'env': 'Hopper-v5', 'steps': 20_000, 'seeds': 2, 'random_steps': 1000, 'every': 1000, 'eval_episodes': 5}
SAC = HOPPER | {'hidden': (128, 128), 'target_entropy': -1.0}
MODELLED = HOPPER | {'preset': 'small', 'target_entropy': -1.0, 'ends': 'hopper', 'ratio': 4.0, 'refresh': 1000}
PARTS: dict[str, tuple[str, dict[str, Any]]] = {
    'inverted': ('mbpo', INVERTED | {'ends': 'inverted_pendulum'}),
    'inverted_unlearned': ('mbpo', INVERTED | {'ends': 'inverted_pendulum', 'model_lr': 0.0}),
    'inverted_learned': ('mbpo', INVERTED),
    'hopper': ('mbpo', MODELLED),
    'hopper_sac': ('sac', SAC),
    'hopper_sac_ratio': ('sac', SAC | {'ratio': 4.0}),
    'hopper_100k': ('mbpo', {'env': 'Hopper-v5', 'preset': 'hopper', 'steps': 100_000, 'seeds': 2}),
}
LATER, LAST, MARK = ('hopper_100k',), 5, 900
RESULT = Path(__file__).parent / 'results' / 'mbpo.json'


def obtain(part: str, runs: Path) -> tuple[Run, float | None]:
    """The run of one part, as it lies there if finished, else trained; and the seconds that took."""
    folder = runs / part
    if (folder / 'STATUS.json').is_file() and json.loads((folder / 'STATUS.json').read_text())['state'] == 'finished':
        return Run(folder), None
    algo, settings = PARTS[part]
    start = time.time()
    return train(algo, out=str(folder), **settings), time.time() - start


def outcome(part: str, run: Run, seconds: float | None) -> dict[str, Any]:
    """Score, area and curve of one run."""
    rows = run.evaluations()
    steps, returns = curves(rows)
    return {
        'algo': PARTS[part][0],
        'settings': PARTS[part][1],
        'return': str(last_mean(rows, LAST)),
        'per_seed': np.round(returns[:, -LAST:].mean((1, 2)), 1).tolist(),
        'area': round(float(returns.mean()), 1),
        'area_per_seed': np.round(returns.mean((1, 2)), 1).tolist(),
        'seconds': seconds and round(seconds),
        'curve': {'steps': steps, 'mean_return_per_seed': np.round(returns.mean(2), 1).tolist()},
    }


def verdicts(parts: dict[str, Any]) -> dict[str, bool]:
    """Which marks are reached, of those that have been measured."""
    told = {}
    for part in ('inverted', 'inverted_learned'):
        if part in parts:
            told[f'{part}: at least {MARK}'] = bool(np.mean(parts[part]['per_seed']) >= MARK)
    if 'inverted_unlearned' in parts:
        told[f'inverted_unlearned: below {MARK}'] = bool(np.mean(parts['inverted_unlearned']['per_seed']) < MARK)
    for other in ('hopper_sac', 'hopper_sac_ratio'):
        if {'hopper', other} <= set(parts):
            told[f'hopper: area above {other}'] = parts['hopper']['area'] > parts[other]['area']
    return told


def main() -> None:
    """Train what is missing, add to the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('parts', nargs='*', metavar='PART', help=', '.join(PARTS))
    parser.add_argument('--runs', type=Path, default=Path('runs/mbpo'))
    args = parser.parse_args()
    for part in args.parts or [part for part in PARTS if part not in LATER]:
        done = outcome(part, *obtain(part, args.runs))
        table: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.is_file() else {'parts': {}}
        table['command'], table['system'] = 'python recipes/mbpo.py', system()
        table['parts'][part] = done
        table['marks'] = verdicts(table['parts'])
        RESULT.write_text(json.dumps(table, indent=1) + '\n')
        print(part, done['return'], 'area', done['area'], flush=True)


if __name__ == '__main__':
    main()

"""Online RL on the small classics and on MuJoCo: do the algorithms reach what is known of them?

    python recipes/online.py [PART ...]

Each part is one run of `stitch train ALGO --env ENV`; the score is the mean of the last five of twenty evaluations.
What is expected of each stands in MARKS. Finished parts are kept in --runs and not trained again. Writes
recipes/results/online.json, a row per part, beside those that are there.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from stitchrl.api import Run, train
from stitchrl.report.scores import curves
from stitchrl.report.statistics import best, last_mean
from stitchrl.runs.directory import system

PENDULUM = {'env': 'Pendulum-v1', 'preset': 'pendulum', 'steps': 20_000, 'seeds': 5, 'eval_episodes': 40}
INVERTED = {'env': 'InvertedPendulum-v5', 'steps': 60_000, 'seeds': 3, 'random_steps': 5000}
HOPPER = {
    'env': 'Hopper-v5',
    'steps': 50_000,
    'seeds': 3,
    'random_steps': 5000,
    'temperature': 0.05,
    'entropy_backup': False,  # so that Q is the discounted return alone, and can be compared with it
    'actor_q': 'mean',
}
CHEETAH = {'env': 'HalfCheetah-v5', 'steps': 100_000, 'seeds': 2, 'random_steps': 5000}
CARTPOLE = {'env': 'CartPole-v1', 'preset': 'cartpole', 'steps': 50_000, 'seeds': 5}
PARTS = {
    'cartpole_dqn': ('dqn', CARTPOLE),
    'cartpole_double_dqn': ('double_dqn', CARTPOLE),
    'lunarlander_double_dqn': (
        'double_dqn',
        {'env': 'LunarLander-v3', 'preset': 'lunarlander', 'steps': 200_000, 'seeds': 3},
    ),
    'acrobot_dqn': ('dqn', {'env': 'Acrobot-v1', 'preset': 'acrobot', 'steps': 100_000, 'seeds': 3}),
    'pendulum_sac': ('sac', PENDULUM),
    'pendulum_td3': ('td3', PENDULUM),
    'inverted_reparametrize': ('sac', INVERTED),
    'inverted_reinforce': (  # the homework's settings; ten samples at 256 x 256 would take the better part of a day
        'sac',
        INVERTED | {'preset': 'homework', 'actor_gradient': 'reinforce', 'actor_samples': 10, 'actor_baseline': True},
    ),
    'hopper_single': ('sac', HOPPER | {'critics': 1, 'backup': 'own'}),
    'hopper_own': ('sac', HOPPER | {'backup': 'own'}),
    'hopper_mean': ('sac', HOPPER | {'backup': 'mean'}),
    'hopper_doubleq': ('sac', HOPPER | {'backup': 'doubleq'}),
    'hopper_min': ('sac', HOPPER | {'backup': 'min'}),
    'pong_dqn': (  # runs through: 100,000 frames are 25,000 steps of four
        'dqn',
        {
            'env': 'ALE/Pong-v5',
            'preset': 'atari',
            'steps': 25_000,
            'random_steps': 2000,
            'seeds': 1,
            'eval_episodes': 2,
            'every': 12_500,
        },
    ),
    'cheetah_sac': ('sac', CHEETAH),
    'cheetah_td3': ('td3', CHEETAH),
}
MARKS = {
    'cartpole_dqn': 475,
    'cartpole_double_dqn': 475,
    'lunarlander_double_dqn': 180,
    'acrobot_dqn': -95,
    'pendulum_sac': -180,
    'pendulum_td3': -180,
    'inverted_reparametrize': 900,
    'inverted_reinforce': 900,
}
LAST, RESULT = 5, Path(__file__).parent / 'results' / 'online.json'


def obtain(part: str, runs: Path) -> Run:
    """The run of one part: as it lies there if finished, else trained."""
    folder = runs / part
    if (folder / 'STATUS.json').is_file() and json.loads((folder / 'STATUS.json').read_text())['state'] == 'finished':
        return Run(folder)
    algo, settings = PARTS[part]
    return train(algo, out=str(folder), **settings)


def outcome(part: str, run: Run) -> dict:
    """Score and curve of one run."""
    rows = run.evaluations()
    steps, returns = curves(rows)
    score = last_mean(rows, LAST)
    mark = MARKS.get(part)
    return {
        'algo': PARTS[part][0],
        'settings': PARTS[part][1],
        'steps': steps[-1],
        'return': str(score),
        'mark': mark,
        'reached': None if mark is None else bool(score.mean >= mark),
        'best_in_hindsight': str(best(rows)),
        'per_seed': np.round(returns[:, -LAST:].mean((1, 2)), 1).tolist(),
        'curve': {'steps': steps, 'mean_return_per_seed': np.round(returns.mean(2), 1).tolist()},
    }


def main() -> None:
    """Train what is missing, add to the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('parts', nargs='*', metavar='PART', help=', '.join(PARTS))
    parser.add_argument('--runs', type=Path, default=Path('runs/online'))
    args = parser.parse_args()
    for part in args.parts or PARTS:
        found = outcome(part, obtain(part, args.runs))
        table = json.loads(RESULT.read_text()) if RESULT.is_file() else {'parts': {}}  # others may write meanwhile
        table['command'], table['system'], table['parts'][part] = 'python recipes/online.py', system(), found
        RESULT.write_text(json.dumps(table, indent=1) + '\n')
        print(part, table['parts'][part]['return'], 'mark', table['parts'][part]['mark'], flush=True)


if __name__ == '__main__':
    main()

"""One model of a maze, learned without rewards, and four goals that are given when planning begins.

    python recipes/four_goals.py [--seeds 5] [--episodes 4]

World, data, models and planner are those of the experiment on statement 24, `claims/reward_free.py`: 10,000 random
steps a seed, CEM over ensembles, four goals at the ends of four hooks. Here every hook is left out of the data of a
model of its own in turn. Marks: the one model reaches at least 80 % of what a model trained with each goal's reward
reaches, in goals reached and in reward over standing still; without its hook no more than half of those goals are
reached. Writes recipes/results/four_goals.json.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from stitchrl.cli.claims import load
from stitchrl.report.statistics import interval
from stitchrl.runs.directory import system

MARK, LOST = 0.8, 0.5
RESULT = Path(__file__).parent / 'results' / 'four_goals.json'


def told(reached: np.ndarray, gain: np.ndarray) -> dict[str, Any]:
    """Rate of goals reached, from [S, goals x episodes], and reward a step over standing still, from [S, goals]."""
    return {
        'reached': str(interval(reached.astype(float), rate=True)),
        'rate': round(float(reached.mean()), 3),
        'reached_by_goal': np.round(reached.reshape(len(gain), gain.shape[1], -1).mean((0, 2)), 3).tolist(),
        'reward_gained_a_step': str(interval(gain.mean(1))),
        'gain': round(float(gain.mean()), 3),
    }


def main() -> None:
    """Races of every seed, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seeds', type=int, default=5)
    parser.add_argument('--episodes', type=int, default=4)
    args, world, start, races = parser.parse_args(), load('reward_free'), time.time(), []
    for seed in range(args.seeds):
        races.append(world.raced(seed, tuple(range(len(world.GOALS))), args.episodes))
        print(f'seed {seed}: {time.time() - start:.0f} s', flush=True)
    names = {'one': 'one model', 'own': 'a model for each reward', 'less': 'one model, never in the hook'}
    scored = {name: [world.scores(races, name, score) for score in (world.arrived, world.gained)] for name in names}
    parts = {words: told(*scored[name]) for name, words in names.items()}
    rate, gain = (parts['one model'][k] / parts['a model for each reward'][k] for k in ('rate', 'gain'))
    lost = parts['one model, never in the hook']['rate'] / parts['a model for each reward']['rate']
    result = {
        'command': f'python recipes/four_goals.py --seeds {args.seeds} --episodes {args.episodes}',
        'system': system(),
        'settings': {'rows': world.ROWS, 'steps': world.STEPS, 'goals': world.GOALS.tolist()},
        'mark': MARK,
        'share_of_goals_reached': round(rate, 3),
        'share_of_reward_gained': round(gain, 3),
        'share_of_goals_reached_without_the_hook': round(lost, 3),
        'reached': bool(rate >= MARK and gain >= MARK and lost <= LOST),
        'parts': parts,
    }
    RESULT.write_text(json.dumps(result, indent=1) + '\n')
    print({name: part['reached'] for name, part in parts.items()}, result['reached'])


if __name__ == '__main__':
    main()

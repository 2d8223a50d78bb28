"""DQN from images: Pong for 100,000 frames anywhere, and the run of ten million frames for an accelerator.

    python recipes/atari.py [--full] [--game ALE/Pong-v5] [--runs DIR]

The short run is the part `pong_dqn` of `online.py`: 25,000 steps of four frames on one core, which is far too few to
learn Pong; it shows that everything runs through, how fast, and in how much memory. --full takes 2,500,000 steps in
eight environments beside the learner, with preset atari; it was never run, for want of an accelerator. Told: frames per
second while acting and learning, bytes of the ring, the return beside that of random actions. Writes
recipes/results/atari.json.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from online import PARTS

from stitchrl import envs
from stitchrl.api import Run, train
from stitchrl.data.replay import memory
from stitchrl.envs.atari import SKIP
from stitchrl.report.statistics import interval
from stitchrl.runs.directory import system

RESULT = Path(__file__).parent / 'results' / 'atari.json'
RANDOM_GAMES = 10
FULL: dict[str, Any] = {
    'preset': 'atari',
    'steps': 2_500_000,
    'lanes': 8,
    'processes': True,
    'seeds': 1,
    'eval_episodes': 10,
    'every': 125_000,
}


def obtained(name: str, settings: dict[str, Any], runs: Path) -> Run:
    """The run as it lies there if finished, else trained."""
    folder = runs / name
    if (folder / 'STATUS.json').is_file() and json.loads((folder / 'STATUS.json').read_text())['state'] == 'finished':
        return Run(folder)
    return train('dqn', out=str(folder), **settings)


def frames_per_second(run: Run) -> float:
    """Median over the chunks in which it learned; those in which it was judged take longer and are outliers."""
    rows = [json.loads(line) for line in (run.path / 'metrics.jsonl').read_text().splitlines() if line.strip()]
    step, seconds = (np.array([row[key] for row in rows if 'critic/loss' in row]) for key in ('step', 'seconds'))
    return float(np.median(SKIP * np.diff(step) / np.diff(seconds)))


def by_chance(game: str) -> str:
    """The return of random actions, in whole games."""
    vector = envs.make(game).vector(1, False)
    draw, totals = np.random.default_rng(0), []
    vector.reset(seed=0)
    total = 0.0
    while len(totals) < RANDOM_GAMES:
        _, reward, terminated, truncated, _ = vector.step(draw.integers(vector.single_action_space.n, size=1))
        total += float(reward[0])
        if terminated[0] or truncated[0]:
            totals, total = [*totals, total], 0.0
            vector.reset()
    vector.close()
    return str(interval(np.array(totals)[None]))


def main() -> None:
    """Train what is missing, tell, add to the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--full', action='store_true', help='ten million frames, on an accelerator')
    parser.add_argument('--game', default='ALE/Pong-v5')
    parser.add_argument('--runs', type=Path, default=Path('runs/online'))
    args = parser.parse_args()
    settings = FULL if args.full else PARTS['pong_dqn'][1]
    settings = settings | {'env': args.game}
    name = f'{args.game.split("/")[-1].split("-")[0].lower()}_{"full" if args.full else "dqn"}'
    run = obtained(name, settings, args.runs)
    rows = min(1_000_000, 2 * settings['steps'])
    told = {
        'settings': settings,
        'system': system(),
        'frames_per_second': round(frames_per_second(run), 1),
        'ring_bytes': memory(envs.make(args.game, training=True).spec, rows, settings.get('lanes', 1)),
        'random': by_chance(args.game),
        'return': str(run.score()),
    }
    table = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    RESULT.write_text(json.dumps(table | {name: told}, indent=1) + '\n')
    print(json.dumps(told, indent=1))


if __name__ == '__main__':
    main()

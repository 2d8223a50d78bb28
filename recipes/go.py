"""AlphaZero on 9 x 9 Go: an hour of an accelerator, or a short run on a processor that beats its own start.

    python recipes/go.py --small                       a processor: minutes
    python recipes/go.py --moves 100000000             an accelerator: about the sizes of pgx's own example

The whole loop is on the device: games, searches, the ring of positions, updates. The large settings: 1024 games at a
time, 32 simulations a move, a tower of 6 residual blocks with 128 filters, updates of 4096 positions, as pgx's example
has them (400 iterations of 256 moves of 1024 games, 105 million moves); the search is PUCT with noise, not Gumbel's.
Nothing here has been run at that size: these are the settings to start from.

--small: 64 games at a time, 8 simulations, one layer of 32 windows of 4 x 4. Expected: the network in the end, with as
many simulations, scores above half against the network as it began, in 128 games in each seat; the network as it began
against itself does not (control). Needs `pip install "stitchrl[games]"`. Writes recipes/results/go.json.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl import envs
from stitchrl.algos.search.alphazero import Config
from stitchrl.envs.versus import Versus
from stitchrl.loops.contest import Contest
from stitchrl.loops.match import both_seats
from stitchrl.loops.settings import Settings
from stitchrl.report.statistics import wilson
from stitchrl.runs.directory import system

RESULT = Path(__file__).parent / 'results' / 'go.json'
SEARCH = {'first_play': None, 'alpha': 0.2, 'drawn': 16, 'game': 'go_9x9'}
LARGE = Config(simulations=32, judged=32, filters=128, blocks=6, batch=4096, lr=1e-3, **SEARCH)
SMALL = Config(simulations=8, judged=8, filters=32, hidden=(128,), batch=256, lr=2e-3, **SEARCH)


def settings(small: bool) -> Settings:
    """What is asked of the run."""
    large = {'lanes': 1024, 'ratio': 1 / 4096, 'capacity': 2_000_000, 'random_steps': 262_144}
    sizes = {'lanes': 64, 'ratio': 1 / 64, 'capacity': 64_000, 'random_steps': 6_400} if small else large
    return Settings(env='go_9x9', seeds=1, **sizes)


def trained(cfg: Config, asked: Settings, minutes: float) -> tuple[Any, Any, int]:
    """(the agent as it began, as it is in the end, moves played)."""
    work = Contest('alphazero', cfg, asked, Versus.create('go_9x9/random'))
    hall, begun, step = work.fresh(), time.monotonic(), 0
    one = lambda agents: jax.tree.map(lambda x: jnp.array(x[0], copy=True), agents)
    first = last = one(hall.agents)
    for part in work.chunks(hall, 0):
        last, step = one(part.agents), part.step
        told = {name: round(float(value.mean()), 3) for name, value in part.info.items() if 'loss' in name}
        print(f'{time.monotonic() - begun:6.0f} s  {step:,} moves  {told}', flush=True)
        if time.monotonic() - begun > 60 * minutes:
            break
    return first, last, step


def main() -> None:
    """Train, play, tell, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--small', action='store_true', help='for a processor')
    parser.add_argument('--moves', type=int, default=200_000, help='of self-play')
    parser.add_argument('--minutes', type=float, default=15.0, help='of self-play, at most; of an accelerator 1000')
    args = parser.parse_args()
    cfg = Config(**vars(SMALL if args.small else LARGE) | {'steps': args.moves})
    first, last, moves = trained(cfg, settings(args.small), args.minutes)
    game, rows = envs.rules('go_9x9'), {}
    best = jax.jit(lambda agent, boards, keys: agent.best(boards, keys))
    for name, agent in (('trained', last), ('control, as it began', first)):
        results = both_seats(game, partial(best, agent), partial(best, first), 128, jr.key(9))
        score = float((results.mean() + 1) / 2)
        counts = [int((results == end).sum()) for end in (1, 0, -1)]
        rows[name] = {'won, drawn, lost': counts, 'score': score, 'interval': list(wilson(score, 256))}
        print(f'{name}: {score:.3f} ({rows[name]["interval"]})', flush=True)
    command = f'python recipes/go.py{" --small" * args.small} --moves {args.moves} --minutes {args.minutes:g}'
    told = {'command': command, 'moves': moves, 'against its start': rows, 'system': system()}
    RESULT.write_text(json.dumps(told, indent=1) + '\n')


if __name__ == '__main__':
    main()

"""Games per second of AlphaZero's self-play in connect four, beside alpha-zero-general; and what part is the network.

    git clone https://github.com/suragnair/alpha-zero-general
    python benchmarks/selfplay.py --peer alpha-zero-general [--simulations 64] [--games 256] [--rounds 5] [--json FILE]

Both play themselves with untrained networks of the same layers (windows of 4 x 4, dense layers), as many simulations,
and the first 15 moves drawn from the visits. Here all games are in one compiled program, there one game after another
by that project's own `Coach.executeEpisode`. Its network is written in NumPy, which for one position at a time costs
less than the frameworks it comes with; roots have noise here and none there. Mark: 20 times its games.

The second figure is the rate at which self-play asks the network, as a share of the rate of the network's own products:
the same matrices with nothing around them. Mark: 70 %.

One core for each, in turn, in seconds of that core's own time: on a shared machine the clock on the wall tells who else
was there.
"""

import os

CORE = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, {CORE})  # before JAX counts its cores
os.environ |= {'NPROC': '1', 'OPENBLAS_NUM_THREADS': '1', 'JAX_PLATFORMS': 'cpu'}

import argparse  # noqa: E402
import json  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from types import SimpleNamespace  # noqa: E402
from typing import Any  # noqa: E402

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import jax.random as jr  # noqa: E402
import numpy as np  # noqa: E402

from stitchrl import envs  # noqa: E402
from stitchrl.algos.search.alphazero import AlphaZero, Config  # noqa: E402
from stitchrl.loops.offline import create, roots  # noqa: E402
from stitchrl.loops.plan import Plan  # noqa: E402
from stitchrl.loops.selfplay import Keys, open_hall, ticks  # noqa: E402
from stitchrl.runs.directory import system  # noqa: E402

MARKS = {'games': 20.0, 'network': 0.7}
TICKS, NEVER, DRAWN = 21, 2**30, 15  # of one call; moves before the first update; moves that are drawn
Work = Callable[[], float]  # does a piece of work and tells how much it was


class Ours:
    """Self-play without updates, from games that are under way."""

    def __init__(self, games: int, simulations: int):
        self.game = envs.rules('connect_four')
        cfg = Config(game='connect_four', simulations=simulations, drawn=DRAWN)
        agents: Any = create(AlphaZero, self.game.spec, cfg, 0, 1)
        self.net = jax.tree.map(lambda x: jnp.array(x[0], copy=True), agents.learner.net)
        self.hall = open_hall(agents, self.game, 100 * games, games)
        self.keys, self.plan, self.t = Keys(roots(0, 1, 3), roots(0, 1, 1)), Plan(games, 1.0, NEVER), 0
        self.evaluations = games * TICKS * (simulations + 1)
        self.played()
        self.played()

    def played(self) -> float:
        """Games that ended in a call."""
        before = float(self.hall.tally.episodes[0])
        self.hall = ticks(self.hall, self.game, self.keys, np.int32(self.t), TICKS, self.plan)
        self.t += TICKS
        return float(self.hall.tally.episodes[0]) - before


class Peer:
    """One game of alpha-zero-general by its own coach, with a network of the same layers."""

    def __init__(self, folder: Path, net: Any, simulations: int):
        sys.path.insert(0, str(folder))
        np.__dict__['int'] = int  # NumPy has dropped this name and `tostring` since
        from Coach import Coach  # pyright: ignore[reportMissingImports]
        from connect4.Connect4Game import Connect4Game  # pyright: ignore[reportMissingImports]
        from MCTS import MCTS  # pyright: ignore[reportMissingImports]

        stem, layers = net.stem, net.dense.layers
        self.weights = [np.asarray(x) for x in (stem.weight.reshape(-1, stem.weight.shape[-1]), stem.bias)]
        self.dense = [(np.asarray(layer.weight), np.asarray(layer.bias)) for layer in layers]
        self.args = SimpleNamespace(numMCTSSims=simulations, cpuct=1, tempThreshold=DRAWN)
        self.game, self.search = Connect4Game(), MCTS
        self.game.stringRepresentation = lambda board: board.tobytes()
        self.coach = Coach.__new__(Coach)  # without the second network that its constructor makes
        self.coach.game, self.coach.args = self.game, self.args

    def predict(self, board: np.ndarray) -> tuple[np.ndarray, float]:
        """Probabilities and value of one position, [6, 7] of 1, -1 and 0."""
        planes = np.stack([board == 1, board == -1]).astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(planes, (4, 4), (1, 2)).transpose(1, 2, 3, 4, 0)
        x = np.maximum(windows.reshape(12, -1) @ self.weights[0] + self.weights[1], 0).reshape(-1)
        for weight, bias in self.dense[:-1]:
            x = np.maximum(x @ weight + bias, 0)
        out = x @ self.dense[-1][0] + self.dense[-1][1]
        odds = np.exp(out[:7] - out[:7].max())
        return odds / odds.sum(), float(np.tanh(out[7]))

    def played(self) -> float:
        """One game."""
        self.coach.mcts = self.search(self.game, self, self.args)
        self.coach.executeEpisode()
        return 1.0


def products(net: Any, games: int, repeats: int = 200) -> Work:
    """Evaluations by the network's matrices alone: all windows, then the dense layers."""
    weights = [net.stem.weight.reshape(-1, net.stem.weight.shape[-1]), *(layer.weight for layer in net.dense.layers)]

    @jax.jit
    def run(x: jax.Array) -> jax.Array:
        def one(x: jax.Array, _: None) -> tuple[jax.Array, None]:
            y = (x @ weights[0]).reshape(games, -1)
            for weight in weights[1:]:
                y = y @ weight
            return x.at[0, : y.shape[1]].set(1e-3 * y[0]), None  # so that no round can be left out

        return jax.lax.scan(one, x, length=repeats)[0]

    x = jr.bernoulli(jr.key(0), 0.3, (12 * games, len(weights[0]))).astype(jnp.float32)
    run(x).block_until_ready()

    def work() -> float:
        run(x).block_until_ready()
        return float(games * repeats)

    return work


def rate(work: Work, seconds: float) -> float:
    """Work per second of processor."""
    start, done = time.process_time(), 0.0
    while time.process_time() - start < seconds:
        done += work()
    return done / (time.process_time() - start)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Rates round by round, who begins changing, and their ratios."""
    ours = Ours(args.games, args.simulations)
    asked = lambda: (ours.played(), float(ours.evaluations))[1]
    sides: dict[str, Work] = {'ours': ours.played, 'network': products(ours.net, args.games), 'asked': asked}
    if args.peer:
        sides['peer'] = Peer(args.peer, ours.net, args.simulations).played
    rounds = []
    for i in range(args.rounds):
        order = list(sides) if i % 2 == 0 else list(sides)[::-1]
        rounds.append({name: rate(sides[name], args.seconds) for name in order})
        print(json.dumps({name: round(value, 2) for name, value in rounds[-1].items()}), flush=True)
    pairs = {'network': ('asked', 'network')} | ({'games': ('ours', 'peer')} if args.peer else {})
    told: dict[str, Any] = {'rounds': rounds}
    for name, (one, other) in pairs.items():
        ratios = [row[one] / row[other] for row in rounds]
        spread = {'median': statistics.median(ratios), 'min': min(ratios), 'max': max(ratios)}
        told[name] = {'ratio': spread, 'mark': MARKS[name], 'met': spread['median'] >= MARKS[name]}
        print(f'{name}: {spread["median"]:.2f} ({spread["min"]:.2f} to {spread["max"]:.2f}), mark {MARKS[name]:g}')
    return told


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--peer', type=Path, help="a checkout of alpha-zero-general; without it the network's share only"
    )
    parser.add_argument('--games', type=int, default=256)
    parser.add_argument('--simulations', type=int, default=64)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--seconds', type=float, default=3.0, help='of each side in a round')
    parser.add_argument('--json', type=Path)
    args = parser.parse_args()
    told = measure(args)
    if args.json:
        command = f'python benchmarks/selfplay.py --games {args.games} --simulations {args.simulations}'
        command += ' --peer alpha-zero-general' if args.peer else ''
        about = {'command': command, 'load': os.getloadavg()[0], 'system': system()}
        args.json.write_text(json.dumps(about | told, indent=1) + '\n')


if __name__ == '__main__':
    main()

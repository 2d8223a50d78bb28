"""Simulations per second of UCT in connect four, beside OpenSpiel's search in C++.

    python benchmarks/tree_search.py [--games 256] [--simulations 512] [--rounds 5] [--json FILE]

Both search the empty board with random roll-outs, one per simulation, c = 1.4, without a solver: here so many games at
once in one compiled program, there one game after another on one core. Each is held to one core, and both are timed in
turn, in seconds of that core's own time: on a shared machine those tell what the program needs, and the clock on the
wall tells who else was there. A second row lets XLA use every core and goes by the wall.   Mark: as many as OpenSpiel.

Roll-outs alone are timed as well: they are the floor, each simulation ends in one.
Needs `pip install "stitchrl[games]"`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MARK, C = 1.0, 1.4
SIDES = ('ours', 'roll-outs', 'open_spiel')


def ours(games: int, simulations: int) -> tuple[Any, int]:
    """(a function that searches once, simulations it makes)."""
    import jax
    import jax.numpy as jnp
    import jax.random as jr

    from stitchrl.algos.search.uct import Config, uct
    from stitchrl.envs.board import ConnectFour
    from stitchrl.models.rules import Rules

    game = ConnectFour.create()
    boards = jax.tree.map(lambda x: jnp.tile(x, (games, 1)), game.start())
    planner = uct(Config(simulations=simulations, c=C))
    search = jax.jit(lambda boards, keys: planner.plans(Rules(game), boards, keys)[0])
    keys = jr.split(jr.key(0), games)
    return lambda: search(boards, keys).block_until_ready(), games * simulations


def rollouts(games: int, simulations: int) -> tuple[Any, int]:
    """The same of the roll-outs alone."""
    import jax
    import jax.numpy as jnp
    import jax.random as jr

    from stitchrl.envs.board import ConnectFour

    game = ConnectFour.create()
    boards = jax.tree.map(lambda x: jnp.tile(x, (games, 1)), game.start())

    def all_of(boards: Any, keys: Any) -> Any:
        one = lambda total, t: (total + game.playouts(boards, jax.vmap(jr.fold_in, (0, None))(keys, t)), None)
        return jax.lax.scan(one, jnp.zeros(games), jnp.arange(simulations))[0]

    run, keys = jax.jit(all_of), jr.split(jr.key(0), games)
    return lambda: run(boards, keys).block_until_ready(), games * simulations


def open_spiel(games: int, simulations: int) -> tuple[Any, int]:
    """The same of OpenSpiel, 16 games."""
    import pyspiel  # pyright: ignore[reportMissingImports]

    game = pyspiel.load_game('connect_four')
    bot = pyspiel.MCTSBot(game, pyspiel.RandomRolloutEvaluator(1, 0), C, simulations, 1000, False, 0, False)
    state = game.new_initial_state()
    return lambda: [bot.mcts_search(state) for _ in range(16)], 16 * simulations


def side(name: str, games: int, simulations: int) -> None:
    """Search whenever a line comes in; answer with [simulations, seconds on the wall, seconds of processors]."""
    search, count = {'ours': ours, 'roll-outs': rollouts, 'open_spiel': open_spiel}[name](games, simulations)
    search()
    for _ in sys.stdin:
        start, busy, done = time.perf_counter(), time.process_time(), 0
        while time.process_time() - busy < 1.5:
            search()
            done += count
        print(json.dumps([done, time.perf_counter() - start, time.process_time() - busy]), flush=True)


class Side:
    """A process of one side."""

    def __init__(self, name: str, args: argparse.Namespace, cores: int):
        numbers = ['--games', str(args.games), '--simulations', str(args.simulations)]
        env = os.environ | {'JAX_PLATFORMS': 'cpu'} | ({'NPROC': '1'} if cores == 1 else {})
        pin = {'preexec_fn': lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})} if cores == 1 else {}
        command = [sys.executable, __file__, '--side', name, *numbers]
        self.process = subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=env, **pin)

    def rates(self) -> tuple[float, float]:
        """Simulations per second of processor, and on the wall."""
        self.process.stdin.write('\n')
        self.process.stdin.flush()
        done, wall, busy = json.loads(self.process.stdout.readline())
        return done / busy, done / wall

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def measure(args: argparse.Namespace, cores: int) -> dict[str, Any]:
    """Rates of all sides in turn; ratios round by round."""
    sides = {name: Side(name, args, 1 if name == 'open_spiel' else cores) for name in SIDES}
    rounds = []
    for i in range(args.rounds):
        order = SIDES if i % 2 == 0 else SIDES[::-1]
        rounds.append({name: sides[name].rates() for name in order})
    for one in sides.values():
        one.close()
    clock = 0 if cores == 1 else 1
    ratios = [r['ours'][clock] / r['open_spiel'][clock] for r in rounds]
    medians = {name: statistics.median(r[name][clock] for r in rounds) for name in SIDES}
    spread = {'median': statistics.median(ratios), 'min': min(ratios), 'max': max(ratios)}
    return {'cores': cores, 'simulations_per_s': medians, 'ratio': spread, 'rounds': rounds}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--games', type=int, default=256)
    parser.add_argument('--simulations', type=int, default=512)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--json', type=Path)
    parser.add_argument('--side', choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        side(args.side, args.games, args.simulations)
        return
    from importlib.metadata import version

    from stitchrl.runs.directory import system

    load, rows = os.getloadavg()[0], []
    for cores in dict.fromkeys((1, os.cpu_count() or 1)):
        row = measure(args, cores)
        rows.append(row)
        rates = ', '.join(f'{name} {rate:,.0f}/s' for name, rate in row['simulations_per_s'].items())
        print(f'{cores} core(s): {rates}; {row["ratio"]["median"]:.2f} times OpenSpiel', flush=True)
    met = rows[0]['ratio']['median'] >= MARK
    print(f'at least OpenSpiel on one core: {"yes" if met else "NO"}')
    if args.json:
        command = f'python benchmarks/tree_search.py --games {args.games} --simulations {args.simulations}'
        peer = {'open_spiel': version('open_spiel')}
        told = {
            'command': command,
            'load': load,
            'mark': MARK,
            'met': met,
            'peer': peer,
            'rows': rows,
            'system': system(),
        }
        args.json.write_text(json.dumps(told, indent=1) + '\n')


if __name__ == '__main__':
    main()

"""Is UCT as strong as it should be? Tic-tac-toe against its solution, connect four against OpenSpiel, hard positions.

    python recipes/uct.py [--part tictactoe|connect_four|positions]

tictactoe     200 games against exact play, 100 in each seat; the solution plays any of its best moves. Expected: no
              loss at 1000 simulations, some at 200 (control). With one roll-out per simulation, as OpenSpiel's search
              has it, and with the mean of four; 1000 further games tell how rare losses are. OpenSpiel's own
              search plays as many games as the mark asks for.
connect_four  400 games against OpenSpiel's search in C++, 200 in each seat, 512 simulations each, one roll-out per
              simulation, c = 1.4 on both sides, without a solver. A draw is half a win. Expected: the lower end of the
              95 % interval of our score at least 43 %.
positions     every position of tic-tac-toe in which one move of three or more wins, and those in which one draws; and
              positions of connect four in which one move holds. UCT finds it; flat Monte Carlo, with as many
              simulations, does not always: random play does not see the answer.

Needs `pip install "stitchrl[games]"`. Writes recipes/results/uct.json.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pyspiel  # pyright: ignore[reportMissingImports]

from stitchrl.algos.search.uct import Config, flat_monte_carlo, uct
from stitchrl.envs.board import ConnectFour, Rows, TicTacToe
from stitchrl.envs.game import Board
from stitchrl.loops.match import Mover, both_seats
from stitchrl.models.rules import Rules
from stitchrl.planners.mcts import MCTS
from stitchrl.planners.minimax import FullWidth, Solved
from stitchrl.report.statistics import wilson
from stitchrl.runs.directory import system

RESULT = Path(__file__).parent / 'results' / 'uct.json'
C = 1.4
HOLD, DEEP = 4, 7  # plies: one move holds for so many, and is not lost within so many either


def mover(game: Rows, planner: MCTS) -> Mover:
    """The planner's moves, compiled."""
    return jax.jit(lambda boards, keys: planner.plans(Rules(game), boards, keys)[0])


class Peer:
    """OpenSpiel's search as a mover: it is told the moves that it sees on the boards."""

    def __init__(self, name: str, game: Rows, simulations: int):
        self.rules, self.game, self.simulations = pyspiel.load_game(name), game, simulations
        self.fields, self.over = jax.jit(jax.vmap(game.observe)), jax.jit(jax.vmap(game.won))

    def __call__(self, boards: Board, keys: jax.Array) -> np.ndarray:
        seeds = np.asarray(jax.vmap(jr.bits)(keys)) >> 1
        over, seen = np.asarray(self.over(boards.theirs)), np.asarray(self.fields(boards))
        return np.array([0 if over[i] else self.move(seen[i], int(seeds[i])) for i in range(len(seeds))])

    def move(self, seen: np.ndarray, seed: int) -> int:
        """A move in one position, [2, H, W]."""
        state = self.state(seen)
        if state.is_terminal():
            return 0
        rollout = pyspiel.RandomRolloutEvaluator(1, seed)
        bot = pyspiel.MCTSBot(self.rules, rollout, C, self.simulations, 1000, False, seed, False)
        return bot.step(state)

    def state(self, seen: np.ndarray) -> Any:
        """The position in OpenSpiel, by any order of moves that leads to it without an earlier end."""
        first = int(seen[0].sum() == seen[1].sum())  # 1: the player to move began
        stones = (seen[0], seen[1]) if first else (seen[1], seen[0])
        return self.filled(self.rules.new_initial_state(), stones)

    def filled(self, state: Any, stones: tuple[np.ndarray, np.ndarray]) -> Any:
        """By depth first: a legal move is one whose field is that player's in the end."""
        height, width = stones[0].shape
        taken, tried = np.zeros((height, width), bool), set()

        def go(state: Any, left: int) -> Any:
            if left == 0:
                return state
            if state.is_terminal() or taken.tobytes() in tried:
                return None
            tried.add(taken.tobytes())
            mine = stones[state.current_player()]
            for action in state.legal_actions():
                y, x = (int(taken[:, action].sum()), action) if self.game.line == 4 else divmod(action, width)
                if mine[y, x]:
                    taken[y, x] = True
                    if (found := go(state.child(action), left - 1)) is not None:
                        return found
                    taken[y, x] = False
            return None

        return go(state, int(stones[0].sum() + stones[1].sum()))


def seats(game: Rows, ours: Mover, theirs: Mover, n: int, seed: int) -> dict[str, list[int]]:
    """[won, drawn, lost] by us in n games of either seat."""
    results = both_seats(game, ours, theirs, n, jr.key(seed))
    tell = lambda result: [int((result == r).sum()) for r in (1, 0, -1)]
    return {'first': tell(results[0]), 'second': tell(results[1])}


def tictactoe() -> dict[str, Any]:
    """[won, drawn, lost] against the solution."""
    game = TicTacToe.create()
    solved, told = Solved.create(game), {}
    perfect = jax.jit(lambda boards, keys: solved.act(boards, keys))
    for simulations in (200, 1000):
        for rollouts in (1, 4):
            ours = mover(game, uct(Config(simulations=simulations, c=C, rollouts=rollouts, depth=10)))
            name = f'{simulations} simulations, {rollouts} roll-outs'
            told[name] = seats(game, ours, perfect, 100, seed=10)
            told[f'{name}, 1000 games'] = seats(game, ours, perfect, 500, seed=11)
        peer = Peer('tic_tac_toe', game, simulations)
        told[f'{simulations} simulations, OpenSpiel'] = seats(game, peer, perfect, 100, seed=10)
    for name, row in told.items():
        print(f'tic-tac-toe  {name:42s} won, drawn, lost: {row["first"]} first, {row["second"]} second', flush=True)
    lost = lambda name: told[name]['first'][2] + told[name]['second'][2]
    met = lambda n: lost(f'1000 simulations, {n} roll-outs') == 0 < lost(f'200 simulations, {n} roll-outs')
    return {'won, drawn, lost': told} | {f'met with {n} roll-outs': met(n) for n in (1, 4)}


def connect_four() -> dict[str, Any]:
    """Our score against OpenSpiel's search."""
    game, simulations, n = ConnectFour.create(), 512, 200
    ours = mover(game, uct(Config(simulations=simulations, c=C)))
    row = seats(game, ours, Peer('connect_four', game, simulations), n, seed=20)
    won, drawn, _ = (a + b for a, b in zip(row['first'], row['second'], strict=True))
    score = (won + drawn / 2) / (2 * n)
    low, high = wilson(score, 2 * n)
    print(f'connect four {simulations} simulations: {row}, score {score:.3f} ({low:.3f} to {high:.3f})', flush=True)
    return {'won, drawn, lost': row, 'score': score, 'interval': [low, high], 'mark': 0.43, 'met': low >= 0.43}


def only_moves(values: np.ndarray, worth: float) -> np.ndarray:
    """Rows in which one move of three or more is worth `worth` and no move more."""
    best = values.max(1)
    return np.flatnonzero(((values == best[:, None]).sum(1) == 1) & (np.isfinite(values).sum(1) > 2) & (best == worth))


def found(game: Rows, boards: Board, values: np.ndarray, simulations: int) -> dict[str, float]:
    """Share of the positions in which UCT and flat Monte Carlo take the best move."""
    cfg, shares = Config(simulations=simulations, c=C), {}
    for name, planner in (('uct', uct(cfg)), ('flat', flat_monte_carlo(cfg))):
        act, right = mover(game, planner), []
        for start in range(0, len(values), 256):
            part = jax.tree.map(lambda x: x[start : start + 256], boards)  # noqa: B023 - used at once
            right.append(np.asarray(act(part, jr.split(jr.key(start), len(part.mine)))))
        shares[name] = float((np.concatenate(right) == values.argmax(1)).mean())
    return shares


def random_positions(game: Rows, n: int) -> Board:
    """Positions of connect four in which nobody has won yet, after 8 to 21 random moves."""
    rng, kept = np.random.default_rng(1), []
    play, legal = jax.jit(game.play), jax.jit(game.legal)
    while len(kept) < n:
        board, over = game.start(), False
        for _ in range(rng.integers(8, 22)):
            board, _, over = play(board, jnp.int32(rng.choice(np.flatnonzero(np.asarray(legal(board))))))
            if over:
                break
        else:
            kept.append(board)
    return jax.tree.map(lambda *x: jnp.stack(x), *kept)


def holding(game: Rows, boards: Board) -> tuple[Board, np.ndarray]:
    """Those in which one move alone is not lost, by search in full, and the values of their moves. A move that all but
    holds is no answer where every move is lost a little later."""
    for depth in (HOLD, DEEP):
        full = jax.jit(lambda board, key, depth=depth: FullWidth(depth).values(Rules(game), board, key))
        ones = [Board(boards.mine[i : i + 1], boards.theirs[i : i + 1]) for i in range(len(boards.mine))]
        values = np.concatenate([np.asarray(full(one, jr.split(jr.key(0), 1))) for one in ones])
        index = only_moves(values, 0)
        boards, values = Board(boards.mine[index], boards.theirs[index]), values[index]
    return boards, values


def positions() -> dict[str, Any]:
    """Shares of hard positions in which the one good move is found."""
    small, large = TicTacToe.create(), ConnectFour.create()
    solved, told = Solved.create(small), {}
    values, codes = np.asarray(solved.values), np.asarray(solved.codes)
    for name, worth in (('tic-tac-toe, one move wins', 1), ('tic-tac-toe, one move draws', 0)):
        index = only_moves(values, worth)
        boards = Board(
            *(jnp.asarray(word, jnp.uint32)[:, None] for word in (codes[index] & 0xFFFF, codes[index] >> 16))
        )
        told[name] = {'positions': len(index)} | found(small, boards, values[index], 1000)
    boards, values = holding(large, random_positions(large, 600))
    told['connect four, one move holds'] = {'positions': len(values)} | found(large, boards, values, 2000)
    for name, row in told.items():
        print(f'{name:30s} {row["positions"]:5d} positions: UCT {row["uct"]:.4f}, flat {row["flat"]:.4f}', flush=True)
    return told | {'met': all(row['uct'] == 1 > row['flat'] for row in told.values())}


PARTS = {'tictactoe': tictactoe, 'connect_four': connect_four, 'positions': positions}


def main() -> None:
    """Play, tell, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--part', choices=PARTS, help='only this one; the others stay as they are in the file')
    args = parser.parse_args()
    about = {'command': 'python recipes/uct.py', 'open_spiel': version('open_spiel'), 'system': system()}
    for name in (args.part,) if args.part else PARTS:
        row = {name: PARTS[name]()}
        told = json.loads(RESULT.read_text()) if RESULT.exists() else {}
        RESULT.write_text(json.dumps(told | about | row, indent=1) + '\n')


if __name__ == '__main__':
    main()

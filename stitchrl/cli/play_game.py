"""A game in the terminal: a person on one side, a search on the other that shows what it looked at."""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from stitchrl.errors import UsageError

HELP = 'a number is a move; Enter lets the search choose for you, h asks what it would look at, q stops'
ENDS = {None: 'The game was left.', 0.0: 'Drawn.', 1.0: 'You win.', -1.0: 'You lose.'}  # by result for the person
SHOWN = 8  # moves in a table of visits


class Thought(NamedTuple):
    """What a search found in one position."""

    move: int
    visits: list[float]  # by move
    values: list[float]  # mean returns for the player to move


Think = Callable[[Any, int], Thought]  # position, number of the move


def main(args: argparse.Namespace) -> int:
    """Play one game, by keyboard or from a pipe."""
    if args.simulations is not None and args.simulations < 1:
        raise UsageError(f'--simulations {args.simulations}: expected at least 1')
    game, name, think = opponent(args)
    you = 1 if args.second else 0
    told = Seat(game, think, you, name, quiet=args.json).play()
    if args.json:
        print(json.dumps(told, indent=1))
    return 0


def opponent(args: argparse.Namespace) -> tuple[Any, str, Think]:
    """(rules, the opponent's name, its search): UCT for the name of a game, else what the run has learned."""
    from stitchrl import envs

    if args.run in envs.GAMES:
        from stitchrl.algos.search.uct import Config, uct

        planner, game = uct(Config(simulations=args.simulations or 500)), envs.rules(args.run)
        return game, f'UCT, {planner.simulations} simulations a move', thinker(game, planner, args.seed)
    agent, algo = learned(args.run, args.seed_index)
    planner = agent.planner(args.simulations or agent.cfg.judged, noisy=False)
    name = f'{algo} of {args.run}, {planner.simulations} simulations a move'
    return agent.game, name, thinker(agent.game, planner, args.seed)


def learned(path: str, index: int) -> tuple[Any, str]:
    """One agent of a run that learned a game, and its algorithm's name."""
    import jax

    from stitchrl.runs import policy
    from stitchrl.runs.directory import RunDir

    algo, agents, _, _ = policy.load_all(RunDir.find(path).policy)
    count = jax.tree.leaves(agents)[0].shape[0]
    if not 0 <= index < count:
        raise UsageError(f'--seed-index {index}: this run trained {count}, numbered from 0')
    return jax.tree.map(lambda x: x[index], agents), algo


def thinker(game: Any, planner: Any, seed: int) -> Think:
    """The planner in one position at a time, compiled once."""
    import jax
    import jax.random as jr
    import numpy as np

    from stitchrl.models.rules import Rules
    from stitchrl.planners.tree import root

    @jax.jit
    def search(boards: Any, keys: jax.Array) -> Any:
        action, tree, _ = planner.plans(Rules(game), boards, keys)
        top = root(tree)
        return action[0], top.visits[0], top.values[0]

    def think(board: Any, number: int) -> Thought:
        key = jr.fold_in(jr.key(seed), number)
        action, visits, values = search(jax.tree.map(lambda x: x[None], board), key[None])
        return Thought(int(action), *(np.asarray(x, float).round(4).tolist() for x in (visits, values)))

    return think


class Seat:
    """One game between a person and a search."""

    def __init__(self, game: Any, think: Think, you: int, name: str, quiet: bool = False):
        from stitchrl.report.stones import STONES, label, text

        self.game, self.think, self.you, self.name = game, think, you, name
        self.out, self.stones, self.label, self.text = sys.stderr if quiet else sys.stdout, STONES, label, text
        self.moves: list[int] = []
        self.thoughts: list[dict[str, Any]] = []

    def say(self, line: str = '') -> None:
        """A line for the person."""
        print(line, file=self.out, flush=True)

    def play(self) -> dict[str, Any]:
        """The whole game; what happened in it, with the result for the person, None where it was left."""
        self.say(f'You are {self.stones[self.you]}, against {self.name}. {HELP[0].upper()}{HELP[1:]}.')
        board, result = self.turns()
        self.say(self.text(self.game, board))
        self.say(ENDS[result])
        return {
            'you': self.you,
            'opponent': self.name,
            'result': result,
            'moves': self.moves,
            'searches': self.thoughts,
        }

    def turns(self) -> tuple[Any, float | None]:
        """Move by move: the last position, and the result for the person."""
        import jax
        import jax.numpy as jnp

        board, over, result, step = self.game.start(), False, None, jax.jit(self.game.play)
        while not over:
            mover = int(self.game.player(board))
            move = self.asked(board) if mover == self.you else self.answered(board)
            if move is None:
                break
            self.moves.append(move)
            board, reward, over = step(board, jnp.int32(move))
            result = float(reward) * (1 if mover == self.you else -1) if over else None
        return board, result

    def answered(self, board: Any) -> int:
        """The search's move, with what it looked at."""
        thought = self.think(board, len(self.moves))
        self.show(thought)
        self.say(f'It plays {self.label(self.game, thought.move)}.')
        self.thoughts.append({'move_number': len(self.moves), **thought._asdict()})
        return thought.move

    def asked(self, board: Any) -> int | None:
        """The person's move; None to leave."""
        self.say()
        self.say(self.text(self.game, board))
        while True:
            print('Your move: ', end='', file=self.out, flush=True)
            line = sys.stdin.readline()
            word = line.strip().lower()
            if not sys.stdin.isatty():
                self.say(word)  # a terminal shows what is typed by itself
            if not line or word in ('q', 'quit'):
                return None
            if word in ('', 'h', 'help'):
                thought = self.think(board, len(self.moves))
                self.show(thought)
                if not word:
                    self.say(f'You play {self.label(self.game, thought.move)}.')
                    return thought.move
            elif (move := self.legal(board, word)) is not None:
                return move

    def legal(self, board: Any, word: str) -> int | None:
        """The move that a word names; None, and a line that says why, where there is none."""
        import numpy as np

        moves = np.flatnonzero(np.asarray(self.game.legal(board))).tolist()
        named = {self.label(self.game, move): move for move in moves} | {str(move): move for move in moves}
        if word in named:
            return named[word]
        last = self.game.spec.action_dim - 1
        what = (
            'it is no number'
            if not word.isdigit()
            else 'it is taken'
            if int(word) <= last
            else f'moves are 0 to {last}'
        )
        self.say(f'{word!r} is no move here: {what}. Legal: {" ".join(self.label(self.game, move) for move in moves)}')
        return None

    def show(self, thought: Thought) -> None:
        """Visits and values of the moves that were looked at most."""
        order = sorted(range(len(thought.visits)), key=lambda move: -thought.visits[move])[:SHOWN]
        self.say('   move   visits   value for who moves')
        for move in (move for move in order if thought.visits[move] > 0):
            chosen = '  <' if move == thought.move else ''
            told = f'{self.label(self.game, move):>7s} {thought.visits[move]:8.0f} {thought.values[move]:+9.3f}{chosen}'
            self.say(told)

"""Does AlphaZero learn a game from nothing but its rules? Tic-tac-toe against its solution, connect four against UCT.

    python recipes/alphazero.py --game tictactoe [--minutes 15]
    python recipes/alphazero.py --game connect_four [--minutes 45]

Both players of a match choose the move they visited most. A draw is half a win.

tictactoe     400 games against exact play, 200 in each seat; the solution plays any of its best moves. Expected: no
              loss. Control: the network as it began, with as many simulations, does lose.
connect_four  100 simulations against UCT with 400, 400 games. Expected: the lower end of the 95 % interval of the score
              at least 85 %. Control: the network as it began. On the way 200 games against the same opponent at each
              rung of a ladder; afterwards against UCT with more simulations.

--past plays the newest checkpoint of --out against the older ones that are there and against a network as it began: 400
games each, the first four moves of each by chance, or all would be the same game. Trains nothing.

Training ends after so many minutes or with its last step. The run is kept in --out, and the same command goes on there.
Writes recipes/results/alphazero.json.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl import api, envs
from stitchrl.envs.versus import opponent
from stitchrl.loops.launch import resume
from stitchrl.loops.match import Mover, play_match
from stitchrl.recordings import asked
from stitchrl.report.statistics import wilson
from stitchrl.runs import checkpoint
from stitchrl.runs.directory import RunDir, system

RESULT = Path(__file__).parent / 'results' / 'alphazero.json'


OPENING = 4  # moves by chance, of a match between networks


class Task(NamedTuple):
    """What a game asks for."""

    preset: str
    opponent: str
    also: tuple[str, ...]  # opponents of the network in the end
    rungs: int  # of the ladder
    mark: float  # of the lower end of the score's interval; 0: no game may be lost


TASKS = {
    'tictactoe': Task('tictactoe', 'minimax', ('random',), 4, 0.0),
    'connect_four': Task('default', 'uct-400', ('random', 'uct-1600'), 8, 0.85),
}


class Judge:
    """Matches of networks of one shape; programs are compiled once."""

    def __init__(self, title: str):
        self.title, self.game, self.others = title, envs.rules(title), {}
        self.act = jax.jit(lambda agent, boards, keys: agent.best(boards, keys))

    def ours(self, agent: Any) -> Mover:
        """The moves of one agent."""
        return lambda boards, keys: self.act(agent, boards, keys)

    def other(self, name: str) -> Mover:
        """The moves of a named opponent."""
        if name not in self.others:
            self.others[name] = jax.jit(opponent(self.title, name).__call__)
        return self.others[name]

    def opened(self, mover: Mover) -> Mover:
        """The same after four moves by chance."""

        def choose(boards: Any, keys: jax.Array) -> np.ndarray:
            stones = np.asarray(jax.vmap(self.game.observe)(boards)).sum((1, 2, 3))
            chance = self.other('random')(boards, keys) if (stones < OPENING).any() else 0
            return np.where(stones < OPENING, chance, mover(boards, keys))

        return choose

    def match(self, one: Mover, two: Mover, n: int) -> dict[str, Any]:
        """n games in each seat: [won, drawn, lost] by `one` in either, its score and the score's 95 % interval."""
        first = play_match(self.game, one, two, n, jr.key(1)).result
        second = -play_match(self.game, two, one, n, jr.key(2)).result
        tell = lambda result: [int((result == r).sum()) for r in (1, 0, -1)]
        score = float((np.concatenate([first, second]) + 1).mean() / 2)
        return {'first': tell(first), 'second': tell(second), 'score': score, 'interval': wilson(score, 2 * n)}


def alone(agents: Any) -> Any:
    """The first of the agents, in arrays of its own."""
    return jax.tree.map(lambda x: jnp.array(x[0], copy=True), agents)


def sat_down(title: str, seed: int, out: Path) -> tuple[Any, Any, int, list[dict[str, Any]]]:
    """(session, its state, the move to go on from, the rungs of before): a new run, or the one that lies in `out`."""
    if not out.exists():
        session = api.session('alphazero', None, TASKS[title].preset, title, seed=seed, out=str(out))
        return session, session.fresh(), 0, []
    session, state, step = resume(RunDir(out), asked, print)
    told = json.loads(RESULT.read_text()).get(title, {}) if RESULT.exists() else {}
    return session, state, step, [row for row in told.get('ladder', []) if row['moves'] <= step]


def climb(title: str, minutes: float, seed: int, out: Path) -> tuple[list[dict[str, Any]], list[Any], Judge]:
    """Train, and judge at every rung: the rungs, and the agents at those of this session behind one that has learned
    nothing."""
    task, judge, begun = TASKS[title], Judge(title), time.time()
    session, state, step, rungs = sat_down(title, seed, out)
    agents, every = [alone(session.work.new())], session.work.total / task.rungs
    before = rungs[-1]['minutes'] if rungs else 0.0

    def rung(step: int) -> None:
        row = {'moves': step, 'minutes': before + (time.time() - begun) / 60}
        rungs.append(row | judge.match(judge.ours(agents[-1]), judge.other(task.opponent), 100))
        print(f'{title} {json.dumps(rungs[-1])}', flush=True)

    if not rungs:
        rung(0)
    for part in session.go(state, step):
        over = time.time() - begun > 60 * minutes and session.work.due(part.step)  # and so it is saved
        if over or part.step == session.work.total or part.step // every > step // every:
            agents.append(alone(part.agents))
            rung(part.step)
        step = part.step
        if over:
            break
    return rungs, agents, judge


def play(title: str, minutes: float, seed: int, out: Path) -> dict[str, Any]:
    """The whole experiment."""
    task = TASKS[title]
    rungs, agents, judge = climb(title, minutes, seed, out)
    last, against = judge.ours(agents[-1]), {}
    for name in (task.opponent, *task.also):
        against[name] = judge.match(last, judge.other(name), 200)
        print(f'{title} against {name}: {json.dumps(against[name])}', flush=True)
    control = judge.match(judge.ours(agents[0]), judge.other(task.opponent), 200)
    final, lost = against[task.opponent], lambda row: row['first'][2] + row['second'][2]
    met = final['interval'][0] >= task.mark if task.mark else lost(final) == 0
    failed = control['interval'][0] < task.mark if task.mark else lost(control) > 0
    told = {'against': against, 'untrained': control, 'ladder': rungs}
    return told | {'minutes': rungs[-1]['minutes'], 'met': met, 'control fails': failed}


def past(title: str, out: Path) -> dict[str, Any]:
    """The newest checkpoint of a run against what there is of its past."""
    session, _, _ = resume(RunDir(out), asked, print)
    judge, told = Judge(title), {}
    load = lambda folder: checkpoint.unflatten(session.work.like(0), checkpoint.restore(folder), str(folder)).agents
    folders = checkpoint.steps(RunDir(out).checkpoints)
    last = judge.opened(judge.ours(alone(load(folders[-1]))))
    earlier = {'as it began': session.work.new()} | {folder.name: load(folder) for folder in folders[:-1]}
    for name, agents in earlier.items():
        told[name] = judge.match(last, judge.opened(judge.ours(alone(agents))), 200)
        print(f'{folders[-1].name} against {name}: {json.dumps(told[name])}', flush=True)
    return {'against its past': {'network': folders[-1].name} | told}


def main() -> None:
    """Train, play, tell, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--game', choices=TASKS, required=True)
    parser.add_argument('--minutes', type=float, default=45.0, help='of training and of climbing the ladder, at most')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--past', action='store_true', help='only matches of the run in --out with its own past')
    parser.add_argument('--out', type=Path, help='folder of the run; one that is there goes on')
    args = parser.parse_args()
    out = args.out or Path(f'runs/alphazero-{args.game}')
    row = past(args.game, out) if args.past else play(args.game, args.minutes, args.seed, out)
    command = f'python recipes/alphazero.py --game {args.game} --minutes {args.minutes:g} --seed {args.seed}'
    told = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    about = told.get(args.game, {}) if args.past else {'command': command, 'system': system()}
    told[args.game] = about | row
    RESULT.write_text(json.dumps(told, indent=1) + '\n')
    print(f'{args.game}: met {told[args.game]["met"]}, control fails {told[args.game]["control fails"]}')


if __name__ == '__main__':
    main()

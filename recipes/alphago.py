"""What each part of AlphaGo is worth in connect four: prior, value, roll-outs and their mixture.

    python recipes/alphago.py [--small]

Games of UCT against itself are recorded; a policy and a fast policy imitate them; the policy improves by playing
against its past; a value learns from one position of each of its games. Then each part alone, in a search of 100
simulations, plays 300 games against UCT of 100 simulations, 150 in each seat; what is left out is replaced by what UCT
has: an even prior, random roll-outs. All of it plays against itself without a part. A draw is half a win. One training;
the 95 % intervals are over games.

Expected, from Silver et al., 2016: the mixture is stronger than UCT and than itself without any one part. Control:
networks that learned nothing are not stronger than UCT. Writes recipes/results/alphago.json; --small is a trial.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl import envs
from stitchrl.algos.search import uct
from stitchrl.algos.search.alphago import AlphaGo, Config, Opinion
from stitchrl.loops import apprentice
from stitchrl.loops.duel import flat
from stitchrl.loops.match import Mover, both_seats
from stitchrl.models.rules import Rules
from stitchrl.nets.board import BoardNet, among
from stitchrl.planners.mcts import MCTS
from stitchrl.planners.select import puct
from stitchrl.report.statistics import wilson
from stitchrl.runs.directory import system

RESULT = Path(__file__).parent / 'results' / 'alphago.json'
GAME = envs.rules('connect_four')


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    games: int = 2048  # recorded
    simulations: int = 256  # of a recorded move
    steps: int = 4000  # updates of the imitation
    rounds: int = 200  # of the policy gradient, 128 games each
    positions: int = 32_768  # of as many games, for the value
    updates: int = 4000  # of the value
    seat: int = 150  # games in each seat


SMALL = Sizes(games=256, simulations=64, steps=500, rounds=20, positions=2048, updates=300, seat=20)
BEGUN = time.monotonic()


def say(text: str) -> None:
    """A line with the time."""
    print(f'{time.monotonic() - BEGUN:6.0f} s  {text}', flush=True)


def trained(size: Sizes) -> tuple[AlphaGo, AlphaGo, dict[str, Any]]:
    """(what learned, what did not, what was measured on the way)."""
    k_record, k_create, k_imitate, k_improve, k_appraise = jr.split(jr.key(31), 5)
    games = apprentice.record(GAME, uct.uct(uct.Config(simulations=size.simulations)), size.games, k_record)
    moves = int(games.positions.weight.sum())
    say(f'recorded {size.games} games, {moves} moves')
    fresh = AlphaGo.create(GAME.spec, Config(game='connect_four', steps=size.steps), k_create)
    agent, imitated = apprentice.imitate(fresh, GAME, flat(games.positions), k_imitate)
    say(f'imitated: {number(imitated)}')
    agent, rounds = apprentice.improve(agent, GAME, k_improve, size.rounds)
    won = np.array([float(row['gradient/outcome']) for row in rounds])
    quarter = len(won) // 4
    say(f'improved: mean outcome against its past {won[:quarter].mean():.3f}, later {won[-quarter:].mean():.3f}')
    latest = int(np.quantile(np.asarray(games.positions.weight.sum(0)), 0.75))
    agent, appraised = apprentice.appraise(agent, GAME, k_appraise, size.positions, size.updates, latest)
    say(f'appraised: {number(appraised)}')
    told = {'recorded moves': moves, 'imitation': number(imitated), 'value': number(appraised), 'latest': latest}
    return agent, fresh, told | {'outcome against its past, last quarter': float(won[-quarter:].mean())}


def number(info: dict[str, Any]) -> dict[str, float]:
    """Scalars as numbers."""
    return {name: round(float(value), 4) for name, value in info.items()}


def searcher(prior: BoardNet | None, value: BoardNet | None, fast: BoardNet | None, lam: float) -> Mover:
    """Moves of a search with these parts."""
    planner = MCTS(puct(Config().c), Opinion(prior, value, fast, lam), 100)
    return jax.jit(lambda boards, keys: planner.plans(Rules(GAME), boards, keys)[0])


def alone(net: BoardNet) -> Mover:
    """The likeliest move, without a search."""

    def act(boards: Any, keys: jax.Array) -> jax.Array:
        logits = net(jax.vmap(GAME.observe)(boards))[0]
        return among(logits, jax.vmap(GAME.legal)(boards)).argmax(-1).astype(jnp.int32)

    return jax.jit(act)


def players(agent: AlphaGo, fresh: AlphaGo) -> dict[str, Mover]:
    """Every combination that is measured."""
    prior, value, fast = agent.sigma.net, agent.value.net, agent.fast.net
    return {
        'imitation, no search': alone(prior),
        'policy gradient, no search': alone(agent.rho.net),
        'even prior, random roll-outs': searcher(None, None, None, 1.0),
        'prior alone': searcher(prior, None, None, 1.0),
        'value alone': searcher(None, value, None, 0.0),
        'roll-outs alone': searcher(None, None, fast, 1.0),
        'prior and value': searcher(prior, value, None, 0.0),
        'prior and roll-outs': searcher(prior, None, fast, 1.0),
        'value and roll-outs': searcher(None, value, fast, 0.5),
        'all': searcher(prior, value, fast, 0.5),
        'control, nothing learned': searcher(fresh.sigma.net, fresh.value.net, fresh.fast.net, 0.5),
    }


def score(ours: Mover, theirs: Mover, n: int, seed: int) -> dict[str, Any]:
    """[won, drawn, lost], score and its interval."""
    results = both_seats(GAME, ours, theirs, n, jr.key(seed))
    counts = [int((results == r).sum()) for r in (1, 0, -1)]
    mean = float((results.mean() + 1) / 2)
    return {'won, drawn, lost': counts, 'score': mean, 'interval': list(wilson(mean, 2 * n))}


def main() -> None:
    """Train, play, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--small', action='store_true', help='a few minutes, nothing is written')
    size = SMALL if parser.parse_args().small else Sizes()
    agent, fresh, told = trained(size)
    known, plain = players(agent, fresh), uct.uct(uct.Config(simulations=100))
    rival = jax.jit(lambda boards, keys: plain.plans(Rules(GAME), boards, keys)[0])
    matches = {(name, 'UCT'): (mover, rival) for name, mover in known.items()}
    for name in ('prior and value', 'prior and roll-outs', 'value and roll-outs', 'prior alone'):
        matches['all', name] = known['all'], known[name]
    rows = {}
    for seed, ((ours, theirs), pair) in enumerate(matches.items()):
        rows[f'{ours} against {theirs}'] = row = score(*pair, size.seat, seed)
        say(f'{ours} against {theirs}: {row["score"]:.3f} ({row["interval"][0]:.3f} to {row["interval"][1]:.3f})')
    if size == SMALL:
        return
    about = {'command': 'python recipes/alphago.py', 'system': system(), 'seconds': round(time.monotonic() - BEGUN)}
    settings = {'sizes': asdict(size), 'config': asdict(replace(agent.cfg)), 'simulations': 100}
    RESULT.write_text(json.dumps(about | settings | {'training': told, 'matches': rows}, indent=1) + '\n')


if __name__ == '__main__':
    main()

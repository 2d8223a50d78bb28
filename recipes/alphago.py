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
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl import envs
from stitchrl.algos.search import uct
from stitchrl.algos.search.alphago import AlphaGo, Config, Opinion
from stitchrl.envs.versus import Versus
from stitchrl.loops.match import Mover, both_seats
from stitchrl.loops.schooling import Schooling
from stitchrl.loops.settings import Settings
from stitchrl.models.rules import Rules
from stitchrl.nets.board import BoardNet, among
from stitchrl.planners.mcts import MCTS
from stitchrl.planners.select import puct
from stitchrl.report.statistics import wilson
from stitchrl.runs.directory import system

RESULT = Path(__file__).parent / 'results' / 'alphago.json'
GAME = envs.rules('connect_four')


CFG = Config(latest=36)
SMALL = replace(CFG, games=256, teacher=64, steps=820, parts=(25, 1, 15), positions=2048)
SEAT = 150  # games in each seat
BEGUN = time.monotonic()


def say(text: str) -> None:
    """A line with the time."""
    print(f'{time.monotonic() - BEGUN:6.0f} s  {text}', flush=True)


def trained(cfg: Config) -> tuple[AlphaGo, AlphaGo, dict[str, Any]]:
    """(what learned, what did not, what was measured on the way), by the stages of `stitch train alphago`."""
    work = Schooling(
        'alphago', cfg, Settings(env='connect_four', seeds=1, seed=31), Versus.create('connect_four/random')
    )
    desk, told = work.fresh(), {name: [] for name in ('imitation', 'improvement', 'values')}
    one = lambda agents: jax.tree.map(lambda x: jnp.array(x[0], copy=True), agents)
    fresh = last = one(desk.agents)
    for part in work.chunks(desk, 0):
        stage = list(told)[work.at(part.step)[0]]
        told[stage].append(number(part.info))
        last = one(part.agents)
        say(f'{stage}, step {part.step:,} of {work.total:,}: {told[stage][-1]}')
    return last, fresh, {stage: rows[-1] for stage, rows in told.items()}


def number(info: dict[str, Any]) -> dict[str, float]:
    """Scalars as numbers."""
    return {name: round(float(value.mean()), 4) for name, value in info.items()}


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
    cfg, seat = (SMALL, 20) if parser.parse_args().small else (CFG, SEAT)
    agent, fresh, told = trained(cfg)
    known, plain = players(agent, fresh), uct.uct(uct.Config(simulations=100))
    rival = jax.jit(lambda boards, keys: plain.plans(Rules(GAME), boards, keys)[0])
    matches = {(name, 'UCT'): (mover, rival) for name, mover in known.items()}
    for name in ('prior and value', 'prior and roll-outs', 'value and roll-outs', 'prior alone'):
        matches['all', name] = known['all'], known[name]
    rows = {}
    for seed, ((ours, theirs), pair) in enumerate(matches.items()):
        rows[f'{ours} against {theirs}'] = row = score(*pair, seat, seed)
        say(f'{ours} against {theirs}: {row["score"]:.3f} ({row["interval"][0]:.3f} to {row["interval"][1]:.3f})')
    if cfg == SMALL:
        return
    about = {'command': 'python recipes/alphago.py', 'system': system(), 'seconds': round(time.monotonic() - BEGUN)}
    settings = {'config': asdict(agent.cfg), 'simulations': 100, 'seat': seat}
    RESULT.write_text(json.dumps(about | settings | {'training': told, 'matches': rows}, indent=1) + '\n')


if __name__ == '__main__':
    main()

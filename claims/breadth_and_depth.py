"""AlphaGo cuts the search's breadth with a policy and its depth with a value.

Connect four. A policy imitates 1,024 games of UCT against itself with 128 simulations a move; a value learns from one
position of each of 4,096 games of that policy; five times, with different first weights. Searches of 64 simulations.

Prediction. At 128 positions, with the policy as its prior instead of an even one, a search spreads its visits over
less than 0.8 as many moves (31; the exponential of their entropy); with a policy that learned nothing it does not. With
the value instead of random roll-outs it imagines less than half as many moves (31); with roll-outs beside the value it
does not. And policy and value together score above 0.5 against UCT of as many simulations (31), 64 games for each of
the five, 32 in each seat; networks that learned nothing do not.
"""

from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl import envs
from stitchrl.algos.search import uct
from stitchrl.algos.search.alphago import AlphaGo, Config, Opinion
from stitchrl.loops import apprentice
from stitchrl.loops.duel import drawn, duel, flat
from stitchrl.loops.match import both_seats
from stitchrl.models.rules import Rules, at_random
from stitchrl.planners.mcts import MCTS
from stitchrl.planners.select import puct
from stitchrl.planners.tree import root
from stitchrl.report import canvas
from stitchrl.report.claim import Check, Claim, exact
from stitchrl.report.panels import board, dots, mark
from stitchrl.report.statistics import interval

STATEMENTS = (31,)
SEEDS, GAMES, TEACHER, POINTS, SIMULATIONS, SEAT = 5, 1024, 128, 128, 64, 32
CFG = Config(game='connect_four', positions=4096, latest=18, filters=32, hidden=(128, 128), steps=1500)
GAME = envs.rules('connect_four')


def taught(key):
    """(five agents that learned, the same five before, positions of other games)."""
    k_record, k_first, k_learn, k_value, k_points = jr.split(key, 5)
    teacher = uct.uct(uct.Config(simulations=TEACHER))
    games = flat(apprentice.record(GAME, teacher, GAMES, k_record).positions)
    fresh = jax.jit(jax.vmap(lambda key: AlphaGo.create(GAME.spec, CFG, key)))(jr.split(k_first, SEEDS))
    learn = lambda stage, agent, rows, key: apprentice.taught(stage, agent, GAME, rows, key, CFG.steps)[0]
    imitated = lambda agent, games, key: learn(apprentice.IMITATION, agent, games, key).promoted()
    agents = jax.jit(jax.vmap(imitated, (0, None, 0)))(fresh, games, jr.split(k_learn, SEEDS))

    def valued(agent, key):
        k_games, k_learn = jr.split(key)
        return learn(apprentice.VALUES, *apprentice.positions(agent, GAME, k_games), k_learn)

    agents = jax.jit(jax.vmap(valued))(agents, jr.split(k_value, SEEDS))
    other = apprentice.record(GAME, uct.uct(uct.Config(simulations=TEACHER)), 64, jr.fold_in(k_record, 1))
    return agents, fresh, jax.vmap(GAME.recall)(drawn(flat(other.positions), k_points, POINTS).obs)


def searched(agent, parts, boards, keys):
    """The search with some of the parts: 'prior', 'value', 'roll-outs' (random ones)."""
    lam = {(True, False): 0.0, (False, True): 1.0, (True, True): 0.5}['value' in parts, 'roll-outs' in parts]
    prior = agent.sigma.net if 'prior' in parts else None
    told = Opinion(prior, agent.value.net if lam < 1 else None, None, lam)
    return MCTS(puct(CFG.c), told, SIMULATIONS).plans(Rules(GAME), boards, keys)


@partial(jax.jit, static_argnums=1)
def shape(agent, parts, boards, key):
    """(moves over which the visits spread, moves that a simulation imagines), means over the boards."""
    _, tree, _ = searched(agent, parts, boards, jr.split(key, POINTS))
    share = root(tree).visits / SIMULATIONS
    spread = jnp.exp(-(share * jnp.log(jnp.maximum(share, 1e-9))).sum(-1)).mean()
    walked = tree.visits.sum((1, 2)).mean() / SIMULATIONS
    return spread, walked


@jax.jit
def to_the_end(boards, key):
    """Moves of random games from the boards, their mean: what a walk and its roll-out come to."""
    n, act = 16 * POINTS, lambda boards, keys, t: at_random(Rules(GAME), boards, keys)
    many = jax.tree.map(lambda x: jnp.repeat(x, 16, axis=0), boards)
    return duel(GAME, act, act, jnp.zeros(n, jnp.int32), key, many).positions.weight.sum(0).mean()


def scores(agents):
    """[S, games] results against UCT as 1, 1/2, 0."""
    plain = uct.uct(uct.Config(simulations=SIMULATIONS))
    rival = jax.jit(lambda boards, keys: plain.plans(Rules(GAME), boards, keys)[0])
    mine = jax.jit(lambda agent, boards, keys: searched(agent, ('prior', 'value'), boards, keys)[0])
    played = [both_seats(GAME, partial(mine, agent), rival, SEAT, jr.key(31)) for agent in each(agents)]
    return (np.stack(played).reshape(SEEDS, -1) + 1) / 2


def each(agents):
    """One agent after another."""
    return [jax.tree.map(lambda x, i=i: x[i], agents) for i in range(SEEDS)]


def run() -> Claim:
    """Five agents, and what they were before."""
    agents, fresh, boards = taught(jr.key(31))
    shaped = lambda group, *parts: np.array([shape(agent, parts, boards, jr.key(1)) for agent in each(group)])
    even, narrow = shaped(agents, 'roll-outs'), shaped(agents, 'prior', 'roll-outs')
    vague, short = shaped(fresh, 'prior', 'roll-outs'), shaped(agents, 'prior', 'value')
    both, long = shaped(agents, 'prior', 'value', 'roll-outs'), float(to_the_end(boards, jr.key(2)))
    spread = {'even prior': even[:, 0], 'policy': narrow[:, 0], 'untaught policy': vague[:, 0]}
    # a walk and its roll-out: to the end of a random game from the root
    moves = {'roll-outs': np.full(SEEDS, long), 'value': short[:, 1], 'both': np.maximum(long, both[:, 1])}
    won = {'taught': scores(agents), 'untaught': scores(fresh)}
    return Claim(checks(spread, moves, won), draw(spread, moves, won), CAPTION, ALT)


def checks(spread, moves, won):
    """Breadth, depth, strength."""
    over = lambda told, name, other: interval(told[name] / told[other])
    return (
        Check(
            (31,),
            'moves over which visits spread, with the policy over with an even prior',
            over(spread, 'policy', 'even prior'),
            below=0.8,
            control=over(spread, 'untaught policy', 'even prior'),
            without='a policy that learned nothing',
        ),
        Check(
            (31,),
            'moves imagined in a simulation, with the value over with roll-outs',
            over(moves, 'value', 'roll-outs'),
            below=0.5,
            control=exact((moves['both'] / moves['roll-outs']).mean()),
            without='roll-outs beside the value',
        ),
        Check(
            (31,),
            'score of policy and value against UCT',
            interval(won['taught'], rate=True),
            above=0.5,
            control=interval(won['untaught'], rate=True),
            without='networks that learned nothing',
        ),
    )


def draw(spread, moves, won) -> bytes:
    """Three panels of dots."""
    figure, axes = board(
        'A policy makes the search narrow, a value makes it short',
        [
            ('Breadth: moves that visits spread over', '', 'moves at the root'),
            ('Depth: moves imagined', '', 'moves in a simulation'),
            ('Against UCT, 64 simulations', '', 'score'),
        ],
    )
    for ax, told, control in zip(axes, (spread, moves, won), ('untaught policy', 'both', 'untaught'), strict=True):
        for x, (name, values) in enumerate(told.items()):
            found = exact(values[0]) if np.ptp(values) == 0 else interval(values, rate=ax is axes[2])
            dots(ax, 4 if name == control else 0, [x], [found], name, control=name == control, linestyle='')
        ax.set_xticks(range(len(told)), list(told))
        ax.set_xlim(-0.5, len(told) - 0.5)
        ax.set_ylim(bottom=0)
    mark(axes[2], 0.5)
    return canvas.png(figure, None)


CAPTION = 'Means of five trainings with 95 % intervals; grey are the controls.'
ALT = 'Three panels: how widely visits spread, how many moves are imagined, and the score against UCT.'

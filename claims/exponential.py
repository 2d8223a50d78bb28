"""Search in full is exponential in its depth; MCTS comes near what it finds with a sample, flat Monte Carlo does not.

Connect four from its first move, every line of play to a depth, counted. And the 72 positions of tic-tac-toe after two
moves, in which search in full knows the value V* of every move, and so is known what each is worth among players who
move at random. UCT walks a tree with roll-outs at its end, flat Monte Carlo gives every move as many roll-outs; the
error is that of the value of the move chosen, in the mean over positions.

Prediction. One ply more makes more than 6 times the positions, at each depth to 7 (29); where only one column is open
it does not. From 64 simulations to 4096, fewer than the 8,000 and more positions below one root, UCT's error against V*
falls below half (30); that of flat Monte Carlo, which converges to the value of random play, does not. With 4096 UCT's
move is worth less than the best in under 1 % of the positions (30), flat Monte Carlo's in more; flat Monte Carlo's
value is that of random play to 0.05 (30), UCT's is not.
"""

from functools import cache

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.algos.search.uct import Config, flat_monte_carlo, uct
from stitchrl.envs.board import LINES, ConnectFour, TicTacToe
from stitchrl.models.rules import Rules
from stitchrl.planners.minimax import Solved
from stitchrl.planners.tree import root
from stitchrl.report import canvas
from stitchrl.report.claim import Check, Claim, exact
from stitchrl.report.panels import board, dots, legend, look, mark
from stitchrl.report.statistics import interval

STATEMENTS = (29, 30)
SEEDS, DEPTH = 9, 7
SIMULATIONS = (64, 256, 1024, 4096)
FULL = (1 << 9) - 1
BEST, CHANCE, WORSE = range(3)  # what `errors` tells


def lines_of_play(game, moves, depth):
    """How many positions lie 0, 1 ... plies below the one after `moves`, [depth + 1]; none below an end."""
    play = jax.jit(jax.vmap(jax.vmap(game.play, (None, 0)), (0, None)))
    legal = jax.jit(jax.vmap(game.legal))
    boards, counts = jax.tree.map(lambda x: np.asarray(x)[None], game.after(moves)), [1]
    for _ in range(depth):
        may, (after, _, over) = np.asarray(legal(boards)), jax.device_get(play(boards, np.arange(7)))
        counts.append(int(may.sum()))
        boards = jax.tree.map(lambda x: x[may & ~over], after)  # noqa: B023 - used at once
    return np.array(counts)


@cache
def random_value(mine, theirs):
    """What a position of tic-tac-toe is worth to who moves, if both move at random; stones as bits."""
    free = [1 << i for i in range(9) if not (mine | theirs) >> i & 1]
    return float(np.mean([after_random(mine, theirs, bit) for bit in free]))


def after_random(mine, theirs, bit):
    """The same of a move."""
    stones = mine | bit
    if any(stones & line == line for line in LINES):
        return 1.0
    return 0.0 if stones | theirs == FULL else -random_value(theirs, stones)


@cache
def positions_below(mine, theirs):
    """Nodes of the whole tree below a position of tic-tac-toe."""
    count = 0
    for bit in (1 << i for i in range(9) if not (mine | theirs) >> i & 1):
        over = any((mine | bit) & line == line for line in LINES) or mine | theirs | bit == FULL
        count += 1 + (0 if over else positions_below(theirs, mine | bit))
    return count


def openings(game):
    """The 72 positions after two moves."""
    pairs = [(i, j) for i in range(9) for j in range(9) if i != j]
    return jax.tree.map(lambda *x: jnp.stack(x), *(game.after(pair) for pair in pairs))


def judged(game, boards, best, chance):
    """{planner: {simulations: [S, n] distance from V*, from random play, whether a better move was there}}; best and
    chance: values of the moves, [n, 9]."""
    n = len(best)
    many = jax.tree.map(lambda x: jnp.tile(x, (SEEDS, 1)), boards)
    told = {}
    for name, planner in (('uct', uct), ('flat', flat_monte_carlo)):
        told[name] = {}
        for simulations in SIMULATIONS:
            plan = jax.jit(planner(Config(simulations=simulations)).plans)
            action, tree, _ = plan(Rules(game), many, jr.split(jr.key(simulations), SEEDS * n))
            chosen = np.asarray(action)[:, None]
            said = np.take_along_axis(np.asarray(root(tree).values), chosen, 1)[:, 0].reshape(SEEDS, n)
            told[name][simulations] = errors(said, chosen.reshape(SEEDS, n), best, chance)
    return told


def errors(said, action, best, chance):
    """As `judged` tells them; said and action [S, n]."""
    rows = np.arange(len(best))[None]
    off = lambda values: np.abs(said - values[rows, action])
    return off(best), off(chance), (best.max(1)[None] > best[rows, action]).astype(float)


def run() -> Claim:
    """Count; let both planners choose in 72 positions, with nine keys each."""
    counts = lines_of_play(ConnectFour.create(), (), DEPTH)
    narrow = lines_of_play(ConnectFour.create(), FILLED, 4)
    game = TicTacToe.create()
    boards = openings(game)
    best = np.asarray(Solved.create(game)(boards))
    stones = [(int(a), int(b)) for a, b in zip(boards.mine[:, 0], boards.theirs[:, 0], strict=True)]
    bits = [1 << i for i in range(9)]
    chance = np.array([[0.0 if (a | b) & bit else after_random(a, b, bit) for bit in bits] for a, b in stones])
    told = judged(game, boards, best, chance)
    below = float(np.mean([positions_below(*pair) for pair in stones]))
    return Claim(checks(counts, narrow, told), draw(counts, narrow, told), CAPTION, ALT, (NOTE.format(below), AGAIN))


def checks(counts, narrow, told):
    """The four quantities and their controls."""
    growth = lambda counts: exact((counts[1:] / counts[:-1]).min())
    falls = lambda name: interval(told[name][4096][0].mean(1) / told[name][64][0].mean(1))
    last = lambda part, name: interval(told[name][4096][part], rate=part == WORSE)
    flat, tree = 'flat Monte Carlo', 'UCT'
    return (
        Check(
            (29,),
            f'positions one ply deeper over those before, the least of {DEPTH}',
            growth(counts),
            above=6.0,
            control=growth(narrow),
            without='one column open',
        ),
        Check(
            (30,),
            "UCT's error against V*, 4096 simulations over 64",
            falls('uct'),
            below=0.5,
            control=falls('flat'),
            without=flat,
        ),
        Check(
            (30,),
            "share of positions in which UCT's move is worth less than another, 4096 simulations",
            last(WORSE, 'uct'),
            below=0.01,
            control=last(WORSE, 'flat'),
            without=flat,
        ),
        Check(
            (30,),
            "flat Monte Carlo's distance from the value of random play, 4096 simulations",
            last(CHANCE, 'flat'),
            below=0.05,
            control=last(CHANCE, 'uct'),
            without=tree,
        ),
    )


def draw(counts, narrow, told) -> bytes:
    """Positions by depth; errors by simulations."""
    figure, (left, middle, right) = board(
        'Search in full grows with every ply; UCT comes near it by sampling',
        [
            ('Connect four, all lines of play', 'plies', 'positions'),
            ('Tic-tac-toe: distance from the value V*', 'simulations', 'of the move chosen'),
            ('Distance from the value of random play', 'simulations', 'of the move chosen'),
        ],
    )
    left.plot(range(len(counts)), counts, **look(0), label='seven columns open')
    left.plot(range(len(narrow)), narrow, **look(4, control=True), label='control: one column open')
    left.set_yscale('log')
    mark(left, SIMULATIONS[-1], '4096 simulations')
    for ax, part in ((middle, BEST), (right, CHANCE)):
        for k, (name, label) in enumerate((('uct', 'UCT'), ('flat', 'flat Monte Carlo'))):
            dots(ax, k, SIMULATIONS, [interval(row[part]) for row in told[name].values()], label)
        ax.set_xscale('log', base=4)
        ax.set_xticks(SIMULATIONS, [str(n) for n in SIMULATIONS])
        ax.set_ylim(bottom=0)
    for ax in (left, middle, right):
        ax.minorticks_off()
        legend(ax)
    return canvas.png(figure, None)


# fmt: off
FILLED = (2, 1, 1, 5, 3, 1, 1, 5, 5, 0, 1, 1, 0, 2, 5, 0, 4, 5, 4, 4, 5, 0, 3, 2, 3, 3, 3, 0, 3, 2, 2, 2, 4, 4, 0, 4)
# fmt: on
CAPTION = 'Left: counted. Middle and right: means over 72 positions and nine searches of each, with 95 % intervals.'
AGAIN = (
    'In the first run, of five seeds, the third quantity was the mean worth lost: 0 for all seeds, which left it '
    'without an interval. It is a share of positions now, and there are nine seeds.'
)
NOTE = 'Below one of the 72 positions of tic-tac-toe lie {:,.0f} others, in the mean.'
ALT = 'Positions of connect four by depth on a log scale; errors of UCT and flat Monte Carlo by simulations, twice.'

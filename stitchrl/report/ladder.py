"""A run that learned a game: how it does against opponents that grow stronger, and games to look at."""

from functools import partial
from typing import Any

import jax
import jax.random as jr
import numpy as np

from stitchrl.envs.versus import Versus, opponent
from stitchrl.loops.match import Match, play_match
from stitchrl.report import page, stones
from stitchrl.report.stage import Stage
from stitchrl.report.statistics import interval

RUNGS = ('random', 'uct-25', 'uct-100', 'uct-400')
LONG = 100  # moves of a game at most, above which only the first two are asked: their roll-outs take minutes
SOLVED = {'tictactoe': ('minimax',)}  # games with an opponent that plays them exactly
ENDS = {1: 'won', 0: 'drawn', -1: 'lost'}


def climbs(here: Stage) -> bool:
    """Whether there is a ladder for what is on this stage: agents that search, in a game for two."""
    return isinstance(here.env, Versus) and hasattr(here.agents, 'best')


def sections(here: Stage, n: int) -> list[page.Section]:
    """The ladder, with n games of each agent in each seat on every rung, and sample games of the first agent."""
    title = here.name.partition('/')[0]
    rungs = (*(RUNGS[:2] if (here.env.spec.horizon or 0) > LONG else RUNGS), *SOLVED.get(title, ()))
    matches = {name: matched(here, title, name, n) for name in rungs}
    return [ladder(title, matches), samples(here.env.game, matches, here.name)]


def matched(here: Stage, title: str, name: str, n: int) -> list[tuple[Match, Match]]:
    """(games that the agent began, games that the opponent began) for each agent of the run."""
    game, theirs = here.env.game, jax.jit(opponent(title, name).__call__)
    count = jax.tree.leaves(here.agents)[0].shape[0]
    played = []
    for i in range(count):
        agent = jax.tree.map(lambda x, i=i: x[i], here.agents)
        ours = partial(BEST, agent)
        k_first, k_second = jr.split(jr.key(i))
        played.append((play_match(game, ours, theirs, n, k_first), play_match(game, theirs, ours, n, k_second)))
    return played


BEST = jax.jit(lambda agent, boards, keys: agent.best(boards, keys))


def results(played: list[tuple[Match, Match]]) -> np.ndarray:
    """For the agents, [S, 2 n]: 1 won, 0 drawn, -1 lost."""
    return np.stack([np.concatenate([first.result, -second.result]) for first, second in played])


def ladder(title: str, matches: dict[str, Any]) -> page.Section:
    """Won, drawn, lost and the score against every opponent."""
    rows = []
    for name, played in matches.items():
        found = results(played)
        counts = [int((found == end).sum()) for end in ENDS]
        rows.append([name, *counts, page.Whisker(interval((found + 1) / 2, rate=True))])
    each = results(next(iter(matches.values()))).shape[1]
    caption = f'{each} games of each agent on every rung, half of them begun by the agent; a draw is half a win.'
    text = 'Opponents that play at random, search by UCT with so many simulations a move'
    text += ', or play exactly.' if title in SOLVED else '.'
    table = page.Table(caption, ('opponent', *ENDS.values(), 'score'), rows)
    return page.Section('Ladder', [text + ' The agents search as they do when they are judged.'], [table])


def samples(game: Any, matches: dict[str, Any], name: str) -> page.Section:
    """One game of each end, against the strongest opponent with which it came about."""
    pictures = []
    for end, word in ENDS.items():
        found = [(rival, *one) for rival, played in reversed(matches.items()) if (one := example(played[0], end))]
        if found:
            rival, moves, began = found[0]
            caption = f'{word.capitalize()} against {rival}, {"dark" if began else "light"}, in {len(moves)} moves.'
            alt = f'Moves: {" ".join(stones.label(game, move) for move in moves)}.'
            pictures.append(page.Picture(stones.svg(game, moves), caption, alt))
    text = 'Of the first agent. A number says with which move the stone came; dark begins.'
    return page.Section('Sample games', [text], (), pictures, beside=True)


def example(played: tuple[Match, Match], end: int) -> tuple[list[int], bool] | None:
    """(moves, whether the agent began) of the longest game with this end; None where there is none."""
    found = [
        (row[row >= 0].tolist(), sign == 1)
        for match, sign in zip(played, (1, -1), strict=True)
        for row in match.moves[sign * match.result == end]
    ]
    return max(found, key=lambda one: len(one[0]), default=None)

"""Boards to look at: as text, with the number of a move on each free field, and as a diagram of a whole game."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from stitchrl.envs.game import Game
from stitchrl.report.canvas import EDGE, FAINT, INK

STONES = 'XO'  # of player 0, who begins, and of player 1
FREE = '.'  # a field that no move takes
SIDE = 30  # of a field in a diagram, pixels


def owners(game: Game, board: Any) -> np.ndarray:
    """Who holds each field, [H, W] int in the order of the observation: 0 or 1, or -1 where it is free."""
    mine, theirs = np.asarray(game.observe(board))[:2] > 0
    me = int(game.player(board))
    return np.where(mine, me, np.where(theirs, 1 - me, -1))


def text(game: Game, board: Any) -> str:
    """Rows from the highest y to the lowest. Where a move names a column, the numbers stand below it."""
    owner, legal = owners(game, board), np.asarray(jax.device_get(game.legal(board)))
    height, width = owner.shape
    by_column, cell = len(legal) == width, len(str(len(legal) - 1))
    numbers = np.full(owner.shape, FREE, object)
    if not by_column:
        for move in np.flatnonzero(legal[: height * width]):
            numbers[divmod(int(move), width)] = str(move)
    cells = np.where(owner >= 0, np.array(list(STONES), object)[owner], numbers)
    lines = [' '.join(f'{x!s:>{cell}s}' for x in row) for row in cells[::-1]]
    return '\n'.join(lines + [' '.join(f'{move:>{cell}d}' for move in range(width))] * by_column)


def label(game: Game, move: int) -> str:
    """A move as people write it: its number, or pass."""
    height, width = game.spec.obs.shape[-2:]
    return 'pass' if move == height * width else str(move)


def placed(game: Game, moves: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The position after the moves: who holds each field, as of `owners`, and which move put the stone there, counted
    from 1, both [H, W]."""
    board, play = game.start(), jax.jit(game.play)
    owner = owners(game, board)
    number = np.zeros(owner.shape, int)
    for i, move in enumerate(moves, 1):
        board, _, _ = play(board, np.int32(move))
        now = owners(game, board)
        number[(now >= 0) & (now != owner)] = i
        owner = now
    return owner, number


def svg(game: Game, moves: Sequence[int]) -> str:
    """A diagram of a game: stones with the numbers of the moves that put them there, the first player's dark."""
    owner, number = placed(game, moves)
    height, width = owner.shape
    parts = [f'<rect width="{SIDE * width}" height="{SIDE * height}" rx="6" fill="{FAINT}"/>']
    for y, x in np.ndindex(height, width):
        at = f'cx="{SIDE * (x + 0.5)}" cy="{SIDE * (height - y - 0.5)}"'
        fill, ink = {0: (INK, 'white'), 1: ('white', INK), -1: ('none', EDGE)}[int(owner[y, x])]
        parts.append(f'<circle {at} r="{0.42 * SIDE}" fill="{fill}" stroke="{EDGE}"/>')
        if owner[y, x] >= 0:
            place = at.replace('cx', 'x').replace('cy', 'y')
            parts.append(f'<text {place} fill="{ink}" dy="0.35em" text-anchor="middle">{number[y, x]}</text>')
    size = f'width="{SIDE * width}" height="{SIDE * height}" viewBox="0 0 {SIDE * width} {SIDE * height}"'
    style = 'font-family="sans-serif" font-size="12"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{"".join(parts)}</svg>'

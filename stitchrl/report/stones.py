"""A board as text: stones of both players, and on free fields the number of the move that takes them."""

from typing import Any

import jax
import numpy as np

from stitchrl.envs.game import Game

STONES = 'XO'  # of player 0, who begins, and of player 1
FREE = '.'  # a field that no move takes


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
    lines = [' '.join(f'{str(x):>{cell}s}' for x in row) for row in cells[::-1]]
    return '\n'.join(lines + [' '.join(f'{move:>{cell}d}' for move in range(width))] * by_column)


def label(game: Game, move: int) -> str:
    """A move as people write it: its number, or pass."""
    height, width = game.spec.obs.shape[-2:]
    return 'pass' if move == height * width else str(move)

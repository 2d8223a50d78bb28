"""Scores as tables, checked: what the statistics are computed from."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from stitchrl.errors import UsageError


def table(scores: Any, *, rate: bool = False) -> np.ndarray:
    """Scores [S], one per seed, or [S, E], one per seed and episode, as [S, E]; E is 1 for the former.

    Raises UsageError on no scores, unequal numbers of episodes, a score that is not finite and, with `rate`,
    one outside [0, 1]; it names seed and episode.
    """
    rows = [np.atleast_1d(np.asarray(row, float)) for row in scores]
    if not rows or not rows[0].size:
        raise UsageError('no scores; expected at least one seed with one episode')
    for s, row in enumerate(rows):
        if row.shape != rows[0].shape or row.ndim > 1:
            raise UsageError(
                f'scores of seed {s} have shape {row.shape}, of seed 0 {rows[0].shape}; '
                'expected as many episodes in each'
            )
        bad = ~np.isfinite(row) | (rate & ((row < 0) | (row > 1)))
        if bad.any():
            wanted = 'a rate in [0, 1]' if rate else 'a finite number'
            raise UsageError(f'score of seed {s}, episode {bad.argmax()} is {row[bad][0]}; expected {wanted}')
    return np.stack(rows)


def curves(rows: Iterable[Mapping[str, Any]], field: str = 'return') -> tuple[list[int], np.ndarray]:
    """Rows of eval.jsonl, one per episode, as steps [N] and that field's scores [S, N, E].

    A row has `step`, `seed` and the field; steps and seeds come out in ascending order. Raises UsageError on
    a row that lacks one, on no rows, and where seeds were judged at different steps or over different numbers
    of episodes.
    """
    seen: dict[int, dict[int, list[float]]] = {}
    for number, row in enumerate(rows, 1):
        if missing := {'seed', 'step', field} - row.keys():
            raise UsageError(f'evaluation row {number} has no {sorted(missing)}; it has {sorted(row)}')
        seen.setdefault(row['seed'], {}).setdefault(row['step'], []).append(row[field])
    if not seen:
        raise UsageError('no evaluation rows; give the run an environment to be judged in')
    sizes = {seed: {step: len(scores) for step, scores in steps.items()} for seed, steps in seen.items()}
    first = min(sizes)
    for seed, size in sizes.items():
        if size != sizes[first] or len(set(size.values())) > 1:
            raise UsageError(
                f'seeds were judged unequally: episodes by step are {sizes[first]} for seed {first} '
                f'and {size} for seed {seed}'
            )
    steps = sorted(sizes[first])
    return steps, np.array([[seen[seed][step] for step in steps] for seed in sorted(seen)], float)


def last(rows: Iterable[Mapping[str, Any]], k: int = 5, field: str = 'return') -> np.ndarray:
    """Scores [S, E] of each seed's last k evaluations, or of all where it has fewer, one after another."""
    if k < 1:
        raise UsageError(f'k is {k}; expected at least 1 evaluation')
    scores = curves(rows, field)[1][:, -k:]
    return scores.reshape(len(scores), -1)

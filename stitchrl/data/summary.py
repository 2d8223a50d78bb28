"""A recording in plain numbers and words: columns, dimensions, episodes, ends, returns. Imports no JAX."""

from dataclasses import replace
from typing import Any

import numpy as np

from stitchrl.data.check import Bound, bounds, fingerprint, misfits
from stitchrl.data.columns import Columns
from stitchrl.data.episodes import episode_ends, gaps, lengths, returns
from stitchrl.data.finding import named
from stitchrl.data.suspect import saturated

SAMPLE, DRAWN = 100_000, 64  # rows that a small histogram is made of; dimensions that get one
SPARKS = '▁▂▃▄▅▆▇█'
WORDS = {
    'observations': 'what the agent saw',
    'next_observations': 'what it saw next',
    'rewards': 'what it was given',
    'terminals': 'the task ended',
    'timeouts': 'episode was cut',
}


def summary(columns: Columns, low: Bound = None, high: Bound = None) -> dict[str, Any]:
    """Everything `inspect` shows, as plain numbers and words for JSON. Bounds as for `check`.

    Columns that do not fit together are described one by one and not as a whole.
    """
    arrays = named(columns)
    whole = {
        'steps': len(columns),
        'bytes': sum(x.nbytes for x in arrays.values()),
        'fingerprint': fingerprint(columns),
        'notes': list(columns.notes),
        'columns': {name: _column(columns, name, x) for name, x in arrays.items()},
    }
    if misfits(columns, low, high):
        return whole
    ends = episode_ends(columns)
    total = returns(columns.reward, ends)
    return whole | {
        'actions': _actions(columns, low, high),
        'observations': _dimensions(columns.obs) if columns.obs.ndim == 2 else {},
        'episodes': {'count': int(ends.sum()), 'length': _spread(lengths(ends)), 'return': _spread(total)},
        'ends': _ends(columns, ends),
        'histogram': _histogram(total[np.isfinite(total)]),
    }


def _column(columns: Columns, name: str, x: np.ndarray) -> dict[str, Any]:
    if name == 'actions':
        what = 'choices' if columns.discrete else 'continuous actions'
    else:
        what = WORDS[name]
    about: dict[str, Any] = {'what': what, 'shape': list(x.shape), 'dtype': str(x.dtype)}
    if x.dtype == bool:
        return about | {'true': int(x.sum())}
    finite = _finite(x)
    return about | ({'min': finite.min().item(), 'max': finite.max().item()} if finite.size else {})


def _finite(x: np.ndarray) -> np.ndarray:
    """x without the rows that hold NaN or inf."""
    if x.dtype.kind != 'f' or x.size == 0 or np.isfinite([x.min(), x.max()]).all():
        return x
    return x[np.isfinite(x).reshape(len(x), -1).all(axis=1)]


def _dimensions(x: np.ndarray) -> dict[str, list[Any]]:
    """Per dimension of [N, D]: min, mean, max, standard deviation, and a histogram drawn in twelve signs."""
    x = _finite(x)
    if len(x) == 0:
        return {}
    mean = x.mean(axis=0, dtype=np.float64)
    square = np.einsum('nd,nd->d', x, x, dtype=np.float64) / len(x)  # no copy in float64
    std = np.sqrt(np.maximum(square - mean**2, 0))
    some = x[:: max(1, len(x) // SAMPLE)]
    drawn = [some[:, d].astype(np.float64) for d in range(min(DRAWN, x.shape[1]))]
    least, largest = x.min(axis=0), x.max(axis=0)
    values = {'min': least, 'mean': mean, 'max': largest, 'std': std}
    return {name: v.tolist() for name, v in values.items()} | {'histogram': [_spark(_counts(d, 12)[0]) for d in drawn]}


def _spark(counts: np.ndarray) -> str:
    level = np.ceil((len(SPARKS) - 1) * counts / max(1, counts.max())).astype(int)
    return ''.join(SPARKS[i] for i in level)


def _actions(columns: Columns, low: Bound, high: Bound) -> dict[str, Any]:
    if columns.discrete:
        choices, counts = np.unique(columns.action, return_counts=True)
        return {'choices': choices.tolist(), 'counts': counts.tolist()}
    a = _finite(columns.action)
    if len(a) == 0:
        return {}
    lows, highs, source = bounds(replace(columns, action=a), low, high)
    limits = {'bounds': source, 'low': lows.tolist(), 'high': highs.tolist()}
    return _dimensions(a) | limits | {'saturated': saturated(a, lows, highs).tolist()}


def _spread(x: np.ndarray) -> dict[str, float]:
    x = x[np.isfinite(x)]
    if len(x) == 0:
        return {}
    return {
        'min': x.min().item(),
        'median': float(np.median(x)),
        'mean': float(x.mean()),
        'max': x.max().item(),
    }


def _histogram(x: np.ndarray) -> dict[str, list[float]]:
    """Ten bins, or one where all values are the same but for rounding."""
    same = len(x) == 0 or np.ptp(x) <= 1e-9 * np.abs(x).max()
    counts, edges = _counts(x, 1 if same else 10)
    return {'edges': edges.tolist(), 'counts': counts.tolist()}


def _counts(x: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """(counts, edges) of float64 [N]. Equal values lie in the middle, of a range that is not lost beside 1e20."""
    if len(x) == 0 or np.ptp(x) > 0:
        return np.histogram(x, bins)
    half = max(0.5, 1e-9 * abs(x[0]))
    return np.histogram(x, bins, (x[0] - half, x[0] + half))


def _ends(columns: Columns, ends: np.ndarray) -> dict[str, int]:
    """How many episodes end as a task, at a timeout, at a gap, and with the recording itself."""
    terminal = int(columns.terminal.sum())
    timeout = 0 if columns.timeout is None else int((columns.timeout & ~columns.terminal).sum())
    gap = int(gaps(columns).sum())
    return {
        'terminal': terminal,
        'timeout': timeout,
        'gap': gap,
        'cut': int(ends.sum()) - terminal - timeout - gap,
    }

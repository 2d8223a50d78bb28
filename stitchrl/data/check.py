"""What is wrong with a recording, before anything is trained on it. numpy only; imports no JAX.

Errors are what would make learning meaningless; `refuse` turns them into BadData. Warnings are what a person
should look at. What is wrong with the order of rows is found in `stitchrl/data/disorder.py`, what is only odd in
`stitchrl/data/suspect.py`.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields

import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.disorder import disorder
from stitchrl.data.episodes import gaps
from stitchrl.data.finding import Finding, error, named, warning
from stitchrl.data.suspect import STATE, warnings
from stitchrl.errors import BadData

TOLERANCE = 1e-4  # of an action's range: what lies so little outside it is rounding, and is clipped
Bound = float | Sequence[float] | np.ndarray | None


def check(columns: Columns, low: Bound = None, high: Bound = None) -> list[Finding]:
    """All findings, errors first. `low` and `high` are the action bounds, one number or one per dimension;
    they go before those in the file. Columns that do not fit together are not looked into any further.
    """
    if misfit := misfits(columns, low, high):
        return misfit
    findings = [*_not_finite(columns), *_outside(columns, low, high), *_no_ends(columns), *disorder(columns)]
    findings += warnings(columns, *bounds(columns, low, high))
    return sorted(findings, key=lambda finding: finding.severity)


def misfits(columns: Columns, low: Bound = None, high: Bound = None) -> list[Finding]:
    """Errors for which the columns, or columns and bounds, cannot be looked at together."""
    return _shape_errors(columns) or list(_bound_errors(columns, low, high))


def refuse(findings: Sequence[Finding]) -> None:
    """Raise BadData with one line per error; warnings pass."""
    errors = [str(finding) for finding in findings if finding.severity == 'error']
    if errors:
        raise BadData('\n'.join(errors))


def bounds(columns: Columns, low: Bound = None, high: Bound = None) -> tuple[np.ndarray, np.ndarray, str]:
    """Action bounds, float64 [A] and [A], and where they come from: 'stated', else 'assumed' [-1, 1] where
    all actions lie in it, else 'observed'. For discrete actions 0 and the largest one seen, [1] and [1].
    """
    low, high = _stated(columns, low, high)
    a, width = columns.action, columns.action.shape[-1]
    if columns.discrete:
        return np.zeros(1), np.array([a.max()], float), 'observed'
    if low is not None and high is not None:
        return np.broadcast_to(low, width), np.broadcast_to(high, width), 'stated'
    if max(-a.min(), a.max()) <= 1 + 2 * TOLERANCE:
        return -np.ones(width), np.ones(width), 'assumed'
    return a.min(axis=0).astype(float), a.max(axis=0).astype(float), 'observed'


def fingerprint(columns: Columns, length: int = 0, parts: Callable[[str], Iterable[np.ndarray]] | None = None) -> str:
    """sha256, hex, of names, dtypes, shapes and values: the same columns in another format have the same.

    Not in memory: `columns` is any part of the recording, `length` its rows, `parts(name)` a column piece by piece.
    """
    digest = hashlib.sha256()
    for field in fields(columns):
        if (value := getattr(columns, field.name)) is None or field.name in ('notes', 'episode', 'time'):
            continue
        shape, pieces = np.shape(value), [value]
        if parts is not None and isinstance(value, np.ndarray):
            shape, pieces = (length, *shape[1:]), parts(field.name)
        digest.update(f'{field.name} {np.asarray(value).dtype.str} {shape};'.encode())
        for piece in pieces:
            digest.update(np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _shape_errors(columns: Columns) -> list[Finding]:
    """No rows, dtypes, ranks and widths that are not those of `Columns`, columns of different lengths."""
    arrays = named(columns) | {name: x for name, x in told(columns).items() if x is not None}
    found = [finding for name, x in arrays.items() for finding in _misshapen(columns, name, x)]
    if any(x.ndim == 0 for x in arrays.values()):
        return found
    if swapped := list(_swapped(arrays)):
        return swapped
    lengths = {name: len(x) for name, x in arrays.items()}
    if not any(lengths.values()):
        found.append(error('observations', 'no rows', 'record at least one episode'))
    usual = Counter(lengths.values()).most_common(1)[0][0]
    for name, n in lengths.items():
        if n != usual:
            fix = 'save one row per step in every column'
            if name == 'observations' and n > usual:
                fix += '; the final observation of an episode goes into next_observations'
            rows = np.arange(min(n, usual), max(n, usual))
            found.append(error(name, f'{n:,} rows, but most columns have {usual:,}', fix, rows))
    return found


def told(columns: Columns) -> dict[str, np.ndarray | None]:
    """What the recorder itself wrote about the order of the rows."""
    return {'episodes': columns.episode, 'times': columns.time}


def _swapped(arrays: dict[str, np.ndarray]) -> Iterator[Finding]:
    """Columns whose rows lie across: another length, and the second axis is as long as the flags are."""
    n = len(arrays['terminals'])
    for name, x in arrays.items():
        if len(x) != n and x.ndim > 1 and x.shape[1] == n:
            what = f'shape is {" x ".join(map(str, x.shape))}, but there are {n:,} steps: the axes are swapped'
            yield error(name, what, 'save the transpose, one row per step')


def _misshapen(columns: Columns, name: str, x: np.ndarray) -> Iterator[Finding]:
    want: tuple[int | None, ...] = (None,)
    kinds = {'terminals': 'b', 'timeouts': 'b', 'episodes': 'iu'}.get(name, 'iuf')
    if name == 'observations':
        want = (None,) * max(2, x.ndim)
    elif name == 'next_observations':
        want = (None, *columns.obs.shape[1:])
    elif name == 'actions' and not columns.discrete:
        want = (None, None)
    if x.dtype.kind not in kinds:
        yield error(name, f'dtype is {x.dtype}', 'save flags as booleans' if kinds == 'b' else 'save plain numbers')
    elif name == 'next_observations' and x.dtype.kind != columns.obs.dtype.kind:  # the one would be cast to the other
        what = f'dtype is {x.dtype}, that of observations {columns.obs.dtype}'
        yield error(name, what, 'save both as one type, images as uint8')
    if x.ndim != len(want) or any(w not in (None, n) for w, n in zip(want, x.shape, strict=True)):
        expected = ' x '.join('N' if i == 0 else 'any' if w is None else str(w) for i, w in enumerate(want))
        what = f'shape is {" x ".join(map(str, x.shape)) or "()"}, expected {expected}'
        yield error(name, what, 'save one row per step')
    elif 0 in x.shape[1:]:
        yield error(name, 'rows of width 0', 'save at least one number per step')


def _stated(columns: Columns, low: Bound, high: Bound) -> tuple[np.ndarray | None, np.ndarray | None]:
    low, high = columns.low if low is None else low, columns.high if high is None else high
    return None if low is None else np.asarray(low, float), None if high is None else np.asarray(high, float)


def _bound_errors(columns: Columns, low: Bound, high: Bound) -> Iterator[Finding]:
    """Bounds that cannot be those of these actions."""
    low, high = _stated(columns, low, high)
    width, what = columns.action.shape[-1], None
    if low is None and high is None:
        return
    if columns.discrete:
        what = 'bounds are given, but these actions are choices (integers)'
    elif low is None or high is None:
        what = f'only the {"upper" if low is None else "lower"} bound is given'
    elif low.size not in (1, width) or high.size not in (1, width):
        what = f'{low.size} lower and {high.size} upper bounds for {width} dimensions'
    elif not (np.isfinite(low) & np.isfinite(high) & (low < high)).all():
        what = f'bounds {low.tolist()} to {high.tolist()} are not finite or not in order'
    if what:
        yield error('actions', what, 'give both as one number or one per dimension, or neither')


def _not_finite(columns: Columns) -> Iterator[Finding]:
    for name, x in named(columns).items():
        if x.dtype.kind != 'f' or np.isfinite([x.min(), x.max()]).all():
            continue
        for word, test in (('NaN', np.isnan), ('infinite', np.isinf)):
            bad = test(x).reshape(len(x), -1)
            if len(rows := np.flatnonzero(bad.any(axis=1))):
                where = f' in dimension {bad[rows[0]].argmax()}' if bad.shape[1] > 1 else ''
                yield error(name, word + where, 'repair these rows or drop their episodes', rows)


def _outside(columns: Columns, low: Bound, high: Bound) -> Iterator[Finding]:
    """Actions outside the stated space: beyond rounding an error, within it a warning."""
    a = columns.action
    if columns.discrete and (rows := np.flatnonzero(a < 0)).size:
        yield error('actions', f'{a[rows[0]]} is no choice', 'number the choices from 0', rows)
    low, high, source = bounds(columns, low, high)
    if source == 'observed' and not columns.discrete and (flat := np.flatnonzero(low == high)).size:
        what = f'dimension {flat[0]} is always {low[flat[0]]:g}, so its range cannot be told from the data'
        yield error('actions', what, f'state the bounds: {STATE}')
    if source != 'stated' or ((a.min(axis=0) >= low) & (a.max(axis=0) <= high)).all():
        return
    excess = np.maximum(low - a, a - high) / (high - low)  # in ranges; NaN is an error of its own
    worst = excess.max(axis=1)
    far, near = np.flatnonzero(worst > TOLERANCE), np.flatnonzero((worst > 0) & (worst <= TOLERANCE))
    both = (far, error, 'correct the bounds or the units'), (near, warning, 'none needed; they will be clipped')
    for rows, make, fix in both:
        if len(rows):
            d = int(excess[rows[0]].argmax())
            what = f'{a[rows[0], d]:.7g} in dimension {d} lies outside [{low[d]:g}, {high[d]:g}]'
            yield make('actions', what, fix, rows)


def _no_ends(columns: Columns) -> Iterator[Finding]:
    flagged = columns.terminal.any() or (columns.timeout is not None and columns.timeout.any())
    if not flagged and not gaps(columns).any():
        what = 'no end of an episode anywhere: no terminal, no timeout, no jump from one row to the next'
        yield error('terminals', what, 'add a column timeouts, 1 on the last row of each episode')

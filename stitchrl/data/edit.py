"""Parts and unions of recordings: whole episodes, values as they are, in their order. numpy only; imports no JAX."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from stitchrl.core.spec import Spec
from stitchrl.data.check import bounds
from stitchrl.data.columns import Columns
from stitchrl.data.draft import ROWS, take
from stitchrl.data.episodes import episode_ends, flagged, lengths
from stitchrl.data.episodes import returns as sums
from stitchrl.data.layout import spec_of
from stitchrl.errors import BadData, UsageError


def spec(columns: Columns) -> Spec:
    """What the recording looks like from outside."""
    return spec_of(columns, int(lengths(episode_ends(columns)).max()), None, None)


def marked(columns: Columns) -> Columns:
    """The same with a timeout on each end that nobody marked: a neighbour in another file would hide it."""
    ends = episode_ends(columns) & ~flagged(columns)
    if not ends.any():
        return columns
    return replace(columns, timeout=ends if columns.timeout is None else columns.timeout | ends)


def returns(columns: Columns) -> np.ndarray:
    """Undiscounted return of each episode, float64 [E], as a Dataset counts it: without successors, the last step of
    an episode that was cut is none."""
    ends = episode_ends(columns)
    used = ~ends | columns.terminal if columns.next_obs is None else np.ones(len(ends), bool)
    return sums(np.where(used, columns.reward, 0), ends)


def keep(columns: Columns, episodes: np.ndarray) -> Columns:
    """Only these episodes, a bool [E] or numbers in the order they shall have."""
    columns = marked(columns)
    ends = episode_ends(columns)
    stop = np.flatnonzero(ends) + 1
    start = np.r_[0, stop[:-1]]
    rows = [np.arange(a, b) for a, b in zip(start[episodes], stop[episodes], strict=True)]
    return take(columns, np.concatenate(rows) if rows else np.zeros(0, int))


def split(columns: Columns, fraction: float, seed: int) -> tuple[Columns, Columns]:
    """(the rest, `fraction` of the episodes), whole ones drawn at random, at least one on either side.

    The same episodes as `Dataset.split` holds out. UsageError outside (0, 1) and for a single episode.
    """
    count = int(episode_ends(columns).sum())
    if not 0 < fraction < 1:
        raise UsageError(f'--fraction {fraction:g}: expected a share between 0 and 1, such as 0.1')
    if count < 2:
        raise UsageError('a recording of one episode cannot be split; whole episodes stay together')
    held = int(np.clip(round(fraction * count), 1, count - 1))
    order = np.random.default_rng(seed).permutation(count)
    return keep(columns, np.sort(order[held:])), keep(columns, np.sort(order[:held]))


def merge(parts: Sequence[Columns], names: Sequence[str]) -> Columns:
    """One recording of several, one behind the other. Episode numbers that are taken are moved up.

    BadData names the columns in which two of them differ; `names` say which is which.
    """
    for part, name in zip(parts, names, strict=True):
        if odd := differences(parts[0], part):
            raise BadData(f'{names[0]} and {name} differ in {"; ".join(odd)}. Fix: merge recordings of one task')
    parts = [marked(part) for part in parts]
    joined = {name: _join(parts, name) for name in ROWS}
    return replace(parts[0], **joined, notes=())


def differences(a: Columns, b: Columns) -> list[str]:
    """In which columns two recordings are not of one kind, and how."""
    found = []
    for name, field in (('observations', 'obs'), ('actions', 'action'), ('next_observations', 'next_obs')):
        mine, its = _kind(getattr(a, field)), _kind(getattr(b, field))
        if mine != its:
            found.append(f'{name} ({mine} and {its})')
    if not found and (a.low, a.high) != (b.low, b.high):
        said = [f'{x.low} to {x.high}' if x.low is not None else 'none stated' for x in (a, b)]
        found.append(f'action bounds ({said[0]} and {said[1]}; stitch data check --low --high --fix states them)')
    return found


def _kind(x: np.ndarray | None) -> str:
    return 'no such column' if x is None else f'{x.dtype} {" x ".join(map(str, ("N", *x.shape[1:])))}'


def _join(parts: Sequence[Columns], name: str) -> np.ndarray | None:
    """One column of all. Flags that one part lacks are 0 there; what only some recorders wrote is left out."""
    columns = [getattr(part, name) for part in parts]
    if name == 'timeout' and any(x is not None for x in columns):
        columns = [np.zeros(len(part), bool) if x is None else x for x, part in zip(columns, parts, strict=True)]
    if any(x is None for x in columns):
        return None
    if name == 'episode':
        for i, x in enumerate(columns[1:], 1):
            taken = np.concatenate(columns[:i])
            columns[i] = x + (taken.max() + 1 - x.min()) if np.isin(x, taken).any() else x
    return np.concatenate(columns)


def chosen(
    columns: Columns,
    episodes: slice = slice(None),
    min_length: int = 1,
    min_return: float = -np.inf,
    best: float = 1.0,
) -> np.ndarray:
    """The episodes that meet every condition, [E] bool; `best` is the share, rounded up, of those that meet the others.

    UsageError where none is left, with what there is.
    """
    ends = episode_ends(columns)
    steps, total = lengths(ends), returns(columns)
    if not 0 < best <= 1:
        raise UsageError(f'--best {best:g}: the share of episodes to keep lies in (0, 1]')
    found = np.zeros(len(steps), bool)
    found[episodes] = True
    found &= (steps >= min_length) & (total >= min_return)
    if not found.any():
        what = f'{len(steps):,} episodes of {steps.min():,} to {steps.max():,} steps, returns {total.min():g} to'
        raise UsageError(f'no episode is left of {what} {total.max():g}')
    left = np.flatnonzero(found)
    order = left[np.argsort(-total[left], kind='stable')]
    return np.isin(np.arange(len(steps)), order[: max(1, int(np.ceil(best * len(left) - 1e-9)))])


def drop_dims(columns: Columns, dims: Sequence[int]) -> Columns:
    """Observations without these dimensions. UsageError where there is no such one, or none would be left."""
    width = columns.obs.shape[-1]
    if columns.obs.ndim != 2:
        raise UsageError('--drop-dims: these observations are no rows of numbers')
    if odd := [d for d in dims if not 0 <= d < width]:
        raise UsageError(f'--drop-dims {odd[0]}: observations have dimensions 0 to {width - 1}')
    rest = np.setdiff1d(np.arange(width), dims)
    if not len(rest):
        raise UsageError('--drop-dims: at least one dimension must be left')
    after = None if columns.next_obs is None else columns.next_obs[:, rest]
    return replace(columns, obs=columns.obs[:, rest], next_obs=after)


def assumed(columns: Columns) -> bool:
    """Whether the range of the actions is only what was seen, and so may differ between parts."""
    return bounds(columns)[2] == 'observed' and not columns.discrete

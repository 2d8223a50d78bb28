"""What a person should look at in a recording whose columns fit together. numpy only; imports no JAX."""

from collections.abc import Iterator

import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.episodes import episode_ends, gaps, lengths
from stitchrl.data.finding import Finding, named, warning

SATURATED = 0.99  # of the way from the middle of an action's range to its bound
OFTEN = 0.2  # share of actions at a bound, or of episodes with one length, that is worth a line
MANY_CHOICES = 1000
HUGE = 1e6
STATE = 'stitch data check PATH --low L --high H --fix OUT.npz'  # what writes bounds into a recording
SAMPLE = 1000  # rows that are enough to tell numbers from pixels and choices


def warnings(columns: Columns, low: np.ndarray, high: np.ndarray, source: str) -> list[Finding]:
    """All warnings; `low`, `high` and `source` as `bounds` of `stitchrl/data/check.py` gives them."""
    return [
        *_flags(columns),
        *_time_limits(columns),
        *_recording(columns),
        *_observations(columns),
        *_images(columns),
        *_rewards(columns),
        *_outliers(columns),
        *_actions(columns, low, high, source),
    ]


def saturated(action: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Share of rows within 1 % of a bound, for each action dimension; float [A]."""
    with np.errstate(invalid='ignore', over='ignore'):  # not finite: an error of its own
        middle, half = (high + low) / 2, (high - low) / 2
        return (np.abs(action - middle.astype(np.float32)) >= SATURATED * half).mean(axis=0)


def _flags(columns: Columns) -> Iterator[Finding]:
    if columns.timeout is not None and (both := np.flatnonzero(columns.terminal & columns.timeout)).size:
        yield warning(
            'terminals',
            'terminal and timeout on one row; the task is taken to have ended',
            'none needed',
            both,
        )
    if (share := columns.terminal.mean()) > 0.5:
        yield warning('terminals', f'{share:.0%} of all rows end the task', 'invert the column if 0 means ended')
    if columns.timeout is None and columns.next_obs is None:
        what = 'no such column and no next_observations: where a time limit cut an episode cannot be seen'
        yield warning('timeouts', what, 'add the column, 1 on the last row of each episode that a limit ended')


def time_limits(columns: Columns) -> np.ndarray:
    """Rows at which a time limit seems to be stored as terminal: failures happen at any length, limits all at the
    longest. [K] int."""
    ends = episode_ends(columns)
    last, steps = np.flatnonzero(ends), lengths(ends)
    failed = columns.terminal[last]
    longest = last[failed & (steps == steps.max())]
    return longest if steps.max() > 1 and len(longest) >= max(3, OFTEN * failed.sum()) else longest[:0]


def _time_limits(columns: Columns) -> Iterator[Finding]:
    rows = time_limits(columns)
    if len(rows):
        what = (
            f'{len(rows):,} of {columns.terminal.sum():,} episodes marked terminal have the same length, '
            f'the longest ({lengths(episode_ends(columns)).max():,} steps): probably a time limit'
        )
        fix = 'mark those rows in timeouts instead; as it is, their value is taken as 0'
        yield warning('terminals', what, fix, rows)


def _recording(columns: Columns) -> Iterator[Finding]:
    """Ends that nobody marked."""
    holes = np.flatnonzero(gaps(columns))
    if len(holes):
        what = 'the next row does not begin where this one stopped; the trajectory ends here'
        if len(holes) > len(columns) / 2:
            what += ' (so often that the rows may be shuffled)'
        yield warning('next_observations', what, 'keep the rows in time order, or mark these in timeouts', holes)
    if not columns.terminal[-1] and not (columns.timeout is not None and columns.timeout[-1]):
        partial = np.arange(len(columns) - lengths(episode_ends(columns))[-1], len(columns))
        what = f'the recording stops in the middle of an episode ({len(partial):,} rows of it)'
        yield warning('timeouts', what, 'none needed; it is taken as cut, not as ended', partial[-1:])


def _observations(columns: Columns) -> Iterator[Finding]:
    x = columns.obs
    if x.ndim != 2 or x.dtype.kind != 'f':
        return
    low, high = x.min(axis=0), x.max(axis=0)
    constant = np.flatnonzero(low == high)
    if len(constant) and len(x) > 1:
        yield warning('observations', f'constant in {_dims(constant)}', 'leave out what says nothing')
    twins = [f'{a} = {b}' for a, b in _duplicates(x) if low[a] != high[a]]
    if twins:
        what = f'the same values in two dimensions ({_some(twins)})'
        yield warning('observations', what, 'leave one of the two out')


def _images(columns: Columns) -> Iterator[Finding]:
    """Bytes that became floats on their way into the file."""
    x = columns.obs
    if x.ndim < 3 or x.dtype.kind != 'f':
        return
    x = x[:: max(1, len(x) // SAMPLE)]
    if x.min() >= 0 and x.max() <= 255 and x.max() > 1 and (x == np.round(x)).all():
        what = 'images of whole numbers from 0 to 255, stored as floats: four times the memory, and not seen as images'
        yield warning('observations', what, 'save them as uint8')


def _outliers(columns: Columns) -> Iterator[Finding]:
    for name, x in named(columns).items():
        if x.dtype.kind != 'f' or max(-x.min(), x.max()) <= HUGE:
            continue  # so it is as a rule, and for NaN, which is an error of its own
        far = np.abs(x.reshape(len(x), -1))
        far = (far > HUGE) & np.isfinite(far)
        if far.any():
            where = f' in {_dims(np.flatnonzero(far.any(axis=0)))}' if x.ndim > 1 else ''
            yield warning(
                name, f'beyond {HUGE:g}{where}', 'check for outliers and units', np.flatnonzero(far.any(axis=1))
            )


def _rewards(columns: Columns) -> Iterator[Finding]:
    """One reward for all steps. A cost of each step until the task ends (Acrobot) is no such case: its ends tell."""
    tells = columns.reward[0] != 0 and columns.terminal.any()
    if len(columns) > 1 and columns.reward.min() == columns.reward.max() and not tells:
        what = f'every reward is {columns.reward[0]:g}'
        yield warning('rewards', what, 'fine for cloning; nothing else can tell a good step from a bad one')


def _actions(columns: Columns, low: np.ndarray, high: np.ndarray, source: str) -> Iterator[Finding]:
    if columns.discrete:
        if high[0] >= MANY_CHOICES:
            what = f'integers up to {high[0]:,.0f} are taken as so many choices'
            yield warning('actions', what, 'save continuous actions as floats')
        return
    yield from _actions_alike(columns)
    if source == 'observed':
        what = 'go beyond [-1, 1] and no bounds are stated; what was seen is taken as the range'
        yield warning('actions', what, f'state them: {STATE}, or as action_low and action_high')
    share = saturated(columns.action, low, high)
    often = np.flatnonzero(share > OFTEN)
    if len(often):
        what = f'at a bound in up to {share.max():.0%} of the rows in {_dims(often)}'
        yield warning('actions', what, 'check the bounds; a policy cannot be surer than its range')


def _actions_alike(columns: Columns) -> Iterator[Finding]:
    """Actions that never change, and choices that were saved as floats."""
    a = columns.action
    still = np.flatnonzero(a.min(axis=0) == a.max(axis=0))
    if len(still) and len(a) > 1:
        yield warning('actions', f'constant in {_dims(still)}', 'leave out what is never used')
    some = a[:: max(1, len(a) // SAMPLE)]
    if a.shape[1] == 1 and a.min() >= 0 and a.max() > 1 and (some == np.round(some)).all() and (a == np.round(a)).all():
        what = f'floats, but every one is a whole number from {a.min():g} to {a.max():g}'
        yield warning('actions', what, 'save choices as integers')


def _duplicates(x: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (first, later) of equal columns of [N, D]; a sample of rows rules most pairs out."""
    sample = x[:: max(1, len(x) // 256)].T
    _, first, group = np.unique(sample, axis=0, return_index=True, return_inverse=True)
    pairs = [(int(first[g]), d) for d, g in enumerate(group.reshape(-1)) if first[g] != d]
    return [(a, b) for a, b in pairs if np.array_equal(x[:, a], x[:, b])]


def _dims(dims: np.ndarray) -> str:
    return f'dimension{"s" if len(dims) > 1 else ""} {_some(dims)}'


def _some(items: list[str] | np.ndarray) -> str:
    return ', '.join(map(str, items[:8])) + (f' and {len(items) - 8} more' if len(items) > 8 else '')

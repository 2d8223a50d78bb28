"""From the arrays of a file to `Columns`: which names mean what, dtypes, ranks, sizes. Imports no JAX."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.errors import BadData, StitchError

NAMES = {  # field of Columns -> the names it may have in a file; the first one found counts
    'obs': ('observations', 'observation', 'obs'),
    'action': ('actions', 'action'),
    'reward': ('rewards', 'reward'),
    'terminal': ('terminals', 'terminal', 'terminations', 'termination', 'terminated'),
    'timeout': ('timeouts', 'timeout', 'truncations', 'truncation', 'truncated'),
    'next_obs': ('next_observations', 'next_observation', 'next_obs'),
    'low': ('action_low',),
    'high': ('action_high',),
}
EXTRAS = {'episode': 'episodes', 'time': 'times'}  # what a recorder noted beside them; names of our own writers
AMBIGUOUS = ('dones', 'done')  # does not say whether the task ended or only the recording
MAX_BYTES = 2**35  # 32 GiB of columns, declared
MAX_RATIO, SMALL_BYTES = 300, 2**28  # a larger file that unpacks to more than 300 times itself is no recording
FLAGS = ('terminal', 'timeout', 'mask', 'valid', 'done', 'success')
COUNTERS = ('episode', 'frame')  # whole numbers, beside the clock
DAMAGE = (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError)


@contextmanager
def reading(path: Path, kind: str, *errors: type[Exception]) -> Iterator[None]:
    """Whatever a library raises on a damaged file becomes BadData with one line."""
    try:
        yield
    except StitchError:
        raise
    except (*DAMAGE, *errors) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        fix = 'copy it again from where it was recorded'
        if isinstance(error, MemoryError):  # a damaged file, too, may ask for anything
            fix += ', or leave it on the disk: stitch train ALGO --data PATH --stream'
            raise BadData(f'{path}: does not fit into memory ({reason}). Fix: if it should, {fix}') from error
        raise BadData(f'{path}: truncated or damaged {kind} file ({reason}). Fix: {fix}') from error


def choose(path: Path, has: Callable[[str], bool], found: list[str]) -> tuple[dict[str, str], list[str]]:
    """Field -> name in the file, and notes on names passed over. `found`: the first names there are, to show.

    Raises BadData where a column is missing or its name does not say what it means.
    """
    names, notes = {}, []
    for field, synonyms in NAMES.items():
        present = [name for name in synonyms if has(name)]
        if present:
            names[field] = present[0]
            notes += [f'{name}: not used, {present[0]} means the same' for name in present[1:]]
    names |= {field: name for field, name in EXTRAS.items() if has(name)}
    for field, hint in (('obs', ''), ('action', ''), ('reward', '; zeros will do for cloning')):
        if field not in names:
            raise missing(path, ' or '.join(NAMES[field]), found, hint)
    done = next((name for name in AMBIGUOUS if has(name)), None)
    if done and 'terminal' not in names and 'timeout' not in names:
        raise BadData(
            f'{path}: column {done} does not say whether the task ended or only the recording. '
            'Fix: save the ends of the task as terminals and the time limits as timeouts'
        )
    return names, notes


def missing(path: Path, wanted: str, found: list[str], hint: str = '') -> BadData:
    """The error for a column that is not there; `found`: the first names that are."""
    listing = ', '.join(found[:12]) + (', ...' if len(found) > 12 else '')
    return BadData(f'{path}: no column {wanted}; found {listing or "none"}. Fix: add or rename it{hint}')


def successors(obs: np.ndarray, final: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(obs, next_obs), one row per step, of T + 1 observations per trajectory; `final` [N] bool marks each last one."""
    return obs[~final], obs[np.r_[False, ~final[:-1]][: len(final)]]


def guard_dtype(path: Path, name: str, dtype: np.dtype) -> None:
    """Refuse what is not plain numbers: objects (they would be unpickled), text, records, complex."""
    if dtype.kind not in 'biuf':
        what = 'objects (pickles or text), which are never opened' if dtype.hasobject else f'{dtype}'
        raise BadData(f'{path}: {name} holds {what}. Fix: save it as a plain array of numbers')


def guard_size(path: Path, declared: dict[str, tuple[tuple[int, ...], int]], whole: bool = True) -> None:
    """Refuse columns that would not fit, before any is read: `declared` is name -> (shape, bytes). Columns that are not
    read as a whole may be of any size that the file can hold."""
    total, stored = sum(size for _, size in declared.values()), path.stat().st_size
    if (total <= MAX_BYTES or not whole) and total <= max(SMALL_BYTES, MAX_RATIO * stored):
        return
    name, (shape, _) = max(declared.items(), key=lambda item: item[1][1])
    limit = f'{human(MAX_BYTES)} and ' if whole else ''
    raise BadData(
        f'{path}: a file of {human(stored)} declares {human(total)} of columns, {name} alone '
        f'{" x ".join(map(str, shape))}; at most {limit}{MAX_RATIO} times the file are read. '
        'Fix: if the data is real, save it in parts or without compression'
    )


def human(size: int) -> str:
    """Bytes in words: 1536 -> '1.5 kB'."""
    power = min(4, (len(str(size)) - 1) // 3)
    return f'{size / 1000**power:.{1 if power else 0}f} {("bytes", "kB", "MB", "GB", "TB")[power]}'


def convert(path: Path, field: str, name: str, x: np.ndarray, notes: list[str]) -> np.ndarray:
    """One column as `Columns` wants it; appends to `notes` what was decided. Raises BadData."""
    if x.ndim == 0 and field not in ('low', 'high'):
        raise BadData(f'{path}: {name} is a single number. Fix: save one row per step')
    if field in ('reward', 'time', *FLAGS, *COUNTERS) and x.ndim == 2 and x.shape[1] == 1:
        x = x[:, 0]
    if field in FLAGS:
        return _flags(path, name, x)
    if field in ('time', *COUNTERS):
        return _recorded(path, field, name, x)
    if field == 'action' and x.dtype.kind in 'biu':
        return _choices(path, name, x)
    if field in ('obs', 'next_obs') and x.dtype == np.uint8 and x.ndim > 2:  # images
        return np.ascontiguousarray(x)
    if field in ('obs', 'next_obs', 'action') and x.ndim == 1:
        x = x[:, None]
    if x.dtype != np.float32:
        notes.append(f'{name}: {x.dtype.name} in the file, float32 here')
    with np.errstate(over='ignore'):  # becomes infinite, which `check` reports
        return np.ascontiguousarray(x, dtype=np.float32)


def _flags(path: Path, name: str, x: np.ndarray) -> np.ndarray:
    if x.dtype != bool:
        bad = np.argwhere((x != 0) & (x != 1))
        if len(bad):
            where = f'{name}, row {bad[0][0]} (first of {len(bad)})'
            raise BadData(f'{path}: {where}: {x[tuple(bad[0])]} is no flag. Fix: save 0 and 1 only')
    return np.ascontiguousarray(x, dtype=bool)


def _recorded(path: Path, field: str, name: str, x: np.ndarray) -> np.ndarray:
    """The clock as float64, numbers of episodes and frames as int64."""
    kind, what = (np.int64, 'whole number') if field in COUNTERS else (np.float64, 'number of seconds')
    if x.ndim != 1:
        raise BadData(f'{path}: {name} has {x.ndim} dimensions. Fix: save one {what} per row')
    whole = field == 'time' or x.dtype.kind != 'f' or ((np.abs(x) < 2**53) & (x == np.trunc(x)))
    if len(bad := np.flatnonzero(~np.broadcast_to(whole, len(x)))):
        raise BadData(f'{path}: {name}, row {bad[0]:,}: {x[bad[0]]:g} is no {what}. Fix: save one per row')
    return np.ascontiguousarray(x, dtype=kind)


def _choices(path: Path, name: str, x: np.ndarray) -> np.ndarray:
    x = x[:, 0] if x.ndim == 2 and x.shape[1] == 1 else x
    if x.ndim != 1:
        shape = ' x '.join(map(str, x.shape))
        fix = 'save one integer per row for choices, floats for continuous actions'
        raise BadData(f'{path}: {name} holds {shape} integers. Fix: {fix}')
    if x.dtype != bool and len(bad := np.flatnonzero((x < 0) | (x >= 2**31))):
        where, fix = (
            f'{name}, row {bad[0]} (first of {len(bad)})',
            'number the choices from 0, or save floats',
        )
        raise BadData(f'{path}: {where}: {x[bad[0]]} is no choice. Fix: {fix}')
    return np.ascontiguousarray(x, dtype=np.int32)


def assemble(columns: dict[str, np.ndarray], names: dict[str, str], notes: list[str]) -> Columns:
    """`Columns` of converted arrays. Without a terminals column no step is taken as an end of the task."""
    bounds = {field: columns.pop(field) for field in ('low', 'high') if field in columns}
    action = columns['action']
    first = {field: synonyms[0] for field, synonyms in NAMES.items()} | EXTRAS
    said = [f'{name}: read as {first[field]}' for field, name in names.items() if name != first[field]]
    if 'terminal' not in columns:
        said.append('no terminals column: no step is taken as an end of the task')
        columns['terminal'] = np.zeros(len(columns['obs']), bool)
    if bounds and np.issubdtype(action.dtype, np.integer):
        said.append('action_low and action_high: not used, the actions are choices')
        bounds = {}
    low, high = (_bound(bounds.get(field), action) for field in ('low', 'high'))
    return Columns(**columns, low=low, high=high, notes=(*said, *notes))


def _bound(x: np.ndarray | None, action: np.ndarray) -> tuple[float, ...] | None:
    """A stated bound as floats; a single number stands for every dimension."""
    return None if x is None else tuple(map(float, np.repeat(x, action.shape[-1]) if x.size == 1 else x.ravel()))

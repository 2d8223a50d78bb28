"""From the chosen columns of a table, one row per step, to `Columns`: what CSV, Parquet and LeRobot share.

Imports no JAX.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.formats.choice import SHOWN, Choice, listing, pick
from stitchrl.data.formats.convert import NAMES, assemble
from stitchrl.errors import BadData, UsageError

ROLES = ('obs', 'action', 'reward', 'episode', 'terminal', 'timeout', 'time')  # what may be chosen
WORDS = {field: names[0] for field, names in NAMES.items()}
NO_REWARDS = 'no rewards: zeros here, enough for cloning; all else needs them'
LISTED = 64  # names of observations in a note

Chosen = dict[str, list[str]]  # field -> the columns that make it up


def select(path: Path, names: Sequence[str], choice: Choice) -> Chosen:
    """The columns of each field. UsageError where observations or actions are not chosen, a pattern stands for
    nothing, or a column for two things; a clock may be an observation as well.
    """
    chosen = {field: pick(path, field, said, names) for field, said in choice.given().items()}
    for field in ('obs', 'action'):
        if field not in chosen:
            raise UsageError(
                f'{path}: which columns are the {WORDS[field]}? There are {listing(names)}. Fix: name them, as in '
                f"stitch data convert {path.name} out.npz --obs 'q*,dq*' --action 'tau*' --reward r --episode id"
            )
    taken: dict[str, str] = {}
    for field, columns in chosen.items():
        for name in columns if field != 'time' else ():
            if name in taken:
                raise UsageError(f'{path}: column {name!r} was chosen as {taken[name]} and as {field}; choose one')
            taken[name] = field
    return chosen


def notes_of(chosen: Chosen) -> list[str]:
    """What was chosen, one sentence each."""
    said = []
    for field, columns in chosen.items():
        name = WORDS.get(field, field)
        if len(columns) == 1:
            said.append(f'{name}: column {columns[0]}')
        else:
            more = f', ... ({len(columns):,} in all)' if len(columns) > LISTED else ''
            order = '; a policy wants them in this order' if field == 'obs' else ''
            said.append(f'{name}: one row is {", ".join(columns[:LISTED])}{more}, side by side{order}')
    return said


def columns(arrays: dict[str, np.ndarray], notes: list[str]) -> Columns:
    """`Columns` of converted arrays by field. With ids of episodes, the rows before another id are ends: timeouts,
    unless the task ended there. An id that comes back later is for `check` to find.
    """
    steps = len(arrays['obs'])
    if 'reward' not in arrays:
        notes.append(NO_REWARDS)
        arrays['reward'] = np.zeros(steps, np.float32)
    if 'episode' in arrays:
        arrays['timeout'] = cut(arrays, last_rows(arrays['episode']))
    return assemble(arrays, {}, notes)


def cut(arrays: dict[str, np.ndarray], last: np.ndarray) -> np.ndarray:
    """The timeouts of `arrays`, set on each `last` row with which the task did not end; [N] bool."""
    none = np.zeros(len(last), bool)
    return arrays.get('timeout', none) | (last & ~arrays.get('terminal', none))


def last_rows(ids: np.ndarray) -> np.ndarray:
    """True on the last row of each run of equal ids, bool [N]."""
    return np.append(ids[1:] != ids[:-1], True)[: len(ids)]


def not_a_number(path: Path, name: str, row: int, cell: object, where: str = '') -> BadData:
    """The error for one cell; `where`: the line of a text."""
    shown = repr(cell) if len(repr(cell)) <= 3 * SHOWN else repr(cell)[: 3 * SHOWN] + '...'
    what = 'empty' if cell in ('', None) else f'{shown} is no number'
    fix = 'write one number with a decimal point in every row, or choose other columns'
    return BadData(f'{path}: {name}, row {row:,}{where}: {what}. Fix: {fix}')

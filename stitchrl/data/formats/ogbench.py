"""OGBench npz. Its `terminals` are not D4RL's: they mark where a trajectory stops, `masks` (0) where the task ended.

    row            0    1    2    3    4    5    6
    observations   s0   s1   s2   s3   s0'  s1'  s2'
    actions        a0   a1   a2   -    a0'  a1'  -       an action without successor, not read
    terminals      0    0    0    1    0    0    1       the row of a trajectory's last observation

Three layouts are in use: as published (above); with `valids`, 0 on those rows; with `next_observations`, one row per
step and `terminals` on the last step. `rewards` and `masks` are those of one task and follow from a row's own
observation: a trajectory that visits the goal goes on behind it, and here it is cut there.
Park et al., 2025.
"""

from pathlib import Path

import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.formats import npz
from stitchrl.data.formats.convert import NAMES as D4RL
from stitchrl.data.formats.convert import assemble, missing, successors
from stitchrl.errors import BadData

NAMES = {  # how a column is converted -> its name in the file
    'obs': 'observations',
    'action': 'actions',
    'timeout': 'terminals',
    'reward': 'rewards',
    'mask': 'masks',
    'valid': 'valids',
    'next_obs': 'next_observations',
    'low': 'action_low',
    'high': 'action_high',
}
NEEDED = ('obs', 'action', 'timeout')
NO_REWARDS = (
    'no rewards: zeros here, enough for cloning; all else needs those of one task: make the set with '
    '-singletask, save rewards and masks beside the other columns, or relabel'
)


def claims(path: Path) -> bool:
    """Whether an npz file is of this kind; BadData for a damaged one."""
    with npz.opened(path) as archive:
        return signs(set(npz.arrays_in(archive))) is not None


def signs(found: set[str]) -> str | None:
    """What tells the arrays `found` from a D4RL-style recording; None where nothing does."""
    if not {NAMES[field] for field in NEEDED} <= found or found & {*D4RL['timeout']}:
        return None
    if own := found & {'masks', 'valids'}:
        return f'it has {" and ".join(sorted(own))} and no timeouts'
    return None if found & {*D4RL['reward']} else 'it has neither rewards nor timeouts'


def read(path: Path) -> Columns:
    """The columns of an OGBench file, one row per step. Raises BadData, with column, row and a fix."""
    with npz.opened(path) as archive:
        found = npz.arrays_in(archive)
        for field in NEEDED:
            if NAMES[field] not in found:
                raise missing(path, NAMES[field], found)
        names = {field: name for field, name in NAMES.items() if name in found}
        why = signs(set(found)) or 'that was asked for'
        notes = [
            f'read as OGBench ({why}): terminals end a trajectory, not the task; --format npz would read them as D4RL'
        ]
        columns = npz.load(path, archive, names, notes)
    limits = {field: columns.pop(field) for field in ('low', 'high') if field in columns}
    _same_length(path, columns)
    return assemble(_steps(columns, notes) | limits, {}, notes)


def _same_length(path: Path, columns: dict[str, np.ndarray]) -> None:
    rows = len(columns['obs'])
    for field, x in columns.items():
        if len(x) != rows:
            first = min(len(x), rows)
            raise BadData(
                f'{path}: {NAMES[field]}, row {first}: {len(x):,} rows, but observations have {rows:,}. '
                'Fix: save one row per observation in every column'
            )


def _steps(columns: dict[str, np.ndarray], notes: list[str]) -> dict[str, np.ndarray]:
    """Fields of Columns, one row per step, of the columns of any of the three layouts."""
    obs, stop = columns['obs'], columns['timeout']
    if 'next_obs' in columns:
        final, timeout = ~columns.get('valid', np.ones(len(obs), bool)), stop
        obs, next_obs = obs[~final], columns['next_obs'][~final]
    else:
        final = _final(columns, notes)
        timeout = np.r_[final[1:], True][: len(final)]
        obs, next_obs = successors(obs, final)
    absent = {'reward': NO_REWARDS, 'mask': 'no masks: no step is taken as an end of the task'}
    notes += [note for field, note in absent.items() if field not in columns]
    zeros, ones = np.zeros(len(stop), np.float32), np.ones(len(stop), bool)
    return {
        'obs': obs,
        'action': columns['action'][~final],
        'reward': columns.get('reward', zeros)[~final],
        'terminal': ~columns.get('mask', ones)[~final],
        'timeout': timeout[~final],
        'next_obs': next_obs,
    }


def _final(columns: dict[str, np.ndarray], notes: list[str]) -> np.ndarray:
    """True on the rows that hold only the last observation of a trajectory, bool [N]."""
    final = ~columns['valid'] if 'valid' in columns else columns['timeout'].copy()
    if len(final) and not final[-1]:
        notes.append('the last row ends no trajectory: its observation is kept as the last one, its action is not')
        final[-1] = True
    if alone := int((final & np.r_[True, final[:-1]][: len(final)]).sum()):
        notes.append(f'{alone:,} trajectories of one observation and no step: left out')
    return final

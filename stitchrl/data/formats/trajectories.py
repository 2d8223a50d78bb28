"""Episodes of T + 1 observations and T of all else: checked against each other, then joined. Imports no JAX."""

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.formats.convert import assemble, convert, successors
from stitchrl.errors import BadData

FIELDS = {  # field of Columns -> its name in an episode
    'obs': 'observations',
    'action': 'actions',
    'reward': 'rewards',
    'terminal': 'terminations',
    'timeout': 'truncations',
}
JPEG = [255, 216, 255]

Episode = dict[str, np.ndarray]  # name of a column, or of a part of the observations -> its rows


class Box(NamedTuple):
    """The values that an array may take."""

    shape: tuple[int, ...]
    low: np.ndarray
    high: np.ndarray


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """A key that sorts `episode_10` behind `episode_9`."""
    return tuple((int(part), '') if part.isdecimal() else (-1, part) for part in re.split(r'(\d+)', name))


def agree(path: Path, episodes: dict[str, Episode], said: dict[str, int]) -> None:
    """Raise BadData unless each episode has T + 1 observations and T of all else, and as many as the metadata said."""
    total = 0
    for name, columns in episodes.items():
        rows = {column: len(x) if x.ndim else 0 for column, x in columns.items()}
        steps = rows[FIELDS['action']]
        for column, have in rows.items():
            want = steps + column.startswith(FIELDS['obs'])
            if have != want or columns[column].ndim == 0:
                raise BadData(
                    f'{path}: {name}/{column} has {have:,} rows, expected {want:,} beside {steps:,} actions. '
                    'Fix: record every observation, the last one too, and one of all else per step'
                )
        total += steps
    for key, count in (('total_episodes', len(episodes)), ('total_steps', total)):
        if said.get(key, count) != count:
            what = f'metadata.json says {key} is {said[key]:,}, but there are {count:,}'
            raise BadData(f'{path}: {what}. Fix: copy the whole dataset again')


def join(path: Path, episodes: dict[str, Episode], action_space: Box | None) -> Columns:
    """Columns of episodes one after another."""
    if not episodes:
        raise BadData(f'{path}: no episodes. Fix: record at least one')
    notes, names = [], {field: name for field, name in FIELDS.items() if field != 'obs'}
    whole = {name: together(path, episodes, name) for name in next(iter(episodes.values()))}
    columns = {field: convert(path, field, name, whole.pop(name), notes) for field, name in names.items()}
    steps = np.array([len(episode[FIELDS['action']]) for episode in episodes.values()])
    final = np.zeros(len(steps) + steps.sum(), bool)
    final[np.cumsum(steps + 1) - 1] = True
    obs = convert(path, 'obs', FIELDS['obs'], side_by_side(path, whole, notes), notes)
    columns['obs'], columns['next_obs'] = successors(obs, final)
    last = np.cumsum(steps)[steps > 0] - 1
    unmarked = last[~(columns['terminal'] | columns['timeout'])[last]]
    columns['timeout'][unmarked] = True
    if len(unmarked):
        notes.append(f'{len(unmarked):,} episodes with neither flag on their last step: taken as cut there')
    return assemble(columns | limits(action_space, columns['action'], notes), names, notes)


def together(path: Path, episodes: dict[str, Episode], column: str) -> np.ndarray:
    """One column of all episodes; BadData names the first that does not fit."""
    first = next(iter(episodes.values()))
    for name, episode in episodes.items():
        if episode.keys() != first.keys():
            odd = sorted(episode.keys() ^ first.keys())[0]
            raise BadData(f'{path}: {name} and the first episode differ in {odd}. Fix: save the same parts in each')
        if (shape := episode[column].shape[1:]) != first[column].shape[1:]:
            said = ' x '.join(map(str, shape)) or 'single'
            want = ' x '.join(map(str, first[column].shape[1:])) or 'single'
            raise BadData(f'{path}: {name}/{column} has rows of {said}, the first episode of {want}. Fix: leave it out')
    return np.concatenate([episode[column] for episode in episodes.values()])


def side_by_side(path: Path, found: dict[str, np.ndarray], notes: list[str]) -> np.ndarray:
    """Observations [N, ...] of all their parts."""
    for name, x in found.items():
        if x.dtype == np.uint8 and len(found) > 1 and x.ndim > 2:
            raise BadData(f'{path}: {name} holds images beside other parts. Fix: save images or numbers, not both')
        if x.dtype == np.uint8 and x.ndim == 2 and len(x) and x[0, :3].tolist() == JPEG:
            raise BadData(f'{path}: {name} holds JPEG files, which are not read. Fix: save with jpeg_encoding=False')
    if len(found) == 1:
        return next(iter(found.values()))
    flat = {name: x.reshape(len(x), math.prod(x.shape[1:])) for name, x in found.items()}
    listing = ', '.join(f'{name.partition("/")[2]} ({x.shape[1]})' for name, x in flat.items())
    notes.append(f'observations: one row is {listing}, side by side; a policy wants them in this order')
    return np.concatenate(list(flat.values()), axis=1)


def limits(box: Box | None, action: np.ndarray, notes: list[str]) -> dict[str, np.ndarray]:
    """Action bounds as fields, from the action space of the metadata where it fits; {} where it does not."""
    if box is None or action.ndim != 2:
        return {}
    if box.shape != action.shape[1:] or not np.isfinite([box.low, box.high]).all():
        notes.append('metadata.json: action_space not used, it is not finite or has another width than the actions')
        return {}
    return {'low': box.low, 'high': box.high}

"""robomimic: one HDF5 file with a group per demonstration, observations in parts.

    data/demo_0/actions [T, A], rewards [T], dones [T]
    data/demo_0/obs/<key> [T, ...], next_obs/<key> [T, ...]

Observations are the keys side by side in natural order of their names (`joint_2` before `joint_10`), or as chosen;
images only by their full name. `dones` are written in three ways, and the file does not say which: at success, at the
end of each demonstration, or both (robomimic's `dataset_states_to_obs --done_mode` 0, 1, 2). So

- where some demonstration ends without one, they mean success: each ends the task;
- where all end with one, those before the last step mean success, and one on a last step does only if all rewards are
  0 or 1, as robomimic's own are, and the reward there is 1; else the recording stopped there.

--terminal dones takes each as an end of the task, --timeout dones none. `env_args`, which names an environment, is
never read. Mandlekar et al., 2021.
"""

from pathlib import Path

import h5py
import h5py.h5l as h5l
import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.formats import hdf5, tables
from stitchrl.data.formats.choice import Choice, listing, pick
from stitchrl.data.formats.convert import assemble, convert, missing, reading
from stitchrl.data.formats.trajectories import Episode, natural, together
from stitchrl.errors import BadData, UsageError

CHOICES = ('obs', 'action', 'terminal', 'timeout')
MAX_DEMOS = 10**5
MAX_KEYS = 256
DONES = 'dones'


def claims(path: Path) -> bool:
    """Whether an HDF5 file is of this kind; BadData for a damaged one."""
    with reading(path, 'HDF5'), h5py.File(path, 'r') as file:
        if not hdf5.has(file, 'data') or file.id.links.get_info(b'data').type != h5l.TYPE_HARD:
            return False
        data = file['data']
        return isinstance(data, h5py.Group) and any(name.startswith('demo_') for name in hdf5.listing(data))


def read(path: Path, choice: Choice) -> Columns:
    """The columns of a robomimic file. BadData for what cannot be used, UsageError for a choice that does not fit."""
    for field in ('terminal', 'timeout'):
        if getattr(choice, field) not in (None, DONES) or (choice.terminal and choice.timeout):
            raise UsageError(f'{path}: {field} of a robomimic file is {DONES} or left out, and only one of the two')
    notes: list[str] = []
    with reading(path, 'HDF5'), h5py.File(path, 'r') as file:
        demos = demonstrations(path, file)
        keys, action = keys_of(path, next(iter(demos.values())), choice, notes)
        sets = {
            (name, part): data
            for name, group in demos.items()
            for part, data in columns_of(path, group, keys, action).items()
        }
        whole = hdf5.load(path, sets)
    episodes: dict[str, Episode] = {name: {} for name in demos}
    for (name, part), x in whole.items():
        episodes[name][part] = x
    same_length(path, episodes)
    return join(path, episodes, keys, action, choice, notes)


def demonstrations(path: Path, file: h5py.File) -> dict[str, h5py.Group]:
    """The groups demo_N, in the order of their numbers."""
    data = hdf5.subgroup(path, file, 'data') if hdf5.has(file, 'data') else None
    if data is None or not len(data):
        raise missing(path, 'data/demo_0', hdf5.listing(file if data is None else data))
    if len(data) > MAX_DEMOS:
        raise BadData(f'{path}: {len(data):,} demonstrations, at most {MAX_DEMOS:,} are read. Fix: save it in parts')
    names = sorted((name for name in hdf5.listing(data, MAX_DEMOS) if name.startswith('demo_')), key=natural)
    if not names:
        raise missing(path, 'data/demo_0', hdf5.listing(data))
    return {name: hdf5.subgroup(path, data, name) for name in names}


def keys_of(path: Path, demo: h5py.Group, choice: Choice, notes: list[str]) -> tuple[list[str], str]:
    """(keys of the observations, name of the actions), by the first demonstration."""
    if not hdf5.has(demo, 'obs'):
        fix = "write observations with robomimic's dataset_states_to_obs.py"
        raise BadData(f'{path}: {str(demo.name)[1:]} has no obs; found {listing(hdf5.listing(demo))}. Fix: {fix}')
    group = hdf5.subgroup(path, demo, 'obs')
    names = sorted(hdf5.listing(group, MAX_KEYS), key=natural)
    images = [name for name in names if image(hdf5.dataset(path, group, name))]
    keys = [name for name in names if name not in images]
    if choice.obs is not None:
        named = [part.strip() for part in choice.obs.split(',')]
        keys = pick(path, 'obs', choice.obs, [name for name in names if name not in images or name in named])
    elif images:
        notes.append(f'{listing(images)}: images, left out; they are read by their full name alone')
    if not names:
        raise BadData(f'{path}: {str(group.name)[1:]} is empty. Fix: copy the file again from where it was recorded')
    if not keys:
        raise UsageError(f'{path}: only images: {listing(images)}. Fix: name one, such as --obs {images[0]}')
    action = hdf5.listing(demo, MAX_KEYS) if choice.action else ['actions']
    return keys, pick(path, 'action', choice.action or 'actions', action)[0]


def image(data: h5py.Dataset) -> bool:
    """Whether a key holds pictures."""
    return len(data.shape) > 3 or (len(data.shape) > 2 and data.dtype == np.uint8)


def columns_of(path: Path, demo: h5py.Group, keys: list[str], action: str) -> dict[str, h5py.Dataset]:
    """The datasets of one demonstration; of next_obs and the flags those that there are."""
    if not hdf5.has(demo, action):
        raise missing(path, f'{str(demo.name)[1:]}/{action}', hdf5.listing(demo))
    found = {action: hdf5.dataset(path, demo, action)}
    found |= {name: hdf5.dataset(path, demo, name) for name in ('rewards', DONES) if hdf5.has(demo, name)}
    for part in ('obs', 'next_obs'):
        if part == 'next_obs' and not hdf5.has(demo, part):
            continue
        group = hdf5.subgroup(path, demo, part)
        for key in keys:
            if not hdf5.has(group, key):
                raise missing(path, f'{str(group.name)[1:]}/{key}', hdf5.listing(group))
            found[f'{part}/{key}'] = hdf5.dataset(path, group, key)
    return found


def same_length(path: Path, episodes: dict[str, Episode]) -> None:
    """BadData unless all columns of a demonstration have one row per step."""
    for name, columns in episodes.items():
        rows = {part: len(x) if x.ndim else 0 for part, x in columns.items()}
        steps = next(iter(rows.values()))
        odd = next((part for part, have in rows.items() if have != steps or columns[part].ndim == 0), None)
        if odd is not None:
            what = f'{name}/{odd} has {rows[odd]:,} rows, but there are {steps:,} actions'
            raise BadData(f'{path}: {what}. Fix: save one row per step in every column')


def join(
    path: Path, episodes: dict[str, Episode], keys: list[str], action: str, choice: Choice, notes: list[str]
) -> Columns:
    """Columns of demonstrations one after another."""
    whole = {part: together(path, episodes, part) for part in next(iter(episodes.values()))}
    steps = np.array([len(columns[action]) for columns in episodes.values()])
    last = np.zeros(steps.sum(), bool)
    last[np.cumsum(steps)[steps > 0] - 1] = True
    arrays = {'obs': side(path, whole, 'obs', keys), 'action': whole[action]}
    if f'next_obs/{keys[0]}' in whole:
        arrays['next_obs'] = side(path, whole, 'next_obs', keys)
    arrays['reward'] = whole.get('rewards', np.zeros(len(last), np.float32))
    names = {'obs': 'obs', 'next_obs': 'next_obs', 'action': action, 'reward': 'rewards'}
    arrays = {field: convert(path, field, names[field], x, notes) for field, x in arrays.items()}
    notes += tables.notes_of({'obs': keys, 'action': [action]})
    notes += [] if 'rewards' in whole else [tables.NO_REWARDS]
    if DONES in whole:
        done = convert(path, 'terminal', DONES, whole[DONES], notes)
        arrays['terminal'] = ends(done, last, arrays['reward'], choice, notes)
    arrays['timeout'] = tables.cut(arrays, last)
    return assemble(arrays, {}, notes)


def side(path: Path, whole: Episode, part: str, keys: list[str]) -> np.ndarray:
    """The keys side by side, [N, width]; or of one key that holds images [N, channels, height, width]."""
    found = [whole[f'{part}/{key}'] for key in keys]
    if any(x.ndim > 3 or (x.ndim > 2 and x.dtype == np.uint8) for x in found):
        if len(found) > 1 or found[0].dtype != np.uint8:
            what = f'{listing(keys)}: images beside other keys'
            raise BadData(f'{path}: {what}. Fix: choose one key of bytes, or numbers')
        return np.ascontiguousarray(np.moveaxis(found[0], -1, 1)) if found[0].ndim == 4 else found[0]
    return np.concatenate([x.reshape(len(x), -1) for x in found], axis=1)


def ends(done: np.ndarray, last: np.ndarray, reward: np.ndarray, choice: Choice, notes: list[str]) -> np.ndarray:
    """Where the task itself ended, bool [N], by the rule above; appends to `notes` what was taken for what."""
    rule, terminal = 'each ends the task, as chosen', done
    if choice.timeout:
        rule, terminal = 'none ends the task, as chosen', np.zeros_like(done)
    elif not choice.terminal and done[last].all():
        sparse = np.isin(reward, (0, 1)).all()
        rule = 'all demonstrations end with one; on a last step it ends the task where a reward of 0 or 1 is 1'
        terminal = done & (~last | (sparse & (reward == 1)))
    elif not choice.terminal:
        rule = 'not all demonstrations end with one, so each ends the task'
    if terminal[~last].any():
        rule += '; what goes on behind one is an episode of its own'
    notes.append(f'dones: {rule} ({int(terminal.sum()):,} do); --terminal dones or --timeout dones says otherwise')
    return terminal

"""The same episodes in every layout that is read, written with numpy, h5py and pyarrow alone."""

import json
from typing import NamedTuple

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet


class Episode(NamedTuple):
    """T + 1 observations, T of all else."""

    obs: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    terminal: np.ndarray
    timeout: np.ndarray

    @property
    def steps(self):
        return len(self.reward)


def columns(episodes):
    """What every reader makes of the episodes: field -> array, one row per step."""
    join = lambda parts: np.concatenate(list(parts))
    return {
        'obs': join(e.obs[:-1] for e in episodes),
        'action': join(e.action for e in episodes),
        'reward': join(e.reward for e in episodes),
        'terminal': join(e.terminal for e in episodes),
        'timeout': join(e.timeout for e in episodes),
        'next_obs': join(e.obs[1:] for e in episodes),
    }


def d4rl(episodes):
    """The arrays of a D4RL-style file."""
    names = ('observations', 'actions', 'rewards', 'terminals', 'timeouts', 'next_observations')
    return dict(zip(names, columns(episodes).values(), strict=True))


def ogbench(episodes, layout='published', rewards=True):
    """The arrays of an OGBench file: layout 'published', 'compact' (with valids) or 'regular' (one row per step).

    Each trajectory ends on its last row alone, whatever `timeout` says.
    """
    pad = lambda x: np.concatenate([x, np.ones_like(x[:1])])  # what no reader may look at
    if layout == 'regular':
        c = columns(episodes)
        stop = np.concatenate([np.arange(e.steps) == e.steps - 1 for e in episodes])
        arrays = {'observations': c['obs'], 'actions': c['action'], 'next_observations': c['next_obs']}
        more = {'rewards': c['reward'], 'masks': 1.0 - c['terminal']}
    else:
        join = lambda parts: np.concatenate(list(parts))
        last = [np.arange(e.steps + 1) == e.steps for e in episodes]
        stop = np.concatenate(last)
        arrays = {'observations': join(e.obs for e in episodes), 'actions': join(pad(e.action) for e in episodes)}
        more = {
            'rewards': join(pad(e.reward) for e in episodes),
            'masks': 1.0 - join(np.append(e.terminal, False) for e in episodes),
        }
        if layout == 'compact':
            arrays['valids'] = 1.0 - stop
            stop = stop | np.append(stop[1:], True)
    return arrays | {'terminals': stop.astype(np.float32)} | (more if rewards else {})


def box(shape, low=-1.0, high=1.0):
    """A Box as Minari's metadata have it."""
    full = lambda value: np.full(shape, value).tolist()
    return json.dumps({'type': 'Box', 'dtype': 'float32', 'shape': list(shape), 'low': full(low), 'high': full(high)})


def about(episodes, **changes):
    """metadata.json of a Minari dataset; a change of None leaves the entry out."""
    obs, action = episodes[0].obs, episodes[0].action
    tree = {
        'total_episodes': len(episodes),
        'total_steps': sum(e.steps for e in episodes),
        'observation_space': None if isinstance(obs, dict) else box(obs.shape[1:]),
        'action_space': box(action.shape[1:]) if np.ndim(action) == 2 else '{"type": "Discrete", "n": 9, "start": 0}',
    } | changes
    return {key: value for key, value in tree.items() if value is not None}


def minari_hdf5(folder, episodes, **changes):
    """A Minari dataset in HDF5; returns its folder."""
    data = metadata(folder, episodes, changes)
    with h5py.File(data / 'main_data.hdf5', 'w') as file:
        for i, e in enumerate(episodes):
            group = file.create_group(f'episode_{i}')
            for name, x in zip(NAMES, e, strict=True):
                put(group, name, x)
    return folder


def put(group, name, x):
    """An array, or a dict of them as a group."""
    if isinstance(x, dict):
        for key, part in x.items():
            put(group.require_group(name), key, part)
    else:
        group[name] = x


def minari_tables(folder, episodes, suffix='arrow', **changes):
    """A Minari dataset in Arrow or Parquet; returns its folder."""
    data = metadata(folder, episodes, changes)
    for i, e in enumerate(episodes):
        (data / str(i)).mkdir()
        pad = [np.concatenate([x, np.zeros((1, *x.shape[1:]), x.dtype)]) for x in e[1:]]
        table = pa.table({name: column(x) for name, x in zip(NAMES, (e.obs, *pad), strict=True)})
        save(data / str(i) / f'part-0.{suffix}', table)
    return folder


def column(x):
    """An Arrow array of [N], [N, ...] numbers, or of a dict of them."""
    if isinstance(x, dict):
        return pa.StructArray.from_arrays([column(part) for part in x.values()], names=list(x))
    if x.ndim == 1:
        return pa.array(x)
    width = int(np.prod(x.shape[1:]))
    return pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), width)


def save(path, table):
    """One table as Arrow or Parquet, as the name says."""
    if path.suffix == '.parquet':
        pa.parquet.write_table(table, path)
        return
    with pa.OSFile(str(path), 'wb') as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def metadata(folder, episodes, changes):
    """The folder `data` with metadata.json in it."""
    data = folder / 'data'
    data.mkdir(parents=True)
    (data / 'metadata.json').write_text(json.dumps(about(episodes, **changes)))
    return data


NAMES = ('observations', 'actions', 'rewards', 'terminations', 'truncations')


def save_npz(path, arrays):
    np.savez(path, **arrays)
    return path


def save_hdf5(path, arrays):
    with h5py.File(path, 'w') as file:
        for name, x in arrays.items():
            file[name] = x
    return path


def save_parquet(path, arrays):
    save(path, pa.table({name: column(x) for name, x in arrays.items()}))
    return path


def robomimic(path, demos):
    """A robomimic file; each of `demos` is a dict of arrays and of dicts of arrays."""
    with h5py.File(path, 'w') as file:
        data = file.create_group('data')
        data.attrs.update({'total': 0, 'env_args': json.dumps({'env_name': 'bomb:make', 'type': 1, 'env_kwargs': {}})})
        for i, demo in enumerate(demos):
            group = data.create_group(f'demo_{i}')
            for name, x in demo.items():
                put(group, name, x)
    return path


def lerobot(folder, columns, files=1, **changes):
    """A LeRobot folder of columns by name, in so many tables; `changes` are of info.json."""
    episodes, n = columns['episode_index'], len(columns['episode_index'])
    about = {'codebase_version': 'v3.0', 'total_frames': n, 'total_episodes': len(np.unique(episodes))} | changes
    about |= {'data_path': '../../{chunk_index}', 'features': {'action': {'dtype': 'bomb:make'}}}
    (folder / 'meta').mkdir(parents=True)
    (folder / 'meta' / 'info.json').write_text(json.dumps(about))
    (folder / 'data' / 'chunk-000').mkdir(parents=True)
    for i, rows in enumerate(np.array_split(np.arange(n), files)):
        table = pa.table({name: column(x[rows]) for name, x in columns.items()})
        save(folder / 'data' / 'chunk-000' / f'file-{i:03d}.parquet', table)
    return folder


WRITERS = {  # layout -> (folder, episodes) -> the path to read
    'D4RL npz': lambda folder, e: save_npz(folder / 'd4rl.npz', d4rl(e)),
    'D4RL HDF5': lambda folder, e: save_hdf5(folder / 'd4rl.hdf5', d4rl(e)),
    'D4RL Parquet': lambda folder, e: save_parquet(folder / 'd4rl.parquet', d4rl(e)),
    'OGBench published': lambda folder, e: save_npz(folder / 'published.npz', ogbench(e)),
    'OGBench compact': lambda folder, e: save_npz(folder / 'compact.npz', ogbench(e, 'compact')),
    'OGBench regular': lambda folder, e: save_npz(folder / 'regular.npz', ogbench(e, 'regular')),
    'Minari HDF5': lambda folder, e: minari_hdf5(folder / 'hdf5', e),
    'Minari Arrow': lambda folder, e: minari_tables(folder / 'arrow', e),
    'Minari Parquet': lambda folder, e: minari_tables(folder / 'parquet', e, 'parquet'),
}

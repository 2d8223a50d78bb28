"""A trained policy that needs Python 3.9 and NumPy, and nothing else: observation in, action out, in your units.

    from policy import Policy          # this file lies beside the weights, under the name policy.py
    act = Policy()                     # or Policy('where/the/folder/is')
    action = act(observation)          # one observation, or a batch of them with a leading axis

`program.json` is a list of NumPy functions, `weights.safetensors` the numbers they use, `manifest.json` says what the
policy takes and holds a hash of every file. Opening the folder runs nothing but this file.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np

MANIFEST, PROGRAM, WEIGHTS = 'manifest.json', 'program.json', 'weights.safetensors'
FORMAT = 1
ZERO = np.float32(0)
KINDS = {'F32': '<f4', 'I32': '<i4', 'U8': '|u1', 'BOOL': '|b1'}  # of numbers, as safetensors names them
HEADER = 10**7  # bytes; a longer description of the weights is not one
ARITHMETIC = 'add', 'subtract', 'multiply', 'divide', 'maximum', 'minimum', 'matmul'
PLAIN = (*ARITHMETIC, 'tanh', 'exp', 'log', 'equal', 'where')  # NumPy's functions of arrays alone


class Policy:
    """The greedy action to an observation. ValueError says what is wrong with a folder, or with an observation."""

    def __init__(self, folder: str | Path | None = None):
        folder = Path(__file__).parent if folder is None else Path(folder)
        self.manifest = manifest(folder, 'numpy')
        spec = self.manifest['spec']
        self.shape, self.dtype = tuple(spec['obs']['shape']), np.dtype(spec['obs']['dtype'])
        program = json.loads((folder / PROGRAM).read_text())
        self.values, self.steps = compiled(program, tensors(folder / WEIGHTS))
        action, found = spec['action'], self.run(np.zeros((2, *self.shape), self.dtype))
        want = ((2,), 'int32') if action['kind'] == 'discrete' else ((2, action['dim']), 'float32')
        if (found.shape, found.dtype.name) != want:
            raise ValueError(f'{folder}: gives actions {found.dtype}{found.shape[1:]}, its spec says {action}')

    def __call__(self, obs) -> np.ndarray:
        """obs, like one of the spec or [n, ...] -> action [A] or [] int32, or [n, A] or [n]. ValueError for another
        width or kind of number, and for one that is not finite."""
        batch, single = observations(obs, self.shape, self.dtype)
        action = self.run(batch)
        return action[0, ...] if single else action

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Every step in turn; what each gives is kept in its place for those that follow."""
        values = self.values.copy()
        values[0] = batch
        for function, inputs, place in self.steps:
            values[place] = function(*[values[i] for i in inputs])
        return values[-1]


def observations(obs, shape: tuple, dtype: np.dtype) -> tuple[np.ndarray, bool]:
    """(batch [n, *shape] of dtype, whether it was a single observation). ValueError names expected and found.

    Numbers of every kind become floats; integers take integers that fit. What is not finite has no action.
    """
    x = np.asarray(obs)
    if x.dtype != dtype:
        x = converted(x, dtype)
    single = x.shape == shape
    if not single and x.shape[1:] != shape:
        many = ', '.join(map(str, ('n', *shape)))
        raise ValueError(f'observation of shape {x.shape}; this policy takes {shape}, or a batch ({many})')
    if dtype.kind == 'f' and not np.isfinite(x).all():
        where = np.argwhere(~np.isfinite(x))[0]
        raise ValueError(f'observation{where.tolist()} is {x[tuple(where)]}; this policy takes finite numbers only')
    return (x[None] if single else x), single


def converted(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The same numbers as another kind, where that loses no more than digits."""
    if x.dtype.kind not in ('buif' if dtype.kind == 'f' else 'bui'):
        raise ValueError(f'observation of {x.dtype}; this policy takes {dtype}')
    with np.errstate(over='ignore'):  # becomes inf, which is refused
        y = x.astype(dtype)
    if dtype.kind != 'f' and (y != x).any():
        raise ValueError(f'observation with numbers from {x.min()} to {x.max()}; this policy takes {dtype}')
    return y


def manifest(folder: Path, kind: str | None = None) -> dict:
    """What manifest.json says, once it and every file it names are as they were written. ValueError otherwise."""
    try:
        tree = json.loads((folder / MANIFEST).read_text())
        found, files = tree['kind'], tree['files']
        if tree['seal'] != seal(tree):
            raise ValueError('not as it was written (its seal differs)')
        if tree['format'] != FORMAT or kind not in (None, found):
            raise ValueError(
                f'a {found} export of format {tree["format"]}; expected {kind or "any"} of format {FORMAT}'
            )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f'{folder / MANIFEST}: {type(error).__name__}: {error}') from None
    for name, expected in files.items():
        if not (folder / name).is_file():
            raise ValueError(f'{folder / name}: missing')
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
            raise ValueError(f'{folder / name}: not as it was written (its hash differs)')
    return tree


def seal(tree: dict) -> str:
    """sha256 of a JSON object but for its entry `seal`, whatever the spaces in the file."""
    rest = {name: value for name, value in tree.items() if name != 'seal'}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def tensors(path: Path) -> dict[str, np.ndarray]:
    """{name: array} of a safetensors file: little-endian size, JSON header, bytes without holes."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], 'little')
    if not 8 < start <= min(len(content), HEADER):
        raise ValueError(f'{path}: its header would end at byte {start} of {len(content)}')
    header, found, end = json.loads(content[8:start]), {}, start
    header.pop('__metadata__', None)
    for name, entry in sorted(header.items(), key=lambda item: item[1]['data_offsets']):
        dtype, shape = np.dtype(KINDS[entry['dtype']]), tuple(entry['shape'])
        first, last = (start + offset for offset in entry['data_offsets'])
        if min(shape, default=0) < 0 or first != end or last - first != math.prod(shape) * dtype.itemsize:
            raise ValueError(f'{path}: {name} of shape {shape} cannot lie in bytes {first} to {last}')
        if last > len(content):
            raise ValueError(f'{path}: {name} ends at byte {last} of {len(content)}')
        found[name] = np.frombuffer(content, dtype, math.prod(shape), first).reshape(shape)
        end = last
    if end != len(content):
        raise ValueError(f'{path}: {len(content) - end} bytes belong to nothing')
    return found


def compiled(program: list[dict], constants: dict[str, np.ndarray]) -> tuple[list, list]:
    """(a place for every value, [(function, places of its inputs, place of its result)]); the observation comes first
    and the action last. ValueError for a word that is not in the list below."""
    places = {'observation': 0} | {name: i for i, name in enumerate(constants, 1)}
    values, steps = [np.zeros(0), *constants.values()], []
    for step in program:
        unknown = [name for name in step['in'] if name not in places]
        if unknown:
            raise ValueError(f'{PROGRAM}: {step["out"]} needs {unknown[0]}, which is nowhere')
        places[step['out']] = len(values)
        steps.append((function(step), [places[name] for name in step['in']], len(values)))
        values.append(values[0])
    return values, steps


def function(step: dict):
    """What one step does to arrays."""
    name, to = step['op'], step.get('to', ())
    if name in PLAIN:
        return getattr(np, name)
    if name == 'dense':
        return relu if to == 'relu' else affine
    if name in ('max', 'sum', 'argmax'):
        return lambda x: getattr(x, name)(axis=to)
    if name in ('reshape', 'transpose', 'astype'):
        return lambda x: getattr(x, name)(to)
    if name == 'concatenate':
        return lambda *x: np.concatenate(x, axis=to)
    if name == 'slice':
        where = tuple(slice(first, last) for first, last in to)
        return lambda x: x[where]
    raise ValueError(f'{PROGRAM}: no step {name!r} in format {FORMAT}')


def affine(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """x W + b."""
    y = np.matmul(x, weight)
    y += bias
    return y


def relu(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, zero: np.float32 = ZERO) -> np.ndarray:
    """max(x W + b, 0)."""
    y = affine(x, weight, bias)
    return np.maximum(y, zero, out=y)

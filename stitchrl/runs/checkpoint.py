"""Checkpoints: complete or absent. Orbax writes into a hidden folder that becomes visible by one rename.

The manifest inside holds a hash of every file, so that a truncated or altered checkpoint is told from a whole one.
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from stitchrl.errors import Corrupt
from stitchrl.runs.files import contents, digest, sync, write_durably, writing

KEEP = 3
MANIFEST = 'manifest.json'


def flatten(tree: Any) -> dict[str, Any]:
    """{path of the leaf, such as .actor.net.torso.layers[0].weight: leaf}."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def unflatten(like: Any, leaves: dict[str, Any], where: str) -> Any:
    """The leaves in the structure of `like`. Corrupt names the first leaf that is missing or of another shape."""
    paths, tree = jax.tree_util.tree_flatten_with_path(like)
    found = []
    for path, leaf in paths:
        name = jax.tree_util.keystr(path)
        if name not in leaves:
            raise Corrupt(f'{where} has no {name}; it was written by another version or for another config')
        if leaves[name].shape != leaf.shape or leaves[name].dtype != leaf.dtype:
            raise Corrupt(
                f'{where}: {name} is {leaves[name].dtype}{leaves[name].shape}, expected {leaf.dtype}{leaf.shape}'
            )
        found.append(leaves[name])
    return jax.tree.unflatten(tree, found)


def save(folder: Path, step: int, agents: Any) -> Path:
    """Write `folder/step_N`, unless it is there and whole, and return it once it is complete on the disk.

    Older ones beyond KEEP are removed. StitchError where the disk refuses; the older ones are as they were.
    """
    final = folder / name(step)
    if whole(final):
        return final
    with writing(final):
        folder.mkdir(parents=True, exist_ok=True)
        with aside(folder / f'.{name(step)}.{os.getpid()}') as hidden:
            writer().save((hidden / 'agents').absolute(), jax.device_get(flatten(agents)))
            files = {file: digest(hidden / file) for file in contents(hidden)}
            write_durably(hidden / MANIFEST, json.dumps({'step': step, 'files': files}, indent=1))
            for file in files:
                sync(hidden / file)
            shutil.rmtree(final, ignore_errors=True)  # a damaged one, behind which the run was resumed
            hidden.replace(final)
        sync(folder)
    prune(folder)
    return final


@contextmanager
def aside(hidden: Path) -> Iterator[Path]:
    """A folder to write into; where that fails it is cleared, so that what it took of a full disk is free again."""
    shutil.rmtree(hidden, ignore_errors=True)
    try:
        yield hidden
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise


def load(path: Path, like: Callable[[int], Any]) -> tuple[int, Any]:
    """(step, state) of one checkpoint; `like(step)` gives structure, shapes and dtypes. Corrupt names the damaged
    file."""
    step = verify(path)
    return step, unflatten(like(step), restore(path), str(path))


def restore(path: Path) -> dict[str, np.ndarray]:
    """{name: leaf} of one checkpoint, whatever it holds."""
    return writer().restore((path / 'agents').absolute())


def latest(folder: Path, like: Callable[[int], Any], warn: Any = print) -> tuple[int, Any]:
    """The newest whole checkpoint; damaged ones are named to `warn` and passed over. Corrupt if none is left."""
    for path in reversed(steps(folder)):
        try:
            return load(path, like)
        except Corrupt as error:
            warn(f'{error}; trying the one before')
    raise Corrupt(f'{folder}: no whole checkpoint')


def verify(path: Path) -> int:
    """Step of a checkpoint all of whose files are as they were written; else Corrupt."""
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        files, step = manifest['files'], int(manifest['step'])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Corrupt(f'{path / MANIFEST}: cannot be read ({error})') from None
    if path.name != name(step):
        raise Corrupt(f'{path / MANIFEST}: is of step {step}, its folder is not')
    for file, expected in files.items():
        if not (path / file).is_file():
            raise Corrupt(f'{path / file}: missing')
        if digest(path / file) != expected:
            raise Corrupt(f'{path / file}: not as it was written (its hash differs)')
    return step


def whole(path: Path) -> bool:
    """Whether there is a checkpoint all of whose files are as they were written."""
    try:
        verify(path)
    except Corrupt:
        return False
    return True


def name(step: int) -> str:
    """Of a checkpoint's folder; in the order of steps when sorted."""
    return f'step_{step:09d}'


def steps(folder: Path) -> list[Path]:
    """Checkpoints in a folder, oldest first."""
    return sorted(folder.glob('step_*')) if folder.is_dir() else []


def prune(folder: Path) -> None:
    """Remove all but the newest KEEP, and what a killed process left half-written."""
    for path in [*steps(folder)[:-KEEP], *folder.glob('.step_*')]:
        shutil.rmtree(path, ignore_errors=True)


def writer() -> Any:
    """Orbax, saving synchronously; imported here because it takes a second."""
    import orbax.checkpoint as ocp

    return Numpy(ocp)


class Numpy:
    """Orbax's checkpointer for a flat dict of arrays, restored as NumPy arrays."""

    def __init__(self, ocp: Any):
        self.ocp = ocp
        self.checkpointer = ocp.Checkpointer(ocp.PyTreeCheckpointHandler())

    def save(self, path: Path, leaves: dict[str, np.ndarray]) -> None:
        log = logging.getLogger('absl')
        before, log.disabled = log.disabled, True  # its threads print what is raised here
        try:
            self.checkpointer.save(path, leaves)
        except ValueError as error:  # how the writer of arrays says what the system refused
            raise OSError(str(error)) from error
        finally:
            log.disabled = before

    def restore(self, path: Path) -> dict[str, np.ndarray]:
        names = self.checkpointer.metadata(path).item_metadata.tree
        kinds = {name: self.ocp.RestoreArgs(restore_type=np.ndarray) for name in names}
        return self.checkpointer.restore(path, args=self.ocp.args.PyTreeRestore(restore_args=kinds))

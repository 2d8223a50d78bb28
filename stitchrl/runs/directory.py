"""The run directory: everything about a run in plain files, movable as a whole.

STATUS.json  config.json  command.txt  system.json  data.json  metrics.jsonl  eval.jsonl  log.txt
checkpoints/  policy/  events/ (TensorBoard)
"""

import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stitchrl.errors import StitchError, UsageError
from stitchrl.runs.files import TEXT, reason, write_durably, writing
from stitchrl.runs.lock import held

PACKAGES = ('jax', 'jaxlib', 'equinox', 'optax', 'numpy', 'scipy', 'gymnasium', 'orbax-checkpoint')


class RunDir:
    """Paths and plain files of one run."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.checkpoints = self.path / 'checkpoints'
        self.policy = self.path / 'policy'
        self.resumable = True  # whether a command can go on with it; not with data or an environment from memory

    @classmethod
    def fresh(cls, name: str, out: str | None = None) -> 'RunDir':
        """A new folder: `out`, which must be absent or empty, or the next free runs/NAME-0001. Else UsageError."""
        try:
            return cls(made(Path(out)) if out is not None else numbered(Path('runs'), name))
        except OSError as error:
            raise UsageError(
                f'{out or "runs"}: no folder can be made there ({reason(error)}); '
                'name one that you may write with --out'
            ) from None

    @classmethod
    def find(cls, path: str | Path) -> 'RunDir':
        """The run that a path lies in: its folder, one below, or any file of it. UsageError if there is none."""
        start = Path(path)
        for folder in (start, *start.resolve().parents):
            if (folder / 'STATUS.json').is_file() and (folder / 'config.json').is_file():
                return cls(folder)
        raise UsageError(f'{path}: no run here; expected the folder that a training printed, with STATUS.json in it')

    def write(self, name: str, tree: Any) -> None:
        """A JSON file, replaced as a whole."""
        write_durably(self.path / name, json.dumps(tree, indent=1))

    def read(self, name: str) -> Any:
        """A JSON file of the run; UsageError if it is not there."""
        try:
            return json.loads((self.path / name).read_text())
        except (OSError, ValueError) as error:
            raise UsageError(f'{self.path / name}: cannot be read ({error})') from None

    def data(self) -> dict[str, Any] | None:
        """What data.json says of the recording; None for a run that learned by acting alone."""
        return self.read('data.json') if (self.path / 'data.json').is_file() else None

    def judged_in(self) -> str | None:
        """Name of the environment that judged it, if any: its own, or where it learned by acting."""
        settings = self.read('config.json')['settings']
        return settings.get('eval_env') or settings.get('env')

    def state(self) -> str:
        """running, finished, interrupted, failed, or killed: it says running and nobody is writing it."""
        state = self.read('STATUS.json')['state']
        return 'killed' if state == 'running' and not held(self.path) else state

    def ended(self, state: str, reason: str) -> None:
        """The last status and a line of the log, as far as the disk still takes them: the caller's error says it."""
        for say in (partial(self.status, state, reason), partial(self.note, reason)):
            with suppress(StitchError):
                say()

    def status(self, state: str, reason: str = '') -> None:
        """state: running, finished, interrupted or failed; with the command that goes on with it, if one can."""
        resume = f'stitch resume {shlex.quote(str(self.path))}' if self.resumable else None
        stamp = time.strftime('%Y-%m-%dT%H:%M:%S%z')
        self.write('STATUS.json', {'state': state, 'reason': reason, 'time': stamp, 'resume': resume})

    def append(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        """Rows to a JSONL file."""
        with writing(self.path / name), (self.path / name).open('a') as file:
            file.writelines(json.dumps(row) + '\n' for row in rows)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Rows of a JSONL file; a last line that a crash cut off is left out."""
        path = self.path / name
        lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
        return [json.loads(line) for line in lines if line.endswith('\n')]

    def forget(self, step: int) -> None:
        """Drop what was logged after `step`, so that a resumed run does not say it twice."""
        for name in ('metrics.jsonl', 'eval.jsonl'):
            kept = [row for row in self.rows(name) if row['step'] <= step]
            write_durably(self.path / name, ''.join(json.dumps(row) + '\n' for row in kept))

    def note(self, text: str) -> None:
        """A line of log.txt."""
        with writing(self.path / 'log.txt'), (self.path / 'log.txt').open('a', **TEXT) as file:
            file.write(f'{time.strftime("%H:%M:%S")} {text}\n')

    def describe(self, command: list[str] | None) -> None:
        """command.txt and system.json: what ran, with which versions, on what."""
        line = shlex.join(['stitch', *command]) if command is not None else '(from Python)'
        write_durably(self.path / 'command.txt', line + '\n')
        self.write('system.json', system())


def made(path: Path) -> Path:
    """An empty folder, which may have been there. UsageError where it holds anything."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f'{path} is not an empty folder; name another with --out, or go on with: stitch resume {path}')
    path.mkdir(parents=True, exist_ok=True)
    return path


def numbered(folder: Path, name: str) -> Path:
    """The next folder NAME-0001 to -9999 that is not there yet."""
    for number in range(1, 10_000):
        path = folder / f'{name}-{number:04d}'
        with suppress(FileExistsError):
            path.mkdir(parents=True)
            return path
    raise UsageError(f'{folder}/{name}-0001 to -9999 all exist; name a folder with --out')


def system() -> dict[str, Any]:
    """Versions, machine and device, as `stitch info` prints them."""
    import jax

    from stitchrl import __version__

    device = jax.devices()[0]
    return {
        'stitchrl': __version__,
        'python': sys.version.split()[0],
        'packages': {name: version(name) for name in PACKAGES},
        'device': f'{device.platform} ({device.device_kind}), {jax.device_count()}',
        'machine': f'{platform.system()} {platform.machine()}, {os.cpu_count()} cores',
        'flags': os.environ.get('XLA_FLAGS', ''),
    }

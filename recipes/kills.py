"""Does what a run saved survive kill -9?

    python recipes/kills.py [--kills 200]

A process saves checkpoint and policy of a small agent, step after step, as a training does, and says each step that is
saved. It is killed at a random moment, once per folder; then again before every single file operation of one save, one
by one. After each kill the folder is opened as `stitch resume` and `stitchrl.load_policy` would: the newest whole
checkpoint and the policy must load, hold exactly the values of their step, and be no older than what was said; the next
save must leave nothing half-written behind. Expected: no kill loses anything. Writes recipes/results/kills.json.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

from stitchrl.algos import algorithm
from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Continuous, Observation, Spec
from stitchrl.errors import StitchError
from stitchrl.loops.offline import create
from stitchrl.loops.session import Session
from stitchrl.runs import checkpoint, policy
from stitchrl.runs.directory import RunDir, system

RESULT = Path(__file__).parent / 'results' / 'kills.json'
SPEC = Spec(Observation((3,)), Continuous(2, (-1.0, -1.0), (1.0, 1.0)), 10)
OPERATIONS = ('open', 'os.rename', 'os.remove', 'os.rmdir', 'os.mkdir')  # as Python's audit events name them


def shapes() -> Any:
    """Two agents of BC, as shapes."""
    module = algorithm('bc')
    return jax.eval_shape(lambda: create(module.ALGO, SPEC, module.Config(hidden=(8,)), 0, 2))


def filled(like: Any, step: int) -> Any:
    """Agents whose every number is the step."""
    return jax.tree.map(lambda x: np.full(x.shape, step, x.dtype), like)


def saver(folder: Path) -> Any:
    """What of a session its `save` uses."""
    boundary = jax.tree.map(np.asarray, Boundary.blank(SPEC))
    return SimpleNamespace(run=RunDir(folder), algo='bc', boundary=boundary, spec=SPEC)


def nursery() -> None:
    """Import once, then fork a child per line of the input, 'FOLDER FIRST AT': it saves from step FIRST on, and kills
    itself before file operation AT of all that lie in the folder, if that is not -1."""
    like = shapes()
    for line in sys.stdin:
        folder, first, at = json.loads(line)
        child = os.fork()
        if child == 0:
            if at >= 0:
                sys.addaudithook(Deadline(folder, at))
            for step in range(first, first + 1000):
                Session.save(saver(Path(folder)), step, filled(like, step))
                print(step, flush=True)
                if at >= 0:
                    os._exit(0)  # it has fewer operations
            os._exit(1)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print('gone', os.WIFSIGNALED(status), flush=True)


class Deadline:
    """An audit hook that kills its process before file operation number `at` inside `folder`."""

    def __init__(self, folder: str, at: int):
        self.folder, self.left = folder, at

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event in OPERATIONS and str(args[0]).startswith(self.folder):
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.left -= 1


class Killer:
    """Lets a nursery's children save, and kills them."""

    def __init__(self) -> None:
        command = [sys.executable, __file__, '--nursery']
        env = os.environ | {'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}
        pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE}
        self.process = subprocess.Popen(command, env=env, text=True, bufsize=1, **pipes)
        self.like = shapes()

    def __enter__(self) -> 'Killer':
        return self

    def __exit__(self, *_: Any) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()
        self.process.kill()
        self.process.wait()

    def child(self, folder: Path, first: int, at: int) -> int:
        """The process number of a child that saves."""
        self.process.stdin.write(json.dumps([str(folder), first, at]) + '\n')
        return int(self.process.stdout.readline())

    def words(self, last: int) -> tuple[int, bool]:
        """(the last step that was said, whether the child was killed), from now to its end."""
        while not (line := self.process.stdout.readline()).startswith('gone'):
            last = int(line)
        return last, line.strip().endswith('True')

    def at_random(self, folder: Path, rng: np.random.Generator) -> int:
        """Kill after a few saves, somewhere in the next; the last step that was said."""
        child, said = self.child(folder, 1, -1), 0
        try:
            for _ in range(int(rng.integers(1, 3))):
                start = time.monotonic()
                said = int(self.process.stdout.readline())
            time.sleep(rng.uniform(0, 1) * (time.monotonic() - start))
        finally:
            os.kill(child, signal.SIGKILL)
        return self.words(said)[0]

    def at_every_operation(self, root: Path) -> Iterator[tuple[Path, int]]:
        """(folder, last step said) after a kill before each operation of the second save."""
        for at in range(10_000):
            folder = root / f'operation-{at}'
            Session.save(saver(folder), 1, filled(self.like, 1))
            self.child(folder, 2, at)
            said, killed = self.words(1)
            if not killed:
                return
            yield folder, said

    def outcome(self, folder: Path, said: int) -> str:
        """What was found after a kill, in a word or two; 'whole' where nothing is lost."""
        torn = bool(list(folder.glob('checkpoints/.step_*'))) or bool(list(folder.glob('.policy*')))
        try:
            step, agents = checkpoint.latest(folder / 'checkpoints', lambda _: self.like, refuse)
            kept = policy.load_all(folder / 'policy')[1]
        except StitchError as error:
            return f'lost: {error}'
        acted = int(jax.tree.leaves(kept)[0].flat[0])
        for tree, value in ((agents, step), (kept, acted)):
            if any((x != value).any() for x in jax.tree.leaves(tree)):
                return 'lost: values of two steps'
        if step not in (said, said + 1) or acted not in (said, said + 1):
            return f'lost: said {said}, checkpoint {step}, policy {acted}'
        Session.save(saver(folder), step + 1, filled(self.like, step + 1))
        left = [str(path) for path in [*folder.glob('.*'), *folder.glob('checkpoints/.*')]]
        return f'left behind: {left}' if left else 'whole, in the middle of a save' if torn else 'whole'


def refuse(text: str) -> None:
    """No checkpoint may be damaged."""
    raise StitchError(text)


def measure(count: int) -> dict[str, dict[str, int]]:
    """Outcomes, counted: of `count` kills at random moments, and of one before each file operation."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place, Killer() as killer:
        folders = [Path(place) / str(i) for i in range(count)]
        moments = Counter(killer.outcome(folder, killer.at_random(folder, rng)) for folder in folders)
        operations = Counter(killer.outcome(*found) for found in killer.at_every_operation(Path(place)))
    return {'at random moments': dict(moments), 'before every file operation of one save': dict(operations)}


def main() -> None:
    """Kill, look, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kills', type=int, default=200)
    parser.add_argument('--nursery', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.nursery:
        nursery()
        return
    told = measure(args.kills)
    command = f'python recipes/kills.py --kills {args.kills}'
    RESULT.write_text(json.dumps({'command': command, **told, 'system': system()}, indent=1) + '\n')
    print(json.dumps(told, indent=1))


if __name__ == '__main__':
    main()

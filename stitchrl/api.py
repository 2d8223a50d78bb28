"""The Python interface: load a recording, train on it, take the policy.

data = stitchrl.load('recording.hdf5')
run = stitchrl.train('iql', data, eval_env='Hopper-v5', steps=100_000, seeds=3)
print(run.score())
action = run.policy()(observation)
"""

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from stitchrl.algos import algorithm
from stitchrl.core.config import unknown
from stitchrl.data.dataset import Dataset
from stitchrl.data.survey import OnDisk
from stitchrl.errors import UsageError
from stitchrl.export import folder, runner
from stitchrl.export.folder import Exported
from stitchrl.loops.chunk import Chunk
from stitchrl.loops.launch import begin
from stitchrl.loops.session import Session
from stitchrl.loops.settings import Settings, configure, settings_of
from stitchrl.loops.watch import Watch
from stitchrl.recordings import load, load_checked, on_disk, source
from stitchrl.report.statistics import Interval, last_mean
from stitchrl.runs import policy
from stitchrl.runs.directory import RunDir
from stitchrl.runs.policy import Policy

__all__ = ['Run', 'load', 'load_checked', 'load_policy', 'on_disk', 'session', 'train', 'training']


class Run:
    """A run on the disk."""

    def __init__(self, path: str | Path):
        self.dir = RunDir(path)
        self.path = self.dir.path

    def policy(self, seed: int = 0) -> Policy:
        """The policy of agent `seed` (0: the first) as it was last saved."""
        return policy.load(self.dir.policy, seed)

    def export(self, out: str | Path, to: str = 'numpy', seed: int = 0) -> Exported:
        """Write the policy of agent `seed` as a new folder (docs/deploy.md); returns it as it is there."""
        folder.export(self.path, out, to, seed)
        return folder.load(out)

    def evaluations(self) -> list[dict[str, Any]]:
        """The rows of eval.jsonl, one per episode."""
        return self.dir.rows('eval.jsonl')

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl, one per chunk and seed."""
        return self.dir.rows('metrics.jsonl')

    def score(self, field: str = 'return') -> Interval:
        """Mean of the last five evaluations, with an interval over seeds. UsageError where nothing was judged."""
        return last_mean(self.evaluations(), field=field, rate=field == 'success')

    def judge(self, data: str | Path | None = None, **asked: Any) -> dict[str, Any]:
        """What the policies would earn by the recording alone, as `stitch eval --offline` says it (docs/judging.md).

        `data`: the recording, where it was moved, or another one. `asked`: steps, fits, gamma, seed of
        `stitchrl.loops.appraise.Request`. UsageError without a recording, Corrupt where it is another than was noted.
        """
        from stitchrl.loops.appraise import Request, appraise

        return appraise(self.dir, Request(None if data is None else str(data), **asked), load_checked)

    def report(
        self,
        out: str | Path | None = None,
        baseline: str | Path | None = None,
        data: str | Path | None = None,
        env: Any = None,
        episodes: int = 10,
    ) -> Path:
        """Write report.html, a page that opens anywhere, into the run or to `out`; returns its path.

        `baseline`: a run of BC to compare with; default: a finished neighbour on the same recording. `data`: the
        recording, where it was moved. `env`: where to play, a name or an environment; default: where the run was
        judged. `episodes`: of each seed, for films and value health. Raises StitchError where what is named here is
        not there; what is only missing is said on the page.
        """
        from stitchrl.report.run_page import Request, write

        paths = [None if path is None else str(path) for path in (out, baseline, data)]
        return write(self.dir, Request(*paths, env=env, episodes=episodes))


def session(
    algo: str,
    data: Dataset | OnDisk | str | Path | None = None,
    preset: str = 'default',
    env: Any = None,
    **settings: Any,
) -> Session:
    """A run that is ready to go: `settings` are fields of Settings and of the algorithm's Config; a path is loaded."""
    own = {field.name for field in fields(Settings)}
    known = [*own, *(field.name for field in fields(algorithm(algo).Config))]
    for name in settings:
        if name not in known:
            raise unknown(name, sorted(known), algo)
    if isinstance(env, str):
        settings, env = settings | {'env': env}, None
    request = settings_of(algo, preset, {name: value for name, value in settings.items() if name in own})
    cfg = configure(algo, preset, {name: value for name, value in settings.items() if name not in own})
    named = isinstance(data, str | Path)
    if named:
        data = (on_disk if request.stream else load)(data, request.format)
    told, disk = source(data), isinstance(data, OnDisk)
    if told is not None and (named or not disk):  # so that `stitch resume` finds it again
        request = replace(request, data=told['path'], format=told.get('format', request.format))
    return begin(algo, cfg, replace(request, stream=disk or request.stream), data, told, None, env)


def training(
    algo: str,
    data: Dataset | OnDisk | str | Path | None = None,
    preset: str = 'default',
    env: Any = None,
    **settings: Any,
) -> Iterator[Chunk]:
    """For those who own their loop: yields a Chunk (step, agents, info) after every compiled chunk of updates."""
    ready = session(algo, data, preset, env, **settings)
    return ready.go(ready.fresh())


def train(
    algo: str,
    data: Dataset | OnDisk | str | Path | None = None,
    preset: str = 'default',
    env: Any = None,
    watch: Watch | None = None,
    **settings: Any,
) -> Run:
    """Train, judge and save; returns the Run.

    Without `data` it learns by acting in `env`; with data, `steps` updates on it and then `online_steps` in `env`. A
    recording's path will do, which `stitch resume` finds again, as it does what `load` read.
    `env`: a name or an environment object; policies are judged there unless `eval_env` names another. `settings`: any
    field of `stitchrl.loops.settings.Settings` and of the algorithm's Config. UsageError for a name that is neither.
    """
    ready = session(algo, data, preset, env, **settings)
    for _ in ready.go(ready.fresh(), watch=watch):
        pass
    return Run(ready.run.path)


def load_policy(path: str | Path, seed: int | None = None) -> Policy | Exported:
    """The policy of agent `seed` (default: the first) of a run or a policy folder, or the one agent of an export.

    UsageError for an agent that is not there; Corrupt; MissingExtra of an export.
    """
    if not (Path(path) / runner.MANIFEST).is_file():
        return policy.load(path, seed or 0)
    loaded = folder.load(path)
    if seed not in (None, loaded.manifest['seed']):
        raise UsageError(
            f'{path} holds agent {loaded.manifest["seed"]} alone, not {seed}; export that one, or leave it out'
        )
    return loaded

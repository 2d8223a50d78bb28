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

import numpy as np

from stitchrl.algos import algorithm
from stitchrl.core.config import unknown
from stitchrl.data.check import check, fingerprint, refuse
from stitchrl.data.columns import Columns
from stitchrl.data.dataset import Dataset
from stitchrl.data.formats import Choice, read
from stitchrl.data.survey import OnDisk, survey
from stitchrl.export import folder, runner
from stitchrl.export.folder import Exported
from stitchrl.loops.launch import begin
from stitchrl.loops.offline import Chunk
from stitchrl.loops.session import Session
from stitchrl.loops.settings import Settings, configure, settings_of
from stitchrl.loops.watch import Watch
from stitchrl.report.statistics import Interval, last_mean
from stitchrl.runs import policy
from stitchrl.runs.directory import RunDir
from stitchrl.runs.policy import Policy


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


def load(path: str | Path, format: str | None = None, low: Any = None, high: Any = None, **columns: str) -> Dataset:
    """A recording as a Dataset in its own units. BadData names what must not be trained on.

    `columns`: which columns of a table mean what, by the fields of `stitchrl.data.formats.Choice`:
    load('log.csv', obs='q*,dq*', action='tau*', reward='r', episode='id').
    """
    known = [field.name for field in fields(Choice)]
    for name in columns:
        if name not in known:
            raise unknown(name, known, 'load')
    return load_checked(str(path), format, low, high, Choice(**columns))[0]


def on_disk(path: str | Path, format: str | None = None, low: Any = None, high: Any = None) -> OnDisk:
    """A recording that stays on the disk, for `train` and `training` to read in blocks: it may be larger than memory.

    It is gone through once. BadData names what must not be trained on, and what cannot be read in parts.
    """
    return survey(path, format, low, high)


def asked(settings: Settings) -> tuple[Dataset | OnDisk, dict[str, Any]]:
    """(the recording that a run is to learn from, what data.json says of it)."""
    assert settings.data is not None
    if settings.stream:
        data = on_disk(settings.data, settings.format)
        return data, data.about()
    return load_checked(settings.data, settings.format)


def load_checked(
    path: str, format: str | None = None, low: Any = None, high: Any = None, choice: Choice | None = None
) -> tuple[Dataset, dict[str, Any]]:
    """(dataset, what data.json says of it)."""
    columns = read(path, format, choice or Choice())
    return checked(columns, str(Path(path).absolute()), low, high)


def checked(columns: Columns, path: str | None, low: Any = None, high: Any = None) -> tuple[Dataset, dict[str, Any]]:
    """A Dataset of columns that passed the checks, and its data.json."""
    findings = check(columns, low, high)
    refuse(findings)
    data = Dataset.from_columns(columns, low, high)
    return data, about(data) | {
        'path': path,
        'fingerprint': fingerprint(columns),
        'notes': list(columns.notes),
        'warnings': [str(finding) for finding in findings],
    }


def about(data: Dataset) -> dict[str, Any]:
    """Counts of a dataset, for data.json."""
    returns = data.returns()
    return {
        'path': None,
        'fingerprint': None,
        'steps': len(data),
        'episodes': len(returns),
        'return_mean': float(np.mean(returns)),
        'return_max': float(np.max(returns)),
        'spec': data.spec.to_json(),
    }


def session(
    algo: str, data: Dataset | OnDisk | None = None, preset: str = 'default', env: Any = None, **settings: Any
) -> Session:
    """A run that is ready to go: `settings` are fields of Settings and of the algorithm's Config."""
    own = {field.name for field in fields(Settings)}
    known = [*own, *(field.name for field in fields(algorithm(algo).Config))]
    for name in settings:
        if name not in known:
            raise unknown(name, sorted(known), algo)
    if isinstance(env, str):
        settings, env = settings | {'env': env}, None
    request = settings_of(algo, preset, {name: value for name, value in settings.items() if name in own})
    cfg = configure(algo, preset, {name: value for name, value in settings.items() if name not in own})
    if isinstance(data, OnDisk):
        return begin(algo, cfg, replace(request, stream=True), data, data.about(), None, env)
    return begin(algo, cfg, request, data, None if data is None else about(data), None, env)


def training(
    algo: str, data: Dataset | OnDisk | None = None, preset: str = 'default', env: Any = None, **settings: Any
) -> Iterator[Chunk]:
    """For those who own their loop: yields a Chunk (step, agents, info) after every compiled chunk of updates."""
    ready = session(algo, data, preset, env, **settings)
    return ready.go(ready.fresh())


def train(
    algo: str,
    data: Dataset | OnDisk | None = None,
    preset: str = 'default',
    env: Any = None,
    watch: Watch | None = None,
    **settings: Any,
) -> Run:
    """Train, judge and save; returns the Run.

    Without `data` it learns by acting in `env`; with data, `steps` updates on it and then `online_steps` in `env`.
    `env`: a name or an environment object; policies are judged there unless `eval_env` names another. `settings`: any
    field of `stitchrl.loops.settings.Settings` and of the algorithm's Config. UsageError for a name that is neither.
    """
    ready = session(algo, data, preset, env, **settings)
    for _ in ready.go(ready.fresh(), watch=watch):
        pass
    return Run(ready.run.path)


def load_policy(path: str | Path, seed: int = 0) -> Policy | Exported:
    """The policy of a run, a policy folder or an export, which has one seed. Corrupt; MissingExtra of an export."""
    if (Path(path) / runner.MANIFEST).is_file():
        return folder.load(path)
    return policy.load(path, seed)

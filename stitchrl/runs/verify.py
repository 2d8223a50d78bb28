"""Is it whole, and can it be used? Of a run, a checkpoint, a policy, an export or a recording, part by part."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stitchrl.core.config import from_json, to_json
from stitchrl.core.spec import Spec
from stitchrl.errors import Corrupt, MissingExtra, StitchError, UsageError
from stitchrl.export import folder as exports
from stitchrl.export import runner
from stitchrl.runs import checkpoint, policy
from stitchrl.runs.directory import RunDir

STATES = ('running', 'finished', 'interrupted', 'failed')


class Part(NamedTuple):
    """What was looked at, whether it is good, and what there is to say."""

    part: str
    good: bool
    told: str


def verify(path: str | Path, run: str | None = None) -> tuple[str, list[Part]]:
    """(what it is, its parts). `run`: whose recording it should be. UsageError where there is nothing."""
    path = Path(path)
    if not path.exists():
        raise UsageError(f'{path}: nothing is there')
    has = lambda *names: any((path / name).is_file() for name in names)
    if has('STATUS.json', 'config.json'):
        return 'run', list(of_run(RunDir(path)))
    if has(policy.ABOUT):
        return 'policy', [look('policy', lambda: of_policy(path))]
    if path.name.startswith('step_') and has(checkpoint.MANIFEST):
        return 'checkpoint', [look(path.name, lambda: of_checkpoint(path))]
    if has(runner.MANIFEST, runner.PROGRAM, 'policy.stablehlo', 'policy.onnx'):
        return 'export', list(of_export(path))
    return 'recording', [look('recording', lambda: of_recording(str(path), None if run is None else RunDir.find(run)))]


def look(part: str, at: Callable[[], str]) -> Part:
    """What `at` says of a part, or what it raises."""
    try:
        return Part(part, True, at())
    except MissingExtra as error:
        return Part(part, True, f'not tried: {error}')
    except (StitchError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        kind = '' if isinstance(error, StitchError) else f'{type(error).__name__}: '
        return Part(part, False, f'{kind}{error}')


def of_run(run: RunDir) -> Iterator[Part]:
    """Each of its files that something is read from again."""
    yield look('STATUS.json', lambda: status(run))
    yield look('config.json', lambda: config(run))
    yield look('system.json', lambda: f'made with {made(run.read("system.json"))}')
    paths = checkpoint.steps(run.checkpoints)
    for path in paths:
        yield look(f'checkpoints/{path.name}', lambda path=path: of_checkpoint(path))
    if not paths:
        yield Part('checkpoints', False, f'{run.checkpoints}: none is there')
    yield look('policy', lambda: of_policy(run.policy))
    for name in ('metrics.jsonl', 'eval.jsonl'):
        if (run.path / name).is_file():
            yield look(name, lambda name=name: f'{len(run.rows(name)):,} rows')
    if (run.path / 'data.json').is_file():
        yield look('recording', lambda: its_recording(run))


def status(run: RunDir) -> str:
    """State and time."""
    tree = run.read('STATUS.json')
    if tree['state'] not in STATES:
        raise ValueError(f'{run.path / "STATUS.json"}: state {tree["state"]!r}; expected one of {", ".join(STATES)}')
    return f'{tree["state"]}, {tree["time"]}'


def config(run: RunDir) -> str:
    """That it is read as it was written."""
    from stitchrl.algos import algorithm
    from stitchrl.loops.settings import Settings

    tree = run.read('config.json')
    for name, cls in (('config', algorithm(tree['algo']).Config), ('settings', Settings)):
        if json.loads(json.dumps(to_json(from_json(cls, tree[name])))) != tree[name]:
            raise ValueError(f'{run.path / "config.json"}: {name} is not what it becomes when it is read and written')
    return tree['algo']


def made(system: dict[str, Any]) -> str:
    """Versions, in words."""
    return f'stitchrl {system["stitchrl"]}, jax {system["packages"]["jax"]}, Python {system["python"]}'


def of_checkpoint(path: Path) -> str:
    """That its files are as they were written."""
    step = checkpoint.verify(path)
    return f'step {step:,}, {len(checkpoint.contents(path)):,} files as they were written'


def of_policy(path: Path) -> str:
    """That it is as it was written, and acts."""
    algo, agents, boundary, spec = policy.load_all(path)
    acts(policy.Policy(agents, boundary, spec), spec)
    return f'{algo}: {words(spec)}'


def of_export(path: Path) -> Iterator[Part]:
    """Its files, and that it acts."""
    files = look('files', lambda: ', '.join([*runner.manifest(path)['files'], runner.MANIFEST]))
    yield files
    if files.good:
        about = runner.manifest(path)
        last = f', to be used until {about["expires"]}' if about.get('expires') else ''
        packages = ', '.join(f'{name} {number}' for name, number in about['versions'].items())
        yield Part('made', True, f'{about["made"]} with {packages}{last}')
        yield look('acts', lambda: exported(path))


def exported(path: Path) -> str:
    """That it loads and acts."""
    act = exports.load(path)
    acts(act, act.spec)
    return f'{act.manifest["algo"]} as {act.manifest["kind"]}: {words(act.spec)}'


def acts(act: Callable[[np.ndarray], np.ndarray], spec: Spec) -> None:
    """ValueError unless an observation of zeros gives a finite action of the right shape."""
    action = act(np.zeros(spec.obs.shape, spec.obs.dtype))
    if action.shape != (() if spec.discrete else (spec.action_dim,)) or not np.isfinite(action).all():
        raise ValueError(f'its action to zeros is {action.tolist()}')


def words(spec: Spec) -> str:
    """What goes in and what comes out."""
    kind = 'one of' if spec.discrete else 'in R^'
    return f'observation {spec.obs.shape} {spec.obs.dtype}, action {kind}{" " * spec.discrete}{spec.action_dim}'


def its_recording(run: RunDir) -> str:
    """Whether a run's recording is still where and what it was."""
    about = run.read('data.json')
    if about['path'] is None or not Path(about['path']).exists():
        return f'not compared: nothing is at {about["path"]}' if about['path'] else 'not compared: it was in memory'
    return of_recording(about['path'], run)


def of_recording(path: str, run: RunDir | None) -> str:
    """Steps and fingerprint, and whether it is what `run` learned from; Corrupt where it is not."""
    from stitchrl.data.check import check, fingerprint, refuse
    from stitchrl.data.formats import read

    columns = read(path, None if run is None else run.read('config.json')['settings']['format'])
    found, said = fingerprint(columns), ''
    if run is not None:
        if run.read('data.json')['fingerprint'] != found:
            raise Corrupt(f'{path}: not the recording that {run.path} was trained on (its fingerprint is {found})')
        said = f', the recording of {run.path}'
    refuse(check(columns))
    return f'{len(columns.obs):,} steps, fingerprint {found}{said}'

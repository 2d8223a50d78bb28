"""Where a session comes from: a request begins a run, or what a stopped one left is taken up again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from stitchrl.algos import algorithm
from stitchrl.core.config import from_json, to_json
from stitchrl.errors import Corrupt, StitchError, UsageError
from stitchrl.loops.session import Session
from stitchrl.loops.settings import Settings
from stitchrl.loops.work import Recording
from stitchrl.runs import checkpoint
from stitchrl.runs.directory import RunDir
from stitchrl.runs.lock import Lock

Load = Callable[[Settings], tuple[Recording, dict[str, Any]]]


def begin(
    algo: str,
    cfg: Any,
    settings: Settings,
    data: Recording | None,
    about: dict[str, Any] | None,
    command: list[str] | None,
    env: Any = None,
) -> Session:
    """A session in a new run directory, whose files say what was asked."""
    run = RunDir.fresh(algo, settings.out)
    run.resumable = env is None and (data is None or settings.data is not None)
    try:
        session = Session(algo, cfg, settings, data, run, env)
        jax.eval_shape(session.work.new)  # what the algorithm refuses
    except StitchError:
        run.path.rmdir()  # what was refused leaves nothing behind
        raise
    run.write(
        'config.json',
        {'algo': algo, 'config': to_json(session.cfg), 'settings': to_json(replace(settings, out=None))},
    )
    if about is not None:
        run.write('data.json', about)
    run.describe(command)
    run.status('running')
    session.lock = Lock(run.path)
    return session


def resume(run: RunDir, load: Load, warn: Any, data: str | None = None) -> tuple[Session, Any, int]:
    """(session, its state, step to go on from) of a run that stopped. `data`: where its recording lies now.

    Corrupt if the recording is not what it was, UsageError while another process writes the run.
    """
    lock, tree = Lock(run.path), run.read('config.json')
    settings, recording = from_json(Settings, tree['settings']), None
    if settings.data is not None:
        settings = replace(settings, data=str(Path(data or settings.data).absolute()))
        recording = found(run, settings, load)
        if data is not None:  # the next time it is looked for there
            tree['settings']['data'] = settings.data
            run.write('config.json', tree)
    elif settings.env is None or (run.path / 'data.json').exists():
        raise UsageError(
            f'{run.path}: trained on data or in an environment from memory, so the command line cannot find it again; '
            "begin with a recording's path, as stitchrl.load or stitchrl.train take it, or an environment's name"
        )
    if settings.start is not None:  # what it began with is in its own folder by now
        settings = replace(settings, start=str(run.path))
    cfg = from_json(algorithm(tree['algo']).Config, tree['config'])
    session = Session(tree['algo'], cfg, settings, recording, run)
    session.lock = lock
    step, state = checkpoint.latest(run.checkpoints, session.work.like, warn)
    run.forget(step)
    return session, jax.tree.map(jnp.asarray, state), step


def found(run: RunDir, settings: Settings, load: Load) -> Recording:
    """The recording that a run learns from, if it is the one it began with."""
    if not Path(settings.data or '').exists():
        raise UsageError(f'{settings.data}: not there any more; say where it is: stitch resume {run.path} --data PATH')
    recording, about = load(settings)
    if about['fingerprint'] != run.read('data.json')['fingerprint']:
        raise Corrupt(f'{settings.data}: not the recording that {run.path} was trained on (its fingerprint differs)')
    return recording

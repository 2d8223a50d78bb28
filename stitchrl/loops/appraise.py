"""A run judged by a recording alone: what its policies would earn, their losses there, how near they stay to it."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from stitchrl.algos import algorithm
from stitchrl.algos.offline.fqe import Config
from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.core.config import from_json
from stitchrl.data.controls import shuffled
from stitchrl.data.dataset import Dataset
from stitchrl.errors import Corrupt, UsageError
from stitchrl.loops.held_out import agreement, measured
from stitchrl.loops.judge import Tell, judge, to_go
from stitchrl.loops.settings import Settings
from stitchrl.runs import policy
from stitchrl.runs.directory import RunDir

FILE = 'offline_eval.json'
FITTING = Config()  # of each fit, where nothing else is asked
FITS = 3  # in all, at least: one of each policy where a run has that many
Loaded = tuple[Dataset, dict[str, Any]]


@dataclass(frozen=True)
class Request:
    """What is asked."""

    data: str | None = None  # the recording; default: where the run found it
    steps: int | None = None  # updates of each fit
    fits: int | None = None  # of each policy; default: one, or more where the run has fewer than three
    gamma: float | None = None  # default: the run's, or 0.99 where it has none
    seed: int = 0  # of the fits
    tell: Tell | None = None  # called as the fits go on: updates done, mean estimate


def appraise(run: RunDir, request: Request, load: Callable[[str, str | None], Loaded]) -> dict[str, Any]:
    """Judge the policies of a run, write the result into the run as FILE, and return it.

    load: (path, format) -> dataset in the recorder's units, and what data.json says of one. UsageError where there is
    no recording to judge by or it does not fit; Corrupt where it is not what the run noted.
    """
    config = run.read('config.json')
    settings = from_json(Settings, config['settings'])
    (data, about), same = recording(run, settings, request.data, load)
    algo, agents, boundary, spec = policy.load_all(run.policy)
    data = replace(data, spec=data.spec.joined(spec))
    spec.check(data.spec, str(run.path), about['path'])
    fitted = fqe(agents, boundary, data, request)
    rows, unseen = kept_back(algo, agents.cfg, settings, data, same)
    inner = jax.device_put(boundary.inward(rows))
    seen = {'path': about['path'], 'fingerprint': about['fingerprint'], 'same': same, 'episodes': len(data.episodes())}
    result = {
        'algo': algo,
        'time': time.strftime('%Y-%m-%dT%H:%M:%S%z'),
        'policy': run.read('policy/policy.json')['sha256'],
        'data': seen,
        'fqe': fitted,
        'recording': recorded(data, fitted['gamma']),
        'reachable': reachable(data, fitted['gamma']),
        'rows': {'episodes': len(rows.episodes()), 'steps': len(rows), 'unseen': unseen},
        'losses': listed(measured(agents, inner, request.seed, own=False)),
        'own': listed(measured(agents, inner, request.seed, own=True)),
        'reward': {'scale': float(boundary.scale), 'shift': float(boundary.shift)},
        'agreement': agreement(agents, boundary, inner),
    }
    run.write(FILE, result)
    return run.read(FILE)


def recording(
    run: RunDir, settings: Settings, path: str | None, load: Callable[[str, str | None], Loaded]
) -> tuple[Loaded, bool | None]:
    """The recording to judge by, and whether it is what the run learned from (None: not known)."""
    noted = run.data()
    if path is None and noted is None:
        raise UsageError(f'{run.path} learned by acting alone, it has no recording; name one to judge by: --data PATH')
    if path is None and noted is not None and noted['path'] is None:
        raise UsageError(f'{run.path} was trained on data from memory; name a file to judge by: --data PATH')
    where = path or (noted or {})['path']
    if path is None and settings.stream:
        what = f'{where}, which {run.path} read in blocks, would be taken into memory as a whole'
        raise UsageError(f'{what}; name it, or a part of it, to judge by: --data PATH')
    if path is None and not Path(where).exists():
        raise UsageError(
            f'{where}, which {run.path} was trained on, is not there any more; name its place: --data PATH'
        )
    data, about = load(where, None if path else settings.format)
    same = None if noted is None or noted['fingerprint'] is None else noted['fingerprint'] == about['fingerprint']
    same = False if noted is None else same
    if path is None and not same:
        raise Corrupt(
            f'{where}: not the recording that {run.path} was trained on (its fingerprint differs); to judge by it all '
            f'the same: --data {where}'
        )
    return (data, about), same


def kept_back(algo: str, cfg: Any, settings: Settings, data: Dataset, same: bool | None) -> tuple[Dataset, bool | None]:
    """The episodes for losses and actions, in the recorder's units, and whether the run never learned from them: its
    own hold-out, else all; of another recording all."""
    if settings.shuffle_rewards and same:
        data = data.relabel(lambda data: shuffled(data, settings.seed))
    chosen = algorithm(algo).ALGO.select(data, cfg)
    if settings.holdout and same:
        return chosen.split(settings.holdout, settings.seed)[1], True
    return chosen, None if same is None else not same


def fqe(agents: Agent, boundary: Boundary, data: Dataset, request: Request) -> dict[str, Any]:
    """What the fits say, as a tree for JSON: `values` [S, F] and `curve` [S, C] of S policies."""
    count = jax.tree.leaves(agents)[0].shape[0]
    number = request.fits or -(-FITS // count)
    gamma = getattr(agents.cfg, 'gamma', FITTING.gamma) if request.gamma is None else request.gamma
    cfg = replace(FITTING, gamma=gamma, steps=FITTING.steps if request.steps is None else request.steps)
    fits = judge(agents, boundary, data, cfg, number, seed=request.seed, tell=request.tell)
    return {
        'gamma': gamma,
        'config': asdict(cfg),
        'values': fits.value.tolist(),
        'drift': float(fits.drift.max()),
        'curve': {'steps': fits.steps.tolist(), 'values': fits.values.mean(1).tolist()},
    }


def recorded(data: Dataset, gamma: float) -> dict[str, float]:
    """What the recorder earned: the mean discounted return of its episodes, and the mean weight of what was cut off."""
    first, final = data.episodes().T
    cut = np.asarray(data.mask)[np.maximum(final - 1, first)] > 0
    return {'value': float(to_go(data, gamma)[first].mean()), 'cut': float((cut * gamma ** (final - first)).mean())}


def reachable(data: Dataset, gamma: float) -> list[float]:
    """[lowest, highest] value that a policy can have if no reward lies outside the recorded ones."""
    reward = np.asarray(data.reward)[np.asarray(data.starts)]
    return [min(float(reward.min()), 0.0) / (1 - gamma), max(float(reward.max()), 0.0) / (1 - gamma)]


def listed(found: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """{name: [S]} for JSON."""
    return {name: np.asarray(value, np.float64).tolist() for name, value in found.items()}

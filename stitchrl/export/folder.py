"""Taking a policy away: a folder in one of three forms, checked against the run before it is there."""

import datetime as dt
import json
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from stitchrl import __version__
from stitchrl.algos import PLAYERS
from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Spec
from stitchrl.data.formats.write import whole
from stitchrl.errors import Corrupt, MissingExtra, StitchError, UsageError
from stitchrl.export import runner
from stitchrl.export.to_stablehlo import DAYS
from stitchrl.runs import policy
from stitchrl.runs.checkpoint import digest, sync
from stitchrl.runs.policy import Policy, asked

KINDS = {kind: f'stitchrl.export.to_{kind}' for kind in ('numpy', 'stablehlo', 'onnx')}
OBSERVATIONS = 256  # on which an export is compared with the run
FAR = 1e-4  # of an action's range, or of 1 if that is more: rounding stays below, another program does not
SAME = 0.99  # share of discrete actions that are the same; where two are worth the same, rounding decides


class Exported:
    """An exported policy: NumPy in, NumPy out, greedy, in the user's units, as runs.policy.Policy."""

    def __init__(self, folder: Path, about: dict[str, Any]):
        self.manifest, self.spec = about, Spec.from_json(about['spec'])
        self.run = form(about['kind']).load(folder)

    def reset(self, n: int = 1) -> None:
        """Nothing is remembered; here so that every policy has it."""

    def __call__(self, obs: Any) -> np.ndarray:
        """One observation to an action [A] or [], or a batch [n, ...] to [n, A] or [n]. UsageError says what is wrong
        with an observation."""
        batch, single = asked(obs, self.spec)
        action = self.run(batch)
        return action[0, ...] if single else action


def export(source: str | Path, out: str | Path, to: str, seed: int = 0) -> dict[str, Any]:
    """Write the policy of agent `seed` of a run, or of a policy folder, as a new folder `out`; returns its manifest.

    It is there as a whole or not at all. UsageError for an `out` that exists and for a policy that has no such form,
    StitchError where it would not act as the run does, MissingExtra.
    """
    out = Path(out)
    if to not in KINDS:
        raise UsageError(f'--to {to}: expected one of {", ".join(KINDS)}')
    if out.exists() or not out.parent.is_dir():
        what = 'is there already; choose another name' if out.exists() else f'no folder {out.parent}; make it first'
        raise UsageError(f'{out}: {what}')
    algo, agents, boundary, spec = policy.load_all(policy.inside(source))
    mine, about = Policy(agents, boundary, spec, seed), {'kind': to, 'format': runner.FORMAT, 'algo': algo}
    if algo in PLAYERS:
        raise UsageError(
            f'{algo} searches by the rules of its game, which no export holds; '
            'play it from the run, by stitchrl.load_policy'
        )
    if jax.tree.leaves(mine.memory):
        raise UsageError(f'{algo} remembers earlier steps; only policies of the last observation can be exported')
    about |= {'seed': seed, 'spec': spec.to_json()} | origin(to)
    whole(out, lambda hidden: fill(hidden, about, mine))
    sync(out.parent)
    return runner.manifest(out, to)


def fill(folder: Path, about: dict[str, Any], mine: Policy) -> None:
    """The files of an export, its manifest last."""
    form(about['kind']).write(folder, jax.tree.map(lambda x: x[0], mine.agents), mine.boundary, mine.spec)
    files = {path.name: digest(path) for path in sorted(folder.iterdir())}
    seal(folder, about | {'files': files})
    try:
        compared = agreement(mine, Exported(folder, about | {'files': files}))
    except MissingExtra as error:
        compared = {'not compared': str(error)}
    seal(folder, about | {'compared': compared, 'files': files})
    for path in folder.iterdir():
        sync(path)


def seal(folder: Path, about: dict[str, Any]) -> None:
    """Write the manifest with its own hash."""
    (folder / runner.MANIFEST).write_text(json.dumps(about | {'seal': runner.seal(about)}, indent=1) + '\n')


def origin(to: str) -> dict[str, Any]:
    """When and with what it is made, and the last day on which it is taken: a StableHLO program has one."""
    made = dt.datetime.now(dt.UTC).date()
    last = (made + dt.timedelta(DAYS)).isoformat() if to == 'stablehlo' else None
    packages = {'stitchrl': __version__, 'jax': version('jax'), 'numpy': version('numpy')}
    return {'made': made.isoformat(), 'expires': last, 'versions': packages}


def agreement(mine: Policy, theirs: Exported) -> dict[str, Any]:
    """How far an export is from its policy, in the user's units. StitchError where that is more than rounding."""
    obs, spec = observations(mine.spec, mine.boundary), mine.spec
    ours, other = mine(obs), theirs(obs)
    told: dict[str, Any] = {'observations': len(obs)}
    if spec.discrete:
        told['same action'] = float(np.mean(ours == other))
        good = told['same action'] >= SAME
    else:
        gap, room = np.abs(ours - other), np.maximum(np.asarray(mine.boundary.high - mine.boundary.low), 1)
        told['largest difference'] = float(gap.max())
        good = bool((gap <= FAR * room).all())
    if not good:
        raise StitchError(f'the {theirs.manifest["kind"]} export does not act as the run does: {told}; nothing is kept')
    return told


def observations(spec: Spec, boundary: Boundary) -> np.ndarray:
    """Such as the policy was trained on, as far as its boundary knows, and three times as far out."""
    rng, shape = np.random.default_rng(0), (OBSERVATIONS, *spec.obs.shape)
    if spec.obs.image:
        return rng.integers(0, 256, shape, np.uint8)
    spread = np.resize([1.0, 3.0], (OBSERVATIONS, *[1] * len(spec.obs.shape)))
    mean, std = np.asarray(boundary.mean), np.asarray(boundary.std)
    return (mean + std * spread * rng.normal(size=shape)).astype(spec.obs.dtype)


def load(folder: str | Path) -> Exported:
    """An export, none of whose files has changed. Corrupt says what is wrong; MissingExtra."""
    folder = Path(folder)
    try:
        about = runner.manifest(folder)
        last = about['expires'] and dt.date.fromisoformat(about['expires'])
        if last and dt.date.today() > last:
            raise ValueError(
                f'{folder}: expired on {last}. JAX promises to read a program for six months; '
                f'export it again from the run: stitch export RUN OUT --to {about["kind"]}'
            )
        return Exported(folder, about)
    except (ValueError, *policy.UNUSABLE) as error:
        raise Corrupt(f'{error}' if str(folder) in str(error) else f'{folder}: no usable export ({error})') from None


def form(kind: str) -> Any:
    """The module that writes and loads one."""
    return import_module(KINDS[kind])

"""A policy as a folder: weights, spec and boundary. Numbers and JSON only; opening it runs no code from it."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.algos import algorithm
from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.core.config import from_json, to_json
from stitchrl.core.learner import Learner
from stitchrl.core.spec import Spec
from stitchrl.data.pool import Pool
from stitchrl.errors import Corrupt, UsageError
from stitchrl.export import runner
from stitchrl.loops.evaluate import act
from stitchrl.runs.checkpoint import aside, flatten, unflatten
from stitchrl.runs.files import digest, sync, write_durably, writing

WEIGHTS, ABOUT = 'weights.safetensors', 'policy.json'
UNUSABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError)  # of altered JSON


class Policy:
    """What a trained agent does, in the user's units: NumPy in, NumPy out, greedy."""

    def __init__(self, agents: Agent, boundary: Boundary, spec: Spec, seed: int = 0):
        count = jax.tree.leaves(agents)[0].shape[0]
        if not 0 <= seed < count:
            raise UsageError(f'seed {seed}: this run trained {count}, numbered from 0')
        self.agents = jax.tree.map(lambda x: jnp.asarray(x[seed : seed + 1]), agents)
        self.boundary, self.spec = jax.device_put(boundary), spec
        self.reset()

    def reset(self, n: int = 1) -> None:
        """Forget what was remembered of earlier steps, before a new episode in n environments."""
        self.count = n
        self.memory = jax.tree.map(lambda x: x[None], jax.tree.map(lambda x: x[0], self.agents).remember(n))

    def __call__(self, obs: Any) -> np.ndarray:
        """One observation [...] to an action [A] or [], or a batch [n, ...] to [n, A] or [n].

        Raises UsageError naming the width or kind of number that was expected, and for numbers that are not finite.
        """
        batch, single = asked(obs, self.spec)
        if len(batch) != self.count and jax.tree.leaves(self.memory):
            raise UsageError(
                f'this policy remembers {self.count} environment{"s" * (self.count > 1)} and was given {len(batch)} '
                f'observations; call reset({len(batch)}) before an episode'
            )
        action, self.memory = act(self.agents, self.boundary, self.memory, batch[None], jr.key(0))
        return np.asarray(action[0, 0] if single else action[0])


def asked(obs: Any, spec: Spec) -> tuple[np.ndarray, bool]:
    """(observations [n, ...] as the spec has them, whether it was a single one). UsageError as in Policy's call."""
    try:
        return runner.observations(obs, spec.obs.shape, np.dtype(spec.obs.dtype))
    except ValueError as error:
        raise UsageError(str(error)) from None


def without_optimisers(agents: Agent) -> Agent:
    """The agents with empty optimiser states and without what they imagined: what a policy needs."""

    def bare(node: Any) -> Any:
        if isinstance(node, Learner):
            return Learner(node.net, (), None)
        return () if isinstance(node, Pool) else node

    return jax.tree.map(bare, agents, is_leaf=lambda node: isinstance(node, Learner | Pool))


def save(folder: Path, algo: str, agents: Agent, boundary: Boundary, spec: Spec) -> None:
    """Write the folder as a whole; what was there before is replaced. StitchError where the disk refuses."""
    with writing(folder):
        if not folder.exists() and before(folder).exists():  # a kill came between the two renames at the end
            before(folder).replace(folder)
        for left in folder.parent.glob(f'.{folder.name}.*'):  # by a process that was killed
            shutil.rmtree(left)
        with aside(folder.with_name(f'.{folder.name}.{os.getpid()}')) as hidden:
            fill(hidden, algo, agents, boundary, spec)
            if folder.exists():
                folder.replace(before(folder))
            hidden.replace(folder)
        shutil.rmtree(before(folder), ignore_errors=True)


def before(folder: Path) -> Path:
    """Where the policy that is being replaced lies, for the moment between two renames."""
    return folder.with_name(f'.{folder.name}.before')


def fill(hidden: Path, algo: str, agents: Agent, boundary: Boundary, spec: Spec) -> None:
    """Write the files of a policy into a new folder."""
    from safetensors.numpy import save as pack

    hidden.mkdir(parents=True)
    tensors = flatten({'agents': without_optimisers(agents), 'boundary': boundary})
    packed = pack({name: np.asarray(x, order='C') for name, x in jax.device_get(tensors).items()})
    (hidden / WEIGHTS).write_bytes(packed)  # written here, so that a full disk is told as one
    about: dict[str, Any] = {
        'algo': algo,
        'config': to_json(agents.cfg),
        'spec': spec.to_json(),
        'seeds': jax.tree.leaves(agents)[0].shape[0],
        'sha256': digest(hidden / WEIGHTS),
    }
    write_durably(hidden / ABOUT, json.dumps(about | {'seal': runner.seal(about)}, indent=1))
    sync(hidden / WEIGHTS)


def load_all(folder: str | Path) -> tuple[str, Agent, Boundary, Spec]:
    """(algorithm, agents [S, ...], boundary, spec) of a policy folder. Corrupt where it cannot be used."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(folder)
    if not folder.exists() and before(folder).exists():
        folder = before(folder)
    try:
        about = json.loads((folder / ABOUT).read_text())
        if about['seal'] != runner.seal(about):
            raise Corrupt(f'{folder / ABOUT}: not as it was written (its seal differs)')
        if digest(folder / WEIGHTS) != about['sha256']:
            raise Corrupt(f'{folder / WEIGHTS}: not as it was written (its hash differs)')
        tensors, module = load_file(folder / WEIGHTS), algorithm(about['algo'])
        cfg, spec = from_json(module.Config, about['config']), Spec.from_json(about['spec'])
        make = lambda key: without_optimisers(module.ALGO.create(spec, cfg, key))
        agents = jax.eval_shape(lambda: jax.vmap(make)(jr.split(jr.key(0), about['seeds'])))
        like = {'agents': agents, 'boundary': Boundary.blank(spec)}
    except (*UNUSABLE, SafetensorError) as error:
        raise Corrupt(f'{folder}: no usable policy ({error})') from None
    tree = unflatten(like, tensors, str(folder / WEIGHTS))
    return about['algo'], tree['agents'], tree['boundary'], spec


def inside(folder: str | Path) -> Path:
    """The policy folder of a run, or the policy folder itself."""
    folder = Path(folder)
    return folder / 'policy' if (folder / 'policy').is_dir() else folder


def load(folder: str | Path, seed: int = 0) -> Policy:
    """The policy of one seed, from a policy folder or a run's."""
    _, agents, boundary, spec = load_all(inside(folder))
    return Policy(agents, boundary, spec, seed)

"""A run's policies and the place where they play."""

from dataclasses import dataclass
from typing import Any

from stitchrl import envs
from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.errors import UsageError
from stitchrl.runs import policy
from stitchrl.runs.directory import RunDir


@dataclass(frozen=True)
class Stage:
    """Agents (leaves [S, ...]), their boundary, an environment and its name."""

    agents: Agent
    boundary: Boundary
    env: Any
    name: str


def stage(run: RunDir, env: Any = None) -> Stage:
    """The policies of a run, in `env` (a name or an environment), else in the one it was judged in.

    UsageError where the run names none, and where it names one by module and class: opening a folder must not
    import code that it names. Then it has to be asked for by name.
    """
    name = env or run.judged_in()
    if name is None:
        raise UsageError(f'{run.path}: judged nowhere that has a name; say where to play: --env ENV')
    if env is None and ':' in name:
        raise UsageError(f'{run.path} was judged in {name}, which is code; if you trust it: --env {name}')
    _, agents, boundary, spec = policy.load_all(run.policy)
    made = envs.make(name) if isinstance(name, str) else name
    told = name if isinstance(name, str) else type(name).__name__
    spec.check(made.spec, str(run.path), told)
    return Stage(agents, boundary, made, told)

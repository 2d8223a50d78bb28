"""Is what the critics promise what the policies deliver?"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.types import Transition
from stitchrl.report.rollout import Played
from stitchrl.report.stage import Stage
from stitchrl.report.statistics import Interval, interval

POINTS = 100  # of a curve
HORIZONS = 5  # effective horizons, 1 / (1 - gamma), after which what is left weighs under 1 %


@dataclass(frozen=True)
class Health:
    """Q against what followed, in the units of the agent's rewards; [S, E] each."""

    promised: np.ndarray  # Q(s, pi(s)) at the first state
    delivered: np.ndarray  # discounted return from there
    gamma: float

    @property
    def excess(self) -> Interval:
        """Promised less delivered; above 0 the critics promise too much."""
        return interval(self.promised - self.delivered)


def curves(rows: list[dict[str, Any]]) -> dict[str, tuple[list[int], np.ndarray]]:
    """{'Q on data': (updates [N], values [S, N]), ...} from metrics.jsonl; {} where the algorithm has no Q.

    Updates at which a value is not finite, which are written as words, are left out.
    """
    found = {}
    for name, key in {"policy's actions": 'q/policy', "data's actions": 'q/data', 'other actions': 'q/others'}.items():
        table: dict[int, dict[int, float]] = {}
        for row in rows:
            if isinstance(row.get(key), float | int):
                table.setdefault(row['step'], {})[row['seed']] = row[key]
        seeds = max((len(values) for values in table.values()), default=0)
        steps = sorted(step for step, values in table.items() if len(values) == seeds)
        if steps:
            values = np.array([[table[step][seed] for step in steps] for seed in sorted(table[steps[0]])])
            found[name] = thinned(steps, values)
    return found


def thinned(steps: list[int], values: np.ndarray) -> tuple[list[int], np.ndarray]:
    """At most POINTS points, each the mean of its neighbours up to there: a chunk's Q is of a single batch."""
    parts = np.array_split(np.arange(len(steps)), min(POINTS, len(steps)))
    return [steps[part[-1]] for part in parts], np.stack([values[:, part].mean(1) for part in parts], 1)


def needed(stage: Stage) -> int | None:
    """Steps that an episode must be able to last for its discounted return to be the true one; None without gamma."""
    gamma = getattr(stage.agents.cfg, 'gamma', None)
    return None if gamma is None or gamma >= 1 else int(np.ceil(HORIZONS / (1 - gamma) - 1e-6))


def measure(stage: Stage, played: Played) -> Health | str:
    """Promise and delivery of episodes that were played; or, in words, why that is not known.

    Returns are true only where an episode ends as a task or could go on for `needed` steps. Where the time limit
    is shorter nothing is measured: to keep the episodes that ended by themselves would be to choose by outcome.
    """
    steps, gamma = needed(stage), getattr(stage.agents.cfg, 'gamma', None)
    if steps is None or gamma is None:
        return 'the algorithm does not discount'
    cut = ~played.terminated & (played.length < steps)
    if cut.any():
        return (
            f'{cut.sum()} of {cut.size} episodes were cut after {played.length[cut].min():,} steps or more; with gamma '
            f'{gamma:g} a return is known after {steps:,} steps only'
        )
    promised = q(stage, played.start)
    if promised is None:
        return 'the algorithm has no Q'
    scale, shift = float(stage.boundary.scale), float(stage.boundary.shift)
    return Health(promised, played.discounted(gamma, scale, shift), gamma)


def q(stage: Stage, obs: np.ndarray) -> np.ndarray | None:
    """Q(s, pi(s)) [S, E] at raw observations [S, E, ...], as each agent's `inspect` tells it; None if it does not."""
    spec = stage.env.spec
    none = jnp.zeros((1,), jnp.int32) if spec.discrete else jnp.zeros((1, spec.action_dim))
    zero = jnp.zeros(1)

    def one(agent: Any, obs: jax.Array) -> Any:
        batch = Transition(obs[None], none, zero, obs[None], zero, zero, none)
        return agent.inspect(batch, jr.key(0)).get('q/policy')

    inner = stage.boundary.obs(np.asarray(obs, np.float32))
    found = jax.jit(jax.vmap(jax.vmap(one, (None, 0))))(stage.agents, inner)
    return None if found is None else np.asarray(found, np.float64)

"""What is asked of a run, whatever the algorithm. Imports no JAX of its own."""

from dataclasses import dataclass
from typing import Any

from stitchrl.algos import algorithm
from stitchrl.core.config import from_json
from stitchrl.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """Settings of a run, whatever the algorithm."""

    data: str | None = None  # the recording to learn from
    format: str | None = None  # what the recording is, where its bytes do not say
    eval_env: str | None = None  # where policies are judged; without it they are not
    eval_episodes: int = 20  # episodes of each seed in one evaluation
    every: int | None = None  # updates between evaluations and checkpoints; default: a twentieth of all, at least 1000
    seeds: int = 5  # agents trained at once in one program
    seed: int = 0  # the first seed; agent i has seed + i
    holdout: float = 0.0  # share of the episodes kept back; every loss is then measured on them too
    shuffle_rewards: bool = False  # negative control: the rewards permuted over all steps
    out: str | None = None  # folder of the run; default: the next free runs/ALGO-0001


def configure(algo: str, preset: str, fields: dict[str, Any]) -> Any:
    """The algorithm's Config: preset, then fields. UsageError for unknown names."""
    module = algorithm(algo)
    if preset not in module.PRESETS:
        raise UsageError(f'{algo} has no preset {preset!r}; known: {", ".join(module.PRESETS)}')
    return from_json(module.Config, module.PRESETS[preset][1] | fields)

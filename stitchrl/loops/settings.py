"""What is asked of a run, whatever the algorithm. Imports no JAX of its own."""

from dataclasses import dataclass, fields
from typing import Any

from stitchrl.algos import algorithm
from stitchrl.core.config import from_json
from stitchrl.errors import UsageError
from stitchrl.loops.bounds import Spelling, argument, bounded


@dataclass(frozen=True)
class Settings:
    """Settings of a run, whatever the algorithm."""

    data: str | None = None  # the recording to learn from
    format: str | None = None  # what the recording is, where its bytes do not say
    stream: bool = False  # the recording stays on the disk and is read in blocks, for one larger than memory
    buffer_rows: int = 2**20  # of its rows that are in memory at a time, to draw from
    start: str | None = None  # a run of the same algorithm, whose agents go on learning here
    env: str | None = None  # where to learn by acting; after the recording, where there is one
    online_steps: int = 0  # steps to take there after the recording; without one, --steps counts them
    lanes: int = 1  # copies of the environment, of each seed
    processes: bool = False  # each copy of a host environment in a process of its own, for slow ones
    ratio: float = 1.0  # updates per environment step
    capacity: int = 1_000_000  # steps that are remembered, of each seed
    random_steps: int | None = None  # steps of random actions before learning; default: 1000, 0 after a recording
    mix: float = 0.5  # share of each batch that still comes from the recording
    eval_env: str | None = None  # where policies are judged; default: where they learn, else nowhere
    eval_episodes: int = 20  # episodes of each seed in one evaluation
    every: int | None = None  # steps between evaluations and checkpoints; default: a twentieth of all, at least 1000
    seeds: int = 5  # agents trained at once, in as many groups as there are cores
    seed: int = 0  # the first seed; agent i has seed + i
    holdout: float = 0.0  # share of the episodes kept back; every loss is then measured on them too
    shuffle_rewards: bool = False  # negative control: the rewards permuted over all steps
    out: str | None = None  # folder of the run; default: the next free runs/ALGO-0001


def configure(algo: str, preset: str, fields: dict[str, Any], spelt: Spelling = argument) -> Any:
    """The algorithm's Config: preset, then fields. UsageError for unknown names and numbers that cannot be meant,
    which it shows as `spelt` writes them."""
    own = {name: value for name, value in preset_of(algo, preset).items() if name not in RUN}
    return bounded(from_json(algorithm(algo).Config, own | fields), spelt)


def settings_of(algo: str, preset: str, fields: dict[str, Any], spelt: Spelling = argument) -> Settings:
    """The run's Settings: what the preset says of acting, then fields. UsageError as for `configure`."""
    own = {name: value for name, value in preset_of(algo, preset).items() if name in RUN}
    return bounded(from_json(Settings, own | fields), spelt)


def preset_of(algo: str, preset: str) -> dict[str, Any]:
    """Fields of Config and of Settings that a preset names. UsageError for an unknown one."""
    module = algorithm(algo)
    if preset not in module.PRESETS:
        raise UsageError(f'{algo} has no preset {preset!r}; known: {", ".join(module.PRESETS)}')
    return module.PRESETS[preset][1]


RUN = {field.name for field in fields(Settings)}

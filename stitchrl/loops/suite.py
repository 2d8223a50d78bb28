"""Five recordings of one task, from bad to good, named as those of D4RL (Fu et al., 2020)."""

from dataclasses import replace
from typing import Any

import numpy as np

from stitchrl.data.columns import Columns
from stitchrl.data.episodes import episode_ends, returns
from stitchrl.loops.cast import RANDOM, cast
from stitchrl.loops.gather import gather
from stitchrl.runs.directory import RunDir
from stitchrl.runs.ring import recording

ARRAYS = ('obs', 'action', 'reward', 'terminal', 'timeout', 'next_obs')


def sets(
    env: Any,
    place: str,
    medium: str,
    expert: str,
    seed: int,
    episodes: int,
    noise: float = 0.0,
    limit: int | None = None,
    agent: int = 0,
) -> dict[str, Columns]:
    """The recordings by name: random actions; the medium run's policy; what that run remembers in its ring; the expert
    run's policy; and the policies' episodes one after the other.

    `env`, `place`: where to play, and its name; `noise`: on what the policies do; `agent`: which of a run's. All play
    from the same starts. UsageError, before anything is played, for runs that do not fit.
    """
    replay, spec, _ = recording(RunDir.find(medium), agent)
    spec.check(env.spec, medium, place)
    casts = [cast(who, env.spec, place, noise if who != RANDOM else 0.0, agent) for who in (RANDOM, medium, expert)]
    bad, middling, good = (gather(*one, env, seed, episodes, limit) for one in casts)
    both = {name: np.concatenate([getattr(part, name) for part in (middling, good)]) for name in ARRAYS}
    return {
        'random': bad,
        'medium': middling,
        'medium-replay': replay,
        'expert': good,
        'medium-expert': replace(middling, **both),
    }


def mean_return(columns: Columns) -> float:
    """Over the episodes of a recording."""
    return float(returns(columns.reward, episode_ends(columns)).mean())


def share(made: dict[str, Columns]) -> float:
    """Where medium's return lies between random's, 0, and the expert's, 1, of `sets`. NaN where those are the same."""
    low, middle, high = (mean_return(made[name]) for name in ('random', 'medium', 'expert'))
    return (middle - low) / (high - low) if high != low else np.nan

"""What a loop yields after every chunk, and how metrics become means."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from stitchrl.core.agent import Agent
from stitchrl.loops.seeds import whole


class Chunk(NamedTuple):
    """What the loop yields. What it holds is donated to the next chunk: use it before asking for that."""

    step: int  # updates done; online, steps of the environments of one agent
    groups: list[Any]  # what is carried on: agents with a leading seed axis, online all that belongs to them
    info: dict[str, np.ndarray]  # name -> [S], mean over the chunk's updates
    broken: tuple[int, int, str] | None  # (update, seed, name) of the first metric that was not finite
    bad: int  # updates of the chunk in which some metric was not

    @property
    def state(self) -> Any:
        """What a checkpoint keeps, every leaf with a leading seed axis [S]."""
        return whole(self.groups)

    @property
    def agents(self) -> Agent:
        """Every leaf with a leading seed axis [S]."""
        return whole([agents_of(group) for group in self.groups])


def agents_of(state: Any) -> Agent:
    """The agents, of themselves or of what an online run carries."""
    return state if isinstance(state, Agent) else state.agents


def beside(groups: Sequence[dict[str, jax.Array]], axis: int) -> dict[str, np.ndarray]:
    """Metrics of all groups as those of one, along their seed axis."""
    return {name: np.concatenate([np.asarray(group[name]) for group in groups], axis) for name in groups[0]}


def one_row(groups: Sequence[dict[str, jax.Array]]) -> dict[str, np.ndarray]:
    """{name: [S]} of each group as a chunk of one update of all, {name: [1, S]}."""
    return {name: value[None] for name, value in beside(groups, 0).items()}


def means(each: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """{name: [chunk, S]} -> {name: [S]}, see `mean_of`."""
    count = len(next(iter(each.values()))) if each else 0
    return mean_of({name: values.sum(0) for name, values in each.items()}, count)


def mean_of(sums: dict[str, np.ndarray], count: Any) -> dict[str, np.ndarray]:
    """Sums [S] over `count` updates -> means. A part that reports `part/ran` is averaged over the updates it ran in,
    and left out where it ran in none."""
    result = {}
    for name, total in sums.items():
        ran = sums.get(name.split('/')[0] + '/ran')
        if ran is None or name.endswith('/ran'):
            result[name] = total / count
        elif ran.any():
            result[name] = total / ran
    return result


def first_broken(each: dict[str, np.ndarray], start: int) -> tuple[tuple[int, int, str] | None, int]:
    """(update, seed, name) of the earliest value that is not finite, a loss before what follows from it, and the
    number of updates with such a value."""
    found, updates = [], set()
    for name, values in each.items():
        bad = np.argwhere(~np.isfinite(values))
        updates |= set(bad[:, 0].tolist())
        if len(bad):
            found.append((int(bad[0, 0]) + start, not name.endswith('/loss'), int(bad[0, 1]), name))
    if not found:
        return None, 0
    update, _, seed, name = min(found)
    return (update, seed, name), len(updates)

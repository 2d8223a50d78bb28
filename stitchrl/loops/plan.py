"""What the online loop is told and what it tells. When to learn follows from the clock alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

UNROLLED = 4  # updates after a tick that are written out one after another


@dataclass(frozen=True)
class Plan:
    """How acting and learning of one agent take turns."""

    lanes: int = 1  # environments
    ratio: float = 1.0  # updates per environment step
    random_steps: int = 1000  # steps of uniform actions, after which learning begins
    mix: float = 0.0  # share of each batch that comes from the recording
    refresh: int = 0  # environment steps between two refreshes of the agents, 0: none

    def due(self, t: Any) -> Any:
        """Updates done before tick t [] int32, from whole numbers alone."""
        ratio = Fraction(self.ratio).limit_denominator(100)
        steps = jnp.maximum(t * self.lanes - self.random_steps, 0)
        whole, rest = steps // ratio.denominator, steps % ratio.denominator  # so that no product leaves int32
        return whole * ratio.numerator + rest * ratio.numerator // ratio.denominator

    def pieces(self, first: int, stop: int) -> Iterator[tuple[int, int, int | None]]:
        """(first tick, number, updates after each of them) of stretches from `first` to `stop`; None where their number
        changes from tick to tick, which takes a loop that copies what it carries."""
        each = Fraction(self.ratio).limit_denominator(100) * self.lanes
        quiet, busy = self.random_steps // self.lanes, -(-self.random_steps // self.lanes)
        steady = each.numerator if each.denominator == 1 and each <= UNROLLED else None
        for start, end, updates in ((0, quiet, 0), (quiet, busy, None), (busy, stop, steady)):
            here, there = max(first, start), min(stop, end)
            cuts = [t for t in range(here + 1, there) if self.refreshes(t)] if self.refresh else []
            for one, other in pairwise((here, *cuts, there)):
                if one < other:
                    yield one, other - one, updates

    def refreshes(self, t: int) -> bool:
        """Whether agents are refreshed before tick t: before the first update, and where a multiple of `refresh` steps
        is passed after it. Never before the first step, when there is nothing to look at."""
        quiet = self.random_steps // self.lanes
        if not self.refresh or t < max(quiet, 1):
            return False
        return t == quiet or t * self.lanes // self.refresh != (t - 1) * self.lanes // self.refresh


class Roots(NamedTuple):
    """[S] keys from which everything random grows."""

    act: jax.Array
    world: jax.Array
    update: jax.Array
    refresh: jax.Array


class Tally(NamedTuple):
    """What happened in a chunk, per agent."""

    updates: jax.Array  # []
    sums: dict[str, jax.Array]  # each metric summed over the updates
    bad: jax.Array  # [], updates with a value that is not finite
    episodes: jax.Array  # [], that ended
    returns: jax.Array  # [], their sum
    lengths: jax.Array  # []

    def counted(self, info: dict[str, jax.Array]) -> 'Tally':
        """With one more update, and what it told."""
        fine = jnp.isfinite(jnp.stack(list(info.values()))).all()
        sums = {name: self.sums[name] + value for name, value in info.items()}
        return self._replace(updates=self.updates + 1, sums=sums, bad=self.bad + ~fine)

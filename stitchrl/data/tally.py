"""Steps, episodes, returns and moments of a recording that is seen a part at a time. Imports no JAX."""

from dataclasses import replace

import numpy as np

from stitchrl.core.spec import Spec
from stitchrl.data.blocks import bordered, part
from stitchrl.data.check import Bound
from stitchrl.data.columns import Columns
from stitchrl.data.episodes import episode_ends
from stitchrl.data.layout import spec_of, unrolled


class Tally:
    """Filled by `add`, part after part. Sums are float64; moments are joined as by Chan, Golub and LeVeque, 1979."""

    def __init__(self, size: int):
        """`size`: rows of a block."""
        self.size = size
        self.steps = self.episodes = self.rows = self.longest = self.marked = 0
        self.mean, self.squares = np.float64(0), np.float64(0)  # of observations that a step was taken from
        self.total, self.lowest, self.highest = 0.0, np.inf, -np.inf  # of returns
        self.open = 0, 0.0  # steps and return of the episode that goes on
        self.extremes: Columns | None = None  # a row, but its actions are the lowest and the highest

    def add(self, columns: Columns, count: int) -> None:
        """The first `count` rows, whole blocks with a row behind them, or all to the recording's end."""
        self.play(columns, count)
        for start in range(0, count, self.size):
            block = unrolled(bordered(part(columns, start, min(start + self.size, count) + 1), self.size))[0]
            self.rows = max(self.rows, len(block.obs))
            self.meet(block.obs[block.starts])
        action = columns.action[:count]
        if self.extremes is not None:
            action = np.concatenate([action, self.extremes.action])
        ends = np.stack([action.min(0), action.max(0)])
        self.extremes = replace(part(columns, 0, 1), action=ends)

    def play(self, columns: Columns, count: int) -> None:
        """Lengths and returns of episodes; a step without a successor does not count."""
        ends = episode_ends(columns)[:count]
        cut = ends & ~columns.terminal[:count] if columns.next_obs is None else np.zeros(count, bool)
        last = np.flatnonzero(ends)
        first = np.unique(np.r_[0, last + 1][: count + 1])
        first = first[first < count]
        steps = np.add.reduceat(~cut, first, dtype=np.int64)
        total = np.add.reduceat(np.where(cut, 0, columns.reward[:count]), first, dtype=np.float64)
        steps[0] += self.open[0]
        total[0] += self.open[1]
        self.open = (0, 0.0) if ends[-1] else (int(steps[-1]), float(total[-1]))
        closed = np.flatnonzero(steps[: len(last)])
        self.episodes += len(closed)
        self.longest = max(self.longest, int(steps[closed].max(initial=0)))
        self.total += float(total[closed].sum())
        self.lowest = min(self.lowest, float(total[closed].min(initial=np.inf)))
        self.highest = max(self.highest, float(total[closed].max(initial=-np.inf)))
        told = columns.terminal[count - 1] or (columns.timeout is not None and columns.timeout[count - 1])
        self.marked += len(last) - (count == len(columns) and not told)

    def meet(self, obs: np.ndarray) -> None:
        """Observations [n, ...] of steps."""
        n, before = len(obs), self.steps
        self.steps += n
        if not n or obs.dtype == np.uint8:  # images are not normalised
            return
        mean = obs.mean(0, dtype=np.float64)
        gap = mean - self.mean
        self.squares = self.squares + np.square(obs - mean).sum(0) + gap**2 * (before * n / self.steps)
        self.mean = self.mean + gap * (n / self.steps)

    def spec(self, low: Bound, high: Bound) -> Spec:
        """Of the whole; bounds as `Dataset.from_columns` says."""
        assert self.extremes is not None
        return spec_of(self.extremes, self.longest, low, high)

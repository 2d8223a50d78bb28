"""Experience as columns in time order, sampled inside compiled programs.

    row            0     1     2     3     4     5     6
    obs            s0    s1    s2    s3    s0'   s1'   s2'
    action, reward a0    a1    a2    -     a0'   a1'   -
    mask           1     1     0     -     1     1     -      0 where the task itself ended: stop the bootstrap
    ends           0     0     0     1     0     0     1      1 where the recording stops: row of the last observation

An episode of T steps has T + 1 rows, and row i + 1 is always the true successor of row i. The first episode
above ended as a task; the second was cut, by a time limit say, and its last step still bootstraps from s2'.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition, Window
from stitchrl.data.check import check, refuse
from stitchrl.data.columns import Columns
from stitchrl.data.formats.arrays import columns_from
from stitchrl.data.layout import spec_of, unrolled
from stitchrl.data.sampling import transitions, windows
from stitchrl.errors import BadData, UsageError


class Dataset(eqx.Module):
    """A frozen recording of N rows. Leaves are NumPy arrays after loading, device arrays in training."""

    obs: Any  # [N, ...]
    action: Any  # [N, A] float32, or [N] int32
    reward: Any  # [N] float32
    mask: Any  # [N] float32
    ends: Any  # [N] float32
    starts: Any  # [M] int32, the rows from which a step was taken
    spec: Spec = eqx.field(static=True)
    labels: dict[str, Any] = eqx.field(default_factory=dict)  # name -> [N], what an agent wrote beside the rows

    @classmethod
    def from_columns(cls, columns: Columns, low: Any = None, high: Any = None, actions: int | None = None) -> 'Dataset':
        """From a recording with one row per step.

        Bounds of continuous actions: `low`, `high`, else what the file states, else [-1, 1] when all actions lie
        in it, else the data's own range. How many choices there are: `actions`, else one more than the largest
        seen. Where the file has no successor column, the last step of an episode that was cut has no successor
        either: the step is dropped and its observation kept as the final row.
        Raises BadData when no step is left or `actions` are fewer than seen, UsageError for `actions` that cannot be
        meant. Does not check values: see `stitchrl.data.check`.
        """
        rows, drop = unrolled(columns)
        if len(rows.starts) == 0:
            raise BadData(f'no step with a successor in {len(columns)} rows ({drop} dropped): nothing to learn from')
        longest = int(np.diff(np.flatnonzero(rows.ends), prepend=-1).max()) - 1
        return cls(*rows, spec_of(columns, longest, low, high, actions))

    @classmethod
    def from_arrays(
        cls,
        obs: Any,
        action: Any,
        reward: Any,
        terminal: Any,
        timeout: Any = None,
        next_obs: Any = None,
        actions: int | None = None,
        **limits: Any,
    ) -> 'Dataset':
        """From arrays with one row per step: obs [N, ...], action [N, A] or [N] integers, reward [N], terminal [N],
        and if there are any timeout [N] and next_obs [N, ...]; by the same rules as a file. `actions`: how many choices
        there are, for a recording that never takes the last one. `low=`, `high=`: bounds of continuous actions.

        Raises BadData for what must not be trained on, naming column, row and a fix; UsageError for `actions` that
        cannot be meant.
        """
        columns = columns_from(
            obs=obs, action=action, reward=reward, terminal=terminal, timeout=timeout, next_obs=next_obs
        )
        refuse(check(columns, **limits))
        return cls.from_columns(columns, **limits, actions=actions)

    def __len__(self) -> int:
        """Number of steps (final rows do not count)."""
        return len(self.starts)

    def rows(self, key: jax.Array, n: int) -> jax.Array:
        """n rows from which a step was taken, uniform, with replacement: [n] int32."""
        return self.starts[jr.randint(key, (n,), 0, len(self.starts))]

    def ahead(self, row: jax.Array, k: jax.Array) -> jax.Array:
        """The row k steps later, or the very last one."""
        return jnp.minimum(row + k, len(self.obs) - 1)

    def seen(self, row: jax.Array) -> jax.Array:
        """Observations of rows [...], [..., *obs]."""
        return self.obs[row]

    def sample(self, key: jax.Array, n: int, steps: int = 1, gamma: float = 0.99) -> Transition:
        """n transitions over up to `steps` steps, uniform over steps, with replacement. Stops early at an end."""
        return transitions(self, self.rows(key, n), steps, gamma)

    def windows(self, key: jax.Array, n: int, length: int) -> Window:
        """n windows of `length` rows that start at any step; past the end the final row is repeated, inside = 0."""
        return windows(self, self.rows(key, n), length)

    def history(self) -> tuple[Transition, jax.Array]:
        """Every step in order, [M, ...], and how many there are."""
        return transitions(self, jnp.asarray(self.starts), 1, 1.0), jnp.int32(len(self.starts))

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of the observations that a step was taken from, float64, each like one observation."""
        rows = np.asarray(self.obs)[np.asarray(self.starts)]
        return rows.mean(0, dtype=np.float64), rows.std(0, dtype=np.float64)

    def return_range(self) -> tuple[float, float]:
        """The lowest and the highest undiscounted sum of rewards of an episode."""
        returns = self.returns()
        return float(returns.min()), float(returns.max())

    def episodes(self) -> np.ndarray:
        """[E, 2]: first row and final row of each episode."""
        final = np.flatnonzero(np.asarray(self.ends))
        return np.stack([np.concatenate([[0], final[:-1] + 1]), final], 1)

    def returns(self) -> np.ndarray:
        """[E]: undiscounted sum of rewards of each episode."""
        total = np.concatenate([[0.0], np.cumsum(np.asarray(self.reward, np.float64))])
        first, final = self.episodes().T
        return total[final] - total[first]

    def best(self, fraction: float) -> 'Dataset':
        """The `fraction` of episodes, rounded up, with the highest undiscounted returns. UsageError outside (0, 1]."""
        if not 0 < fraction <= 1:
            raise UsageError(f'best({fraction}): the share of episodes to keep lies in (0, 1]')
        order = np.argsort(-self.returns(), kind='stable')
        count = int(np.ceil(fraction * len(order) - 1e-9))  # 0.07 x 100 is 7.000000000000001
        return self.keep(np.sort(order[: max(1, count)]))

    def split(self, fraction: float, seed: int) -> tuple['Dataset', 'Dataset']:
        """(the rest, held out): whole episodes, `fraction` of them at random and at least one on either side."""
        count = len(self.episodes())
        held = int(np.clip(round(fraction * count), 1, count - 1)) if count > 1 else 0
        if not held:
            raise UsageError('cannot hold out whole episodes of a recording that has only one')
        order = np.random.default_rng(seed).permutation(count)
        return self.keep(np.sort(order[held:])), self.keep(np.sort(order[:held]))

    def keep(self, episodes: np.ndarray) -> 'Dataset':
        """Only these episodes, by number."""
        first, final = self.episodes()[episodes].T
        rows = np.concatenate([np.arange(a, b + 1) for a, b in zip(first, final, strict=True)])
        columns = [np.asarray(x)[rows] for x in (self.obs, self.action, self.reward, self.mask, self.ends)]
        starts = np.flatnonzero(columns[-1] == 0).astype(np.int32)
        return Dataset(*columns, starts=starts, spec=self.spec)

    def with_columns(self, **columns: Any) -> 'Dataset':
        """The same rows with some columns replaced, each as long as the dataset."""
        for name, column in columns.items():
            if len(column) != len(self.obs):
                raise UsageError(f'column {name} has {len(column)} rows, the dataset {len(self.obs)}')
        return replace(self, **columns)

    def with_labels(self, labels: dict[str, Any]) -> 'Dataset':
        """The same rows with an agent's columns beside them."""
        return replace(self, labels=labels) if labels else self

    def relabel(self, reward: Callable[['Dataset'], Any]) -> 'Dataset':
        """New rewards [N] from a fixed function of the dataset; final rows get none."""
        return self.with_columns(reward=np.where(np.asarray(self.ends) > 0, 0, reward(self)).astype(np.float32))

"""Experience as it comes in: rings of rows in time order, written in place, sampled as a recording is.

    rows of one lane     ... s7   s8   s9    s0'  s1'  [s2']
    ends                 ... 0    0    1     0    0     1       the newest row holds what is seen now, and closes

A lane is the stream of one environment. Each `add` writes the row of a step and, behind it, the observation it led
to as a final row; the next step of the same episode writes over that one. So every row from which a step was taken
has its true successor at any time, and a stream that is still going reads like a recording that was cut there.
"""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.spec import Spec
from stitchrl.core.types import Step, Transition, Window
from stitchrl.data.sampling import transitions, windows
from stitchrl.errors import UsageError


class Replay(eqx.Module):
    """A ring of `size` rows for each of `lanes` streams; row r of lane l lies at l x size + r mod size.

    Of stacked images each frame is kept once; stacks are cut when sampled, and at the start of an episode its first
    frame stands for those before.
    """

    obs: jax.Array  # [lanes x size, ...]; of stacks the newest frame
    action: jax.Array  # [.., A] float32 or [..] int32
    reward: jax.Array  # [..] float32
    mask: jax.Array  # [..] float32
    ends: jax.Array  # [..] float32
    starts: jax.Array  # [..] int32, of each lane's steps in order, round and round: the number of its row
    first: jax.Array  # [lanes] int32, the oldest step that is still there
    last: jax.Array  # [lanes] int32, steps taken
    row: jax.Array  # [lanes] int32, number of the row to be written next
    open: jax.Array  # [lanes] bool, whether an episode is going
    spec: Spec = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, capacity: int, lanes: int = 1) -> 'Replay':
        """Empty, with room for `capacity` rows in all. UsageError where a lane gets fewer than four."""
        size = capacity // lanes
        if size < 4:
            raise UsageError(f'a ring of {capacity} rows for {lanes} environments; each needs at least 4')
        n, none = size * lanes, jnp.zeros(lanes, jnp.int32)
        frame = spec.obs.shape[1:] if spec.obs.frames > 1 else spec.obs.shape
        action = jnp.zeros(n, jnp.int32) if spec.discrete else jnp.zeros((n, spec.action_dim))
        return cls(
            obs=jnp.zeros((n, *frame), spec.obs.dtype),
            action=action,
            reward=jnp.zeros(n),
            mask=jnp.ones(n),
            ends=jnp.ones(n),  # so that no stack reaches back to before the first row
            starts=jnp.zeros(n, jnp.int32),
            first=none,
            last=jnp.copy(none),
            row=jnp.copy(none),
            open=jnp.zeros(lanes, bool),
            spec=spec,
        )

    @property
    def lanes(self) -> int:
        return self.row.shape[0]

    @property
    def size(self) -> int:
        """Rows of one lane."""
        return self.reward.shape[0] // self.lanes

    def __len__(self) -> int:
        """Steps that can be sampled; outside of compiled programs only."""
        return int(self.counts().sum())

    def counts(self) -> jax.Array:
        """[lanes] int32, steps that can be sampled."""
        return self.last - self.first

    def place(self, lane: jax.Array, row: jax.Array) -> jax.Array:
        """Where row number `row` of `lane` lies."""
        return lane * self.size + row % self.size

    def add(self, step: Step) -> 'Replay':
        """One step of every lane whose `valid` is set; leaves of `step` are [lanes, ...]."""
        valid, done, lane = step.valid, step.terminated | step.truncated, jnp.arange(self.lanes)
        nowhere = self.lanes * self.size + lane  # writes there are dropped
        here = lambda row: jnp.where(valid, self.place(lane, row), nowhere)
        behind = lambda row: jnp.where(valid, self.place(lane, row), nowhere + self.lanes)
        rows = jnp.concatenate([here(self.row), behind(self.row + 1)])
        # A second place that is none: one alone XLA would write as a slice, and copy the ring to do so.
        steps = jnp.concatenate([here(self.last), nowhere + self.lanes])
        put = lambda where, column, now, then: column.at[where].set(
            jnp.concatenate([now, then]).astype(column.dtype), mode='drop', unique_indices=True
        )
        zero = jnp.zeros_like
        ring = replace(
            self,
            obs=put(rows, self.obs, self.newest(step.obs), self.newest(step.next_obs)),
            action=put(rows, self.action, step.action, zero(step.action)),
            reward=put(rows, self.reward, step.reward, zero(step.reward)),
            mask=put(rows, self.mask, ~step.terminated, jnp.ones_like(done)),
            ends=put(rows, self.ends, zero(done), jnp.ones_like(done)),
            starts=put(steps, self.starts, self.row, self.row),
            last=self.last + valid,
            row=self.row + valid * (1 + done),
            open=jnp.where(valid, ~done, self.open),
        )
        return ring.forget(jnp.where(valid, self.row + 1, self.row - 1))

    def forget(self, newest: jax.Array) -> 'Replay':
        """Let go of the steps whose rows lie under `newest` [lanes] or before: a step writes at most two rows."""
        lane, first = jnp.arange(self.lanes), self.first
        for _ in range(2):
            oldest = self.starts[self.place(lane, first)]
            first = first + ((first < self.last) & (oldest <= newest - self.size))
        return replace(self, first=first)

    def cut(self) -> 'Replay':
        """Close the episodes that are going: what follows is not their continuation."""
        return replace(self, row=self.row + self.open, open=jnp.zeros_like(self.open))

    def newest(self, obs: jax.Array) -> jax.Array:
        """Of observations [lanes, ...] what is kept: all, or of stacks [lanes, frames, ...] the last frame."""
        return obs[:, -1] if self.spec.obs.frames > 1 else obs

    def ahead(self, row: jax.Array, k: jax.Array | int) -> jax.Array:
        """The place of the row k later in the same lane, or earlier where k is negative."""
        base = row // self.size * self.size
        return base + (row - base + k) % self.size

    def seen(self, row: jax.Array) -> jax.Array:
        """Observations at places [...], [..., *obs]."""
        if self.spec.obs.frames == 1:
            return self.obs[row]
        rows = [row]
        for _ in range(self.spec.obs.frames - 1):
            before = self.ahead(rows[0], -1)
            rows.insert(0, jnp.where(self.ends[before] > 0, rows[0], before))
        return self.obs[jnp.stack(rows, -1)]

    def rows(self, key: jax.Array, n: int) -> jax.Array:
        """Places of n rows from which a step was taken, uniform over all lanes' steps, with replacement: [n]."""
        counts = self.counts()
        upto = jnp.cumsum(counts)
        which = jr.randint(key, (n,), 0, jnp.maximum(upto[-1], 1))
        lane = jnp.searchsorted(upto, which, side='right').astype(jnp.int32)
        step = self.first[lane] + which - (upto - counts)[lane]
        return self.place(lane, self.starts[self.place(lane, step)])

    def sample(self, key: jax.Array, n: int, steps: int = 1, gamma: float = 0.99) -> Transition:
        """n transitions over up to `steps` steps, uniform over steps, with replacement. Stops early at an end."""
        return transitions(self, self.rows(key, n), steps, gamma)

    def history(self) -> tuple[Transition, jax.Array]:
        """The steps that are there in the order they were taken, [N, ...], and how many that is; those after them are
        none. As long as nothing was written over, a step keeps its place from call to call. Of lanes that took
        different numbers of steps the last of the longer ones are left out."""
        step, lane = (x.ravel() for x in jnp.indices((self.size, self.lanes)))
        where = self.place(lane, self.starts[self.place(lane, self.first[lane] + step)])
        return transitions(self, where, 1, 1.0), self.counts().min() * self.lanes

    def windows(self, key: jax.Array, n: int, length: int) -> Window:
        """n windows of `length` rows that start at any step; past the end the final row is repeated, inside = 0."""
        return windows(self, self.rows(key, n), length)


def memory(spec: Spec, capacity: int, lanes: int = 1) -> int:
    """Bytes that a ring takes, from shapes alone."""
    ring = jax.eval_shape(lambda: Replay.create(spec, capacity, lanes))
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(ring))

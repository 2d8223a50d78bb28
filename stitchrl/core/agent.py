"""What every algorithm is: an immutable pytree that acts and learns."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset

Info = dict[str, jax.Array]


class Agent(eqx.Module):
    """An algorithm and all it has learned. Every leaf is an array; `cfg` is static.

    No keys and no counters inside: the loop owns the randomness and the clock. `cfg` has at least `batch`
    (rows of an update) and `steps` (planned in all: updates offline, steps of the environment online), and `refresh`
    (how many of those steps lie between two calls of it) where the agent looks at all that is there now and then.
    """

    cfg: eqx.AbstractVar[Any]

    @classmethod
    @abstractmethod
    def create(cls, spec: Spec, cfg: Any, key: jax.Array) -> 'Agent':
        """A fresh agent. UsageError where the algorithm cannot work in this space or with these settings."""

    @classmethod
    def select(cls, data: Dataset, cfg: Any) -> Dataset:
        """The part of the data that the algorithm learns from, on the host, once before training. Default: all."""
        return data

    @classmethod
    def enter(cls, first: Callable[[], Any], cfg: Any) -> None:
        """UsageError for an environment that it cannot learn in although it could by the spec. `first()` begins an
        episode there and returns the observation, in raw units. Default: any will do."""

    @classmethod
    def in_parts(cls, cfg: Any) -> bool:
        """Whether it can learn from a recording that is never in memory as a whole: it neither selects nor labels."""
        whole = cls.select.__func__ is Agent.select.__func__ and cls.label is Agent.label
        return whole and cls.refresh is Agent.refresh

    @classmethod
    def going_on(cls, cfg: Any) -> Any:
        """The settings for learning from data when acting follows, such as rates that must not end at 0."""
        return cfg

    def remember(self, n: int) -> Any:
        """Memory between steps for n environments, leading axis n; () where there is none."""
        return ()

    @abstractmethod
    def act(self, memory: Any, obs: jax.Array, key: jax.Array, t: jax.Array | None = None) -> tuple[jax.Array, Any]:
        """obs [n, ...] -> action [n, A] in [-1, 1] or [n] int32, and memory. t None: greedy; t: the environment
        step, explores. The key is consumed."""

    @property
    def passes(self) -> float:
        """Rows that go through all weights for one decision, about: what planning costs beside an update."""
        return 1.0

    def draw(self, data: Dataset, key: jax.Array) -> Transition:
        """The batch of one update. Offline it is drawn while the update before goes on, so it may depend on nothing
        that `update` changes."""
        return data.sample(key, self.cfg.batch)

    def label(self, data: Dataset) -> dict[str, jax.Array]:
        """Columns [N] of its own that `draw` finds in `data.labels`, such as returns. They may depend on nothing
        that changes between two calls of `refresh`: a resumed run computes them anew."""
        return {}

    def refresh(self, data: Any, key: jax.Array, t: jax.Array) -> 'Agent':
        """What is done now and then with all of the data, a recording or a ring: fit a model, roll it out, take over
        what labels depend on. Called before step t where that is a multiple of `cfg.refresh`, online also before the
        first update; `label` is called after it. Default: nothing."""
        return self

    @abstractmethod
    def update(self, batch: Any, key: jax.Array, t: jax.Array) -> tuple['Agent', Info]:
        """One update: the next agent, and scalars named `part/quantity`. Pure; t counts updates from 0."""

    def inspect(self, batch: Any, key: jax.Array) -> Info:
        """Diagnostics, once per chunk: Q on the data's actions, Q on the policy's, their gap."""
        return {}

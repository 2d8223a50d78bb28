"""What every model of a world is: something with `step`. Planners, roll-outs and searches ask nothing else of it."""

from abc import abstractmethod
from collections.abc import Callable
from inspect import isfunction
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from stitchrl.core.types import Transition

Info = dict[str, jax.Array]


class WorldModel(eqx.Module):
    """Predicts in the agent's units, for B rows at once: a leaf of `latent` is [B, ...].

    The particles of one plan are rows that lie apart: P particles of N candidates are [P, N] flattened, so that a
    model made of several members can keep one member for each particle.
    """

    @abstractmethod
    def observe(self, latent: Any, action: Any, obs: jax.Array, key: jax.Array) -> Any:
        """The latent after `action` led to `obs` [B, ...]; before the first step `latent` and `action` are None.
        A model of observations answers with what was observed."""

    @abstractmethod
    def step(self, latent: Any, action: jax.Array, key: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
        """action [B, A] in [-1, 1] or [B] int32 -> (next latent, reward [B], mask [B]). mask: the chance that the
        task goes on, 0 where it ended with this step. The key is consumed and serves all rows."""

    def loss(self, batch: Any, key: jax.Array) -> tuple[Info, Info]:
        """(losses by name, info), of a model that learns."""
        raise NotImplementedError(f'{type(self).__name__} does not learn')

    def seen(self, latent: Any) -> jax.Array:
        """What would be observed, [B, ...]. A model of observations has nothing else."""
        return latent

    def value(self, latent: Any) -> jax.Array:
        """What is still to come after the last step of a plan, [B]. Default: nothing."""
        return jnp.zeros(jax.tree.leaves(latent)[0].shape[0])


def as_tree(function: Any) -> Any:
    """A plain function as a pytree without leaves, so that it can be a field; a module as it is."""
    return jax.tree_util.Partial(function) if isfunction(function) else function


class Rewarded(WorldModel):
    """A model with a reward of one's own: one model of how the world moves serves many tasks.

    `reward(Transition) -> [B]`, a module or a plain function, replaces what the model says, at planning time; `mask` in
    it is the model's.
    """

    model: WorldModel
    reward: Callable[[Transition], jax.Array] = eqx.field(converter=as_tree)

    def observe(self, latent: Any, action: Any, obs: jax.Array, key: jax.Array) -> Any:
        return self.model.observe(latent, action, obs, key)

    def step(self, latent: Any, action: jax.Array, key: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
        after, reward, mask = self.model.step(latent, action, key)
        batch = Transition(self.seen(latent), action, reward, self.seen(after), mask, mask, action)
        return after, self.reward(batch), mask

    def loss(self, batch: Any, key: jax.Array) -> tuple[Info, Info]:
        return self.model.loss(batch, key)

    def seen(self, latent: Any) -> jax.Array:
        return self.model.seen(latent)

    def value(self, latent: Any) -> jax.Array:
        return self.model.value(latent)


class Valued(WorldModel):
    """A model with a terminal value `net(obs [B, ...]) -> [B]`: what a plan does not reach is not worth nothing."""

    model: WorldModel
    net: Callable[[jax.Array], jax.Array] = eqx.field(converter=as_tree)

    def observe(self, latent: Any, action: Any, obs: jax.Array, key: jax.Array) -> Any:
        return self.model.observe(latent, action, obs, key)

    def step(self, latent: Any, action: jax.Array, key: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
        return self.model.step(latent, action, key)

    def loss(self, batch: Any, key: jax.Array) -> tuple[Info, Info]:
        return self.model.loss(batch, key)

    def seen(self, latent: Any) -> jax.Array:
        return self.model.seen(latent)

    def value(self, latent: Any) -> jax.Array:
        return self.net(self.seen(latent))

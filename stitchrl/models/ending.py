"""Where tasks are known to end: a model that is told so need not learn it.

Healthy ranges as in the documentation of Gymnasium's MuJoCo environments, v5, of observations in the environment's own
units; a state is over where it lies outside of them or is no number.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from stitchrl.core.spec import Spec
from stitchrl.errors import UsageError
from stitchrl.models.model import Info, WorldModel, as_tree


def between(x: jax.Array, low: float, high: float) -> jax.Array:
    """Whether x lies within (low, high); a NaN does not."""
    return (x > low) & (x < high)


def inverted_pendulum(obs: jax.Array) -> jax.Array:
    """The angle of the pole, at most 0.2 either way."""
    return between(obs[:, 1], -0.2, 0.2)


def hopper(obs: jax.Array) -> jax.Array:
    """Height above 0.7, angle within 0.2, everything but the height within 100."""
    return (obs[:, 0] > 0.7) & between(obs[:, 1], -0.2, 0.2) & between(obs[:, 1:], -100, 100).all(1)


def walker(obs: jax.Array) -> jax.Array:
    """Height from 0.8 to 2, angle within 1."""
    return between(obs[:, 0], 0.8, 2.0) & between(obs[:, 1], -1.0, 1.0)


def nowhere(obs: jax.Array) -> jax.Array:
    """Tasks that only a time limit ends."""
    return jnp.ones(obs.shape[0], bool)


class Known(NamedTuple):
    """A task whose end is known."""

    goes_on: Callable[[jax.Array], jax.Array]  # obs [B, O] -> [B] bool
    size: int | None  # O, numbers in an observation; None: any

    def check(self, name: str, spec: Spec) -> None:
        """UsageError unless observations are those of this task."""
        if self.size is not None and spec.obs.shape != (self.size,):
            shape = spec.obs.shape
            raise UsageError(f'ends {name!r} is known of observations ({self.size},), these are {shape}')


GOES_ON = {
    'never': Known(nowhere, None),
    'inverted_pendulum': Known(inverted_pendulum, 4),
    'hopper': Known(hopper, 11),
    'walker': Known(walker, 17),
}


class Ending(WorldModel):
    """A model of observations that ends where `goes_on(obs [B, O]) -> [B]` bool of what is reached says no, and where
    that is no finite number."""

    model: WorldModel
    goes_on: Callable[[jax.Array], jax.Array] = eqx.field(converter=as_tree)

    def observe(self, latent: Any, action: Any, obs: jax.Array, key: jax.Array) -> Any:
        return self.model.observe(latent, action, obs, key)

    def step(self, latent: Any, action: jax.Array, key: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
        after, reward, _ = self.model.step(latent, action, key)
        obs = self.model.seen(after)
        return after, reward, (self.goes_on(obs) & jnp.isfinite(obs).all(1)).astype(jnp.float32)

    def loss(self, batch: Any, key: jax.Array) -> tuple[Info, Info]:
        return self.model.loss(batch, key)

    def seen(self, latent: Any) -> jax.Array:
        return self.model.seen(latent)

    def value(self, latent: Any) -> jax.Array:
        return self.model.value(latent)

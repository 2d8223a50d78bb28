"""From a Spec to the networks that agents are made of: policies, Q and V. The torso is chosen here and only here."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from stitchrl.core.spec import Spec
from stitchrl.errors import UsageError
from stitchrl.maths.dists import Categorical, Mixture, Normal, Squashed, take
from stitchrl.nets.dense import MLP, Init
from stitchrl.nets.image import Pixels

LOG_STD = (-5.0, 2.0)


def torso(
    spec: Spec, hidden: tuple[int, ...], n_out: int, init: Init = 'orthogonal', beside: int = 0, *, key: jax.Array
) -> MLP | Pixels:
    """From one observation to `n_out` numbers: an MLP for a vector [n], convolutions and an MLP for an image
    [K, H, W] of bytes. beside: further inputs of the MLP. UsageError for observations of another kind."""
    if spec.obs.image:
        return Pixels(spec.obs.shape, hidden, n_out, init, beside, key=key)
    if len(spec.obs.shape) != 1:
        raise UsageError(
            f'observations {spec.obs.shape} of {spec.obs.dtype}: expected vectors (n,) or images (frames, height, '
            'width) of uint8'
        )
    return MLP(spec.obs.shape[0] + beside, hidden, n_out, init, key=key)


class Gaussian(eqx.Module):
    """obs [..., O] -> Normal with mean in (-1, 1) and a deviation that is the same in every state."""

    torso: MLP | Pixels
    log_std: jax.Array  # [A]

    def __init__(self, spec: Spec, hidden: tuple[int, ...], init: Init = 'orthogonal', *, key: jax.Array):
        self.torso = torso(spec, hidden, spec.action_dim, init, key=key)
        self.log_std = jnp.zeros(spec.action_dim)

    def __call__(self, obs: jax.Array) -> Normal:
        mean = jnp.tanh(self.torso(obs))
        std = jnp.exp(jnp.clip(self.log_std, *LOG_STD))
        return Normal(mean, jnp.broadcast_to(std, mean.shape))


class SquashedGaussian(eqx.Module):
    """obs [..., O] -> Squashed normal, mean and deviation of which depend on the state."""

    torso: MLP | Pixels

    def __init__(self, spec: Spec, hidden: tuple[int, ...], init: Init = 'orthogonal', *, key: jax.Array):
        self.torso = torso(spec, hidden, 2 * spec.action_dim, init, key=key)

    def __call__(self, obs: jax.Array) -> Squashed:
        mean, log_std = jnp.split(self.torso(obs), 2, axis=-1)
        return Squashed(mean, jnp.exp(jnp.clip(log_std, *LOG_STD)))


class Mixed(eqx.Module):
    """obs [..., O] -> Mixture of `parts` normals, all of whose parameters depend on the state."""

    torso: MLP | Pixels
    parts: int = eqx.field(static=True)

    def __init__(self, spec: Spec, hidden: tuple[int, ...], parts: int = 5, *, key: jax.Array):
        self.torso = torso(spec, hidden, parts * (2 * spec.action_dim + 1), key=key)
        self.parts = parts

    def __call__(self, obs: jax.Array) -> Mixture:
        out = self.torso(obs)
        logits, rest = out[..., : self.parts], out[..., self.parts :]
        means, log_stds = jnp.split(rest.reshape(*rest.shape[:-1], self.parts, -1), 2, axis=-1)
        return Mixture(logits, jnp.tanh(means), jnp.exp(jnp.clip(log_stds, *LOG_STD)))


class Softmax(eqx.Module):
    """obs [..., O] -> Categorical over the actions."""

    torso: MLP | Pixels

    def __init__(self, spec: Spec, hidden: tuple[int, ...], init: Init = 'orthogonal', *, key: jax.Array):
        self.torso = torso(spec, hidden, spec.action_dim, init, key=key)

    def __call__(self, obs: jax.Array) -> Categorical:
        return Categorical(self.torso(obs))


class Deterministic(eqx.Module):
    """obs [..., O] -> action [..., A] in (-1, 1)."""

    torso: MLP | Pixels

    def __init__(self, spec: Spec, hidden: tuple[int, ...], init: Init = 'orthogonal', *, key: jax.Array):
        self.torso = torso(spec, hidden, spec.action_dim, init, key=key)

    def __call__(self, obs: jax.Array) -> jax.Array:
        return jnp.tanh(self.torso(obs))


class Critic(eqx.Module):
    """obs [..., O], action [..., A] or [...] int -> Q [...]. Discrete: an output per action, one picked."""

    torso: MLP | Pixels
    discrete: bool = eqx.field(static=True)

    def __init__(self, spec: Spec, hidden: tuple[int, ...], init: Init = 'orthogonal', *, key: jax.Array):
        outputs, beside = (spec.action_dim, 0) if spec.discrete else (1, spec.action_dim)
        self.torso = torso(spec, hidden, outputs, init, beside, key=key)
        self.discrete = spec.discrete

    def all(self, obs: jax.Array) -> jax.Array:
        """Q of every discrete action, [..., n]."""
        return self.torso(obs)

    def __call__(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        if self.discrete:
            return take(self.all(obs), action)
        if isinstance(self.torso, Pixels):
            return self.torso(obs, action)[..., 0]
        return self.torso(jnp.concatenate([obs, action], -1))[..., 0]


class Value(eqx.Module):
    """obs [..., O] -> V [...]."""

    torso: MLP | Pixels

    def __init__(self, spec: Spec, hidden: tuple[int, ...], init: Init = 'orthogonal', *, key: jax.Array):
        self.torso = torso(spec, hidden, 1, init, key=key)

    def __call__(self, obs: jax.Array) -> jax.Array:
        return self.torso(obs)[..., 0]


class Positive(eqx.Module):
    """A learned number above zero, such as a temperature or a multiplier: exp(log)."""

    log: jax.Array  # []

    @classmethod
    def create(cls, value: float = 1.0) -> 'Positive':
        return cls(jnp.log(jnp.float32(value)))

    def __call__(self) -> jax.Array:
        return jnp.exp(self.log)


def policy(spec: Spec, hidden: tuple[int, ...], init: Init = 'orthogonal', *, key: jax.Array) -> Any:
    """The stochastic policy for a space: Gaussian or Softmax."""
    return (Softmax if spec.discrete else Gaussian)(spec, hidden, init, key=key)

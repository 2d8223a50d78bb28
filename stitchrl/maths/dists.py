"""Distributions over the last axis of an action, as pytrees. All have log_prob, sample and mode."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

HALF_LOG_TAU = 0.9189385332046727  # log(2 pi) / 2


class Normal(eqx.Module):
    """Independent normals. mean [..., A]; std broadcasts to it."""

    mean: jax.Array
    std: jax.Array

    def log_prob(self, x: jax.Array) -> jax.Array:
        """x [..., A] -> [...]."""
        terms = -0.5 * ((x - self.mean) / self.std) ** 2 - jnp.log(self.std) - HALF_LOG_TAU
        return terms.sum(-1)

    def sample(self, key: jax.Array) -> jax.Array:
        return self.mean + self.std * jr.normal(key, self.mean.shape)

    def mode(self) -> jax.Array:
        return self.mean


class Squashed(eqx.Module):
    """tanh of independent normals, so inside (-1, 1). mean [..., A], before the tanh; std broadcasts to it."""

    mean: jax.Array
    std: jax.Array

    def sample_and_log_prob(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """An action [..., A] and its log-density [...], exact where the action itself is rounded to the edge."""
        normal = Normal(self.mean, self.std)
        pre = normal.sample(key)
        return jnp.tanh(pre), normal.log_prob(pre) - log_slope(pre).sum(-1)

    def scored_samples(self, key: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
        """n actions [n, ..., A], constants to the gradient, with log-densities [n, ...] whose gradient is the score."""
        noise = jr.normal(key, (n, *self.mean.shape))
        normal = Normal(self.mean[None], jnp.broadcast_to(self.std, self.mean.shape)[None])
        pre = jax.lax.stop_gradient(normal.mean + normal.std * noise)
        return jnp.tanh(pre), normal.log_prob(pre) - log_slope(pre).sum(-1)

    def samples_and_log_prob(self, key: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
        """n actions [n, ..., A] with their log-densities [n, ...]."""
        return jax.vmap(self.sample_and_log_prob)(jr.split(key, n))

    def log_prob(self, x: jax.Array) -> jax.Array:
        """x [..., A] inside (-1, 1) -> [...]."""
        pre = jnp.arctanh(x)
        return Normal(self.mean, self.std).log_prob(pre) - log_slope(pre).sum(-1)

    def sample(self, key: jax.Array) -> jax.Array:
        return self.sample_and_log_prob(key)[0]

    def mode(self) -> jax.Array:
        """The most likely before the tanh, as everybody plays it; the squashed density may peak elsewhere."""
        return jnp.tanh(self.mean)


def log_slope(pre: jax.Array) -> jax.Array:
    """log of tanh's derivative, 1 - tanh^2, elementwise, in the form that does not underflow."""
    return 2 * (jnp.log(2.0) - pre - jax.nn.softplus(-2 * pre))


class Mixture(eqx.Module):
    """K diagonal normals with weights softmax(logits). logits [..., K]; means, stds [..., K, A]."""

    logits: jax.Array
    means: jax.Array
    stds: jax.Array

    def log_prob(self, x: jax.Array) -> jax.Array:
        """x [..., A] -> [...]."""
        each = Normal(self.means, self.stds).log_prob(x[..., None, :])
        return jax.nn.logsumexp(jax.nn.log_softmax(self.logits) + each, axis=-1)

    def sample(self, key: jax.Array) -> jax.Array:
        k_which, k_noise = jr.split(key)
        which = jr.categorical(k_which, self.logits)
        mean, std = self.pick(self.means, which), self.pick(self.stds, which)
        return mean + std * jr.normal(k_noise, mean.shape)

    def mode(self) -> jax.Array:
        """Mean of the component whose peak is highest: its weight over its volume."""
        peak = jax.nn.log_softmax(self.logits) - jnp.log(self.stds).sum(-1)
        return self.pick(self.means, peak.argmax(-1))

    def pick(self, values: jax.Array, which: jax.Array) -> jax.Array:
        """values [..., K, A], which [...] -> [..., A]."""
        return jnp.take_along_axis(values, which[..., None, None], axis=-2)[..., 0, :]


class Categorical(eqx.Module):
    """Over n actions. logits [..., n], not necessarily normalised."""

    logits: jax.Array

    def log_prob(self, x: jax.Array) -> jax.Array:
        """x [...] int -> [...]."""
        return take(jax.nn.log_softmax(self.logits), x)

    def sample(self, key: jax.Array) -> jax.Array:
        return jr.categorical(key, self.logits).astype(jnp.int32)

    def mode(self) -> jax.Array:
        return self.logits.argmax(-1).astype(jnp.int32)


def epsilon_greedy(q: jax.Array, epsilon: jax.Array | float, key: jax.Array) -> jax.Array:
    """The best action of q [..., n], or with probability epsilon any of the n: [...] int32."""
    k_which, k_action = jr.split(key)
    best = q.argmax(-1).astype(jnp.int32)
    other = jr.randint(k_action, best.shape, 0, q.shape[-1])
    return jnp.where(jr.uniform(k_which, best.shape) < epsilon, other, best)


def inside(action: jax.Array) -> jax.Array:
    """Continuous actions cut to [-1, 1], which a sample may leave; discrete ones as they are."""
    return action if jnp.issubdtype(action.dtype, jnp.integer) else jnp.clip(action, -1, 1)


def take(values: jax.Array, index: jax.Array) -> jax.Array:
    """values [..., n], index [...] int -> values at index, [...]."""
    return jnp.take_along_axis(values, index[..., None], axis=-1)[..., 0]

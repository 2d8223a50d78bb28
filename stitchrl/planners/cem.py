"""The cross-entropy method: sample plans from a normal, move it to the best of them, again.

    a^i = m + s eps^i,   eps truncated at two deviations,   s <= half the distance of m to the nearer bound
    m <- alpha m + (1 - alpha) mean of the elites,   s^2 likewise with their variance

so no sample leaves [-1, 1]. What is played is the mean of the last iteration: the best sample is the one whose luck
was best. Rubinstein, 1999; limits and smoothing as in PETS (Chua et al., 2018). `colour` > 0 draws eps correlated in
time, with a power spectrum f^-colour (iCEM, Pinneri et al., 2020), and clips.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.spec import Spec
from stitchrl.errors import UsageError
from stitchrl.models.model import WorldModel
from stitchrl.planners.planner import Info, Sequences, report, rest, worth


class CEM(Sequences):
    """Continuous actions; a plan in memory is a mean."""

    samples: int = eqx.field(static=True)
    elites: int = eqx.field(static=True)
    iterations: int = eqx.field(static=True)
    alpha: float = eqx.field(static=True)  # how much of the old mean and variance stays
    std: float = eqx.field(static=True)  # at the start of every plan
    colour: float = eqx.field(static=True)

    @classmethod
    def create(
        cls,
        spec: Spec,
        horizon: int = 15,
        samples: int = 400,
        elites: int | None = None,
        iterations: int = 5,
        alpha: float = 0.1,
        std: float = 0.5,
        colour: float = 0.0,
        particles: int = 1,
        gamma: float = 1.0,
    ) -> 'CEM':
        """elites: None is a tenth of the samples. UsageError for discrete actions, or elites that are no part of the
        samples."""
        if spec.discrete:
            raise UsageError('cem needs continuous actions; shooting and exhaustive take discrete ones')
        elites = max(1, samples // 10) if elites is None else elites
        if not 0 < elites <= samples:
            raise UsageError(f'{elites} elites of {samples} samples; expected 1 to {samples}')
        return cls(
            spec.action_dim, spec.discrete, horizon, particles, gamma, samples, elites, iterations, alpha, std, colour
        )

    @property
    def calls(self) -> int:
        """Steps of the model in one plan."""
        return self.horizon * self.samples * self.iterations * self.particles

    def plan(self, model: WorldModel, latent: Any, memory: jax.Array, key: jax.Array) -> tuple[jax.Array, Any, Info]:
        def one(carry: tuple[jax.Array, jax.Array], i: jax.Array) -> tuple[Any, Info]:
            mean, std = carry
            k_noise, k_imagine = jr.split(jr.fold_in(key, i))
            plans = jnp.clip(mean[None] + limited(mean, std)[None] * self.noise(k_noise), -1, 1)
            values = worth(self.imagined(model, latent, plans, k_imagine))
            return moved(mean, std, plans, values, self.elites, self.alpha), report(values)

        start = memory, jnp.full_like(memory, self.std)
        (mean, std), infos = jax.lax.scan(one, start, jnp.arange(self.iterations))
        info = {name: x[-1] for name, x in infos.items()} | {'plan/std': std.mean()}
        return mean[0], rest(mean), info

    def noise(self, key: jax.Array) -> jax.Array:
        """eps, [N, H, A]."""
        if self.colour:
            return coloured(key, (self.samples, self.dim), self.horizon, self.colour).swapaxes(1, 2)
        return jr.truncated_normal(key, -2, 2, (self.samples, self.horizon, self.dim))


def limited(mean: jax.Array, std: jax.Array) -> jax.Array:
    """The deviation, at most half the distance of the mean to the nearer bound."""
    return jnp.minimum(std, (1 - jnp.abs(mean)) / 2)


def moved(
    mean: jax.Array, std: jax.Array, plans: jax.Array, values: jax.Array, elites: int, alpha: float
) -> tuple[jax.Array, jax.Array]:
    """Mean and deviation [H, A] after an iteration, from plans [N, H, A] and their worth [N].

    Plans that came to no number are no elites; where all are lost nothing moves.
    """
    top, which = jax.lax.top_k(values, elites)
    chosen, weight = plans[which], (top > -jnp.inf).astype(plans.dtype)[:, None, None]
    count = weight.sum()
    centre = (weight * chosen).sum(0) / jnp.maximum(count, 1)
    spread = (weight * (chosen - centre[None]) ** 2).sum(0) / jnp.maximum(count, 1)
    keep = jnp.where(count > 0, alpha, 1.0)
    return keep * mean + (1 - keep) * centre, jnp.sqrt(keep * std**2 + (1 - keep) * spread)


def coloured(key: jax.Array, shape: tuple[int, ...], length: int, colour: float) -> jax.Array:
    """Noise of unit variance with power spectrum f^-colour along a last axis, [*shape, length].

    Timmer and Koenig, 1995: normal amplitudes of each frequency, scaled; the lowest stands in for frequency 0.
    """
    frequency = np.fft.rfftfreq(length)
    frequency[0] = frequency[min(1, len(frequency) - 1)] or 1.0
    scale, even = frequency ** (-colour / 2), length % 2 == 0
    real = np.zeros(len(scale), bool)  # frequencies without a phase: 0, and half the sampling rate
    real[-1], real[0] = even, True
    k_real, k_imaginary = jr.split(key)
    re, im = jr.normal(k_real, (*shape, len(scale))), jr.normal(k_imaginary, (*shape, len(scale)))
    wide = lambda x: jnp.asarray(x, jnp.float32).reshape((1,) * len(shape) + (-1,))
    spectrum = wide(scale) * jnp.where(wide(real) > 0, 2**0.5 * re + 0j, re + 1j * im)
    sides = np.where(real, 1, 2)  # every other frequency stands for two of the full spectrum
    power = (2 * sides * scale**2).sum() / length**2
    return jnp.fft.irfft(spectrum, length) / power**0.5

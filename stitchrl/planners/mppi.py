"""Model predictive path integral control: every sample counts, by the exponential of its return.

    a^i = clip(m + s eps^i),    w_i = exp((R_i - max R) / temperature) / sum,    m <- sum_i w_i a^i

`temperature` is in units of return: towards 0 the best sample is followed, towards infinity the mean stays. The
mean is played. Williams et al., 2017. With `adapt` the deviation follows the weighted samples too, down to `floor`.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.spec import Spec
from stitchrl.errors import UsageError
from stitchrl.models.model import WorldModel
from stitchrl.planners.planner import Info, Sequences, report, rest, worth


class MPPI(Sequences):
    """Continuous actions; a plan in memory is a mean."""

    samples: int = eqx.field(static=True)
    iterations: int = eqx.field(static=True)
    temperature: float = eqx.field(static=True)
    std: float = eqx.field(static=True)
    adapt: bool = eqx.field(static=True)
    floor: float = eqx.field(static=True)

    @classmethod
    def create(
        cls,
        spec: Spec,
        horizon: int = 15,
        samples: int = 400,
        iterations: int = 5,
        temperature: float = 1.0,
        std: float = 0.5,
        adapt: bool = True,
        floor: float = 0.05,
        particles: int = 1,
        gamma: float = 1.0,
    ) -> 'MPPI':
        """UsageError for discrete actions or a temperature that is not above 0."""
        if spec.discrete:
            raise UsageError('mppi needs continuous actions; shooting and exhaustive take discrete ones')
        if temperature <= 0:
            raise UsageError(f'temperature is {temperature}; expected a number above 0, in units of return')
        return cls(
            spec.action_dim,
            spec.discrete,
            horizon,
            particles,
            gamma,
            samples,
            iterations,
            temperature,
            std,
            adapt,
            floor,
        )

    @property
    def calls(self) -> int:
        """Steps of the model in one plan."""
        return self.horizon * self.samples * self.iterations * self.particles

    def plan(self, model: WorldModel, latent: Any, memory: jax.Array, key: jax.Array) -> tuple[jax.Array, Any, Info]:
        def one(carry: tuple[jax.Array, jax.Array], i: jax.Array) -> tuple[Any, Info]:
            mean, std = carry
            k_noise, k_imagine = jr.split(jr.fold_in(key, i))
            eps = jr.normal(k_noise, (self.samples, *mean.shape))
            plans = jnp.clip(mean[None] + std[None] * eps, -1, 1)
            values = worth(self.imagined(model, latent, plans, k_imagine))
            after, spread = moved(mean, std, plans, values, self.temperature)
            return (after, jnp.maximum(spread, self.floor) if self.adapt else std), report(values)

        start = memory, jnp.full_like(memory, self.std)
        (mean, std), infos = jax.lax.scan(one, start, jnp.arange(self.iterations))
        info = {name: x[-1] for name, x in infos.items()} | {'plan/std': std.mean()}
        return mean[0], rest(mean), info


def moved(
    mean: jax.Array, std: jax.Array, plans: jax.Array, values: jax.Array, temperature: float
) -> tuple[jax.Array, jax.Array]:
    """Weighted mean and deviation [H, A] of plans [N, H, A] by their worth [N]; as they were where all are lost."""
    best = values.max()
    found = best > -jnp.inf
    weight = jnp.exp((values - jnp.where(found, best, 0)) / temperature)
    weight = (weight / jnp.where(found, weight.sum(), 1))[:, None, None]
    centre = (weight * plans).sum(0)
    spread = jnp.sqrt((weight * (plans - centre[None]) ** 2).sum(0))
    return jnp.where(found, centre, mean), jnp.where(found, spread, std)

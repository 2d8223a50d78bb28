"""Every plan there is, for few actions and short horizons: n^H of them.

    a* = argmax over all sequences a_0..H-1 of the imagined return

The sequences that begin alike share their steps, so the model is asked n + n^2 + ... + n^H times. Open loop: in a
random world it finds the best sequence in the mean over particles, not the best policy.
"""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.spec import Spec
from stitchrl.errors import UsageError
from stitchrl.models.model import WorldModel
from stitchrl.planners.planner import Info, Sequences, report, rest, worth

MOST = 1_000_000  # sequences


class Exhaustive(Sequences):
    """Discrete actions."""

    @classmethod
    def create(cls, spec: Spec, horizon: int = 5, particles: int = 1, gamma: float = 1.0) -> 'Exhaustive':
        """UsageError for continuous actions, and for more than a million sequences."""
        if not spec.discrete:
            raise UsageError('exhaustive needs discrete actions; shooting, cem, mppi and gradient take continuous ones')
        if spec.action_dim**horizon > MOST:
            raise UsageError(
                f'{spec.action_dim} actions over {horizon} steps are {spec.action_dim**horizon:,} sequences, more '
                f'than {MOST:,}; shorten the horizon, or sample them with shooting'
            )
        return cls(spec.action_dim, spec.discrete, horizon, particles, gamma)

    @property
    def calls(self) -> int:
        """Steps of the model in one plan."""
        return self.particles * sum(self.dim ** (h + 1) for h in range(self.horizon))

    def plan(self, model: WorldModel, latent: Any, memory: jax.Array, key: jax.Array) -> tuple[jax.Array, Any, Info]:
        n, count, particles = self.dim, 1, self.particles
        rows = jax.tree.map(lambda x: jnp.broadcast_to(x[None], (particles, *x.shape)), latent)
        total, weight = jnp.zeros(particles), jnp.ones(particles)
        for k_step in jr.split(key, self.horizon):
            rows, total, weight = jax.tree.map(lambda x: jnp.repeat(x, n, axis=0), (rows, total, weight))
            count *= n  # rows are [particles, sequences] flattened, the last action changing fastest
            rows, reward, mask = model.step(rows, jnp.tile(jnp.arange(n), particles * count // n), k_step)
            total, weight = total + weight * reward, self.gamma * weight * mask
        values = worth((total + weight * model.value(rows)).reshape(particles, count).mean(0))
        best = digits(values.argmax(), n, self.horizon)
        return best[0], rest(best), report(values)


def digits(number: jax.Array, base: int, length: int) -> jax.Array:
    """The digits of a number [], the highest first, [length] int32."""
    powers = jnp.asarray([base**i for i in reversed(range(length))], jnp.int32)
    return (number // powers % base).astype(jnp.int32)

"""Planning by gradients: climb the imagined return through the model, from several starts.

    a <- clip(a + Adam(d return / d a)),    `restarts` plans side by side, the best of those climbed is played

One start is the last plan, the others are uniform. Needs a model whose reward says where to go from everywhere: where
it is flat or has several hills, each start only finds the top of its own. The same random numbers of the model are
used in every step of the climb, so that what is climbed stays the same.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.learner import adam
from stitchrl.core.spec import Spec
from stitchrl.errors import UsageError
from stitchrl.models.model import WorldModel
from stitchrl.planners.planner import Info, Sequences, report, rest, worth


class Gradient(Sequences):
    """Continuous actions and a differentiable model."""

    restarts: int = eqx.field(static=True)
    iterations: int = eqx.field(static=True)
    rate: float = eqx.field(static=True)  # of Adam, in units of the action, falling to 0 by a cosine
    spread: float = eqx.field(static=True)  # the uniform starts lie within this of 0

    @classmethod
    def create(
        cls,
        spec: Spec,
        horizon: int = 15,
        restarts: int = 4,
        iterations: int = 40,
        rate: float = 0.1,
        spread: float = 1.0,
        particles: int = 1,
        gamma: float = 1.0,
    ) -> 'Gradient':
        """UsageError for discrete actions, which have no gradient."""
        if spec.discrete:
            raise UsageError('gradient needs continuous actions; shooting and exhaustive take discrete ones')
        return cls(spec.action_dim, spec.discrete, horizon, particles, gamma, restarts, iterations, rate, spread)

    @property
    def calls(self) -> int:
        """Steps of the model in one plan; a step forward and back again counts as two."""
        return self.horizon * self.restarts * self.particles * (2 * self.iterations + 1)

    def plan(self, model: WorldModel, latent: Any, memory: jax.Array, key: jax.Array) -> tuple[jax.Array, Any, Info]:
        k_start, k_imagine = jr.split(key)
        shape, tx = (self.restarts, *memory.shape), adam(self.rate, self.iterations)
        plans = jr.uniform(k_start, shape, minval=-self.spread, maxval=self.spread).at[0].set(memory)
        values = lambda plans: self.imagined(model, latent, plans, k_imagine)

        def one(carry: Any, _: None) -> tuple[Any, None]:
            plans, state = carry
            slope = jax.grad(lambda plans: -values(plans).sum())(plans)
            change, state = tx.update(usable(slope), state, plans)
            return (jnp.clip(plans + change, -1, 1), state), None  # pyright: ignore[reportOperatorIssue]

        (plans, _), _ = jax.lax.scan(one, (plans, tx.init(plans)), None, self.iterations)
        reached = worth(values(plans))
        best = jnp.where(reached.max() > -jnp.inf, plans[reached.argmax()], memory)
        return best[0], rest(best), report(reached)


def usable(slope: jax.Array) -> jax.Array:
    """The gradient of each plan [K, H, A], 0 for those that have none: they stay where they are."""
    whole = jnp.isfinite(slope).all((1, 2), keepdims=True)
    return jnp.where(whole, slope, 0)

"""Random shooting: imagine many plans, take the best.

    a*_0..H-1 = argmax over N samples of the imagined return;   samples: uniform, the last plan, a policy's

The last plan is one of them (`warm`), before the first one a plan of zeros, or action 0 throughout. A policy
(`proposal`) makes plans by playing inside the model; the rest of them are uniform.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.spec import Spec
from stitchrl.models.model import WorldModel, as_tree
from stitchrl.planners.planner import Info, Sequences, report, rest, worth


class Shooting(Sequences):
    """Continuous or discrete actions."""

    samples: int = eqx.field(static=True)
    proposal: Callable[[jax.Array, jax.Array], jax.Array] | None = eqx.field(converter=as_tree)  # (obs, key) -> actions
    proposed: int = eqx.field(static=True)  # of the samples, how many are the policy's
    warm: bool = eqx.field(static=True)  # whether one is the plan in memory

    @classmethod
    def create(
        cls,
        spec: Spec,
        horizon: int = 15,
        samples: int = 1000,
        particles: int = 1,
        gamma: float = 1.0,
        proposal: Any = None,
        proposed: int = 0,
        warm: bool = True,
    ) -> 'Shooting':
        """warm: one of the samples is what is left of the last plan, at first zeros; without, all are drawn anew."""
        return cls(spec.action_dim, spec.discrete, horizon, particles, gamma, samples, proposal, proposed, warm)

    @property
    def calls(self) -> int:
        """Steps of the model in one plan."""
        return self.horizon * (self.samples * self.particles + self.proposed)

    def plan(self, model: WorldModel, latent: Any, memory: jax.Array, key: jax.Array) -> tuple[jax.Array, Any, Info]:
        k_plans, k_policy, k_imagine = jr.split(key, 3)
        plans = self.uniform(k_plans)
        plans = plans.at[0].set(memory) if self.warm else plans
        if self.proposal is not None and self.proposed:
            plans = plans.at[-self.proposed :].set(self.played(model, latent, k_policy))
        values = worth(self.imagined(model, latent, plans, k_imagine))
        best = plans[values.argmax()]
        return best[0], rest(best), report(values)

    def uniform(self, key: jax.Array) -> jax.Array:
        """[N, H, A] or [N, H] int32."""
        if self.discrete:
            return jr.randint(key, (self.samples, self.horizon), 0, self.dim)
        return jr.uniform(key, (self.samples, self.horizon, self.dim), minval=-1, maxval=1)

    def played(self, model: WorldModel, latent: Any, key: jax.Array) -> jax.Array:
        """What the policy does inside the model, [proposed, H, ...]."""
        rows = jax.tree.map(lambda x: jnp.broadcast_to(x[None], (self.proposed, *x.shape)), latent)

        def one(rows: Any, k: jax.Array) -> tuple[Any, jax.Array]:
            k_act, k_step = jr.split(k)
            action = self.proposal(model.seen(rows), k_act)  # pyright: ignore[reportOptionalCall]
            return model.step(rows, action, k_step)[0], action

        return jax.lax.scan(one, rows, jr.split(key, self.horizon))[1].swapaxes(0, 1)

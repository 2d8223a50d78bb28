"""What every planner is, and what those that search over sequences of actions share."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.models.model import WorldModel

Info = dict[str, jax.Array]


class Planner(eqx.Module):
    """Chooses an action by asking a model what would follow. No keys and no counters inside."""

    @abstractmethod
    def remember(self, n: int) -> Any:
        """What is kept from plan to plan, for n environments, leading axis n: a warm start, a subtree."""

    @abstractmethod
    def plan(self, model: WorldModel, latent: Any, memory: Any, key: jax.Array) -> tuple[jax.Array, Any, Info]:
        """From one latent (no leading axis) and one memory -> the action now ([A] in [-1, 1] or [] int32), memory
        for the next step, and scalars named `plan/quantity`. The key is consumed."""

    def follow(self, memory: Any) -> tuple[jax.Array, Any]:
        """The next action of the last plan, without planning anew, and memory for the step after that."""
        raise NotImplementedError(f'{type(self).__name__} keeps no plan that could be followed; replan at every step')


class Sequences(Planner):
    """A planner over sequences of actions. Memory: what is left of the last plan, [n, H, A], or [n, H] int32 of
    discrete actions; the next plan starts from it."""

    dim: int = eqx.field(static=True)  # A, or how many discrete actions there are
    discrete: bool = eqx.field(static=True)
    horizon: int = eqx.field(static=True)  # H, steps of a plan
    particles: int = eqx.field(static=True)  # roll-outs of each candidate, whose mean is its value
    gamma: float = eqx.field(static=True)

    def remember(self, n: int) -> jax.Array:
        return jnp.zeros((n, self.horizon), jnp.int32) if self.discrete else jnp.zeros((n, self.horizon, self.dim))

    def follow(self, memory: jax.Array) -> tuple[jax.Array, jax.Array]:
        return memory[0], rest(memory)

    def imagined(self, model: WorldModel, latent: Any, plans: jax.Array, key: jax.Array) -> jax.Array:
        """`imagine` as often and as far as this planner looks, [N]."""
        return imagine(model, latent, plans, key, self.particles, self.gamma)


def imagine(
    model: WorldModel, latent: Any, plans: jax.Array, key: jax.Array, particles: int = 1, gamma: float = 1.0
) -> jax.Array:
    """The return of each of N plans [N, H, A] or [N, H] from one latent, the mean over its particles, [N].

    sum_t gamma^t c_t r_t + gamma^H c_H value,    c_t: the chance that the task still goes on before step t
    """
    n, horizon = plans.shape[:2]
    rows = jax.tree.map(lambda x: jnp.broadcast_to(x[None], (particles * n, *x.shape)), latent)

    def one(carry: Any, inputs: Any) -> tuple[Any, None]:
        rows, total, weight = carry
        actions, t = inputs
        every = jnp.tile(actions, (particles,) + (1,) * (actions.ndim - 1))
        rows, reward, mask = model.step(rows, every, jr.fold_in(key, t))
        return (rows, total + weight * reward, gamma * weight * mask), None

    ones = jnp.ones(particles * n)
    carry, _ = jax.lax.scan(one, (rows, 0 * ones, ones), (plans.swapaxes(0, 1), jnp.arange(horizon)))
    rows, total, weight = carry
    return (total + weight * model.value(rows)).reshape(particles, n).mean(0)


def worth(values: jax.Array) -> jax.Array:
    """Values [N] by which plans are ranked: one that is not a finite number loses against any that is."""
    return jnp.where(jnp.isfinite(values), values, -jnp.inf)


def rest(plan: jax.Array) -> jax.Array:
    """What is left of a plan [H, ...] after its first step, with a zero behind it."""
    return jnp.concatenate([plan[1:], jnp.zeros_like(plan[:1])])


def report(values: jax.Array) -> Info:
    """Of the last candidates of a plan, `worth` of each [N]: the best, and the share that came to no number."""
    return {'plan/best': values.max(), 'plan/lost': jnp.isinf(values).mean()}

"""Branched roll-outs: short imagined ways of a policy that begin where the data are.

    s_0 ~ data,    a_i ~ pi(s_i),    s_{i+1}, r_i, m_i ~ model(s_i, a_i),    i < k

m is the chance that the task goes on. Each step becomes a transition with discount gamma m; a branch goes on with
probability m, and where it ended another begins from the data in its place. So no step is imagined behind an end, and
each of the k blocks of rows is full. Janner et al., 2019 (MBPO).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.types import Transition
from stitchrl.data.pool import Pool
from stitchrl.loops.evaluate import like
from stitchrl.models.model import WorldModel

Act = Callable[[jax.Array, jax.Array], jax.Array]  # obs [B, ...], key -> action
Start = Callable[[jax.Array], jax.Array]  # key -> obs [B, ...]


def branched(
    model: WorldModel, act: Act, start: Start, pool: Pool, key: jax.Array, length: jax.Array, gamma: float
) -> tuple[Pool, jax.Array]:
    """(the pool with `length` [] more blocks of B rows, share of the steps [] with which a branch ended)."""
    k_start, k_steps = jr.split(key)

    def begin(key: jax.Array) -> Any:
        k_obs, k_latent = jr.split(key)
        return model.observe(None, None, start(k_obs), k_latent)

    def one(i: jax.Array, carry: Any) -> Any:
        latent, pool, ended = carry
        k_act, k_step, k_end, k_again = jr.split(jr.fold_in(k_steps, i), 4)
        obs = model.seen(latent)
        action = act(obs, k_act)
        after, reward, mask = model.step(latent, action, k_step)
        none = jnp.zeros_like(action)  # the policy has not acted there yet
        pool = pool.add(Transition(obs, action, reward, model.seen(after), mask, gamma * mask, none))
        over = ~jr.bernoulli(k_end, mask)
        latent = jax.tree.map(lambda new, old: jnp.where(like(over, new), new, old), begin(k_again), after)
        return latent, pool, ended + over.mean()

    _, pool, ended = jax.lax.fori_loop(0, length, one, (begin(k_start), pool, jnp.zeros(())))
    return pool, ended / jnp.maximum(length, 1)

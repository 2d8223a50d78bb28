"""Whole episodes of a policy in a device environment, as columns. Nothing here learns."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.spec import Continuous, Discrete
from stitchrl.data.columns import Columns
from stitchrl.envs.env import Env, State
from stitchrl.errors import UsageError

BATCH = 1024  # episodes played at once

Space = Continuous | Discrete


class Rows(NamedTuple):
    """One episode of at most L steps; `keep` is a run of ones, then zeros where it is over."""

    obs: jax.Array  # [L, ...]
    action: jax.Array  # [L, A] or [L] int32
    reward: jax.Array  # [L]
    terminal: jax.Array  # [L] bool
    next_obs: jax.Array  # [L, ...]
    keep: jax.Array  # [L] bool


class Uniform(eqx.Module):
    """A policy that takes every action of the space with the same chance."""

    space: Space = eqx.field(static=True)

    def __call__(self, obs: jax.Array, key: jax.Array) -> jax.Array:
        """[A] float32, or [] int32."""
        if isinstance(self.space, Discrete):
            return jr.randint(key, (), 0, self.space.n)
        low, high = jnp.array(self.space.low), jnp.array(self.space.high)
        return jr.uniform(key, (self.space.dim,), minval=low, maxval=high)


def random_transitions(env: Env, key: jax.Array, transitions: int) -> Columns:
    """Episodes of uniformly random actions from `env.reset`: whole ones, `transitions` rows or a few more."""
    return policy_transitions(env, Uniform(env.spec.action), key, transitions)


def policy_transitions(env: Env, policy: Any, key: jax.Array, transitions: int) -> Columns:
    """Episodes of `policy(obs, key) -> action` (a pytree) from `env.reset`, `transitions` rows or a few more.

    Actions are in the outside world's units. UsageError where the environment has no time limit.
    """
    horizon = env.spec.horizon
    if horizon is None:
        raise UsageError('the environment states no horizon, and its episodes may never end; set one')
    return whole(partial(plays, env, policy, horizon), key, transitions, env.spec.action)


def whole(play: Callable[[jax.Array], Rows], key: jax.Array, transitions: int, action: Space) -> Columns:
    """Call `play` (key -> Rows with a leading axis of episodes) until there are enough rows."""
    parts: list[Rows] = []
    rows = 0
    while rows < transitions:
        parts.append(jax.tree.map(np.asarray, play(jr.fold_in(key, len(parts)))))
        rows += int(parts[-1].keep.sum())
    every = jax.tree.map(lambda *columns: np.concatenate(columns), *parts)
    count = 1 + int(np.searchsorted(every.keep.sum(1).cumsum(), transitions))
    return columns_of(jax.tree.map(lambda column: column[:count], every), action)


def columns_of(rows: Rows, action: Space) -> Columns:
    """Episodes [N, L, ...] one after another, without the steps that are not kept."""
    last = rows.keep & ~np.pad(rows.keep[:, 1:], ((0, 0), (0, 1)))
    low, high = (action.low, action.high) if isinstance(action, Continuous) else (None, None)
    kept = jax.tree.map(lambda column: column[rows.keep], rows)
    timeout = np.asarray(last & ~rows.terminal)[rows.keep]
    return Columns(kept.obs, kept.action, kept.reward, kept.terminal, timeout, kept.next_obs, low, high)


@partial(jax.jit, static_argnums=2)
def plays(env: Env, policy: Any, horizon: int, key: jax.Array) -> Rows:
    """Episodes of a policy, [BATCH, horizon, ...]."""
    return jax.vmap(partial(play, env, policy, horizon))(jr.split(key, BATCH))


def play(env: Env, policy: Any, horizon: int, key: jax.Array) -> Rows:
    """One episode of a policy."""

    def one(carry: tuple[State, jax.Array], k: jax.Array) -> tuple[tuple[State, jax.Array], Rows]:
        state, alive = carry
        k_action, k_step = jr.split(k)
        action = policy(state.obs, k_action)
        after = env.step(state, action, k_step)
        row = Rows(state.obs, action, after.reward, after.terminated, after.obs, alive)
        return (after, alive & ~after.terminated & ~after.truncated), row

    k_reset, k_steps = jr.split(key)
    begin = env.reset(k_reset), jnp.array(True)
    return jax.lax.scan(one, begin, jr.split(k_steps, horizon))[1]

"""What an agent expects of actions that its data knows, and of those that it does not. Discrete actions only."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stitchrl.errors import UsageError

Ask = Callable[[Any, jax.Array, jax.Array], jax.Array]


def critic(agent: Any, obs: jax.Array, action: jax.Array) -> jax.Array:
    """Q(s, a) [N] of an agent's `critic`, the smallest where it has several."""
    q = agent.critic.net(obs, action)
    return q if q.ndim == action.ndim else q.min(0)


@partial(jax.jit, static_argnums=(2, 3))
def table(agents: Any, obs: jax.Array, actions: int, ask: Ask = critic) -> jax.Array:
    """Q of every action, [S, N, A], by agents with leaves [S, ...]. obs [N, ...] is in the agents' units.

    ask(agent, obs [N, ...], action [N]) -> Q [N] says what to read from an agent.
    """
    every = jnp.arange(actions, dtype=jnp.int32)
    one = lambda agent, a: ask(agent, obs, jnp.full(len(obs), a))
    return jax.vmap(lambda agent: jax.vmap(partial(one, agent), out_axes=1)(every))(agents)


def tried(place: np.ndarray, action: np.ndarray, places: int, actions: int) -> np.ndarray:
    """How often each action was taken in each place, [P, A] int; place [N] and action [N] number them."""
    count = np.zeros((places, actions), int)
    np.add.at(count, (np.asarray(place), np.asarray(action)), 1)
    return count


def by_support(q: np.ndarray, seen: np.ndarray, truth: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Means over the pairs that the data holds and over those that it does not; each [S].

    q [S, N, A]; seen [N, A] bool, whether the data holds the pair; truth [N, A], what the pairs are worth.
    Returns `q/seen`, `q/unseen`, `q/gap` (unseen - seen), `q/greedy_unseen` (share of the N states whose best
    action is one that the data does not hold) and, with the truth, `bias/seen` and `bias/unseen` (Q - truth).
    UsageError where one of the two kinds of pairs does not occur, so that there is nothing to compare.
    """
    q, seen = np.asarray(q, np.float64), np.asarray(seen, bool)
    if seen.all() or not seen.any():
        raise UsageError(f'the data holds {"every" if seen.all() else "no"} pair of state and action asked about')
    best = q.argmax(-1)
    info = {'q/seen': q[:, seen].mean(1), 'q/unseen': q[:, ~seen].mean(1)}
    info['q/gap'] = info['q/unseen'] - info['q/seen']
    info['q/greedy_unseen'] = (~seen[np.arange(len(seen)), best]).mean(1)
    if truth is not None:
        off = q - truth
        info |= {'bias/seen': off[:, seen].mean(1), 'bias/unseen': off[:, ~seen].mean(1)}
    return info

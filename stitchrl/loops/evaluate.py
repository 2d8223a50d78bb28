"""Judging: every agent of a run plays whole episodes, greedily, in the user's units."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.envs.env import Env
from stitchrl.errors import UsageError

SLOTS = 5  # host environments per agent; each plays its share of the episodes one after another
LONGEST = 10_000  # steps of an episode in a host environment that states no limit of its own
SEED = 100  # evaluation episodes start from seeds of their own, the same at every evaluation


class Episodes(NamedTuple):
    """What S agents did in E episodes each."""

    returns: np.ndarray  # [S, E], undiscounted
    lengths: np.ndarray  # [S, E], steps
    success: np.ndarray | None  # [S, E] bool; None where the environment does not say
    paths: np.ndarray | None = None  # [S, E, T + 1, ...] observations, when asked for; the last is repeated


def evaluate(agents: Agent, boundary: Boundary, env: Any, seed: int, episodes: int, trace: bool = False) -> Episodes:
    """`episodes` episodes of each agent (leaves [S, ...]) in a device or a host environment; `seed` fixes them."""
    judge = on_device if isinstance(env, Env) else on_host
    return judge(agents, boundary, env, seed, episodes, trace)


def on_device(agents: Agent, boundary: Boundary, env: Env, seed: int, episodes: int, trace: bool = False) -> Episodes:
    """In a device environment: one compiled program."""
    key = jr.fold_in(jr.key(seed), SEED)
    returns, lengths, success, paths = jax.device_get(rollouts(agents, boundary, env, key, episodes, trace))
    return Episodes(returns, lengths, success, paths)


@partial(jax.jit, static_argnums=(4, 5))
def rollouts(agents: Agent, boundary: Boundary, env: Env, key: jax.Array, episodes: int, trace: bool) -> Any:
    """One compiled program: all agents, all episodes, all steps. Every agent meets the same starts."""
    k_reset, k_run = jr.split(key)
    state = jax.vmap(env.reset)(jr.split(k_reset, episodes))

    def play(agent: Agent) -> Any:
        def step(carry: Any, t: jax.Array) -> Any:
            state, memory, going, total, length, success = carry
            k_act, k_env = jr.split(jr.fold_in(k_run, t))
            action, memory = agent.act(memory, boundary.obs(state.obs), k_act)
            after = jax.vmap(env.step)(state, boundary.action_out(action), jr.split(k_env, episodes))
            state = jax.tree.map(lambda new, old: jnp.where(like(going, new), new, old), after, state)
            success = success | (going & jax.vmap(env.success)(after))
            total, length = total + jnp.where(going, after.reward, 0), length + going
            going = going & ~(after.terminated | after.truncated)
            return (state, memory, going, total, length, success), (state.obs if trace else None)

        no, zero = jnp.zeros(episodes, bool), jnp.zeros(episodes)
        carry = (state, agent.remember(episodes), ~no, zero, jnp.zeros(episodes, jnp.int32), no)
        (_, _, _, total, length, success), path = jax.lax.scan(step, carry, jnp.arange(env.spec.horizon))
        path = jnp.concatenate([state.obs[None], path]).swapaxes(0, 1) if trace else None
        return total, length, success, path

    return jax.vmap(play)(agents)


def like(flag: jax.Array, x: jax.Array) -> jax.Array:
    """flag [n] with trailing axes, so that it selects among x [n, ...]."""
    return flag.reshape(flag.shape + (1,) * (x.ndim - 1))


@jax.jit
def act(agents: Agent, boundary: Boundary, memory: Any, obs: jax.Array, key: jax.Array) -> Any:
    """Raw observations [S, n, ...] to raw greedy actions [S, n, ...], and memory."""
    one = lambda agent, memory, obs: agent.act(memory, boundary.obs(obs), key)
    action, memory = jax.vmap(one)(agents, memory, obs)
    return boundary.action_out(action), memory


def on_host(agents: Agent, boundary: Boundary, env: Any, seed: int, episodes: int, trace: bool = False) -> Episodes:
    """In a Gymnasium environment: S x n copies, each of which plays its share of the episodes one after another."""
    count = jax.tree.leaves(agents)[0].shape[0]
    slots = min(SLOTS, episodes)
    shares = np.array([episodes // slots + (i < episodes % slots) for i in range(slots)])
    table = Table(np.tile(shares, count))
    vector = env.vector(count * slots)
    obs, _ = vector.reset(seed=[seed + SEED + i % slots for i in range(count * slots)])
    fresh = jax.vmap(lambda agent: agent.remember(slots))(agents)
    memory, key, t = fresh, jr.key(seed + SEED), 0
    while table.open.any():
        batch = obs.reshape(count, slots, *obs.shape[1:]).astype(env.spec.obs.dtype)
        action, memory = act(agents, boundary, memory, batch, jr.fold_in(key, t))
        obs, reward, terminated, truncated, info = vector.step(
            np.asarray(action).reshape(count * slots, *action.shape[2:])
        )
        done = terminated | truncated
        table.add(reward, done, info)
        if (table.length * table.open).max() >= max(LONGEST, env.spec.horizon or 0):
            vector.close()
            raise UsageError(
                f'{env.name}: an episode did not end within {table.length.max():,} steps; give the environment a time '
                'limit, such as gymnasium.wrappers.TimeLimit'
            )
        if done.any():
            obs, _ = vector.reset(options={'reset_mask': done})
            again = done.reshape(count, slots)
            memory = jax.tree.map(lambda new, old, again=again: jnp.where(like2(again, old), new, old), fresh, memory)
        t += 1
    vector.close()
    return table.episodes(count, slots)


def like2(flag: np.ndarray, x: jax.Array) -> jax.Array:
    """flag [S, n] with trailing axes, so that it selects among x [S, n, ...]."""
    return jnp.asarray(flag).reshape(flag.shape + (1,) * (x.ndim - 2))


class Table:
    """Episodes of many slots as they end; `shares` says how many each slot has to play."""

    def __init__(self, shares: np.ndarray):
        self.shares, self.played = shares, np.zeros(len(shares), int)
        self.total, self.length = np.zeros(len(shares)), np.zeros(len(shares), int)
        self.rows: list[list[tuple[float, int, bool | None]]] = [[] for _ in shares]

    @property
    def open(self) -> np.ndarray:
        return self.played < self.shares

    def add(self, reward: np.ndarray, done: np.ndarray, info: dict[str, Any]) -> None:
        """One step of all slots. `is_success` is the field's name for success in Gymnasium's infos."""
        self.total += reward
        self.length += 1
        success = info.get('is_success')
        for i in np.flatnonzero(done & self.open):
            self.rows[i].append((self.total[i], self.length[i], None if success is None else bool(success[i])))
        self.played += done
        self.total[done], self.length[done] = 0, 0

    def episodes(self, count: int, slots: int) -> Episodes:
        """[S, E] per column, slot after slot."""
        rows = [[row for slot in self.rows[s * slots : (s + 1) * slots] for row in slot] for s in range(count)]
        returns, lengths, success = (np.array([[row[i] for row in agent] for agent in rows]) for i in range(3))
        known = success.dtype == bool
        return Episodes(returns.astype(np.float64), lengths, success if known else None)


def rows(episodes: Episodes, step: int, seed: int) -> list[dict[str, Any]]:
    """As lines of eval.jsonl, one per episode."""
    result = []
    for s, e in np.ndindex(*episodes.returns.shape):
        row = {'step': step, 'seed': seed + s, 'episode': e, 'return': float(episodes.returns[s, e])}
        row['length'] = int(episodes.lengths[s, e])
        if episodes.success is not None:
            row['success'] = bool(episodes.success[s, e])
        result.append(row)
    return result

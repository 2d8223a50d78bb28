"""Episodes to look at: every step of every agent of a run, greedily, in the user's units."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.envs.env import Env
from stitchrl.loops.evaluate import act, like

SEED = 300  # apart from the seeds of evaluations: what is shown was not what was scored


@dataclass(frozen=True)
class Played:
    """What S agents did in E episodes each, at most T steps long. Rows past an episode's end mean nothing."""

    start: np.ndarray  # [S, E, ...] first observation
    action: np.ndarray  # [S, E, T, ...]
    reward: np.ndarray  # [S, E, T], 0 past the end
    length: np.ndarray  # [S, E]
    terminated: np.ndarray  # [S, E] bool: the task itself ended
    seeds: np.ndarray  # [E], what each episode began from
    path: np.ndarray | None = None  # [S, E, T + 1, ...] observations, of a device environment or where they are vectors

    def returns(self, limit: int | None = None) -> np.ndarray:
        """[S, E]: undiscounted, of at most `limit` steps."""
        return self.reward[..., :limit].sum(-1)

    def discounted(self, gamma: float, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
        """[S, E]: sum of gamma^t scale (r_t + shift) over the steps that were taken."""
        t = np.arange(self.reward.shape[-1])
        taken = t < self.length[..., None]
        return (gamma**t * taken * scale * (self.reward + shift)).sum(-1)


def play(agents: Agent, boundary: Boundary, env: Any, seed: int, episodes: int, steps: int | None = None) -> Played:
    """`episodes` episodes of each agent (leaves [S, ...]); `seed` fixes them, and all agents meet the same starts.

    `steps`: play a device environment on to so many steps where its time limit is shorter; a host's stays.
    """
    if not isinstance(env, Env):
        return on_host(agents, boundary, env, seed, episodes)
    horizon = max(env.spec.horizon or 0, steps or 0)
    longer = replace(env, spec=replace(env.spec, horizon=horizon))
    key = jr.fold_in(jr.key(seed), SEED)
    path, action, reward, going, ended = jax.device_get(record(agents, boundary, longer, key, episodes))
    numbers = seed + SEED + np.arange(episodes)
    return Played(path[:, :, 0], action, reward, going.sum(-1), ended.any(-1), numbers, path)


@partial(jax.jit, static_argnums=4)
def record(agents: Agent, boundary: Boundary, env: Env, key: jax.Array, episodes: int) -> Any:
    """One compiled program: path [S, E, T + 1, ...], action, reward, and per step: was it taken, did the task end."""
    k_reset, k_run = jr.split(key)
    state = jax.vmap(env.reset)(jr.split(k_reset, episodes))

    def one(agent: Agent) -> Any:
        def step(carry: Any, t: jax.Array) -> Any:
            state, memory, going = carry
            k_act, k_env = jr.split(jr.fold_in(k_run, t))
            action, memory = agent.act(memory, boundary.obs(state.obs), k_act)
            action = boundary.action_out(action)
            after = jax.vmap(env.step)(state, action, jr.split(k_env, episodes))
            after = jax.tree.map(lambda new, old: jnp.where(like(going, new), new, old), after, state)
            seen = after.obs, action, jnp.where(going, after.reward, 0), going, going & after.terminated
            return (after, memory, going & ~(after.terminated | after.truncated)), seen

        carry = (state, agent.remember(episodes), jnp.ones(episodes, bool))
        seen = jax.lax.scan(step, carry, jnp.arange(env.spec.horizon))[1]
        path, *others = (x.swapaxes(0, 1) for x in seen)
        return jnp.concatenate([state.obs[:, None], path], 1), *others

    return jax.vmap(one)(agents)


def on_host(agents: Agent, boundary: Boundary, env: Any, seed: int, episodes: int) -> Played:
    """In a Gymnasium environment: S x E copies, one episode each."""
    count = jax.tree.leaves(agents)[0].shape[0]
    vector, numbers = env.vector(count * episodes), seed + SEED + np.arange(episodes)
    obs, _ = vector.reset(seed=np.tile(numbers, count).tolist())
    start, key = fold(obs, count), jr.key(seed + SEED)
    memory = jax.vmap(lambda agent: agent.remember(episodes))(agents)
    going, ended = np.ones(count * episodes, bool), np.zeros(count * episodes, bool)
    actions, rewards, taken, path = [], [], [], [start]
    while going.any():
        batch = fold(obs, count).astype(np.float32)
        action, memory = act(agents, boundary, memory, batch, jr.fold_in(key, len(actions)))
        action = np.asarray(action)
        obs, reward, terminated, truncated, _ = vector.step(action.reshape(-1, *action.shape[2:]))
        for column, value in ((actions, action), (rewards, going * reward), (taken, going)):
            column.append(value)
        if start.ndim == 3:
            path.append(fold(obs, count))
        ended, done = ended | (going & terminated), terminated | truncated
        going = going & ~done
        if done.any():  # one that is over must begin anew before it can be stepped; nobody looks
            obs, _ = vector.reset(options={'reset_mask': done})
    vector.close()
    reward, length = fold(np.stack(rewards, -1), count), fold(np.sum(taken, 0), count)
    seen = np.stack(path, 2) if start.ndim == 3 else None
    return Played(start, np.stack(actions, 2), reward, length, fold(ended, count), numbers, seen)


def fold(x: np.ndarray, count: int) -> np.ndarray:
    """[S E, ...] as [S, E, ...]."""
    return np.asarray(x).reshape(count, -1, *x.shape[1:])

"""Whole episodes of a policy, or of random actions, as a recording. Nothing here learns.

Episodes of one batch start together and end one by one; each place plays a fixed share of them, so short episodes do
not crowd out long ones. Without noise they are those of an evaluation with the same seed.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Continuous, Spec
from stitchrl.data.check import check, refuse
from stitchrl.data.columns import Columns
from stitchrl.envs.env import Env, State
from stitchrl.errors import UsageError
from stitchrl.loops.beside import Beside
from stitchrl.loops.cast import Player
from stitchrl.loops.evaluate import SEED, SLOTS, like
from stitchrl.loops.plan import Plan

BATCH = 1024  # episodes of a device environment at once
STRETCH = 100  # of their steps in one compiled program, after which those that are over are no longer waited for


class Taken(NamedTuple):
    """Steps, one per row, of any episodes."""

    episode: np.ndarray  # [n] int, its number
    obs: np.ndarray  # [n, ...]
    action: np.ndarray  # [n, A] in the environment's units, or [n]
    reward: np.ndarray  # [n]
    terminal: np.ndarray  # [n] bool
    timeout: np.ndarray  # [n] bool
    next_obs: np.ndarray  # [n, ...]


def gather(player: Player, boundary: Boundary, env: Any, seed: int, episodes: int, limit: int | None = None) -> Columns:
    """`episodes` whole episodes in a device or host environment, one after another.

    `limit`: steps after which an episode is cut, at most the environment's own limit. UsageError where neither says;
    BadData and StitchError where the environment breaks.
    """
    known = [n for n in (limit, env.spec.horizon) if n is not None]
    if not known:
        raise UsageError('the environment states no time limit, so an episode might never end; cut them: --limit STEPS')
    most = min(known)
    if min(most, episodes) < 1:
        raise UsageError(f'{episodes} episodes of at most {most} steps; expected at least 1 of 1')
    play = on_device if isinstance(env, Env) else on_host
    columns = in_order(play(player, boundary, env, seed, episodes, most), env.spec)
    refuse(check(columns))
    return columns


def in_order(parts: list[Taken], spec: Spec) -> Columns:
    """Episode after episode, in the order of their numbers; rows of one episode lie in `parts` in time order."""
    taken = Taken(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    order = np.argsort(taken.episode, kind='stable')
    _, obs, action, reward, terminal, timeout, next_obs = (x[order] for x in taken)
    low, high = (spec.action.low, spec.action.high) if isinstance(spec.action, Continuous) else (None, None)
    kind = np.int32 if spec.discrete else np.float32
    return Columns(obs, action.astype(kind), reward.astype(np.float32), terminal, timeout, next_obs, low, high)


class Going(NamedTuple):
    """n episodes of a device environment that go on."""

    state: State
    memory: Any
    going: jax.Array  # [n] bool


def on_device(player: Player, boundary: Boundary, env: Env, seed: int, episodes: int, limit: int) -> list[Taken]:
    """All steps of all episodes, in compiled stretches of a batch of them."""
    k_reset, k_run = jr.split(jr.fold_in(jr.key(seed), SEED))
    pieces = -(-episodes // BATCH)
    n = -(-episodes // pieces)
    parts = []
    for first in range(0, pieces * n, n):
        number = first + np.arange(n)
        which = np.minimum(number, episodes - 1)  # the last batch is filled up, so that nothing compiles anew
        now = Going(begin(env, k_reset, which, episodes), player.remember(n), jnp.asarray(number < episodes))
        for t in range(0, limit, STRETCH):
            now, (keep, *rows) = stretch(player, boundary, env, now, k_run, which, np.array([t, limit]), episodes)
            keep = np.asarray(keep)
            parts.append(Taken(*(np.asarray(x)[keep] for x in (np.broadcast_to(number, keep.shape), *rows))))
            if not keep[-1].any():
                break
    return parts


@partial(jax.jit, static_argnums=3)
def begin(env: Env, key: jax.Array, which: jax.Array, episodes: int) -> State:
    """First states of the episodes `which` [n] of so many."""
    return jax.vmap(env.reset)(jr.split(key, episodes)[which])


@partial(jax.jit, static_argnums=7)
def stretch(
    player: Player,
    boundary: Boundary,
    env: Env,
    now: Going,
    root: jax.Array,
    which: jax.Array,
    times: jax.Array,
    episodes: int,
) -> tuple[Going, Any]:
    """STRETCH steps of the episodes `which` [n] of so many; `times` is (the first of the steps, the limit).
    -> what goes on, and [STRETCH, n, ...] of: was it taken, obs, action, reward, terminal, timeout, next obs."""
    first, limit = times

    def one(now: Going, t: jax.Array) -> tuple[Going, Any]:
        k_act, k_env = jr.split(jr.fold_in(root, t))
        action, memory = player.act(now.memory, boundary.obs(now.state.obs), k_act)
        action = boundary.action_out(action)
        after = jax.vmap(env.step)(now.state, action, jr.split(k_env, episodes)[which])
        over = after.terminated | after.truncated | (t + 1 >= limit)
        timeout = over & ~after.terminated
        row = now.going, now.state.obs, action, after.reward, after.terminated, timeout, after.obs
        state = jax.tree.map(lambda new, old: jnp.where(like(now.going, new), new, old), after, now.state)
        return Going(state, memory, now.going & ~over), row

    return jax.lax.scan(one, now, first + jnp.arange(STRETCH))


@jax.jit
def choose(player: Player, boundary: Boundary, memory: Any, obs: jax.Array, root: jax.Array, t: jax.Array) -> Any:
    """Raw actions at raw observations [n, ...], and memory."""
    action, memory = player.act(memory, boundary.obs(obs), jr.fold_in(root, t))
    return boundary.action_out(action), memory


def on_host(player: Player, boundary: Boundary, env: Any, seed: int, episodes: int, limit: int) -> list[Taken]:
    """In Gymnasium environments side by side, each of which plays its share of the episodes one after another."""
    slots = min(SLOTS, episodes)
    upto = np.cumsum([episodes // slots + (i < episodes % slots) for i in range(slots)])
    beside = Beside(env.name, env.vector(slots), 1, Plan(lanes=slots))
    try:
        with beside.listening():
            return list(host_steps(player, boundary, env.spec.obs.dtype, beside, upto, seed + SEED, limit))
    finally:
        beside.close()


def host_steps(
    player: Player, boundary: Boundary, dtype: str, beside: Beside, upto: np.ndarray, seed: int, limit: int
) -> Iterator[Taken]:
    """Steps of n environments, until the one in place i has played episodes upto[i - 1] .. upto[i] - 1."""
    lanes, root, n = beside.lanes, jr.key(seed), len(upto)
    with beside.watched('its first reset'):
        obs = lanes.reset([seed + i for i in range(n)]).astype(dtype)
    number, length, t = np.r_[0, upto[:-1]], np.zeros(n, int), 0
    memory = fresh = player.remember(n)
    while (keep := number < upto).any():
        action, memory = choose(player, boundary, memory, obs, root, np.int32(t))
        action = np.asarray(action)
        with beside.watched(f'step {t} of collecting'):
            seen = lanes.step(action)
        beside.check(seen, t)
        length, t, ended = length + 1, t + 1, seen.terminated | seen.truncated
        over = ended | (length >= limit)
        row = number, obs, action, seen.reward, seen.terminated, over & ~seen.terminated, seen.next_obs.astype(dtype)
        yield Taken(*(x[keep] for x in row))
        obs = seen.now.astype(dtype)
        if (cut := over & ~ended).any():
            obs = np.array(lanes.vector.reset(options={'reset_mask': cut})[0], dtype)
        memory = jax.tree.map(
            lambda new, old, over=over: jnp.where(like(jnp.asarray(over), new), new, old), fresh, memory
        )
        number, length = number + over, np.where(over, 0, length)

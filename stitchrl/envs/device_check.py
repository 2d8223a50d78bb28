"""What can be wrong with a device environment: its State, compiled and batched calls, keys, limits, numbers."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.spec import Discrete, Spec
from stitchrl.envs.env import Env, State
from stitchrl.envs.episode import At, Episode, Plan, ends, limits, numbers, pace, repeated
from stitchrl.envs.finding import Finding, found, ok
from stitchrl.envs.play import Broken, guarded

STEPS = 4  # taken three ways: plain, compiled, batched
ROUNDING = 1e-4  # of a number's size, between plain, compiled and batched


def findings(env: Env, plan: Plan, at: At) -> Iterator[Finding]:
    """Everything found, as it is found. `at(episode, step)` is called before anything that may hang."""
    at(0, 0)
    try:
        shapes = [*leaves(env), *guarded(lambda: list(state(env)))]
    except Broken as error:
        yield found('not_compiled', f'tracing it raised {first_line(error)}')
        return
    yield from shapes
    if any(finding.severity == 'error' for finding in shapes):
        return
    try:
        paths, again, seconds = batch(env, plan, at)
        at(0, 0)
        yield from agreeing(env, paths, plan.seed)
    except Broken as error:
        yield found('not_compiled', f'compiling it raised {first_line(error)}')
        return
    yield from played(env.spec.horizon, plan, [cut(paths, i, seconds) for i in range(plan.episodes + 1)])
    how = f'key({plan.seed}) and the same actions twice'
    yield from repeated(cut(paths, 0, 0.0), cut(again, 0, 0.0), 'not_repeatable', how)
    yield ok('seeds', 'the same key gives the same episode, another key another')


def leaves(env: Env) -> Iterator[Finding]:
    """Whether every leaf is an array."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(env):
        if not isinstance(leaf, (jax.Array, np.ndarray)):
            yield found('leaves', f'{jax.tree_util.keystr(path).lstrip(".")} is {leaf!r}, no array')


def state(env: Env) -> Iterator[Finding]:
    """Shapes and dtypes of what reset and step return, without running them."""
    key = jr.key(0)
    start = jax.eval_shape(env.reset, key)
    after = jax.eval_shape(env.step, start, some_action(env.spec, key), key)
    scalars = {'reward': np.float32, 'terminated': np.bool_, 'truncated': np.bool_}
    wanted = {'obs': (env.spec.obs.shape, np.dtype(env.spec.obs.dtype))}
    wanted |= {name: ((), np.dtype(dtype)) for name, dtype in scalars.items()}
    for which, one in (('reset', start), ('step', after)):
        for name, (shape, dtype) in wanted.items():
            x = getattr(one, name)
            if (x.shape, x.dtype) != (shape, dtype):
                what = f'{name} of {which} is {x.shape} {x.dtype}, expected {shape} {dtype}'
                yield found('state_shape', what)
    if (a := outline(start.inner)) != (b := outline(after.inner)):
        yield found('state_shape', f'inner is {a} after reset but {b} after step')
    yield ok('state', f'observation {env.spec.obs.shape} {env.spec.obs.dtype}, the same shapes after reset and step')


def outline(tree: Any) -> str:
    """Structure, shapes and dtypes."""
    return str(jax.tree.map(lambda x: f'{x.dtype}{list(x.shape)}', tree)).replace("'", '')


def some_action(spec: Spec, key: jax.Array) -> jax.Array:
    """A uniformly random action, in the outside world's units."""
    if isinstance(spec.action, Discrete):
        return jr.randint(key, (), 0, spec.action.n)
    low, high = jnp.array(spec.action.low), jnp.array(spec.action.high)
    return jr.uniform(key, low.shape, minval=low, maxval=high)


def roll(env: Env, key: jax.Array, steps: int, wrap: Callable[[Any], Any] = lambda f: f) -> list[State]:
    """The states of `steps` random steps, one call each; `wrap` is what is done to reset and step before."""
    reset, step = wrap(type(env).reset), wrap(type(env).step)
    states = [guarded(reset, env, key)]
    for t in range(steps):
        k_action, k_step = jr.split(jr.fold_in(key, t))
        states.append(guarded(step, env, states[-1], some_action(env.spec, k_action), k_step))
    return states


def rolled(env: Env, keys: jax.Array, action_keys: jax.Array, steps: int) -> State:
    """The same in one program for many keys, [E, steps + 1, ...], without the inner state."""
    bare = lambda s: State(s.obs, s.reward, s.terminated, s.truncated, ())

    def one(key: jax.Array, action_key: jax.Array) -> State:
        def step(state: State, t: jax.Array) -> tuple[State, State]:
            k_action = jr.split(jr.fold_in(action_key, t))[0]
            k_step = jr.split(jr.fold_in(key, t))[1]
            state = env.step(state, some_action(env.spec, k_action), k_step)
            return state, bare(state)

        start = env.reset(key)
        path = jax.lax.scan(step, start, jnp.arange(steps))[1]
        return jax.tree.map(lambda x, xs: jnp.concatenate([x[None], xs]), bare(start), path)

    return jax.vmap(one)(keys, action_keys)


def batch(env: Env, plan: Plan, at: At) -> tuple[State, State, float]:
    """All episodes side by side, twice, and the seconds that one took. The last has the second's key and the first's
    actions."""
    steps = plan.steps if env.spec.horizon is None else min(plan.steps, env.spec.horizon + 1)
    keys = jnp.stack([jr.key(plan.seed + i) for i in range(plan.episodes)] + [jr.key(plan.seed + 1)])
    action_keys = jnp.concatenate([keys[:-1], keys[:1]])
    program = jax.jit(rolled, static_argnums=3)
    at(0, 0)
    paths = jax.block_until_ready(guarded(program, env, keys, action_keys, steps))
    at(0, 0)
    start = time.perf_counter()
    again = jax.block_until_ready(guarded(program, env, keys, action_keys, steps))
    return paths, again, (time.perf_counter() - start) / len(keys)


def agreeing(env: Env, paths: State, seed: int) -> Iterator[Finding]:
    """Plain calls, compiled ones, and the first copy of those side by side: one world?"""
    steps = min(STEPS, paths.reward.shape[1] - 1)
    plain = roll(env, jr.key(seed), steps)
    compiled = roll(env, jr.key(seed), steps, jax.jit)
    for t in range(steps + 1):
        if (name := unlike(plain[t], compiled[t])) is not None:
            yield found('compiled_differs', f'{name} of a plain call and of a compiled one differ', 1, t)
            break
    for t in range(steps + 1):
        if (name := unlike(compiled[t], jax.tree.map(lambda x, t=t: x[0, t], paths))) is not None:
            yield found('batched_differs', f'{name} alone and among {len(paths.reward)} copies differ', 1, t)
            break
    yield ok('compiled', f'plain, compiled and batched calls agree over {steps} steps')


def unlike(x: State, y: State) -> str | None:
    """The first field in which two states differ by more than rounding."""
    for name in ('obs', 'reward', 'terminated', 'truncated'):
        a, b = (np.asarray(getattr(state, name), np.float64) for state in (x, y))
        if not np.allclose(a, b, rtol=ROUNDING, atol=ROUNDING, equal_nan=True):
            return name
    return None


def played(horizon: int | None, plan: Plan, played: Sequence[Episode]) -> Iterator[Finding]:
    """What random play shows; the last episode has the second's key and the first's actions."""
    *episodes, other = played
    for episode in episodes:
        yield from numbers(episode)
    yield ok('numbers', 'finite')
    yield from ends(episodes, horizon, plan.steps)
    yield from limits(episodes, horizon)
    yield from pace(episodes, plan.slow)
    if other.prints == episodes[0].prints:
        what = f'key({plan.seed}) and key({plan.seed + 1}) give the same episode for the same actions'
        yield found('seed_ignored', what)


def cut(paths: State, i: int, seconds: float) -> Episode:
    """Path i up to its first end, as an Episode."""
    obs, reward, terminated, truncated = (
        np.asarray(x[i]) for x in (paths.obs, paths.reward, paths.terminated, paths.truncated)
    )
    done = terminated[1:] | truncated[1:]
    length = int(done.argmax()) + 1 if done.any() else len(done)
    episode = Episode(i + 1)
    episode.add(obs[0])
    for t in range(1, length + 1):
        episode.add(obs[t], reward[t], (terminated[t], truncated[t]))
    episode.seconds = seconds * length / len(done)
    return episode


def first_line(error: Exception) -> str:
    """Its words, up to the first line end."""
    return str(error).partition('\n')[0].rstrip('.')

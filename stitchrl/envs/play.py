"""One episode of random actions in a host environment, and each value it returned against what was stated.

Knows the five values of a step and no library: `env` is anything with `reset`, `step` and two spaces.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import count
from typing import Any

import numpy as np

from stitchrl.envs.episode import At, Episode, Plan
from stitchrl.envs.finding import Finding, found

HIDDEN = ('final_obs', 'final_observation', 'terminal_observation')  # where an automatic reset leaves the real one
ROUNDING = 1e-5  # of a bound's size: what lies so little outside is no news


class Broken(Exception):
    """The environment raised: `what` in words, at the step that `findings` was at."""


def guarded(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """The call's result; Broken with the words of whatever it raised."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of the environment; those of Gymnasium's checker are read elsewhere
            return call(*args, **options)
    except Exception as error:
        raise Broken(f'{type(error).__name__}: {error}') from error


def play(env: Any, plan: Plan, at: At, number: int, seed: int, action_seed: int) -> Episode:
    """One episode of random actions, at most `plan.steps` long. Broken where the environment raises."""
    moments = stepping(env, at, number, seed, action_seed)
    episode = next(moments)
    while not episode.ended and episode.length < plan.steps:
        next(moments)
    return episode


def stepping(env: Any, at: At, number: int, seed: int, action_seed: int) -> Iterator[Episode]:
    """The same growing Episode after the reset and after each step, so that copies can be played in turn."""
    actions, episode = deepcopy(env.action_space), Episode(number)
    actions.seed(action_seed)
    at(number, 0)
    before = guarded(lambda: pair(env.reset(seed=seed)))[0]
    guarded(episode.add, before)
    yield episode
    for t in count(1):
        action = actions.sample()
        given, kept = deepcopy(action), guarded(np.array, before)
        at(number, t)
        start = time.perf_counter()
        result = guarded(env.step, given)
        episode.timed(time.perf_counter() - start)
        obs, reward, terminated, truncated, info = guarded(five, result)
        if episode.reused is None and not np.array_equal(kept, before, equal_nan=kept.dtype.kind == 'f'):
            episode.reused = t
        if episode.changed is None and isinstance(action, np.ndarray) and not np.array_equal(action, given):
            episode.changed = t
        guarded(episode.add, obs, reward, (terminated, truncated))
        episode.hidden = next((key for key in HIDDEN if key in info), None)
        before = obs
        yield episode


def pair(result: Any) -> Any:
    """What reset has to return."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f'reset returned {type(result).__name__}, expected the pair (observation, info)')
    return result


def five(result: Any) -> Any:
    """What step has to return."""
    if not isinstance(result, tuple) or len(result) != 5:
        size = f' of {len(result)}' if isinstance(result, tuple) else ''
        raise TypeError(
            f'step returned a {type(result).__name__}{size}, '
            'expected (observation, reward, terminated, truncated, info)'
        )
    return result


def values(episode: Episode, space: Any) -> Iterator[Finding]:
    """Each value returned against what was stated. One finding of a kind is enough."""
    for t, obs in enumerate(episode.obs):
        yield from outside(obs, space, episode.number, t)
    for t, (reward, flags) in enumerate(zip(episode.rewards, episode.flags, strict=True), 1):
        if np.ndim(reward) or not isinstance(reward, (int, float, np.number)):
            what = f'the reward is {reward!r} ({type(reward).__name__}), expected one number'
            yield found('reward_type', what, episode.number, t)
        if not all(isinstance(flag, (bool, np.bool_)) for flag in flags):
            yield found('flag_type', f'terminated, truncated are {flags!r}, expected booleans', episode.number, t)
    if episode.reused is not None:
        what = 'the observation returned before this step has changed'
        yield found('buffer_reused', what, episode.number, episode.reused)
    if episode.changed is not None:
        yield found('action_changed', 'the action it was given has changed', episode.number, episode.changed)


def outside(obs: np.ndarray, space: Any, number: int, t: int) -> Iterator[Finding]:
    """Shape, dtype and bounds of one observation."""
    if obs.shape != space.shape or obs.dtype.kind not in 'biuf':
        what = f'shape {obs.shape}, {obs.dtype}; stated are {space.shape}, {space.dtype}'
        yield found('observation_shape', what, number, t)
        return
    if obs.dtype != space.dtype:
        yield found('observation_dtype', f'{obs.dtype}, stated is {space.dtype}', number, t)
    x, low, high = (np.asarray(v, np.float64) for v in (obs, space.low, space.high))
    room = ROUNDING * np.maximum(1, np.where(np.isfinite(x), np.abs(x), 1))
    bad = np.argwhere((x < low - room) | (x > high + room))
    if len(bad):
        i = tuple(bad[0])
        what = f'observation{bad[0].tolist()} is {x[i]:.6g}, stated is {low[i]:g} to {high[i]:g}'
        yield found('observation_outside', what, number, t)

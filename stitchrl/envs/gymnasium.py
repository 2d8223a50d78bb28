"""The only file that knows Gymnasium: host environments by name, as vectors that never reset on their own."""

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.errors import MissingExtra, UsageError

BROKEN_DRIVER = (AttributeError,) if 'MUJOCO_GL' in os.environ else ()  # what MuJoCo raises where there is none


@dataclass(frozen=True)
class Host:
    """An environment that runs on the host. `spec` is read from one instance."""

    name: str
    make: Callable[[], gym.Env]
    spec: Spec

    def vector(self, n: int, processes: bool = False) -> SyncVectorEnv | AsyncVectorEnv:
        """n copies stepped together, each in a process of its own if asked. A finished one stays finished until it is
        reset by name: the default modes put the next episode's first observation, or a bogus step, where the true
        final observation belongs."""
        if processes:  # spawned: a fork of a process in which JAX has threads may deadlock
            return AsyncVectorEnv([self.make] * n, context='spawn', autoreset_mode=AutoresetMode.DISABLED)
        return SyncVectorEnv([self.make] * n, autoreset_mode=AutoresetMode.DISABLED)

    def render(
        self, seed: int, actions: Sequence[Any], kept: Sequence[int], side: int
    ) -> tuple[list[np.ndarray], float]:
        """The episode that began from `seed` once more, without a display: frames [H, W, 3] uint8 of the moments
        `kept` (0: before the first action), and steps per second. UsageError where it cannot be drawn here."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # of drivers that are tried in turn
                return self._render(seed, actions, kept, side)
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(
                f'{self.name} cannot be drawn here ({type(error).__name__}: {error}); without a display MuJoCo needs '
                'EGL or OSMesa: try MUJOCO_GL=egl or MUJOCO_GL=osmesa before the command'
            ) from error

    def _render(self, seed: int, actions: Sequence[Any], kept: Sequence[int], side: int) -> Any:
        env = self._drawing(side)
        frames, wanted = [], set(kept)
        env.reset(seed=seed)
        for t in range(len(actions) + 1):
            if t in wanted:
                frames.append(np.asarray(env.render()))
            if t < len(actions):
                env.step(actions[t])
        env.close()
        return frames, float(env.metadata.get('render_fps') or 30)

    def _drawing(self, side: int) -> gym.Env:
        """One copy that draws itself, MuJoCo's at once in the size that is wanted."""
        plain = self.make()
        modes = plain.metadata.get('render_modes', ())
        plain.close()
        if 'rgb_array' not in modes:
            raise UsageError(f'{self.name} cannot be drawn: it has no render mode rgb_array, only {list(modes)}')
        make: Any = self.make if plain.spec is None else partial(gym.make, plain.spec)
        if not hasattr(plain.unwrapped, 'mujoco_renderer'):
            return make(render_mode='rgb_array')
        if sys.platform == 'linux' and not {'DISPLAY', 'WAYLAND_DISPLAY'} & os.environ.keys():
            os.environ.setdefault('MUJOCO_GL', 'egl')  # left alone it takes a window system that is not there
        env = make(render_mode='rgb_array', width=side, height=side)
        env.unwrapped.model.vis.quality.shadowsize = 0  # half of the time of a frame
        return env


class Seen(NamedTuple):
    """One step of n environments as a ring wants it, whatever the vector's way of resetting."""

    reward: np.ndarray  # [n]
    next_obs: np.ndarray  # [n, ...], the true successor, also where the episode ended
    terminated: np.ndarray  # [n] bool
    truncated: np.ndarray  # [n] bool
    valid: np.ndarray  # [n] bool; 0 where the vector took the step to reset
    now: np.ndarray  # [n, ...], what to act on next: of a new episode where one ended


class Lanes:
    """The steps of a Gymnasium vector environment, the same ones in each of its three autoreset modes."""

    def __init__(self, vector: VectorEnv):
        """Raises UsageError for a vector that does not say how it resets."""
        mode = vector.metadata.get('autoreset_mode')
        if mode not in list(AutoresetMode):
            raise UsageError(f'{vector}: metadata["autoreset_mode"] is {mode!r}; expected one of {list(AutoresetMode)}')
        self.vector, self.mode = vector, mode
        self.over = np.zeros(vector.num_envs, bool)  # episodes that ended with the last step

    def reset(self, seed: Any) -> np.ndarray:
        """First observations [n, ...]; `seed` is a number, or one for each."""
        self.over[:] = False
        return np.array(self.vector.reset(seed=seed)[0])

    def step(self, action: np.ndarray) -> Seen:
        """One step of all; `action` [n, A] or [n] in the environment's units."""
        obs, reward, terminated, truncated, info = self.vector.step(action)
        valid = ~self.over if self.mode == AutoresetMode.NEXT_STEP else np.ones(len(obs), bool)
        terminated, truncated = terminated & valid, truncated & valid
        self.over = terminated | truncated
        next_obs = now = np.array(obs)  # a copy: some vectors hand out the array they write to
        if self.mode == AutoresetMode.SAME_STEP and self.over.any():
            next_obs = now.copy()
            for i in np.flatnonzero(self.over):
                next_obs[i] = info['final_obs'][i]
        if self.mode == AutoresetMode.DISABLED and self.over.any():
            now = np.array(self.vector.reset(options={'reset_mask': self.over})[0])
        return Seen(np.asarray(reward, np.float32), next_obs, terminated, truncated, valid, now)


def host(name: str, make: Callable[[], gym.Env] | None = None) -> Host:
    """A registered environment, or one that `make` builds. UsageError for unknown names and unsupported spaces;
    MissingExtra where a part of it is not installed."""
    make = make or (lambda: gym.make(name))
    try:
        env = make()
    except gym.error.DependencyNotInstalled as error:
        raise MissingExtra(
            f'{name} needs a part that is not installed ({error}): pip install "stitchrl[mujoco]"'
        ) from None
    except (gym.error.Error, ImportError, *BROKEN_DRIVER) as error:
        raise UsageError(f'no environment {name!r}: {error}') from None
    if not isinstance(env, gym.Env):
        raise UsageError(f'{name} made {env!r}, expected a Gymnasium environment')
    limit = env.spec.max_episode_steps if env.spec else None
    spec = Spec(observation(name, env.observation_space), action(name, env.action_space), limit)
    env.close()
    return Host(name, make, spec)


def observation(name: str, space: Any) -> Observation:
    """A Gymnasium observation space as ours."""
    if not isinstance(space, gym.spaces.Box):
        raise UsageError(f'{name} has observations {space}; only Box is supported so far')
    return Observation(tuple(space.shape), 'uint8' if space.dtype == np.uint8 else 'float32')


def action(name: str, space: Any) -> Continuous | Discrete:
    """A Gymnasium action space as ours."""
    if isinstance(space, gym.spaces.Discrete) and space.start == 0:
        return Discrete(int(space.n))
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and space.is_bounded():
        return Continuous(space.shape[0], tuple(space.low.tolist()), tuple(space.high.tolist()))
    raise UsageError(f'{name} has actions {space}; expected Discrete from 0 or a bounded Box of one axis')

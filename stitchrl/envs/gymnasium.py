"""The only file that knows Gymnasium: host environments by name, as vectors that never reset on their own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.errors import MissingExtra, UsageError


@dataclass(frozen=True)
class Host:
    """An environment that runs on the host. `spec` is read from one instance."""

    name: str
    make: Callable[[], gym.Env]
    spec: Spec

    def vector(self, n: int) -> SyncVectorEnv:
        """n copies stepped together. A finished one stays finished until it is reset by name: the default modes put
        the next episode's first observation, or a bogus step, where the true final observation belongs."""
        return SyncVectorEnv([self.make] * n, autoreset_mode=AutoresetMode.DISABLED)


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
    except (gym.error.Error, ImportError) as error:
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

"""Environments of EnvPool, `envpool:Hopper-v5` and its like: many copies stepped by C++ threads.

Only for learning fast: the pool has no pictures, and a recipe should judge in the Gymnasium environment of the name.
Weng et al., 2022.
"""

from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from stitchrl.core.spec import Spec
from stitchrl.envs.gymnasium import action, observation
from stitchrl.errors import MissingExtra, UsageError, meant

PREFIX = 'envpool:'
LIFE = {'episodic_life': True, 'reward_clip': True}  # an Atari game to learn in; see envs.atari


@dataclass(frozen=True)
class Pool:
    """What `gymnasium.Host` is for Gymnasium."""

    name: str
    spec: Spec
    settings: tuple[tuple[str, Any], ...] = ()  # of EnvPool's make

    def vector(self, n: int, processes: bool = False) -> 'Pooled':
        """n copies stepped together, always in threads. Finished ones stay finished until they are reset by name."""
        return Pooled(self, n)

    def render(self, *_: Any) -> Any:
        """UsageError: there are no pictures."""
        plain = self.name.removeprefix(PREFIX)
        raise UsageError(f'{self.name} cannot be drawn: EnvPool has no pictures; play in {plain} of Gymnasium')


class Pooled(VectorEnv):
    """n copies with the reset of Gymnasium's vectors, where EnvPool's own would reset a finished copy by a step."""

    def __init__(self, pool: Pool, n: int):
        self.pool, self.num_envs, self.copies = pool, n, None
        self.metadata = {'autoreset_mode': AutoresetMode.DISABLED}

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Observations [n, ...]. `seed`: a number, or one for each copy, which makes them anew; `options`
        {'reset_mask': [n] bool}: only those begin again. UsageError where they have no seed yet."""
        if seed is not None:
            seeds = np.broadcast_to(seed, self.num_envs) + np.arange(self.num_envs) * (np.ndim(seed) == 0)
            self.copies = built(self.pool.name, num_envs=self.num_envs, seed=seeds.tolist(), **dict(self.pool.settings))
            self.seen = np.array(self.copies.reset()[0])
        elif self.copies is None:
            raise UsageError(f'{self.pool.name} needs a seed for its first reset')
        else:
            again = np.flatnonzero((options or {}).get('reset_mask', np.ones(self.num_envs, bool)))
            self.seen[again] = self.copies.reset(again.astype(np.int32))[0]
        return self.seen.copy(), {}

    def step(self, actions: np.ndarray) -> Any:
        """As Gymnasium's; `actions` [n, A] or [n]."""
        assert self.copies is not None, 'reset comes first'
        wanted = self.copies.action_space.dtype
        obs, reward, terminated, truncated, _ = self.copies.step(np.asarray(actions, wanted))
        self.seen = np.array(obs)
        return self.seen.copy(), reward, terminated, truncated, {}

    def close_extras(self, **_: Any) -> None:
        """Ends the threads."""
        if self.copies is not None:
            self.copies.close()


def built(name: str, **settings: Any) -> Any:
    """EnvPool's own vector. MissingExtra without EnvPool, UsageError for a name that it does not know."""
    try:
        envpool = import_module('envpool')
    except ImportError as error:
        raise MissingExtra(
            f'{name} needs a part that is not installed ({error}): pip install "stitchrl[envpool]"'
        ) from None
    plain, known = name.removeprefix(PREFIX), envpool.list_all_envs()
    if plain not in known:
        raise UsageError(f'EnvPool has no environment {plain!r}{meant(plain, known)}')
    return envpool.make(plain, env_type='gymnasium', **settings)


def pool(name: str, training: bool = False) -> Pool:
    """An environment by its name, such as envpool:Hopper-v5; `training`: see `envs.make`. UsageError, MissingExtra."""
    one = built(name, num_envs=1)
    config = one.spec.config
    settings = LIFE if training and hasattr(config, 'episodic_life') else {}
    seen = replace(observation(name, one.observation_space), frames=getattr(config, 'stack_num', 1))
    spec = Spec(seen, action(name, one.action_space), config.max_episode_steps)
    one.close()
    return Pool(name, spec, tuple(settings.items()))

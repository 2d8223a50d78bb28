"""Environments that are broken in one way each, and the one that they are made from, which is not.

Keys of GYMNASIUM, DEVICE and PROCESS are the names in `stitchrl.envs.faults`.
"""

import os
import time

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from gymnasium.spaces import Box, Dict

from stitchrl.core.spec import Continuous, Observation, Spec
from stitchrl.envs.env import Env, State

LINE = Box(-1, 1, (1,), np.float32)


class Walk(gym.Env):
    """A walk along a line from a random start: the task is over past 2, a limit strikes after 30 steps."""

    observation_space = Box(-9, 9, (1,), np.float32)
    action_space = LINE
    LIMIT = 30

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.t = self.start(), 0
        return self.obs(), {}

    def start(self):
        return self.np_random.uniform(-1, 1)

    def step(self, action):
        self.x, self.t = self.x + 0.3 * float(action[0]), self.t + 1
        return self.obs(), float(self.x), self.over(), self.t >= self.LIMIT, {}

    def over(self):
        return bool(abs(self.x) > 2)

    def obs(self):
        return np.array([self.x], np.float32)


def returning(**values):
    """A Walk whose step returns other values: obs, reward, terminated, truncated or info, as functions of it."""

    class Odd(Walk):
        def step(self, action):
            names = ('obs', 'reward', 'terminated', 'truncated', 'info')
            told = dict(zip(names, super().step(action), strict=True))
            return tuple((told | {name: make(self) for name, make in values.items()}).values())

    return Odd


class NotMade(Walk):
    def __init__(self):
        raise ValueError('no robot')


class Parts(Walk):
    """Observations by name, which nothing here reads."""

    observation_space = Dict({'x': Walk.observation_space})

    def obs(self):
        return {'x': super().obs()}


class Unbounded(Walk):
    action_space = Box(-np.inf, np.inf, (1,), np.float32)

    def step(self, action):
        return super().step(np.clip(action, -1, 1))


class Raises(Walk):
    def step(self, action):
        if self.t == 6:
            raise RuntimeError('lost contact')
        return super().step(action)


class Slow(Walk):
    LIMIT = 4

    def step(self, action):
        time.sleep(0.03 * (self.t == 2))
        return super().step(action)


class Buffered(Walk):
    """One array for all observations."""

    def __init__(self):
        self.buffer = np.zeros(1, np.float32)

    def obs(self):
        self.buffer[0] = self.x
        return self.buffer


class Greedy(Walk):
    """Keeps its fingers on the action."""

    def step(self, action):
        action *= 0.5
        return super().step(action)


class Endless(Walk):
    LIMIT = np.inf

    def over(self):
        return False


class Talks(Endless):
    def step(self, action):
        print('a step')
        return super().step(action)


class Overdue(Endless):
    """Its registered limit is for others."""

    spec = gym.envs.registration.EnvSpec('Overdue-v0', entry_point='broken_worlds:Overdue', max_episode_steps=20)


class AlwaysEqual(Endless):
    """Its own time limit, told as an end of the task, that nobody knows of."""

    def over(self):
        return self.t >= 12


class Mislabelled(AlwaysEqual):
    """The stated limit, told as an end of the task."""

    spec = gym.envs.registration.EnvSpec(
        'Mislabelled-v0', entry_point='broken_worlds:Mislabelled', max_episode_steps=12
    )


class Itself(Walk):
    """Resets itself in the step after the end."""

    LIMIT = 5

    def step(self, action):
        if self.t < self.LIMIT:
            return super().step(action)
        self.x, self.t = 8.0, 0
        return self.obs(), 0.0, False, False, {}


class Chance(Walk):
    """Random numbers that no seed reaches."""

    def start(self):
        return self.np_random.uniform(-1, 1) + 1e-3 * np.random.default_rng().uniform()


class Deaf(Walk):
    """A seed that changes nothing."""

    def start(self):
        return 0.5


class Crowd(Walk):
    """The position belongs to all copies."""

    def step(self, action):
        Crowd.last = getattr(Crowd, 'last', 0.0) if self.t else 0.0
        Crowd.last += 0.3 * float(action[0])
        self.x, self.t = Crowd.last, self.t + 1
        return self.obs(), 0.0, self.over(), self.t >= self.LIMIT, {}


class NoOptions(Walk):
    """Gymnasium's signature of reset has `options`."""

    def reset(self, *, seed=None):
        return super().reset(seed=seed)


class OldSeed(Walk):
    """Has a function that Gymnasium dropped."""

    def seed(self, seed=None):
        return [seed]


class Exits(Walk):
    def step(self, action):
        os._exit(7)


class Waits(Walk):
    def step(self, action):
        if self.t == 3:
            time.sleep(60)
        return super().step(action)


GYMNASIUM = {
    'not_made': NotMade,
    'refused': Parts,
    'unbounded_action': Unbounded,
    'raises': Raises,
    'slow': Slow,
    'observation_shape': returning(obs=lambda env: np.zeros((1, 1), np.float32)),
    'observation_dtype': returning(obs=lambda env: np.array([env.x], np.float64)),
    'observation_outside': returning(obs=lambda env: np.array([env.x + 9], np.float32)),
    'not_finite': returning(reward=lambda env: np.nan if env.t == 5 else 0.0),
    'reward_type': returning(reward=lambda env: np.ones(1)),
    'flag_type': returning(terminated=lambda env: int(env.over())),
    'buffer_reused': Buffered,
    'action_changed': Greedy,
    'endless': Endless,
    'past_limit': Overdue,
    'limit_as_end': Mislabelled,
    'constant_length': AlwaysEqual,
    'end_as_limit': returning(terminated=lambda env: False, truncated=lambda env: abs(env.x) > 1.2 or env.t >= 30),
    'resets_itself': Itself,
    'final_hidden': returning(info=lambda env: {'final_obs': env.obs()}),
    'not_repeatable': Chance,
    'seed_ignored': Deaf,
    'copies_share': Crowd,
    'gymnasium_error': NoOptions,
    'gymnasium_warning': OldSeed,
}
PROCESS = {'hangs': Waits, 'dies': Exits}


class Drift(Env):
    """The same walk on the device."""

    spec: Spec = eqx.field(static=True, default=Spec(Observation((1,)), Continuous(1, (-1.0,), (1.0,)), 20))

    def reset(self, key):
        no = jnp.zeros((), bool)
        return State(jr.uniform(key, (1,)), jnp.zeros(()), no, no, jnp.zeros((), jnp.int32))

    def step(self, state, action, key):
        x, t = self.move(state.obs, action, key), state.inner + 1
        return State(x, x[0], self.over(x, t), t >= self.spec.horizon, t)

    def move(self, x, action, key):
        return x + 0.3 * action + 0.01 * jr.normal(key, (1,))

    def over(self, x, t):
        return jnp.abs(x[0]) > 2


class Leaf(Drift):
    name: str = 'a leaf'


class Wide(Drift):
    """Its observation grows with the first step."""

    def move(self, x, action, key):
        return jnp.concatenate([x, x])


class Branches(Drift):
    """Python's if on a value."""

    def move(self, x, action, key):
        return x + 1 if action[0] > 0 else x - 1


class Remembers(Drift):
    """Counts its plain calls in Python; a compiled program counts once."""

    calls = [0]  # noqa: RUF012  shared on purpose

    def move(self, x, action, key):
        self.calls[0] += 1
        return x + 0.01 * self.calls[0]


class Batched(Drift):
    """Calls out to numpy, which then sees all copies at once."""

    def move(self, x, action, key):
        return jax.pure_callback(
            lambda x: x - x.mean(), jax.ShapeDtypeStruct((1,), x.dtype), x, vmap_method='expand_dims'
        )


class Nan(Drift):
    def move(self, x, action, key):
        return jnp.sqrt(x - 10)


class Late(Drift):
    def step(self, state, action, key):
        return eqx.tree_at(lambda s: s.truncated, super().step(state, action, key), jnp.zeros((), bool))


class Limit(Late):
    def over(self, x, t):
        return t >= self.spec.horizon


class Fixed(Drift):
    def reset(self, key):
        return super().reset(jr.key(0))

    def move(self, x, action, key):
        return x + 0.3 * action


DEVICE = {
    'leaves': Leaf,
    'state_shape': Wide,
    'not_compiled': Branches,
    'compiled_differs': Remembers,
    'batched_differs': Batched,
    'not_finite': Nan,
    'past_limit': Late,
    'limit_as_end': Limit,
    'seed_ignored': Fixed,
}

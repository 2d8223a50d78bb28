"""An environment whose observation counts every observation it ever showed, on the host and on the device, so that two
ways of recording it can be compared number by number."""

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np

from stitchrl.core.spec import Discrete, Observation, Spec
from stitchrl.envs.env import Env, State

SPEC = Spec(Observation((1,)), Discrete(3), 9)


class Counting(gym.Env):
    """Episodes end as `script` says: (steps, whether the task itself ended), round and round."""

    def __init__(self, script=((3, True), (2, False))):
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.action_space = gym.spaces.Discrete(3)
        self.script, self.episode, self.shown = script, -1, -1

    def show(self):
        self.shown += 1
        return np.array([self.shown], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.t = self.episode + 1, 0
        return self.show(), {}

    def step(self, action):
        self.t += 1
        steps, ended = self.script[self.episode % len(self.script)]
        over = self.t >= steps
        return self.show(), float(action), over and ended, over and not ended, {}


class DeviceCounting(Env):
    """On the device: each episode counts on from 100 times a random number. Even hundreds end as a task after three
    steps, odd ones are cut there."""

    spec: Spec = eqx.field(static=True)

    @classmethod
    def create(cls):
        return cls(SPEC)

    def reset(self, key):
        no = jnp.zeros((), bool)
        first = 100.0 * jax.random.randint(key, (1,), 0, 1000)
        return State(first, jnp.zeros(()), no, no, jnp.zeros((), jnp.int32))

    def step(self, state, action, key):
        t, even = state.inner + 1, state.obs[0] % 200 < 100
        over = t >= 3
        return State(state.obs + 1, action.astype(jnp.float32), over & even, over & ~even, t)

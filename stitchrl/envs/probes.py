"""Five worlds of one or two steps. Each has an answer worked by hand and fails for one broken part only.

    constant     r = 1                      the value does not learn, or bootstraps where the task ended
    observation  r = o, o = -1 or 1         the value does not see the observation
    delayed      r = 0 at o = 0, then       gamma is not applied, or next_obs is not the one that followed
                 r = 1 at o = 1
    action       r = match(a, 1)            the policy does not follow the reward, or runs from it
    both         r = match(a, o), o = +-1   the policy does not see the observation

match(a, o) for discrete actions: 1 if a is 1 where o > 0 or 0 where o < 0, else -1; for continuous ones
1 - (a - o/2)^2, which is 1 at best and has its best action inside the bounds. After A. Jones, Debugging RL.
"""

from abc import abstractmethod
from typing import ClassVar, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.data.columns import Columns
from stitchrl.data.rollouts import random_transitions
from stitchrl.envs.env import Env, State
from stitchrl.errors import UsageError


class Answer(NamedTuple):
    """What a working algorithm finds."""

    obs: np.ndarray  # [K, 1], every observation there is
    value: np.ndarray  # [K], of the best policy; of any policy where `action` is None
    action: np.ndarray | None  # [K, 1] float32 or [K] int32, the best action; None: all are equally good


class Probe(Env):
    """What the five share: one number seen, `steps` steps, then an end that leaves the number as it is."""

    spec: Spec = eqx.field(static=True)
    starts: ClassVar[tuple[float, ...]] = (0.0,)  # first observations, equally likely
    steps: ClassVar[int] = 1

    @classmethod
    def create(cls, discrete: bool = False) -> Self:
        """With two discrete actions, or with one continuous in [-1, 1]."""
        action = Discrete(2) if discrete else Continuous(1, (-1.0,), (1.0,))
        return cls(Spec(Observation((1,)), action, cls.steps))

    def reset(self, key: jax.Array) -> State:
        """Begin at one of `starts`."""
        no = jnp.zeros((), bool)
        obs = jr.choice(key, jnp.array(self.starts), (1,))
        return State(obs, jnp.zeros(()), no, no, jnp.zeros((), jnp.int32))

    def step(self, state: State, action: jax.Array, key: jax.Array) -> State:
        """One step; nothing in it is random, `key` is not used."""
        del key
        t = state.inner + 1
        done = t >= self.steps
        obs = jnp.where(done, state.obs, state.obs + 1)
        return State(obs, self.reward(state.obs[0], action), done, jnp.zeros((), bool), t)

    @abstractmethod
    def reward(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Of taking `action` at `obs` [], [] float32."""

    @abstractmethod
    def answer(self, gamma: float) -> Answer:
        """Worked by hand."""

    def match(self, action: jax.Array, obs: jax.Array) -> jax.Array:
        """How well the action fits the observation: 1 at best."""
        if self.spec.discrete:
            return jnp.where((action == 1) == (obs > 0), 1.0, -1.0)
        return 1 - (action[0] - obs / 2) ** 2

    def matching(self, obs: tuple[float, ...]) -> np.ndarray:
        """The actions that fit best."""
        if self.spec.discrete:
            return np.array([o > 0 for o in obs], np.int32)
        return np.array([[o / 2] for o in obs], np.float32)


class Constant(Probe):
    """Reward 1."""

    def reward(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        """1."""
        return jnp.ones(())

    def answer(self, gamma: float) -> Answer:
        """V = 1; 1 / (1 - gamma) if the end is bootstrapped."""
        return Answer(np.array([[0.0]]), np.array([1.0]), None)


class Seen(Probe):
    """The observation is the reward."""

    starts = (-1.0, 1.0)

    def reward(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        """The observation."""
        return obs

    def answer(self, gamma: float) -> Answer:
        """V(o) = o; 0 for both if the observation is not seen."""
        return Answer(np.array([[-1.0], [1.0]]), np.array([-1.0, 1.0]), None)


class Delayed(Probe):
    """Two steps, the observation counts them and is the reward."""

    steps = 2

    def reward(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        """0, then 1."""
        return obs

    def answer(self, gamma: float) -> Answer:
        """V(1) = 1 and V(0) = gamma; V(0) = 0 without a bootstrap."""
        return Answer(np.array([[0.0], [1.0]]), np.array([gamma, 1.0]), None)


class Acted(Probe):
    """The reward is how well the action matches 1."""

    def reward(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        """The match with 1."""
        return self.match(action, jnp.ones(()))

    def answer(self, gamma: float) -> Answer:
        """V = 1 by action 1, or 0.5 if continuous."""
        return Answer(np.array([[0.0]]), np.array([1.0]), self.matching((1.0,)))


class Both(Probe):
    """The reward is how well the action matches the observation."""

    starts = (-1.0, 1.0)

    def reward(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        """The match with the observation."""
        return self.match(action, obs)

    def answer(self, gamma: float) -> Answer:
        """V = 1 by actions 0 and 1, or -0.5 and 0.5 if continuous."""
        return Answer(np.array([[-1.0], [1.0]]), np.array([1.0, 1.0]), self.matching((-1.0, 1.0)))


PROBES: dict[str, type[Probe]] = {
    'constant': Constant,
    'observation': Seen,
    'delayed': Delayed,
    'action': Acted,
    'both': Both,
}


def create(name: str, discrete: bool = False) -> Probe:
    """A probe by its name in `PROBES`; UsageError for any other."""
    if name not in PROBES:
        raise UsageError(f'no probe {name!r}; choose one of {", ".join(PROBES)}')
    return PROBES[name].create(discrete)


def probe_columns(name: str, key: jax.Array, n: int, discrete: bool = False) -> Columns:
    """At least `n` random steps in a probe, for algorithms that learn from a recording. obs [N, 1]."""
    return random_transitions(create(name, discrete), key, n)

"""A rod that hangs from its end, turned by a motor too weak to lift it: swing it up and hold it there.

    w' = clip(w + (3 g / 2 l sin q + 3 / m l^2 u) dt, -8, 8),    q' = q + w' dt,    r = -(q^2 + w^2 / 10 + u^2 / 1000)

q: angle from upright in [-pi, pi), w: its speed, u: torque in [-2, 2]; the reward is that of the state before the step.
Steps of 50 ms, g = 10, m = l = 1. Never ends but by its time limit of 200 steps. Numbers and order as in Gymnasium's
Pendulum-v1, so the two agree step for step.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.spec import Continuous, Observation, Spec
from stitchrl.envs.env import Env, State
from stitchrl.errors import UsageError

GRAVITY, MASS, LENGTH, SECONDS = 10.0, 1.0, 1.0, 0.05
FASTEST, STRONGEST = 8.0, 2.0


class Inner(NamedTuple):
    """How the rod stands."""

    angle: jax.Array  # [], from upright, in [-pi, pi)
    speed: jax.Array  # []
    t: jax.Array  # [], int32, steps since reset


class Pendulum(Env):
    """The task. Observation: cosine and sine of the angle, speed [3]. Action: torque [1] in [-2, 2]."""

    spec: Spec = eqx.field(static=True)

    @classmethod
    def create(cls, name: str = 'swingup', horizon: int = 200) -> 'Pendulum':
        """There is one task; `horizon` is the time limit in steps. UsageError for another name."""
        if name != 'swingup':
            raise UsageError(f'no pendulum {name!r}; the one there is is called swingup')
        return cls(Spec(Observation((3,)), Continuous(1, (-STRONGEST,), (STRONGEST,)), horizon))

    def reset(self, key: jax.Array) -> State:
        """Any angle, a speed within 1 of 0."""
        k_angle, k_speed = jr.split(key)
        return self.begin(jr.uniform(k_angle, minval=-jnp.pi, maxval=jnp.pi), jr.uniform(k_speed, minval=-1, maxval=1))

    def begin(self, angle: jax.Array, speed: jax.Array) -> State:
        """Begin at an angle [] and a speed []."""
        no = jnp.zeros((), bool)
        inner = Inner(wrapped(angle), speed, jnp.zeros((), jnp.int32))
        return State(seen(inner), jnp.zeros(()), no, no, inner)

    def at(self, obs: jax.Array) -> State:
        """Begin where `obs` [3] was seen."""
        return self.begin(jnp.arctan2(obs[1], obs[0]), obs[2])

    def step(self, state: State, action: jax.Array, key: jax.Array) -> State:
        """50 ms. Nothing in it is random, `key` is not used."""
        del key
        (angle, speed, t), torque = state.inner, jnp.clip(action[0], -STRONGEST, STRONGEST)
        cost = angle**2 + 0.1 * speed**2 + 0.001 * torque**2
        push = 3 * GRAVITY / (2 * LENGTH) * jnp.sin(angle) + 3 / (MASS * LENGTH**2) * torque
        speed = jnp.clip(speed + push * SECONDS, -FASTEST, FASTEST)
        after = Inner(wrapped(angle + speed * SECONDS), speed, t + 1)
        return State(seen(after), -cost, jnp.zeros((), bool), t + 1 >= self.spec.horizon, after)

    def success(self, state: State) -> jax.Array:
        """Upright within 12 degrees at the time limit."""
        return state.truncated & (state.obs[0] > jnp.cos(jnp.pi / 15))


def wrapped(angle: jax.Array) -> jax.Array:
    """The same angle in [-pi, pi)."""
    return (angle + jnp.pi) % (2 * jnp.pi) - jnp.pi


def seen(inner: Inner) -> jax.Array:
    """The observation [3]."""
    return jnp.stack([jnp.cos(inner.angle), jnp.sin(inner.angle), inner.speed])

"""A pole hangs from a cart: push the cart along its rail so that the pole swings up, and hold it there.

    a  = (F + m l w^2 sin q) / M,    w' = (g sin q - a cos q) / (l (4/3 - m cos^2 q / M)),    x'' = a - m l w' cos q / M

q: angle from upright, w: its speed; M is the mass of both, l half the pole; F is the push, up to 5 N, and that of the
springs at both ends of the rail. No friction. A decision holds for 5 Runge-Kutta steps of 10 ms, the limit is 200
decisions, 10 s in all, and nothing else ends the task. The reward, in [0, 1], is that of the place reached:

    r = (1 + cos q) / 2  (1 + near(x / 2)) / 2  (1 + near(w / 5)) / 2  (5 - (F / 5)^2) / 5,    near(z) = 0.1^(z^2)

Equations: Barto, Sutton and Anderson, 1983, in the form of Florian, 2007. Masses, length, start and reward: the
swing-up of the DeepMind Control Suite (Tassa et al., 2018), which pushes with up to 10 N and has hard, damped stops.
Here both are softer: where a pole at rest is whipped to 20 rad/s and thrown back within a decision, an ensemble takes
what it cannot predict for noise, and planning over it is no test of planning.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.spec import Continuous, Observation, Spec
from stitchrl.envs.env import Env, State
from stitchrl.errors import UsageError

GRAVITY, CART, POLE, HALF, STRONGEST = 9.81, 1.0, 0.1, 0.5, 5.0
RAIL, SPRING = 1.5, 30.0  # half the free length in m, stiffness of its ends in N / m
SECONDS, REPEAT, HORIZON = 0.01, 5, 200
STILL = 0.01  # deviation from hanging still, of each number at the start
MASS = CART + POLE


class Inner(NamedTuple):
    """How cart and pole stand."""

    motion: jax.Array  # [4]: place, angle from upright, their speeds
    t: jax.Array  # [], int32, decisions since reset


class Swingup(Env):
    """The task. Observation: place, cosine and sine of the angle, both speeds [5]. Action: push [1] in [-5, 5] N."""

    spec: Spec = eqx.field(static=True)

    @classmethod
    def create(cls, name: str = 'swingup', horizon: int = HORIZON) -> 'Swingup':
        """There is one task; `horizon` is the time limit in decisions. UsageError for another name."""
        if name != 'swingup':
            raise UsageError(f'no hanging pole {name!r}; the one there is is called swingup')
        return cls(Spec(Observation((5,)), Continuous(1, (-STRONGEST,), (STRONGEST,)), horizon))

    def reset(self, key: jax.Array) -> State:
        """Hanging in the middle, all but still."""
        return self.begin(jnp.array([0, jnp.pi, 0, 0]) + STILL * jr.normal(key, (4,)))

    def begin(self, motion: jax.Array) -> State:
        """Begin with a place, an angle and their speeds [4]."""
        no = jnp.zeros((), bool)
        return State(seen(motion), jnp.zeros(()), no, no, Inner(motion, jnp.zeros((), jnp.int32)))

    def at(self, obs: jax.Array) -> State:
        """Begin where `obs` [5] was seen."""
        return self.begin(jnp.stack([obs[0], jnp.arctan2(obs[2], obs[1]), obs[3], obs[4]]))

    def step(self, state: State, action: jax.Array, key: jax.Array) -> State:
        """50 ms. Nothing in it is random, `key` is not used."""
        del key
        push, t = jnp.clip(action[0], -STRONGEST, STRONGEST), state.inner.t + 1
        motion = jax.lax.fori_loop(0, REPEAT, lambda _, motion: moved(motion, push), state.inner.motion)
        return State(seen(motion), pay(motion, push), jnp.zeros((), bool), t >= self.spec.horizon, Inner(motion, t))

    def success(self, state: State) -> jax.Array:
        """Upright within 12 degrees at the time limit."""
        return state.truncated & (state.obs[1] > jnp.cos(jnp.pi / 15))


def slope(motion: jax.Array, push: jax.Array) -> jax.Array:
    """How motion [4] changes in time, [4]."""
    x, q, v, w = motion
    force = push - SPRING * (x - jnp.clip(x, -RAIL, RAIL))
    sin, cos = jnp.sin(q), jnp.cos(q)
    whole = (force + POLE * HALF * w**2 * sin) / MASS
    turn = (GRAVITY * sin - whole * cos) / (HALF * (4 / 3 - POLE * cos**2 / MASS))
    return jnp.stack([v, w, whole - POLE * HALF * turn * cos / MASS, turn])


def moved(motion: jax.Array, push: jax.Array) -> jax.Array:
    """Motion [4] 10 ms later, by the classical Runge-Kutta rule of fourth order."""
    a = slope(motion, push)
    b = slope(motion + SECONDS / 2 * a, push)
    c = slope(motion + SECONDS / 2 * b, push)
    d = slope(motion + SECONDS * c, push)
    return motion + SECONDS / 6 * (a + 2 * b + 2 * c + d)


def energy(motion: jax.Array) -> jax.Array:
    """Of cart, pole and springs in J, []: what nobody's push changes."""
    x, q, v, w = motion
    moving = MASS * v**2 / 2 + POLE * HALF * v * w * jnp.cos(q) + 2 / 3 * POLE * HALF**2 * w**2
    return moving + POLE * GRAVITY * HALF * jnp.cos(q) + SPRING * (x - jnp.clip(x, -RAIL, RAIL)) ** 2 / 2


def pay(motion: jax.Array, push: jax.Array) -> jax.Array:
    """The reward, []."""
    x, q, _, w = motion
    near = lambda z: (1 + 0.1 ** (z**2)) / 2
    return (1 + jnp.cos(q)) / 2 * near(x / 2) * near(w / 5) * (5 - (push / STRONGEST) ** 2) / 5


def seen(motion: jax.Array) -> jax.Array:
    """The observation [5]."""
    x, q, v, w = motion
    return jnp.stack([x, jnp.cos(q), jnp.sin(q), v, w])

"""A pole on a cart, pushed left or right with one force: reward 1 for every step that it stands.

    a  = (F + m l w^2 sin q) / M,    w' = (g sin q - a cos q) / (l (4/3 - m cos^2 q / M)),    x'' = a - m l w' cos q / M

q: angle, w: its speed; M is the mass of both. Euler steps of 20 ms, positions first. The task ends where the cart is
2.4 from the middle or the pole 12 degrees from upright; the limit is 500 steps. Barto, Sutton and Anderson, 1983;
numbers and order of the sums as in Gymnasium's CartPole-v1, so the two agree step for step.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.spec import Discrete, Observation, Spec
from stitchrl.envs.env import Env, State
from stitchrl.errors import UsageError

GRAVITY, CART, POLE, HALF, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
FURTHEST, STEEPEST = 2.4, 12 * 2 * 3.141592653589793 / 360


class CartPole(Env):
    """The task. Observation: place, speed, angle, angular speed [4]. Action: 0 left, 1 right."""

    spec: Spec = eqx.field(static=True)

    @classmethod
    def create(cls, name: str = 'upright', horizon: int = 500) -> 'CartPole':
        """There is one task; `horizon` is the time limit in steps. UsageError for another name."""
        if name != 'upright':
            raise UsageError(f'no cart with a pole {name!r}; the one there is is called upright')
        return cls(Spec(Observation((4,)), Discrete(2), horizon))

    def reset(self, key: jax.Array) -> State:
        """Nearly upright and still, each number within 0.05 of 0."""
        no = jnp.zeros((), bool)
        obs = jr.uniform(key, (4,), minval=-0.05, maxval=0.05)
        return State(obs, jnp.zeros(()), no, no, jnp.zeros((), jnp.int32))

    def step(self, state: State, action: jax.Array, key: jax.Array) -> State:
        """20 ms. Nothing in it is random, `key` is not used."""
        del key
        _, v, q, w = state.obs
        force, mass, lever = jnp.where(action == 1, FORCE, -FORCE), CART + POLE, POLE * HALF
        sin, cos = jnp.sin(q), jnp.cos(q)
        push = (force + lever * w**2 * sin) / mass
        turn = (GRAVITY * sin - cos * push) / (HALF * (4 / 3 - POLE * cos**2 / mass))
        slide = push - lever * turn * cos / mass
        obs = state.obs + SECONDS * jnp.stack([v, slide, w, turn])
        fallen = (jnp.abs(obs[0]) > FURTHEST) | (jnp.abs(obs[2]) > STEEPEST)
        t = state.inner + 1
        return State(obs, jnp.ones(()), fallen, t >= self.spec.horizon, t)

    def success(self, state: State) -> jax.Array:
        """Still upright at the time limit."""
        return state.truncated & ~state.terminated

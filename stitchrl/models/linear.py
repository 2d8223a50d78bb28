"""A linear world with a quadratic cost: the one continuous task whose best plan is known.

    s' = A s + B a,    r = -(s' Q s' + a R a)

The best return of H steps from s is -s P_0 s, with P_H = 0 and, backwards in time, M = Q + P_(t+1),
P_t = A' M A - A' M B (R + B' M B)^-1 B' M A. It holds as long as the best actions stay inside [-1, 1].
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stitchrl.models.model import WorldModel


class Linear(WorldModel):
    """The task, as a model. Latent: the state [B, S]."""

    a: jax.Array  # [S, S]
    b: jax.Array  # [S, A]
    q: jax.Array  # [S, S]
    r: jax.Array  # [A, A]

    @classmethod
    def carts(cls, n: int, seconds: float = 0.2, spring: float = 0.5, effort: float = 0.1) -> 'Linear':
        """n carts in a row, each pushed by a motor of its own and joined to its neighbours by springs.

        State: n places, n speeds; `seconds` of a step, `spring`: stiffness, `effort`: price of a square of force.
        """
        neighbours = np.eye(n, k=1) + np.eye(n, k=-1)
        pull = spring * (neighbours - np.diag(neighbours.sum(1)))
        a = np.eye(2 * n) + seconds * np.block([[np.zeros((n, n)), np.eye(n)], [pull, np.zeros((n, n))]])
        b = seconds * np.concatenate([np.zeros((n, n)), np.eye(n)])
        q = np.diag([1.0] * n + [0.1] * n)
        return cls(*(jnp.asarray(x, jnp.float32) for x in (a, b, q, effort * np.eye(n))))

    def observe(self, latent: Any, action: Any, obs: jax.Array, key: jax.Array) -> jax.Array:
        return obs

    def step(self, latent: jax.Array, action: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        after = latent @ self.a.T + action @ self.b.T
        cost = ((after @ self.q) * after).sum(-1) + ((action @ self.r) * action).sum(-1)
        return after, -cost, jnp.ones_like(cost)

    def best(self, state: Any, horizon: int) -> tuple[np.ndarray, float]:
        """The best plan [H, A] of `horizon` steps from a state [S], without bounds, and its return. In float64."""
        a, b, q, r = (np.asarray(x, np.float64) for x in (self.a, self.b, self.q, self.r))
        p, gains = np.zeros_like(q), []
        for _ in range(horizon):
            m = q + p
            gains.append(np.linalg.solve(r + b.T @ m @ b, b.T @ m @ a))
            p = a.T @ m @ a - a.T @ m @ b @ gains[-1]
        state = np.asarray(state, np.float64)
        total, plan = -float(state @ p @ state), []
        for gain in reversed(gains):
            plan.append(-gain @ state)
            state = a @ state + b @ plan[-1]
        return np.array(plan), total

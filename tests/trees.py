"""Small models given as tables, and evaluations given as tables, for tests of searches."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from stitchrl.models.rules import Branching
from stitchrl.planners.mcts import Leaf


class Tables(Branching):
    """State s [B] int32; after[s, a], reward[s, a], mask[s, a], legal[s, a], player[s]."""

    after: jax.Array
    reward: jax.Array
    mask: jax.Array
    may: jax.Array
    turn: jax.Array
    actions: int = eqx.field(static=True)

    def observe(self, latent: Any, action: Any, obs: jax.Array, key: jax.Array) -> Any:
        return obs

    def step(self, latent: Any, action: jax.Array, key: jax.Array) -> Any:
        return self.after[latent, action], self.reward[latent, action], self.mask[latent, action]

    def legal(self, latent: Any) -> jax.Array:
        return self.may[latent]

    def player(self, latent: Any) -> jax.Array:
        return self.turn[latent]


class Told(eqx.Module):
    """value[s], prior[s, a] or prior of width 0."""

    value: jax.Array
    prior: jax.Array

    def __call__(self, model: Branching, latent: Any, keys: jax.Array) -> Leaf:
        return Leaf(self.value[latent], self.prior[latent])


def paper() -> tuple[Tables, Told]:
    """Two players, two moves. After move 0 the second can win with its move 0; all else is drawn. The evaluation likes
    move 1: it tells the second player 0.2 after move 0, and -0.5 after move 1."""
    after = jnp.array([[1, 2], [3, 3], [3, 3], [3, 3]], jnp.int32)
    reward = jnp.array([[0.0, 0], [1, 0], [0, 0], [0, 0]])
    mask = jnp.array([[1.0, 1], [0, 0], [0, 0], [0, 0]])
    model = Tables(after, reward, mask, jnp.ones((4, 2), bool), jnp.array([0, 1, 1, 0], jnp.int32), 2)
    return model, Told(jnp.array([0, 0.2, -0.5, 7]), jnp.array([[0.6, 0.4], [0.7, 0.3], [0.7, 0.3], [0.5, 0.5]]))


def wild(actions: int, depth: int, seed: int, share_legal: float = 1.0) -> tuple[Tables, Told]:
    """A tree of random values, priors, rewards and ends; move 0 is always legal. States are numbered by level."""
    rng = np.random.default_rng(seed)
    count = sum(actions**d for d in range(depth + 1))
    states = np.arange(count)
    level = np.floor(np.log(states * (actions - 1) + 1) / np.log(actions) + 1e-9).astype(int)
    after = np.minimum(states[:, None] * actions + 1 + np.arange(actions), count - 1)
    ends = (level[:, None] >= depth - 1) | (rng.random(after.shape) < 0.1)
    reward = np.where(ends, rng.uniform(-1, 1, after.shape), 0.0)
    legal = rng.random(after.shape) < share_legal
    legal[:, 0] = True
    prior = rng.dirichlet(np.ones(actions), count) * legal
    prior /= prior.sum(1, keepdims=True)
    as_float = lambda x: jnp.asarray(x, jnp.float32)
    turn = jnp.asarray(level % 2, jnp.int32)
    model = Tables(jnp.asarray(after, jnp.int32), as_float(reward), as_float(~ends), jnp.asarray(legal), turn, actions)
    return model, Told(as_float(rng.uniform(-1, 1, count)), as_float(prior))

"""What a model foresees against what came, along the actions that were really taken.

From many moments of real episodes the model is rolled out under the recorded actions, with many particles each:

    error(h)      root of the mean squared distance of the particles' mean to what was seen h steps later, each number
                  in deviations of all that was seen: at 1 a model is as far off as one that always says the mean
    coverage(q)   how often what was seen lies in the middle q of the particles: q, where the model knows how sure it is
                  (one that draws nothing has no such middle, and does not say)
    rewards       what the model expects to collect over all h steps, and what was collected
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.boundary import Boundary
from stitchrl.errors import UsageError
from stitchrl.models.model import WorldModel
from stitchrl.report.rollout import Played

MOMENTS, PARTICLES = 64, 100  # of each agent, at most; of each moment
LEVELS = np.linspace(0.05, 0.95, 19)


@dataclass(frozen=True)
class Foresight:
    """S agents, N moments of each, H steps ahead, P particles, O numbers seen, in the user's units."""

    moments: np.ndarray  # [S, N, 2] int: episode and step from which it was looked ahead
    seen: np.ndarray  # [S, N, H, O]
    foreseen: np.ndarray  # [S, N, H, P, O]
    start: np.ndarray  # [S, N, O]
    spread: np.ndarray  # [O], deviation of all that was seen; 1 where nothing ever changed
    rewards: np.ndarray  # [S, N], collected over H steps
    expected: np.ndarray  # [S, N]

    @property
    def error(self) -> np.ndarray:
        """[S, H]."""
        return self.off(self.foreseen.mean(3))

    @property
    def still(self) -> np.ndarray:
        """[S, H]: the error of saying that nothing will move."""
        return self.off(np.broadcast_to(self.start[:, :, None], self.seen.shape))

    def off(self, said: np.ndarray) -> np.ndarray:
        """[S, H]: error of what was said, [S, N, H, O]."""
        return np.sqrt((((said - self.seen) / self.spread) ** 2).mean((1, 3)))

    @property
    def draws(self) -> bool:
        """Whether particles differ after a step; those of a model that draws nothing do by rounding alone."""
        said = self.foreseen[:, :, 0]  # [S, N, P, O]
        return bool((np.ptp(said, 2) > 1e-5 * (self.spread + np.abs(said).max(2))).any())

    def coverage(self, step: int) -> np.ndarray:
        """[S, L]: the share of what was seen after `step` steps, from 1, that lies in the middle LEVELS of the
        particles; by its rank among them, so that it is exact for any number of them."""
        seen, said = self.seen[:, :, step - 1, None], self.foreseen[:, :, step - 1]
        rank = (said < seen).sum(2) + 0.5 * (said == seen).sum(2)
        middle = np.abs((rank + 0.5) / (said.shape[2] + 1) - 0.5)
        return (middle[..., None] <= LEVELS / 2).mean((1, 2))


def look(model: WorldModel, boundary: Boundary, played: Played, horizon: int, seed: int = 0) -> Foresight:
    """Look ahead along what S agents played, their models with leaves [S, ...].

    The horizon is cut to that of the shortest episode of any agent's longest. UsageError for observations that are no
    vectors.
    """
    path, length = played.path, played.length
    if path is None or path.ndim != 4:
        raise UsageError('only predictions of vectors can be compared with what was seen')
    horizon = int(min(horizon, length.max(1).min()))
    moments = np.stack([spread_out(one, horizon) for one in length])
    window = lambda x, first, n: np.stack(
        [[x[s, e, t + first : t + first + n] for e, t in each] for s, each in enumerate(moments)]
    )
    start, actions = window(path, 0, 1)[:, :, 0], window(played.action, 0, horizon)
    inner = boundary.obs(np.asarray(start, np.float32)), boundary.action_in(actions)
    key = jr.split(jr.key(seed), len(moments))
    foreseen, rewards = jax.device_get(foresee(model, *inner, key, PARTICLES))
    if boundary.mean.size:
        foreseen = foreseen * np.asarray(boundary.std) + np.asarray(boundary.mean)
    visited = np.concatenate([path[s, e, : length[s, e] + 1] for s, e in np.ndindex(*length.shape)])
    spread = visited.std(0)
    return Foresight(
        moments,
        window(path, 1, horizon),
        np.moveaxis(foreseen, 3, 1),
        start,
        np.where(spread < 1e-6, 1.0, spread),
        window(played.reward, 0, horizon).sum(-1),
        (rewards / float(boundary.scale) - float(boundary.shift)).sum(1).mean(1),
    )


def spread_out(length: np.ndarray, horizon: int) -> np.ndarray:
    """MOMENTS moments (episode, step), evenly spread over episodes of these lengths [E], with `horizon` steps still to
    come. Where there are fewer, some come more than once."""
    every = [(e, t) for e, n in enumerate(length) for t in range(int(n) - horizon + 1)]
    return np.array(every)[np.linspace(0, len(every) - 1, MOMENTS).round().astype(int)]


@partial(jax.jit, static_argnums=4)
def foresee(
    model: WorldModel, obs: jax.Array, actions: jax.Array, keys: jax.Array, particles: int
) -> tuple[jax.Array, jax.Array]:
    """obs [S, N, O] and actions [S, N, H, ...] -> what would be seen [S, H, P, N, O], and rewards [S, H, P, N]."""

    def one(model: WorldModel, obs: jax.Array, actions: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        k_observe, k_steps = jr.split(key)
        copies = lambda x: jnp.tile(x, (particles,) + (1,) * (x.ndim - 1))
        folded = lambda x: x.reshape(particles, -1, *x.shape[1:])

        def step(latent: Any, inputs: Any) -> Any:
            action, t = inputs
            latent, reward, _ = model.step(latent, copies(action), jr.fold_in(k_steps, t))
            return latent, (folded(model.seen(latent)), folded(reward))

        latent = jax.tree.map(copies, model.observe(None, None, obs, k_observe))
        steps = jnp.arange(actions.shape[1])
        return jax.lax.scan(step, latent, (actions.swapaxes(0, 1), steps))[1]

    return jax.vmap(one)(model, obs, actions, keys)

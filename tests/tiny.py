"""A recording and settings so small that a training takes a blink, for tests of all that surrounds it."""

import jax
import jax.numpy as jnp
import numpy as np

from stitchrl.algos import algorithm
from stitchrl.data.columns import Columns
from stitchrl.data.dataset import Dataset
from stitchrl.loops.offline import create

LOW, HIGH = (-2.0, 0.0), (2.0, 10.0)  # of the actions, so that the agent's units are not the recorder's
CONFIG = {'hidden': (8,), 'batch': 4, 'steps': 12}
RUN = {'seeds': 2, 'seed': 3, 'every': 4}  # three chunks of four updates


def columns(seed=0, episodes=12):
    """Random episodes of 3 to 6 steps: every third ends as a task, the others are cut. obs [N, 3], action [N, 2]."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 7, episodes)
    last, n = np.cumsum(lengths) - 1, int(lengths.sum())
    obs = rng.normal(size=(n, 3)).astype(np.float32)
    next_obs = np.concatenate([obs[1:], obs[:1]])
    next_obs[last] = rng.normal(size=(episodes, 3))
    terminal, timeout = np.zeros(n, bool), np.zeros(n, bool)
    terminal[last[::3]] = True
    timeout[last] = ~terminal[last]
    action = rng.uniform(LOW, HIGH, (n, 2)).astype(np.float32)
    reward = rng.normal(size=n).astype(np.float32)
    return Columns(obs, action, reward, terminal, timeout, next_obs, LOW, HIGH)


def dataset(seed=0, episodes=12):
    """The same as a Dataset in the recorder's units."""
    return Dataset.from_columns(columns(seed, episodes))


def write(path, seed=0):
    """The same as a file."""
    c = columns(seed)
    np.savez(
        path,
        observations=c.obs,
        actions=c.action,
        rewards=c.reward,
        terminals=c.terminal,
        timeouts=c.timeout,
        next_observations=c.next_obs,
        action_low=np.float32(c.low),
        action_high=np.float32(c.high),
    )
    return path


def agents(algo, spec, seeds=2, seed=0, **settings):
    """Agents with random weights; the package's own initialisation takes seconds to compile."""
    module = algorithm(algo)
    config = module.Config(**{**CONFIG, **settings})
    shapes = jax.eval_shape(lambda: create(module.ALGO, spec, config, 0, seeds))
    rng = np.random.default_rng(seed)

    def fill(path, leaf):
        scale = 0 if '.opt' in jax.tree_util.keystr(path) else 0.5
        return jnp.asarray(scale * rng.normal(size=leaf.shape), leaf.dtype)

    return jax.tree_util.tree_map_with_path(fill, shapes)

"""The device environment: pure functions of a state, so that jit, vmap and scan work on it."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax

from stitchrl.core.spec import Spec


class State(eqx.Module):
    """What an environment returns. Scalars for one environment; a leading axis under vmap.

    `terminated`: the task itself ended with this step. `truncated`: a time limit stopped it. Neither resets
    anything: `obs` is the true final observation and whoever steps decides what follows.
    """

    obs: jax.Array  # [...], float32, raw units
    reward: jax.Array  # [], of the step that led here; 0 after reset
    terminated: jax.Array  # [], bool
    truncated: jax.Array  # [], bool
    inner: Any  # whatever the environment needs


class Env(eqx.Module):
    """A task. `spec` is static; `horizon` in it is the time limit that sets `truncated`."""

    spec: eqx.AbstractVar[Spec]

    @abstractmethod
    def reset(self, key: jax.Array) -> State:
        """Start an episode. The key is consumed."""

    @abstractmethod
    def step(self, state: State, action: jax.Array, key: jax.Array) -> State:
        """One step with an action in the outside world's units ([A] float or [] int). The key is consumed."""

    def success(self, state: State) -> jax.Array:
        """Whether the task counts as solved in this state, [] bool. Default: it ended with a positive reward."""
        return state.terminated & (state.reward > 0)

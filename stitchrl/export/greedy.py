"""The function that an export is of: raw observations to raw greedy actions."""

from typing import Any

import jax
import jax.export
import jax.random as jr
import numpy as np

from stitchrl.core.spec import Spec


def greedy(tree: dict[str, Any], obs: jax.Array) -> jax.Array:
    """{agent, boundary} and observations [n, ...] -> actions [n, A] or [n], both in the user's units."""
    action, _ = tree['agent'].act((), tree['boundary'].obs(obs), jr.key(0))
    return tree['boundary'].action_out(action)


def batch(spec: Spec) -> jax.ShapeDtypeStruct:
    """n observations, n left open."""
    (n,) = jax.export.symbolic_shape('n')
    return jax.ShapeDtypeStruct((n, *spec.obs.shape), np.dtype(spec.obs.dtype))

"""A policy as StableHLO, for whatever JAX runs on: `jax.export`, with any number of observations at a time."""

import struct
from collections.abc import Callable
from pathlib import Path

import jax
import jax.export
import numpy as np

from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Spec
from stitchrl.errors import MissingExtra
from stitchrl.export.greedy import batch, greedy

FILE = 'policy.stablehlo'
PLATFORMS = ('cpu', 'cuda', 'tpu')
DAYS = 180  # JAX reads programs of versions up to six months older: docs.jax.dev, "Exporting", compatibility guarantees


def write(folder: Path, agent: Agent, boundary: Boundary, spec: Spec) -> None:
    """Fill a folder. Products keep all their digits on every platform. MissingExtra without flatbuffers."""
    tree = {'agent': agent, 'boundary': boundary}
    with jax.default_matmul_precision('highest'):
        exported = jax.export.export(jax.jit(lambda obs: greedy(tree, obs)), platforms=PLATFORMS)(batch(spec))
    needs_flatbuffers()
    (folder / FILE).write_bytes(exported.serialize())


def load(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The function from observations [n, ...] to actions. ValueError for bytes that JAX does not take."""
    needs_flatbuffers()
    try:
        call = jax.jit(jax.export.deserialize(bytearray((folder / FILE).read_bytes())).call)
    except (struct.error, AssertionError, IndexError, RuntimeError) as error:  # of bytes that are something else
        raise ValueError(f'{folder / FILE}: JAX cannot read it ({error})') from None
    return lambda obs: np.asarray(call(obs))


def needs_flatbuffers() -> None:
    """JAX writes and reads exported programs with it."""
    try:
        import flatbuffers  # noqa: F401
    except ImportError:
        raise MissingExtra('StableHLO is written and read with flatbuffers: pip install "stitchrl[export]"') from None

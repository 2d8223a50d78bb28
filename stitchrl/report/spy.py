"""One update of an agent, watched: what every `Learner.step` was given, its loss, and its slope.

Nothing is learned and nothing is told: the algorithm's own `update` runs, with learners that write down what they are
asked to do.
"""

import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.extend.core import get_opaque_trace_state

from stitchrl.core.agent import Agent
from stitchrl.core.learner import Learner
from stitchrl.data.dataset import Dataset
from stitchrl.data.pool import Pool


class Step(eqx.Module):
    """One call of `Learner.step`."""

    value: jax.Array  # of the loss, []
    info: dict[str, jax.Array]  # its metrics
    slope: list[jax.Array]  # of the loss, per weight of the network
    args: dict[str, list[jax.Array]]  # what the loss was given besides the network, by parameter
    arg_slope: dict[str, list[jax.Array]]  # of the loss, per argument
    learner: str = eqx.field(static=True)  # the agent's part that learns
    loss: str = eqx.field(static=True)  # the function's name
    whole: tuple[str, ...] = eqx.field(static=True)  # arguments that are networks


class Notes:
    """Where steps are written down: those of `trace`, not those of which only the shapes are asked for."""

    def __init__(self) -> None:
        self.trace = get_opaque_trace_state()
        self.steps: dict[tuple[str, str], Step] = {}


class Watched(Learner):
    """A Learner that learns nothing and writes down what it is asked to, the first time."""

    name: str = eqx.field(static=True)
    notes: Notes = eqx.field(static=True)

    def step(self, loss: Callable[..., Any], *args: Any, pieces: int = 1) -> tuple[Any, dict[str, jax.Array]]:
        """Loss, metrics and slopes of the whole batch go to the notes; the learner stays as it is."""
        numbers, rest = eqx.partition(args, eqx.is_inexact_array)
        whole = lambda net, numbers: loss(net, *eqx.combine(numbers, rest))
        (value, info), (slope, arg_slope) = jax.value_and_grad(whole, (0, 1), has_aux=True)(self.net, numbers)
        if get_opaque_trace_state() == self.notes.trace:
            mine = [x for path, x in jax.tree.leaves_with_path(slope) if not switch(path)]
            given, slopes = named(loss, self.net, args), named(loss, self.net, arg_slope)
            nets = tuple(name for name, value in parameters(loss, self.net, args) if isinstance(value, eqx.Module))
            step = Step(value, info, mine, given, slopes, self.name, called(loss), nets)
            self.notes.steps.setdefault((self.name, step.loss), step)
        return self, info


def called(loss: Any) -> str:
    """The name of a loss, a partial one's too."""
    return getattr(loss, 'func', loss).__name__


def parameters(loss: Callable[..., Any], net: Any, args: tuple[Any, ...]) -> list[tuple[str, Any]]:
    """The arguments of a loss besides the network, by their names."""
    return list(inspect.signature(loss).bind(net, *args).arguments.items())[1:]


def named(loss: Callable[..., Any], net: Any, args: tuple[Any, ...]) -> dict[str, list[jax.Array]]:
    """Arrays among the arguments: `y`, `batch.weight`, `asked[0]`; a whole network under its parameter's name."""
    found: dict[str, list[jax.Array]] = {}
    for parameter, value in parameters(loss, net, args):
        for path, leaf in jax.tree.leaves_with_path(value):
            if isinstance(leaf, jax.Array) and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                name = parameter if isinstance(value, eqx.Module) else parameter + jax.tree_util.keystr(path)
                found.setdefault(name, []).append(leaf)
    return found


def watch(agent: Agent, data: Dataset, times: tuple[int, ...]) -> dict[tuple[str, str], Step]:
    """The first step of every (learner, loss) over updates at `times`, each from the same agent and batch; NumPy."""
    steps = jax.device_get(run(agent, data, times))
    return {(step.learner, step.loss): step for step in steps}


def observed(agent: Agent, data: Dataset, times: tuple[int, ...]) -> list[Step]:
    """The steps in order, to be traced: `t` is a number here, so that a branch is taken or it is not."""
    notes = Notes()
    for name, part in parts(agent).items():
        if isinstance(part, Learner):
            agent = with_part(agent, name, Watched(part.net, part.opt, part.tx, name, notes))
    with jax.disable_jit():
        batch = agent.draw(data.with_labels(agent.label(data)), jr.key(0))
        for t in times:
            agent.update(batch, jr.key(1), np.int32(t))  # type: ignore[arg-type]
    return list(notes.steps.values())


# One program for all agents of a structure, which runs but a dozen times: compiled in half the time.
QUICK = {'xla_backend_optimization_level': 0, 'xla_llvm_disable_expensive_passes': True}
run = jax.jit(observed, static_argnums=2, compiler_options=QUICK)


def networks(agent: Agent) -> dict[str, Any]:
    """The networks of an agent by the names of its fields; of a Learner the one that learns."""
    return {name: part.net if isinstance(part, Learner) else part for name, part in parts(agent).items()}


def parts(agent: Any, above: str = '') -> dict[str, Any]:
    """The fields of an agent that hold weights; those of one that has learners of its own as `field.field`."""
    found = {}
    for field in fields(agent):
        part, name = getattr(agent, field.name), above + field.name
        if field.metadata.get('static') or isinstance(part, Pool) or not isinstance(part, eqx.Module):
            continue
        if not any(jnp.issubdtype(x.dtype, jnp.inexact) for x in jax.tree.leaves(part)):
            continue
        inside = jax.tree.leaves(part, is_leaf=lambda node: isinstance(node, Learner))
        whole = isinstance(part, Learner) or not any(isinstance(node, Learner) for node in inside)
        found |= {name: part} if whole else parts(part, f'{name}.')
    return found


def with_network(agent: Agent, name: str, net: Any) -> Agent:
    """The agent with one network replaced."""
    part = parts(agent)[name]
    return with_part(agent, name, replace(part, net=net) if isinstance(part, Learner) else net)


def with_part(agent: Any, name: str, part: Any) -> Any:
    """The agent with one of its `parts` replaced."""
    first, _, rest = name.partition('.')
    return replace(agent, **{first: with_part(getattr(agent, first), rest, part) if rest else part})


def switch(path: Any) -> bool:
    """Whether a leaf is one of the switches."""
    return jax.tree_util.keystr(path).endswith(('.gate', '.shift'))

"""The offline loop: compiled chunks of updates over data that lies on the device. Knows no algorithm by name."""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.agent import Agent
from stitchrl.core.learner import frozen
from stitchrl.core.spec import Spec
from stitchrl.data.dataset import Dataset
from stitchrl.loops.reading import Reading

CREATE, UPDATE, INSPECT, REFRESH = 0, 1, 2, 5  # the streams of randomness that grow from a seed


class State(NamedTuple):
    """What the loop carries: the agents, and the columns that each wrote beside the data."""

    agents: Agent  # every leaf with a leading seed axis [S]
    labels: dict[str, jax.Array]  # name -> [S, N]; {} where the algorithm has none


class Held(NamedTuple):
    """Data that lies on the device as a whole; `at` and `every` as of a Reading."""

    data: Dataset
    every: int  # updates between two refreshes of the agents, 0: none

    def at(self, t: int) -> Dataset:
        """The data at update t."""
        return self.data


class Chunk(NamedTuple):
    """What the loop yields. `agents` is donated to the next chunk: use it before asking for that."""

    step: int  # updates done; online, steps of the environments of one agent
    agents: Agent  # every leaf with a leading seed axis [S]
    info: dict[str, np.ndarray]  # name -> [S], mean over the chunk's updates
    broken: tuple[int, int, str] | None  # (update, seed, name) of the first metric that was not finite
    bad: int  # updates of the chunk in which some metric was not
    live: Any = None  # of an online run all that it carries, `agents` among it


def roots(seed: int, seeds: int, stream: int) -> jax.Array:
    """[S] keys, one per agent: agent i of a run with seed s is agent 0 of a run with seed s + i."""
    keys = [jr.fold_in(jr.key(seed + i), stream) for i in range(seeds)]
    return jnp.stack(keys)


def create(algo: type[Agent], spec: Spec, cfg: Any, seed: int, seeds: int) -> Agent:
    """`seeds` fresh agents as one, every leaf with a leading axis [S]."""
    return fresh(algo, spec, cfg, roots(seed, seeds, CREATE))


@partial(jax.jit, static_argnums=(0, 1, 2))
def fresh(algo: type[Agent], spec: Spec, cfg: Any, keys: jax.Array) -> Agent:
    """An agent per key; equal configs share one compiled program."""
    return jax.vmap(partial(algo.create, spec, cfg))(keys)


def begin(agents: Agent, data: Dataset) -> State:
    """The agents with their labels of this data, as they were last refreshed: at the start, and on resuming."""
    return State(agents, labels(agents, data))


@jax.jit
def labels(agents: Agent, data: Dataset) -> dict[str, jax.Array]:
    """What each agent writes beside the data, name -> [S, N]. One program for all, so that no bit depends on when."""
    return jax.vmap(lambda agent: agent.label(data))(agents)


def renew(state: State, data: Dataset, root: jax.Array, t: int) -> State:
    """Agents and labels before update t: refreshed where it is time, every `cfg.refresh` updates, or never. `root` [S]
    are keys of the stream REFRESH."""
    every = getattr(state.agents.cfg, 'refresh', 0)
    if not every or t % every:
        return state
    return begin(refreshed(state.agents, data, root, jnp.int32(t)), data)


@partial(jax.jit, donate_argnums=0)
def refreshed(agents: Agent, data: Dataset, root: jax.Array, t: jax.Array) -> Agent:
    """Every agent after its `refresh`, before update t."""
    return jax.vmap(lambda agent, root: agent.refresh(data, jr.fold_in(root, t), t))(agents, root)


def pieces(start: int, stop: int, every: int) -> Iterator[tuple[int, int]]:
    """(first update, number) of the stretches from start to stop between which agents are refreshed."""
    while start < stop:
        size = min(every - start % every, stop - start) if every else stop - start
        yield start, size
        start += size


@partial(jax.jit, donate_argnums=0, static_argnums=4)
def many(state: State, data: Dataset, root: jax.Array, start: jax.Array, chunk: int) -> Any:
    """`chunk` updates of each agent, from update `start` on. -> state, {name: [chunk, S]}."""

    def one(state: State, root: jax.Array, t: jax.Array) -> Any:
        k_data, k_update = jr.split(jr.fold_in(root, t))
        batch = state.agents.draw(data.with_labels(state.labels), k_data)
        agent, info = state.agents.update(batch, k_update, t)
        return State(agent, state.labels), info

    step = lambda state, t: jax.vmap(one, in_axes=(0, 0, None))(state, root, t)
    return jax.lax.scan(step, state, start + jnp.arange(chunk))


@partial(jax.jit, static_argnums=4)
def measure(state: State, data: Dataset, root: jax.Array, t: jax.Array, held_out: bool) -> dict[str, jax.Array]:
    """Losses on one batch with nothing learning (held_out), or the agent's own diagnostics. {name: [S]}."""

    def one(state: State, root: jax.Array) -> dict[str, jax.Array]:
        k_data, k_use = jr.split(jr.fold_in(root, t))
        batch = state.agents.draw(data.with_labels(state.labels), k_data)
        return frozen(state.agents).update(batch, k_use, t)[1] if held_out else state.agents.inspect(batch, k_use)

    return jax.vmap(one)(state, root)


def updates(
    agents: Agent,
    data: Dataset | Reading,
    seed: int,
    steps: int,
    chunk: int,
    start: int = 0,
    held_out: Dataset | None = None,
) -> Iterator[Chunk]:
    """Yield after every chunk that ends at a multiple of `chunk`, until `steps` updates are done.

    Update t draws from fold_in(root, t): where a run was cut does not change what it computes.
    """
    count = jax.tree.leaves(agents)[0].shape[0]
    root, k_inspect, k_refresh = (roots(seed, count, stream) for stream in (UPDATE, INSPECT, REFRESH))
    held = data if isinstance(data, Reading) else Held(data, getattr(agents.cfg, 'refresh', 0))
    state = begin(agents, held.at(start))
    while start < steps:
        stop, parts = min(start - start % chunk + chunk, steps), []
        for t, size in pieces(start, stop, held.every):
            rows = held.at(t)
            state, part = many(renew(state, rows, k_refresh, t), rows, root, jnp.int32(t), size)
            parts.append(part)
        each = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        last = jnp.int32(stop - 1)
        info = means(each) | means(one_row(measure(state, held.at(stop - 1), k_inspect, last, False)))
        if held_out is not None:
            twins = means(one_row(measure(begin(state.agents, held_out), held_out, k_inspect, last, True)))
            info |= {f'held_out/{name}': value for name, value in twins.items() if not name.endswith('/ran')}
        broken, bad = first_broken(each, start)
        start = stop
        yield Chunk(start, state.agents, info, broken, bad)


def one_row(info: dict[str, jax.Array]) -> dict[str, np.ndarray]:
    """{name: [S]} as a chunk of one update, {name: [1, S]}."""
    return {name: np.asarray(value)[None] for name, value in info.items()}


def means(each: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """{name: [chunk, S]} -> {name: [S]}, see `mean_of`."""
    count = len(next(iter(each.values()))) if each else 0
    return mean_of({name: values.sum(0) for name, values in each.items()}, count)


def mean_of(sums: dict[str, np.ndarray], count: Any) -> dict[str, np.ndarray]:
    """Sums [S] over `count` updates -> means. A part that reports `part/ran` is averaged over the updates it ran in,
    and left out where it ran in none."""
    result = {}
    for name, total in sums.items():
        ran = sums.get(name.split('/')[0] + '/ran')
        if ran is None or name.endswith('/ran'):
            result[name] = total / count
        elif ran.any():
            result[name] = total / ran
    return result


def first_broken(each: dict[str, np.ndarray], start: int) -> tuple[tuple[int, int, str] | None, int]:
    """(update, seed, name) of the earliest value that is not finite, a loss before what follows from it, and the
    number of updates with such a value."""
    found, updates = [], set()
    for name, values in each.items():
        bad = np.argwhere(~np.isfinite(values))
        updates |= set(bad[:, 0].tolist())
        if len(bad):
            found.append((int(bad[0, 0]) + start, not name.endswith('/loss'), int(bad[0, 1]), name))
    if not found:
        return None, 0
    update, _, seed, name = min(found)
    return (update, seed, name), len(updates)

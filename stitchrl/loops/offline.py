"""The offline loop: compiled chunks of updates over data that lies on the device. Knows no algorithm by name."""

from collections.abc import Iterator, Sequence
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
from stitchrl.loops.chunk import Chunk, beside, first_broken, means, one_row
from stitchrl.loops.reading import Reading
from stitchrl.loops.seeds import apart, count, over_seeds, side_by_side

CREATE, UPDATE, INSPECT, REFRESH = 0, 1, 2, 5  # the streams of randomness that grow from a seed
TURNS = 4  # batches that held-out losses are a mean over, those before the last update too: a policy may wait its turn


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
    return over_seeds(lambda agent: agent.label(data), agents)


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
    return over_seeds(lambda agent, root: agent.refresh(data, jr.fold_in(root, t), t), agents, root)


def pieces(start: int, stop: int, every: int) -> Iterator[tuple[int, int]]:
    """(first update, number) of the stretches from start to stop between which agents are refreshed."""
    while start < stop:
        size = min(every - start % every, stop - start) if every else stop - start
        yield start, size
        start += size


@partial(jax.jit, donate_argnums=0, static_argnums=4)
def many(state: State, data: Dataset, root: jax.Array, start: jax.Array, chunk: int) -> Any:
    """`chunk` updates of each agent, from update `start` on. -> state, {name: [chunk, S]}."""

    def each(state: State, root: jax.Array) -> Any:
        rows, at = data.with_labels(state.labels), start + jnp.arange(chunk)
        keys = jax.vmap(lambda t: jr.split(jr.fold_in(root, t)))(start + jnp.arange(chunk + 1))

        def one(now: tuple[Agent, Any], given: tuple[jax.Array, ...]) -> Any:
            (agent, batch), (t, k_update, k_next) = now, given
            following = agent.draw(rows, k_next)  # beside the update, on a core that waits for the other
            agent, info = agent.update(batch, k_update, t)
            return (agent, following), info

        first = state.agents, state.agents.draw(rows, keys[0, 0])
        (agent, _), info = jax.lax.scan(one, first, (at, keys[:-1, 1], keys[1:, 0]))
        return State(agent, state.labels), info

    state, info = over_seeds(each, state, root)
    return state, {name: value.T for name, value in info.items()}


@partial(jax.jit, static_argnums=4)
def measure(state: State, data: Dataset, root: jax.Array, t: jax.Array, held_out: bool) -> dict[str, jax.Array]:
    """Losses on one batch with nothing learning (held_out), or the agent's own diagnostics. {name: [S]}."""

    def one(state: State, root: jax.Array) -> dict[str, jax.Array]:
        k_data, k_use = jr.split(jr.fold_in(root, t))
        batch = state.agents.draw(data.with_labels(state.labels), k_data)
        return frozen(state.agents).update(batch, k_use, t)[1] if held_out else state.agents.inspect(batch, k_use)

    return over_seeds(one, state, root)


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
    if start >= steps:
        return
    seeds, held = count(agents), data if isinstance(data, Reading) else Held(data, getattr(agents.cfg, 'refresh', 0))
    root, k_inspect, k_refresh = (apart(roots(seed, seeds, stream)) for stream in (UPDATE, INSPECT, REFRESH))
    states = [begin(group, held.at(start)) for group in apart(agents)]
    with side_by_side() as every:
        while start < steps:
            stop, parts = min(start - start % chunk + chunk, steps), []
            for t, size in pieces(start, stop, held.every):
                rows = held.at(t)
                on = lambda state, root, key, rows=rows, t=t, size=size: many(
                    renew(state, rows, key, t), rows, root, jnp.int32(t), size
                )
                states, part = zip(*every(on, states, root, k_refresh), strict=True)
                parts.append(beside(part, 1))
            each = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            info = means(each) | looks(states, k_inspect, held.at(stop - 1), held_out, jnp.int32(stop - 1))
            broken, bad = first_broken(each, start)
            start = stop
            yield Chunk(start, [state.agents for state in states], info, broken, bad)


def looks(
    states: Sequence[State], keys: list[jax.Array], data: Dataset, held_out: Dataset | None, t: jax.Array
) -> dict[str, np.ndarray]:
    """The agents' own diagnostics after update t, and the same and their losses on what is held out. {name: [S]}."""
    info = means(one_row([measure(state, data, key, t, False) for state, key in zip(states, keys, strict=True)]))
    if held_out is None:
        return info
    apart = [(begin(state.agents, held_out), key) for state, key in zip(states, keys, strict=True)]
    look = lambda k, losses: beside([measure(s, held_out, key, jnp.maximum(t - k, 0), losses) for s, key in apart], 0)
    losses = [look(k, True) for k in range(TURNS)]
    twins = means({name: np.stack([one[name] for one in losses]) for name in losses[0]}) | look(0, False)
    return info | {f'held_out/{name}': value for name, value in twins.items() if not name.endswith('/ran')}

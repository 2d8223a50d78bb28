"""What a session works through: updates on a recording, steps in an environment, or the one after the other."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.algos import algorithm
from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.data.controls import shuffled
from stitchrl.data.dataset import Dataset
from stitchrl.data.replay import memory
from stitchrl.data.survey import OnDisk
from stitchrl.errors import UsageError
from stitchrl.loops.chunk import Chunk
from stitchrl.loops.inherit import inherited
from stitchrl.loops.offline import UPDATE, create, roots, updates
from stitchrl.loops.online import Live
from stitchrl.loops.plan import Plan
from stitchrl.loops.reading import Reading, admit
from stitchrl.loops.settings import Settings
from stitchrl.loops.space import free, size
from stitchrl.loops.stream import Stream, glimpse
from stitchrl.runs.policy import without_optimisers

Recording = Dataset | OnDisk
RATE = {'cpu': 2e11}  # operations per second taken for granted when a chunk is sized, to last about a second
CHUNKS = (10, 50, 100, 250, 500, 1000, 2500)


class Work:
    """Steps 0 .. offline are updates on the recording, steps offline .. total are taken in `world`. Of the recording it
    keeps what is trained on, in the agent's units; of one on the disk, what it is read with."""

    def __init__(self, name: str, cfg: Any, settings: Settings, data: Recording | None, world: Any):
        """`world`: the environment to learn in, or None. UsageError where a request cannot be meant."""
        self.name, self.algo, self.settings = name, algorithm(name).ALGO, settings
        self.cfg = self.algo.going_on(cfg) if data is not None and settings.online_steps else cfg
        self.offline = 0 if data is None else cfg.steps
        self.online = settings.online_steps if data is not None else cfg.steps
        if data is None and world is None:
            raise UsageError('nothing to learn from: name a recording (--data), an environment (--env) or both')
        if settings.stream and not isinstance(data, OnDisk):
            raise UsageError('stream reads a recording from the disk: name it (--data PATH, or stitchrl.on_disk(path))')
        if self.offline + self.online < 1 or min(self.offline, self.online, settings.seeds - 1, cfg.batch - 1) < 0:
            got = f'steps is {cfg.steps}, online_steps {settings.online_steps} and seeds {settings.seeds}'
            raise UsageError(f'{got}; expected at least 1 step and 1 seed')
        self.data: Dataset | Reading | None = None
        self.held_out: Dataset | None = None
        if data is not None:
            self.spec = data.spec
            self.boundary = self.read(data) if isinstance(data, OnDisk) else self.take(data)
        else:
            self.spec = world.spec
            self.boundary = self.begun[1] or Boundary.without_data(self.spec, cfg.normalise, cfg.reward)
        self.stream = self.enter(world) if self.online else None
        self.fits(size(self.new), f'{settings.seeds} agents of {name} take', 'take fewer --seeds or smaller settings')

    def take(self, data: Dataset) -> Boundary:
        """Keep the part of the recording that is learned from, and fit the boundary to it."""
        settings = self.settings
        if settings.shuffle_rewards:  # before the algorithm selects, or a choice by return would see the true ones
            data = data.relabel(lambda data: shuffled(data, settings.seed))
        chosen = self.algo.select(data, self.cfg)
        chosen, held_out = chosen.split(settings.holdout, settings.seed) if settings.holdout else (chosen, None)
        boundary = self.begun[1] or Boundary.fit(chosen, self.cfg.normalise, self.cfg.reward)
        self.data = jax.device_put(boundary.inward(chosen))
        self.held_out = None if held_out is None else jax.device_put(boundary.inward(held_out))
        return boundary

    def read(self, data: OnDisk) -> Boundary:
        """Open the recording on the disk for training, and fit the boundary to it."""
        admit(self.name, self.algo, self.cfg, self.settings)
        boundary = self.begun[1] or Boundary.fit(data, self.cfg.normalise, self.cfg.reward)
        rows, seed = self.settings.buffer_rows, self.settings.seed
        self.data = Reading(data, boundary, self.cfg.batch, rows, seed, self.pace[0])
        self.fits(self.data.bytes, f'a buffer of {rows:,} rows takes', 'take fewer --buffer-rows')
        return boundary

    def fits(self, needed: int, what: str, fix: str) -> None:
        """UsageError unless there is memory for `needed` bytes."""
        if needed > free():
            raise UsageError(f'{what} {needed / 1e9:.1f} GB and {free() / 1e9:.1f} GB are free; {fix}')

    def enter(self, world: Any) -> Stream:
        """The environment to learn in. UsageError where there is none, or no memory for what it will show."""
        settings, mixed = self.settings, self.data is not None
        if world is None:
            raise UsageError('online_steps needs an environment to take them in: --env ENV')
        if settings.lanes < 1 or settings.ratio <= 0 or not 0 <= settings.mix < 1:
            got = f'lanes is {settings.lanes}, ratio {settings.ratio:g} and mix {settings.mix:g}'
            raise UsageError(f'{got}; expected at least 1, above 0, and from 0 to under 1')
        self.algo.enter(lambda: glimpse(world, settings.seed), self.cfg)
        random = settings.random_steps if settings.random_steps is not None else (0 if mixed else 1000)
        mix, refresh = settings.mix if mixed else 0.0, getattr(self.cfg, 'refresh', 0)
        plan = Plan(settings.lanes, settings.ratio, random, mix, refresh)
        rows = min(settings.capacity, 2 * self.online + 4 * settings.lanes)  # an episode takes a row more than steps
        self.bytes = memory(self.spec, rows, settings.lanes) * settings.seeds
        what = f'the rings of {settings.seeds} seeds, {rows:,} steps each, take'
        self.fits(self.bytes, what, 'take a smaller --capacity or fewer --seeds')
        data = self.data if plan.mix and isinstance(self.data, Dataset) else None
        return Stream(world, jax.device_put(self.boundary), data, plan, rows, settings.seed, settings.processes)

    @property
    def total(self) -> int:
        """The step with which the work ends; environment steps are counted in rounds of all lanes."""
        lanes = self.settings.lanes
        return self.offline + (-(-self.online // lanes) * lanes if self.online else 0)

    @cached_property
    def begun(self) -> tuple[Agent | None, Boundary | None]:
        """The agents of the run to begin with, and their units."""
        if self.settings.start is None:
            return None, None
        return inherited(self.settings.start, self.name, jax.eval_shape(self.new))

    def new(self) -> Agent:
        """Agents that have learned nothing, all seeds as one."""
        return create(self.algo, self.spec, self.cfg, self.settings.seed, self.settings.seeds)

    def agents(self) -> Agent:
        """The agents that begin."""
        first = self.begun[0]
        return self.new() if first is None else jax.tree.map(jnp.copy, first)

    def fresh(self) -> Any:
        """What there is before anything is learned."""
        return self.agents() if self.offline or self.stream is None else self.stream.fresh(self.agents())

    def like(self, step: int) -> Any:
        """The shapes of what a checkpoint of this step holds."""
        begun = self.stream is not None and (step > self.offline or not self.offline)
        return jax.eval_shape(lambda: self.stream.fresh(self.new()) if begun and self.stream else self.new())

    def chunks(self, state: Any, start: int) -> Iterator[Chunk]:
        """From `state` at step `start` to the end."""
        if start < self.offline and self.data is not None:
            chunk, seed = self.pace[0], self.settings.seed
            for part in updates(state, self.data, seed, self.offline, chunk, start, self.held_out):
                yield part
                state = part
            state = state.agents
            if isinstance(self.data, Reading):
                self.data.close()
            start = self.offline
        if self.stream is None or start >= self.total:
            return
        live = state if isinstance(state, Live) else self.stream.fresh(state)
        lanes, before = self.settings.lanes, self.offline
        first, stop = (start - before) // lanes, (self.total - before) // lanes
        for part in self.stream.chunks(live, first, stop, self.beat[0] // lanes):
            at = part.broken and (part.broken[0] + before, *part.broken[1:])
            yield part._replace(step=part.step + before, broken=at)

    def due(self, step: int) -> bool:
        """Whether it is time to judge and to save."""
        if step in (self.offline, self.total):
            return True
        return step % self.pace[1] == 0 if step < self.offline else (step - self.offline) % self.beat[1] == 0

    @cached_property
    def pace(self) -> tuple[int, int]:
        """(updates in a compiled chunk, updates between evaluations), the second a multiple of the first."""
        every = min(self.settings.every or max(self.offline // 20, 1000), self.offline)
        return stretches(every, self.rate, 1)

    @cached_property
    def beat(self) -> tuple[int, int]:
        """The same for steps in the environment, both multiples of `lanes`."""
        every = min(self.settings.every or max(self.online // 20, 1000), self.online)
        acting = jax.eval_shape(self.new).passes / (3 * self.cfg.batch)  # seconds, of those that an update takes
        return stretches(every, self.rate / (self.settings.ratio + acting), self.settings.lanes)

    @cached_property
    def rate(self) -> float:
        """Updates per second, roughly."""
        weights = sum(x.size for x in jax.tree.leaves(without_optimisers(jax.eval_shape(self.new))))
        return RATE.get(jax.default_backend(), 1e13) / (6 * weights * self.cfg.batch)

    def batch(self, part: Chunk, seed: int, step: int) -> Any:
        """What agent `seed` drew for update `step`; online a batch like it, of the ring as it is now."""
        key = jr.split(jr.fold_in(roots(self.settings.seed, self.settings.seeds, UPDATE)[seed], step))[0]
        state: Any = jax.tree.map(lambda x: x[seed], part.state)
        if isinstance(part.groups[0], Live):
            return state.agents.draw(state.replay, key)
        assert self.data is not None
        data = self.data.at(step) if isinstance(self.data, Reading) else self.data
        return state.draw(data.with_labels(state.label(data)), key)


def stretches(every: int, rate: float, unit: int) -> tuple[int, int]:
    """(steps of a chunk, steps between evaluations): the first takes about a second, the second is whole chunks."""
    wanted = max((size for size in CHUNKS if size <= rate), default=CHUNKS[0])
    pieces = -(-every // wanted)
    chunk = -(-every // pieces // unit) * unit
    return chunk, chunk * pieces

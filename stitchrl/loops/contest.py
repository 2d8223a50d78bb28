"""What a session works through when agents learn a game by playing themselves."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.algos import algorithm
from stitchrl.core.boundary import Boundary
from stitchrl.core.player import Player
from stitchrl.errors import UsageError
from stitchrl.loops.chunk import Chunk
from stitchrl.loops.inherit import inherited
from stitchrl.loops.offline import INSPECT, UPDATE, create, roots
from stitchrl.loops.plan import Plan
from stitchrl.loops.selfplay import Hall, Keys, looked_at, open_hall, ticks
from stitchrl.loops.settings import Settings
from stitchrl.loops.space import free, size
from stitchrl.loops.stream import ACT, rounds

MOVES = 4_000  # between two looks from outside, about; a search takes much longer than a look


class Contest:
    """Steps are moves, counted in rounds of all games of an agent. Stands where `work.Work` does."""

    data, held_out, offline = None, None, 0

    def __init__(self, name: str, cfg: Any, settings: Settings, world: Any):
        """`world`: an environment that holds a `game`. UsageError where a request cannot be meant."""
        self.name, self.algo, self.settings = name, algorithm(name).ALGO, settings
        self.game, self.spec, self.online = game_of(name, settings, world), world.spec, cfg.steps
        if min(cfg.steps, settings.seeds, settings.lanes, cfg.batch) < 1 or settings.ratio <= 0:
            got = f'steps {cfg.steps}, seeds {settings.seeds}, lanes {settings.lanes}, ratio {settings.ratio:g}'
            raise UsageError(f'{got}; expected at least 1, and a ratio above 0')
        longest, asked = settings.lanes * (self.spec.horizon + 1), settings.random_steps or 0
        self.plan = Plan(settings.lanes, settings.ratio, max(asked, longest), 0.0)
        last = self.total // settings.lanes
        self.cfg = self.algo.seated(cfg, titled(settings), max(int(self.plan.due(last)), 1))
        self.boundary = Boundary.blank(self.spec)
        self.bytes = self.fits()
        self.first = None if settings.start is None else inherited(settings.start, name, jax.eval_shape(self.new))[0]

    def fits(self) -> int:
        """Bytes of agents and rings. UsageError where there is no memory for them, or no room for two games each."""
        needed, left = size(lambda: self.opened(self.new())), free()
        if needed > left:
            what = f'{self.settings.seeds} agents and their positions take {needed / 1e9:.1f} GB'
            raise UsageError(f'{what}, {left / 1e9:.1f} GB are free; take a smaller --capacity or fewer --seeds')
        return needed

    @property
    def total(self) -> int:
        """The step with which the work ends."""
        return -(-self.online // self.settings.lanes) * self.settings.lanes

    @cached_property
    def stream(self) -> 'Contest':
        """It learns by acting: what tells a run's plan."""
        return self

    def told(self) -> list[str]:
        """What will be done, for people."""
        settings, plan = self.settings, self.plan
        return [
            f'learns {settings.env} by playing itself: {self.total:,} moves of each seed in {plan.lanes} games at '
            f'a time, an update after every {1 / plan.ratio:g} moves from move {plan.random_steps:,} on',
            f'      remembers {settings.capacity:,} positions of each seed, {self.bytes / 1e6:,.0f} MB in all',
        ]

    def new(self) -> Any:
        """Agents that have learned nothing, all seeds as one."""
        return create(self.algo, self.spec, self.cfg, self.settings.seed, self.settings.seeds)

    def fresh(self) -> Hall:
        """What there is before the first move."""
        agents = self.new() if self.first is None else jax.tree.map(jnp.copy, self.first)
        return self.opened(agents)

    def opened(self, agents: Player) -> Hall:
        """Agents at boards without a stone."""
        return open_hall(agents, self.game, self.settings.capacity, self.settings.lanes)

    def like(self, step: int) -> Any:
        """The shapes of what a checkpoint holds."""
        return jax.eval_shape(lambda: self.opened(self.new()))

    def chunks(self, hall: Hall, start: int) -> Iterator[Chunk]:
        """From `hall` at step `start` to the end."""
        seed, seeds, lanes = self.settings.seed, self.settings.seeds, self.settings.lanes
        keys, inspect = Keys(*(roots(seed, seeds, stream) for stream in (ACT, UPDATE))), roots(seed, seeds, INSPECT)
        play = lambda hall, keys, tick, n: ticks(hall, self.game, keys, np.int32(tick), n, self.plan)
        course = range(start // lanes, self.total // lanes, self.beat[0] // lanes)
        return rounds(hall, (keys, inspect), course, lanes, play, looked_at)

    def due(self, step: int) -> bool:
        """Whether it is time to judge and to save."""
        return step == self.total or step % self.beat[1] == 0

    @cached_property
    def beat(self) -> tuple[int, int]:
        """(moves of a compiled chunk, moves between evaluations), both in rounds of all games."""
        lanes = self.settings.lanes
        every = min(self.settings.every or self.total // 20, self.total)
        chunk = max(min(MOVES, every) // lanes, 1) * lanes
        return chunk, -(-every // chunk) * chunk

    def batch(self, part: Chunk, seed: int, step: int) -> Any:
        """A batch like the one that agent `seed` drew, of the ring as it is now."""
        key = jr.fold_in(roots(self.settings.seed, self.settings.seeds, UPDATE)[seed], step)
        hall = jax.tree.map(lambda x: x[seed], part.state)
        return hall.agents.draw(hall.games, key)


def game_of(name: str, settings: Settings, world: Any) -> Any:
    """The rules of the game in which the algorithm is to learn. UsageError where there is none, or a recording."""
    if getattr(world, 'game', None) is None:
        raise UsageError(f'{name} learns a game by playing itself, from no recording: name one, --env connect_four')
    if settings.data is not None:
        raise UsageError(f'{name} learns from its own games alone, without --data')
    return world.game


def titled(settings: Settings) -> str | None:
    """The name of the game; None where it has none."""
    return None if settings.env is None else settings.env.partition('/')[0]

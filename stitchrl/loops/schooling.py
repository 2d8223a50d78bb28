"""What a session works through when agents learn a game in stages: the updates of all of them, one after another."""

from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.algos import algorithm
from stitchrl.core.boundary import Boundary
from stitchrl.errors import UsageError
from stitchrl.loops.apprentice import STAGES, Desk, Stage, entered, lessons
from stitchrl.loops.chunk import Chunk
from stitchrl.loops.contest import game_of, titled
from stitchrl.loops.inherit import inherited
from stitchrl.loops.offline import INSPECT, UPDATE, create, roots
from stitchrl.loops.settings import Settings
from stitchrl.loops.space import free, size
from stitchrl.loops.stream import ACT, rounds
from stitchrl.loops.work import stretches

IDLE = ('lanes', 'processes', 'ratio', 'capacity', 'random_steps', 'mix')  # settings that are about a stream of steps


class Schooling:
    """Steps are updates. Stands where `work.Work` does. A checkpoint holds what its stage learns from, so that nothing
    is played again by a run that goes on."""

    data, held_out, offline = None, None, 0

    def __init__(self, name: str, cfg: Any, settings: Settings, world: Any):
        """`world`: an environment that holds a `game`. UsageError where a request cannot be meant."""
        self.name, self.algo, self.settings = name, algorithm(name).ALGO, settings
        self.game, self.spec, self.online = game_of(name, settings, world), world.spec, cfg.steps
        if settings.seeds < 1:
            raise UsageError(f'seeds {settings.seeds}: expected at least 1')
        if idle := [option for option in IDLE if getattr(settings, option) != getattr(Settings, option)]:
            told = ', '.join(f'--{option.replace("_", "-")}' for option in idle)
            raise UsageError(f'{name} has no use for {told}: its stages play --games and --positions at once')
        self.cfg = self.algo.seated(cfg, self.spec, titled(settings))
        self.ends = tuple(accumulate(self.algo.course(self.cfg)))  # the step with which each stage ends
        self.boundary = Boundary.blank(self.spec)
        self.bytes = self.fits()
        self.first = None if settings.start is None else inherited(settings.start, name, jax.eval_shape(self.new))[0]

    def fits(self) -> int:
        """Bytes of agents and of what they learn from, in the stage that has most. UsageError where there is no memory
        for them."""
        needed, left = max(size(lambda end=end: self.begun(self.new(), end)) for end in self.ends), free()
        if needed > left:
            what = f'{self.settings.seeds} agents and their games take {needed / 1e9:.1f} GB'
            raise UsageError(f'{what}, {left / 1e9:.1f} GB are free; take fewer --games, --positions or --seeds')
        return needed

    @property
    def total(self) -> int:
        """The step with which the work ends."""
        return self.ends[-1]

    @cached_property
    def stream(self) -> 'Schooling':
        """It learns from what it plays: there is no recording."""
        return self

    def told(self) -> list[str]:
        """What will be done, for people."""
        cfg, (imitate, improve, appraise) = self.cfg, self.algo.course(self.cfg)
        return [
            f'learns {self.settings.env} in three stages, {self.total:,} updates of each seed: {imitate:,} on '
            f'{cfg.games:,} games of a search, {improve:,} of {cfg.rivals:,} games against what it was, '
            f'{appraise:,} on {cfg.positions:,} positions of what it plays then',
            f'      holds {self.bytes / 1e6:,.0f} MB',
        ]

    def new(self) -> Any:
        """Agents that have learned nothing, all seeds as one."""
        return create(self.algo, self.spec, self.cfg, self.settings.seed, self.settings.seeds)

    def fresh(self) -> Desk:
        """What there is before the first update."""
        return Desk(self.new() if self.first is None else jax.tree.map(jnp.copy, self.first), (), ())

    def at(self, step: int) -> tuple[int, Stage, int]:
        """(number, stage, step with which it began) of the update after which the step is `step`."""
        number = next(i for i, end in enumerate(self.ends) if step <= end)
        return number, STAGES[number], (0, *self.ends)[number]

    def begun(self, agents: Any, step: int) -> Desk:
        """Agents at the beginning of the stage that leads to `step`."""
        number, stage, _ = self.at(step)
        return entered(agents, stage, self.game, self.keys(ACT, number))

    def keys(self, stream: int, number: int | None = None) -> jax.Array:
        """[S] keys of a stream of randomness, of one stage where it is named."""
        found = roots(self.settings.seed, self.settings.seeds, stream)
        return found if number is None else jax.vmap(jr.fold_in, (0, None))(found, number)

    def like(self, step: int) -> Any:
        """The shapes of what a checkpoint of this step holds."""
        return jax.eval_shape(lambda: self.begun(self.new(), step) if step else self.fresh())

    def chunks(self, desk: Desk, start: int) -> Iterator[Chunk]:
        """From `desk` at step `start` to the end."""
        keys = self.keys(UPDATE), self.keys(INSPECT)
        for end in (end for end in self.ends if end > start):
            _, stage, first = self.at(end)
            desk = self.begun(desk.agents, end) if start == first else desk
            play = lambda desk, keys, t, n, stage=stage, first=first: lessons(
                desk, stage, self.game, keys, jnp.int32(first), jnp.int32(t), jnp.int32(n)
            )
            for part in rounds(desk, keys, range(start, end, self.pace(stage)[0]), 1, play, lambda *_: {}):
                yield part._replace(info={name: x for name, x in part.info.items() if name != 'train/episodes'})
                desk = part.state
            start = end

    def due(self, step: int) -> bool:
        """Whether it is time to judge and to save."""
        return step in self.ends or step % self.pace(self.at(step)[1])[1] == 0

    def pace(self, stage: Stage) -> tuple[int, int]:
        """(updates of a chunk, updates between evaluations) in a stage."""
        every = min(self.settings.every or max(self.total // 20, 1), self.total)
        return stretches(every, stage.pace, 1)

    def batch(self, part: Chunk, seed: int, step: int) -> Any:
        """A batch like the one that agent `seed` drew for update `step`."""
        _, stage, first = self.at(step + 1)
        key = jr.fold_in(self.keys(UPDATE)[seed], step)
        desk = jax.tree.map(lambda x: x[seed], part.state)
        return stage.draw(desk.agents, self.game, desk.material, key, jnp.int32(step - first))

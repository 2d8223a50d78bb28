"""A training run from request to result: prepare, loop, judge, save. Knows no algorithm and no environment by name."""

import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from stitchrl import envs
from stitchrl.algos import algorithm
from stitchrl.algos.fit import refuse
from stitchrl.core.player import Player
from stitchrl.core.pupil import Pupil
from stitchrl.errors import StitchError
from stitchrl.loops.chunk import Chunk, agents_of
from stitchrl.loops.contest import Contest
from stitchrl.loops.evaluate import evaluate, rows
from stitchrl.loops.schooling import Schooling
from stitchrl.loops.settings import Settings
from stitchrl.loops.watch import Nobody, Watch
from stitchrl.loops.work import Recording, Work
from stitchrl.runs import checkpoint, policy
from stitchrl.runs.directory import RunDir
from stitchrl.runs.lock import Lock
from stitchrl.runs.log import Events
from stitchrl.runs.signals import Interrupted, Stop

PATIENCE = 3  # updates with a value that is not finite, after which a run stops


class Session:
    """What a run needs, made from a request."""

    def __init__(self, algo: str, cfg: Any, settings: Settings, data: Recording | None, run: RunDir, env: Any = None):
        """`env`: instead of the name `settings.env`; judged there too, unless `settings.eval_env` names another."""
        self.algo, self.settings, self.run = algo, settings, run
        self.lock: Lock | None = None  # kept from the first file that is written to the end of `go`
        world, judged = env, settings.eval_env or (settings.env if env is None else None)
        if env is None and settings.env:
            world = envs.make(settings.env, training=True)
        self.env = envs.make(judged) if judged else env
        for place in (world, self.env):
            if data is not None and place is not None:
                data = replace(data, spec=data.spec.joined(place.spec))
        if data is not None or world is not None:
            where = 'the data' if data is not None else settings.env or type(world).__name__
            refuse(algo, (world if data is None else data).spec, where)
        self.work = undertaken(algo, cfg, settings, data, world)
        self.spec, self.boundary, self.cfg = self.work.spec, self.work.boundary, self.work.cfg
        for place, name in ((world, settings.env), (self.env, settings.eval_env)):
            if place is not None:
                ours = 'the data' if data is not None else 'the environment it learns in'
                self.spec.check(place.spec, ours, name or type(place).__name__)
        self.data, self.held_out = self.work.data, self.work.held_out  # in the agent's units
        self.broken: tuple[int, int, str] | None = None  # (update, seed, name) of the first value that was not finite

    def fresh(self) -> Any:
        """As of the work."""
        return self.work.fresh()

    def go(self, state: Any, start: int = 0, watch: Watch | None = None) -> Iterator[Chunk]:
        """Train from step `start` on; yields after each chunk once it is logged, judged and saved.

        A signal to stop saves and raises Interrupted; values that are not finite raise StitchError.
        """
        self.run.status('running')
        self.run.note(f'{self.algo}: training from step {start} to {self.work.total}, seeds {self.settings.seeds}')
        try:
            yield from self.loop(state, start, watch or Nobody())
            self.run.status('finished')
            self.run.note('finished')
        except Interrupted:
            raise  # its status is set
        except KeyboardInterrupt:
            self.run.ended('interrupted', 'stopped at once, after the last checkpoint')
            raise
        except GeneratorExit:
            self.run.ended('interrupted', 'the caller stopped')
            raise
        except BaseException as error:
            said = str(error) if isinstance(error, StitchError) else f'{type(error).__name__}: {error}'
            self.run.ended('failed', said)
            raise
        finally:
            self.lock = None

    def loop(self, state: Any, start: int, watch: Watch) -> Iterator[Chunk]:
        """The chunks of `go`."""
        log, bad = Events(self.run), 0
        watch.phase('compiling')
        self.save(start, state)  # on resuming too: a kill may have come between checkpoint and policy
        with Stop() as stop, log:
            for part in self.work.chunks(state, start):
                log.metrics(part, self.settings.seed)
                watch.chunk(part, self.work.total)
                bad, self.broken = bad + part.bad, self.broken or part.broken
                if self.broken is not None and bad >= PATIENCE:
                    raise self.fail(part, *self.broken)
                due = self.work.due(part.step)
                if due:
                    self.judge(part, log, watch)
                if due or stop.asked:
                    watch.phase('saving')
                    self.keep(part)
                yield part
                if stop.asked and part.step < self.work.total:
                    raise self.interrupted(part, stop)
                watch.phase('training')

    def judge(self, part: Chunk, log: Events, watch: Watch) -> None:
        """Evaluate all agents, log a row per episode."""
        if self.env is None:
            return
        watch.phase('evaluating')
        episodes = evaluate(part.agents, self.boundary, self.env, self.settings.seed, self.settings.eval_episodes)
        log.episodes(rows(episodes, part.step, self.settings.seed), part.step)
        watch.judged(part.step, episodes)
        mean, count = episodes.returns.mean(), episodes.returns.size
        self.run.note(f'step {part.step}: mean return {mean:.4g} over {count} episodes')

    def save(self, step: int, state: Any) -> None:
        """A checkpoint to go on from, and the policy as it is now."""
        checkpoint.save(self.run.checkpoints, step, state)
        policy.save(self.run.policy, self.algo, agents_of(state), self.boundary, self.spec)

    def keep(self, part: Chunk) -> None:
        """Save, unless a number in the agents is not finite; at the end of the run that is a failure."""
        leaves = [np.isfinite(x).reshape(len(x), -1).all(1) for x in jax.tree.leaves(jax.device_get(part.agents))]
        good = np.logical_and.reduce(leaves)  # [S]
        if good.all():
            self.save(part.step, part.state)
        elif part.step == self.work.total:
            raise self.fail(part, *(self.broken or (part.step - 1, int(good.argmin()), 'a weight')))

    def fail(self, part: Chunk, step: int, seed: int, name: str) -> StitchError:
        """Write the batch that broke an update; say which, and what may end otherwise."""
        self.run.resumable = False  # it would compute the same
        batch = self.work.batch(part, seed, step)
        np.savez(self.run.path / 'broken_batch.npz', **{k: v for k, v in batch._asdict().items() if v is not None})
        return StitchError(
            f'{name} of seed {self.settings.seed + seed} is not finite from step {step} on; its batch is in '
            f'{self.run.path / "broken_batch.npz"}, '
            f'the last good checkpoint is {checkpoint.steps(self.run.checkpoints)[-1]}. '
            'Resumed with the same settings it most likely ends the same way: try a lower --lr, anew or from that '
            f'checkpoint (--start {shlex.quote(str(self.run.path))}), or look at the data: stitch data inspect'
        )

    def interrupted(self, part: Chunk, stop: Stop) -> StitchError:
        """Save what a signal found, which may have come after the chunk was dealt with, and say how to go on."""
        self.keep(part)
        saved = checkpoint.verify(checkpoint.steps(self.run.checkpoints)[-1])
        self.run.status('interrupted', f'{stop.name} after step {part.step}')
        resume = self.run.read('STATUS.json')['resume']
        lost = 'data or an environment from memory cannot be found again, so no command goes on with it'
        return stop.error(f'saved after step {saved}; {f"go on with: {resume}" if resume else lost}')


def undertaken(algo: str, cfg: Any, settings: Settings, data: Recording | None, world: Any) -> Any:
    """What there is to work through: games against itself, or the stages of an apprenticeship, for an algorithm that
    learns so, else steps and updates (`work.Work`, for which the others stand)."""
    cls = algorithm(algo).ALGO
    if issubclass(cls, Player | Pupil):
        return (Contest if issubclass(cls, Player) else Schooling)(algo, cfg, settings, world)
    return Work(algo, cfg, settings, data, world)

"""A training run from request to result: prepare, loop, judge, save. Knows no algorithm and no environment by name."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl import envs
from stitchrl.algos import algorithm
from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.core.config import from_json, to_json
from stitchrl.data.controls import shuffled
from stitchrl.data.dataset import Dataset
from stitchrl.errors import Corrupt, StitchError, UsageError
from stitchrl.loops.evaluate import evaluate, rows
from stitchrl.loops.offline import UPDATE, Chunk, create, roots, updates
from stitchrl.loops.settings import Settings
from stitchrl.loops.watch import Nobody, Watch
from stitchrl.runs import checkpoint, policy
from stitchrl.runs.directory import RunDir
from stitchrl.runs.log import Events
from stitchrl.runs.signals import Interrupted, Stop

RATE = {'cpu': 2e11}  # operations per second taken for granted when a chunk is sized, to last about a second
CHUNKS = (50, 100, 250, 500, 1000, 2500)
PATIENCE = 3  # updates with a value that is not finite, after which a run stops


class Session:
    """What a run needs, made from a request. Of the recording it keeps what is trained on, in the agent's units."""

    def __init__(self, algo: str, cfg: Any, settings: Settings, data: Dataset, run: RunDir, env: Any = None):
        self.algo, self.cfg, self.settings, self.run, self.spec = algo, cfg, settings, run, data.spec
        self.module: ModuleType = algorithm(algo)
        self.env = env if env is not None else (envs.make(settings.eval_env) if settings.eval_env else None)
        if self.env is not None:
            data.spec.check(self.env.spec, 'the data', settings.eval_env or type(self.env).__name__)
        if cfg.steps < 1 or settings.seeds < 1:
            raise UsageError(f'steps is {cfg.steps} and seeds {settings.seeds}; expected at least 1 of each')
        if settings.shuffle_rewards:  # before the algorithm selects, or a choice by return would see the true ones
            data = data.relabel(lambda data: shuffled(data, settings.seed))
        chosen = self.module.ALGO.select(data, cfg)
        chosen, held_out = chosen.split(settings.holdout, settings.seed) if settings.holdout else (chosen, None)
        self.boundary = Boundary.fit(chosen, cfg.normalise, cfg.reward)
        self.data = jax.device_put(self.boundary.inward(chosen))
        self.held_out = None if held_out is None else jax.device_put(self.boundary.inward(held_out))
        self.broken: tuple[int, int, str] | None = None  # (update, seed, name) of the first value that was not finite

    def fresh(self) -> Agent:
        """New agents, all seeds as one."""
        return create(self.module.ALGO, self.spec, self.cfg, self.settings.seed, self.settings.seeds)

    @cached_property
    def pace(self) -> tuple[int, int]:
        """(updates in a compiled chunk, updates between evaluations), the second a multiple of the first."""
        every = min(self.settings.every or max(self.cfg.steps // 20, 1000), self.cfg.steps)
        weights = sum(x.size for x in jax.tree.leaves(policy.without_optimisers(jax.eval_shape(self.fresh))))
        rate = RATE.get(jax.default_backend(), 1e13) / (6 * weights * self.cfg.batch)
        wanted = max((size for size in CHUNKS if size <= rate), default=CHUNKS[0])
        pieces = -(-every // wanted)
        chunk = -(-every // pieces)
        return chunk, chunk * pieces

    def go(self, agents: Agent, start: int = 0, watch: Watch | None = None) -> Iterator[Chunk]:
        """Train from update `start` on; yields after each chunk once it is logged, judged and saved.

        A signal to stop saves and raises Interrupted; values that are not finite raise StitchError.
        """
        self.run.status('running')
        self.run.note(f'{self.algo}: training from update {start} to {self.cfg.steps}, seeds {self.settings.seeds}')
        try:
            yield from self.loop(agents, start, watch or Nobody())
        except Interrupted:
            raise  # its status is set
        except GeneratorExit:
            self.run.status('interrupted', 'the caller stopped')
            raise
        except BaseException as error:
            reason = str(error) if isinstance(error, StitchError) else f'{type(error).__name__}: {error}'
            self.run.status('failed', reason)
            self.run.note(reason)
            raise
        self.run.status('finished')
        self.run.note('finished')

    def loop(self, agents: Agent, start: int, watch: Watch) -> Iterator[Chunk]:
        """The chunks of `go`."""
        chunk, every = self.pace
        log, bad = Events(self.run), 0
        watch.phase('compiling')
        self.save(start, agents)  # on resuming too: a kill may have come between checkpoint and policy
        with Stop() as stop, log:
            for part in updates(agents, self.data, self.settings.seed, self.cfg.steps, chunk, start, self.held_out):
                log.metrics(part, self.settings.seed)
                watch.chunk(part, self.cfg.steps)
                bad, self.broken = bad + part.bad, self.broken or part.broken
                if self.broken is not None and bad >= PATIENCE:
                    raise self.fail(part.agents, *self.broken)
                due = part.step % every == 0 or part.step == self.cfg.steps
                if due:
                    self.judge(part, log, watch)
                if due or stop.asked:
                    watch.phase('saving')
                    self.keep(part)
                yield part
                if stop.asked and part.step < self.cfg.steps:
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
        self.run.note(
            f'update {part.step}: mean return {episodes.returns.mean():.4g} over {episodes.returns.size} episodes'
        )

    def save(self, step: int, agents: Agent) -> None:
        """A checkpoint to go on from, and the policy as it is now."""
        checkpoint.save(self.run.checkpoints, step, agents)
        policy.save(self.run.policy, self.algo, agents, self.boundary, self.spec)

    def keep(self, part: Chunk) -> None:
        """Save, unless a number in the agents is not finite; at the end of the run that is a failure."""
        leaves = [np.isfinite(x).reshape(len(x), -1).all(1) for x in jax.tree.leaves(jax.device_get(part.agents))]
        good = np.logical_and.reduce(leaves)  # [S]
        if good.all():
            self.save(part.step, part.agents)
        elif part.step == self.cfg.steps:
            raise self.fail(part.agents, *(self.broken or (part.step - 1, int(good.argmin()), 'a weight')))

    def fail(self, agents: Agent, step: int, seed: int, name: str) -> StitchError:
        """Write the batch that broke an update and say which."""
        root = roots(self.settings.seed, self.settings.seeds, UPDATE)[seed]
        agent = jax.tree.map(lambda x: x[seed], agents)
        batch = agent.draw(self.data.with_labels(agent.label(self.data)), jr.split(jr.fold_in(root, step))[0])
        np.savez(self.run.path / 'broken_batch.npz', **{k: v for k, v in batch._asdict().items() if v is not None})
        return StitchError(
            f'{name} of seed {self.settings.seed + seed} is not finite from update {step} on; its batch is in '
            f'{self.run.path / "broken_batch.npz"}, '
            f'the last good checkpoint is {checkpoint.steps(self.run.checkpoints)[-1]}. '
            'Try a lower --lr, or look at the data: stitch data inspect'
        )

    def interrupted(self, part: Chunk, stop: Stop) -> StitchError:
        """Save what a signal found, which may have come after the chunk was dealt with, and say how to go on."""
        self.keep(part)
        saved = checkpoint.verify(checkpoint.steps(self.run.checkpoints)[-1])
        self.run.status('interrupted', f'{stop.name} after update {part.step}')
        return stop.error(f'saved after update {saved}; go on with: {self.run.read("STATUS.json")["resume"]}')


def begin(
    algo: str,
    cfg: Any,
    settings: Settings,
    data: Dataset,
    about: dict[str, Any],
    command: list[str] | None,
    env: Any = None,
) -> Session:
    """A session in a new run directory, whose files say what was asked."""
    run = RunDir.fresh(algo, settings.out)
    session = Session(algo, cfg, settings, data, run, env)
    run.write(
        'config.json',
        {'algo': algo, 'config': to_json(cfg), 'settings': to_json(replace(settings, out=None))},
    )
    run.write('data.json', about)
    run.describe(command)
    run.status('running')
    return session


def resume(
    run: RunDir, load: Callable[[Settings], tuple[Dataset, dict[str, Any]]], warn: Any
) -> tuple[Session, Agent, int]:
    """(session, agents, update to go on from) of a run that stopped. Corrupt if the data is not what it was."""
    tree = run.read('config.json')
    settings = from_json(Settings, tree['settings'])
    if settings.data is None:
        raise UsageError(f'{run.path}: trained on data from memory, so the command line cannot find it again')
    data, about = load(settings)
    if about['fingerprint'] != run.read('data.json')['fingerprint']:
        raise Corrupt(f'{settings.data}: not the recording that {run.path} was trained on (its fingerprint differs)')
    session = Session(tree['algo'], from_json(algorithm(tree['algo']).Config, tree['config']), settings, data, run)
    step, agents = checkpoint.latest(run.checkpoints, jax.eval_shape(session.fresh), warn)
    run.forget(step)
    return session, jax.tree.map(jnp.asarray, agents), step

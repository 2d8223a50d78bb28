"""Model-based policy optimisation: an agent without a model learns from short roll-outs of a learned one.

    p_e(s', r | s, a)  <- fitted to all that was seen,                          every `refresh` steps
    pool               <- (s_i, a_i, r_i, s_{i+1}, m_i),  i < k:                branches of the policy from states seen
    inner agent        <- its own update, on rows of which a share `real` was seen and the others were imagined

The model is wrong further on, so branches are short: k grows on a line with the steps taken, from `length` to
`final_length`. Each begins in a state that was seen, a random elite of the ensemble answers in every step, and where
the task ends the branch does. The inner agent is one of this package, given the settings that both name, or any other
by `MBPO.of`. Janner, Fu, Zhang and Levine, 2019.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.algos import algorithm
from stitchrl.core.agent import Agent, Info
from stitchrl.core.boundary import Reward
from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.data.pool import Pool
from stitchrl.errors import UsageError
from stitchrl.loops.evaluate import like
from stitchrl.models.branch import branched
from stitchrl.models.ending import GOES_ON, Ending
from stitchrl.models.ensemble import Dynamics, Propagation
from stitchrl.models.fit import Fit, fit
from stitchrl.models.model import WorldModel


@dataclass(frozen=True)
class Config:
    """Settings of MBPO; the defaults are the authors' on Walker2d and HalfCheetah."""

    inner: Literal['sac', 'td3'] = 'sac'
    hidden: tuple[int, ...] = (256, 256)  # of the inner agent, as the next six
    lr: float = 3e-4
    actor_lr: float = 3e-4
    batch: int = 256
    gamma: float = 0.99
    rate: float = 0.005
    target_entropy: float | None = None
    steps: int = 300_000  # environment steps planned in all, or updates on a recording
    refresh: int = 250  # steps between two fits of the model, each with new roll-outs
    rollouts: int = 100_000  # branches that are begun each time
    length: int = 1  # k at first
    final_length: int = 1  # k in the end
    grow_from: int = 20_000  # the step from which k grows
    grow_to: int = 150_000  # the step at which it is at its end
    keep: int = 4  # refreshes whose roll-outs are remembered
    real: float = 0.05  # share of each batch that was seen
    model_hidden: tuple[int, ...] = (200, 200, 200, 200)
    members: int = 7
    elites: int = 5  # members that answer
    propagation: Propagation = 'ts1'
    ends: Literal['learned', 'never', 'inverted_pendulum', 'hopper', 'walker'] = 'learned'  # where the task ends
    model_lr: float = 1e-3
    model_batch: int = 256  # rows of each member in an update
    epochs: int = 100  # of a fit, at most
    patience: int = 5  # epochs without a better member that end it
    normalise: bool = False  # observations to zero mean and unit deviation
    reward: Reward = 'raw'


PAPER = {'random_steps': 5000, 'ratio': 20.0}
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    'default': ('Janner et al. on Walker2d, but learning where it ends; for an accelerator', PAPER),
    'inverted_pendulum': (
        'Janner et al.; for an accelerator',
        {'target_entropy': -0.05, 'grow_from': 1000, 'grow_to': 15_000, 'steps': 15_000, 'ends': 'inverted_pendulum'}
        | {'random_steps': 500, 'ratio': 10.0},
    ),
    'hopper': (
        'Janner et al.: 125,000 steps, about 3,000 by 75,000 to 100,000; for an accelerator',
        {'target_entropy': -1.0, 'final_length': 15, 'steps': 125_000, 'ends': 'hopper'} | PAPER,
    ),
    'cheetah': (
        'Janner et al. on HalfCheetah; for an accelerator',
        {'target_entropy': -3.0, 'steps': 400_000, 'ends': 'never', 'random_steps': 5000, 'ratio': 40.0},
    ),
    'small': (
        'sizes for one core, chosen here; see recipes/mbpo.py',
        {'hidden': (128, 128), 'rollouts': 10_000, 'refresh': 500, 'model_hidden': (128, 128), 'members': 5}
        | {'elites': 3, 'epochs': 20, 'steps': 20_000, 'random_steps': 1000, 'ratio': 8.0},
    ),
}


class MBPO(Agent):
    """Continuous actions, as the inner agents of the settings take them; by `of`, those of any inner agent."""

    inner: Agent
    model: WorldModel
    pool: Pool
    length: jax.Array  # [] int32, k of the last roll-outs
    ended: jax.Array  # [], share of their steps with which a branch ended
    held_out: jax.Array  # [], error of the elites on held-out rows at the last fit, in scaled units
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, cfg: Config, key: jax.Array) -> 'MBPO':
        """With a fresh ensemble and a fresh inner agent. UsageError for settings that do not go together."""
        k_model, k_inner = jr.split(key)
        module = algorithm(cfg.inner)
        if cfg.normalise and cfg.ends not in ('learned', 'never'):
            raise UsageError(f'ends {cfg.ends!r} is known in units of the environment; leave normalise off')
        shared = {f.name for f in fields(module.Config)} & {f.name for f in fields(cfg)}
        inner = module.ALGO.create(spec, module.Config(**{name: getattr(cfg, name) for name in shared}), k_inner)
        sizes = cfg.model_hidden, cfg.members, cfg.elites, cfg.propagation
        return cls.of(
            spec, Dynamics.create(spec, k_model, *sizes, ends=cfg.ends == 'learned', lr=cfg.model_lr), inner, cfg
        )

    @classmethod
    def of(cls, spec: Spec, model: WorldModel, inner: Agent, cfg: Config) -> 'MBPO':
        """Of a model and an inner agent that are there; only a `Dynamics` is fitted. UsageError for shares and lengths
        that cannot be meant, and ends that are not those of this space."""
        if cfg.ends in GOES_ON:
            GOES_ON[cfg.ends].check(cfg.ends, spec)
        if not 0 <= cfg.real <= 1 or min(cfg.length, cfg.final_length, cfg.rollouts, cfg.keep, cfg.refresh) < 1:
            raise UsageError('expected a share real from 0 to 1, and at least 1 rollouts, length, keep and refresh')
        pool = Pool.create(spec, cfg.keep * cfg.rollouts * max(cfg.length, cfg.final_length))
        return cls(
            inner=inner,
            model=model,
            pool=pool,
            length=jnp.int32(cfg.length),
            ended=jnp.zeros(()),
            held_out=jnp.zeros(()),
            cfg=cfg,
        )

    @property
    def world(self) -> WorldModel:
        """The model as it is rolled out, with the ends that are known."""
        known = GOES_ON.get(self.cfg.ends)
        return self.model if known is None else Ending(self.model, known.goes_on)

    def remember(self, n: int) -> Any:
        return self.inner.remember(n)

    def act(self, memory: Any, obs: jax.Array, key: jax.Array, t: jax.Array | None = None) -> tuple[jax.Array, Any]:
        return self.inner.act(memory, obs, key, t)

    def refresh(self, data: Any, key: jax.Array, t: jax.Array) -> 'MBPO':
        """Fit the model to all that was seen, then roll it out from there."""
        k_fit, k_roll = jr.split(key)
        rows, count = data.history()
        agent, cfg = self.fit(rows, count, k_fit, isinstance(data, Dataset)), self.cfg
        policy = lambda obs, key: self.inner.act(self.inner.remember(cfg.rollouts), obs, key, t)[0]
        start = lambda key: data.sample(key, cfg.rollouts).obs
        length = planned(t, cfg)
        pool, ended = branched(agent.world, policy, start, self.pool, k_roll, length, cfg.gamma)
        return replace(agent, pool=pool, length=length, ended=ended)

    def fit(self, rows: Transition, count: jax.Array, key: jax.Array, static: bool = False) -> 'MBPO':
        """The model fitted to the first `count` of the rows [N, ...]; one that does not learn stays as it is."""
        if not isinstance(self.model, Dynamics):
            return self
        settings = Fit(self.cfg.model_batch, epochs=self.cfg.epochs, patience=self.cfg.patience, static=static)
        model, info = fit(self.model, rows, count, key, settings)
        return replace(self, model=model, held_out=info['model/held_out'][model.elites].mean())

    def draw(self, data: Any, key: jax.Array) -> Transition:
        """A share `real` of rows that were seen, the first ones; all, before anything was imagined."""
        k_real, k_pool = jr.split(key)
        n = self.cfg.batch
        seen = data.sample(k_real, n, 1, self.cfg.gamma)
        imagined = self.pool.sample(k_pool, n, self.cfg.keep * self.cfg.rollouts * self.length)
        real = (jnp.arange(n) < round(self.cfg.real * n)) | (self.pool.written == 0)
        return jax.tree.map(lambda one, other: jnp.where(like(real, one), one, other), seen, imagined)

    def update(self, batch: Transition, key: jax.Array, t: jax.Array) -> tuple['MBPO', Info]:
        """The inner agent's."""
        inner, info = self.inner.update(batch, key, t)
        return replace(self, inner=inner), info

    def inspect(self, batch: Transition, key: jax.Array) -> Info:
        own = {'model/held_out': self.held_out, 'rollout/length': self.length * 1.0, 'rollout/ended': self.ended}
        return self.inner.inspect(batch, key) | own


def planned(t: jax.Array, cfg: Config) -> jax.Array:
    """k at step t [], int32."""
    done = jnp.clip((t - cfg.grow_from) / max(cfg.grow_to - cfg.grow_from, 1), 0, 1)
    return (cfg.length + done * (cfg.final_length - cfg.length)).astype(jnp.int32)


ALGO = MBPO

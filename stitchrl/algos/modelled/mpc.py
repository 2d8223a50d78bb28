"""Model predictive control: a model, a planner, and the present observation, again and again.

    a_t = first action of plan(model, s_t),    a new plan every `replan` steps, the last one followed in between
    model <- the ensemble's losses, update by update;  or, every `refresh` steps, a fit to all that was seen

`replan` 1 is closed loop, `replan` = `horizon` follows each plan to its end: open loop, where it covers the episode.
Any model and any planner; `create` builds a probabilistic ensemble and the planner named in the settings (with CEM it
is PETS). Chua et al., 2018.
"""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.agent import Agent, Info
from stitchrl.core.boundary import Reward
from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.loops.evaluate import like
from stitchrl.models.ensemble import Dynamics, Propagation, objective
from stitchrl.models.fit import Fit, fit, followed
from stitchrl.models.model import WorldModel
from stitchrl.planners import named
from stitchrl.planners.planner import Planner


@dataclass(frozen=True)
class Config:
    """Settings of planning with a learned ensemble."""

    planner: Literal['shooting', 'cem', 'mppi', 'gradient', 'exhaustive'] | None = None  # None: cem, or shooting
    horizon: int = 15  # steps of a plan
    replan: int = 1  # steps of a plan that are taken before the next
    samples: int | None = None  # candidates in each iteration; None: the planner's own number
    iterations: int | None = None
    particles: int = 5  # roll-outs of each candidate
    gamma: float = 1.0  # discount of an imagined return
    bfloat16: bool = False  # round what goes into the products of the model's networks, while planning
    noise: float = 0.0  # while exploring: deviation of what is added to the action, or chance of a random discrete one
    hidden: tuple[int, ...] = (128, 128)
    members: int = 5
    elites: int = 5  # members that answer; those that a fit found best, else the first
    propagation: Propagation = 'tsinf'
    ends: bool = False  # learn where the task ends
    lr: float = 1e-3
    batch: int = 256  # rows of each member in an update
    steps: int = 10_000  # updates on a recording, or steps in the environment, planned in all
    refresh: int = 0  # steps from one fit to all that was seen to the next; 0: none, it learns update by update
    epochs: int = 100  # of a fit, at most
    patience: int = 5  # epochs without a better member that end it
    normalise: bool = False  # observations to zero mean and unit deviation; the model has scales of its own
    reward: Reward = 'raw'


SOME = {'eval_episodes': 2, 'every': 5000}  # planning takes its time, so that much less is played for a judgement
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    'default': ('a small PETS: five members, all of which answer, each keeping its particles', SOME),
    'small': (
        'for worlds of a few numbers',
        {'hidden': (64, 64), 'samples': 200, 'batch': 64, 'random_steps': 200, 'ratio': 2.0} | SOME,
    ),
    'pendulum': (
        'the settings of recipes/mpc_pendulum.py',
        {'planner': 'mppi', 'horizon': 25, 'samples': 100, 'iterations': 3, 'hidden': (64, 64), 'batch': 32}
        | {'steps': 3000, 'refresh': 200, 'random_steps': 200, 'every': 1000, 'eval_episodes': 10},
    ),
    'pets': (
        'PETS on HalfCheetah: made for an accelerator',
        {'hidden': (200, 200, 200, 200), 'horizon': 30, 'samples': 500, 'particles': 20, 'batch': 32} | SOME,
    ),
}


class Memory(NamedTuple):
    """Of n environments."""

    plans: Any  # [n, ...], the planner's
    age: jax.Array  # [n] int32, steps since the episode began


class MPC(Agent):
    """Continuous or discrete actions, as the planner takes them."""

    model: WorldModel
    planner: Planner
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, cfg: Config, key: jax.Array) -> 'MPC':
        """With a fresh ensemble. UsageError where planner, space and settings do not go together."""
        sizes = cfg.hidden, cfg.members, cfg.elites, cfg.propagation
        model = Dynamics.create(spec, key, *sizes, ends=cfg.ends, lr=cfg.lr)
        return cls.of(model, planner(spec, cfg), cfg)

    @classmethod
    def of(cls, model: WorldModel, planner: Planner, cfg: Config) -> 'MPC':
        """Of a model and a planner that are there. UsageError for numbers that cannot be meant."""
        horizon = getattr(planner, 'horizon', cfg.horizon)
        if not 1 <= cfg.replan <= horizon:
            raise UsageError(f'replan every {cfg.replan} steps, but a plan has {horizon}; expected 1 to {horizon}')
        if cfg.refresh < 0 or min(cfg.epochs, cfg.patience) < 1 or not cfg.noise >= 0:
            got = f'refresh is {cfg.refresh}, epochs {cfg.epochs}, patience {cfg.patience} and noise {cfg.noise:g}'
            raise UsageError(f'{got}; expected from 0 on, at least 1, at least 1, and from 0 on')
        return cls(model=model, planner=planner, cfg=cfg)

    @property
    def passes(self) -> float:
        members = self.cfg.members if isinstance(self.model, Dynamics) else 1  # each row goes through one of them
        return getattr(self.planner, 'calls', 1) / (members * self.cfg.replan)

    def remember(self, n: int) -> Memory:
        return Memory(self.planner.remember(n), jnp.zeros(n, jnp.int32))

    def act(self, memory: Memory, obs: jax.Array, key: jax.Array, t: jax.Array | None = None) -> tuple[jax.Array, Any]:
        k_observe, k_plan, k_noise = jr.split(key, 3)
        latent = self.model.observe(None, None, obs, k_observe)
        keys = jr.split(k_plan, obs.shape[0])
        due = memory.age % self.cfg.replan == 0
        follow = jax.vmap(self.planner.follow)

        def anew(plans: Any) -> tuple[jax.Array, Any]:
            with jax.default_matmul_precision('bfloat16') if self.cfg.bfloat16 else nullcontext():
                made = jax.vmap(lambda *args: self.planner.plan(self.model, *args)[:2])(latent, plans, keys)
            if self.cfg.replan == 1:
                return made
            return jax.tree.map(lambda new, old: jnp.where(like(due, new), new, old), made, follow(plans))

        if self.cfg.replan == 1:
            action, plans = anew(memory.plans)
        else:
            action, plans = jax.lax.cond(due.any(), anew, follow, memory.plans)
        if t is not None and self.cfg.noise:
            action = self.explored(action, k_noise)
        return action, Memory(plans, memory.age + 1)

    def explored(self, action: jax.Array, key: jax.Array) -> jax.Array:
        """The actions [n, ...] with noise: normal within the bounds, or now and then another discrete one."""
        k_size, k_which = jr.split(key)
        if action.ndim > 1:
            return jnp.clip(action + self.cfg.noise * jr.normal(k_size, action.shape), -1, 1)
        other = jr.uniform(k_size, action.shape) < self.cfg.noise
        n: int = self.planner.dim  # pyright: ignore[reportAttributeAccessIssue]
        return jnp.where(other, jr.randint(k_which, action.shape, 0, n), action)

    def draw(self, data: Any, key: jax.Array) -> Transition:
        """Rows of its own for each member, [E, B, ...]."""
        count = self.model.count if isinstance(self.model, Dynamics) else 1
        batch = data.sample(key, count * self.cfg.batch)
        return jax.tree.map(lambda x: x.reshape(count, self.cfg.batch, *x.shape[1:]), batch)

    def update(self, batch: Transition, key: jax.Array, t: jax.Array) -> tuple['MPC', Info]:
        """One gradient step of every member; where it learns by fits, or not at all, nothing but their losses."""
        if not isinstance(self.model, Dynamics):
            return self, {}
        if self.cfg.refresh:
            return self, objective(self.model.members.net, self.model, batch, key)[1]
        model, info = followed(self.model, batch).update(batch, key)
        return replace(self, model=model), info

    def refresh(self, data: Any, key: jax.Array, t: jax.Array) -> 'MPC':
        """Fit the model to all that was seen."""
        rows, count = data.history()
        return self.fit(rows, count, key, isinstance(data, Dataset))[0]

    def fit(self, rows: Transition, count: jax.Array, key: jax.Array, static: bool = False) -> tuple['MPC', Info]:
        """Fit the model to the first `count` of the rows [N, ...] by `models.fit`."""
        if not isinstance(self.model, Dynamics):
            return self, {}
        settings = Fit(self.cfg.batch, epochs=self.cfg.epochs, patience=self.cfg.patience, static=static)
        model, info = fit(self.model, rows, count, key, settings)
        return replace(self, model=model), info

    def inspect(self, batch: Transition, key: jax.Array) -> Info:
        """How far the members are apart on the same rows, in deviations of what they predict."""
        if not isinstance(self.model, Dynamics):
            return {}
        model, rows = self.model, jax.tree.map(lambda x: x[0], batch)
        x = model.scale.x(model.inputs(rows.obs, rows.action))
        return {'model/apart': model.members.net(x).mean.std(0).mean()}


def chosen(spec: Spec, cfg: Config) -> str:
    """The name of the planner, where the settings leave it to the space too."""
    return cfg.planner or ('shooting' if spec.discrete else 'cem')


def planner(spec: Spec, cfg: Config) -> Planner:
    """The planner that the settings name, as `planners.named` finds it."""
    return named(chosen(spec, cfg), spec, cfg.horizon, cfg.samples, cfg.iterations, cfg.particles, cfg.gamma)


ALGO = MPC

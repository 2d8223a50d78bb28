"""Model predictive control: a model, a planner, and the present observation, again and again.

    a_t = first action of plan(model, s_t),    a new plan every `replan` steps, the last one followed in between

`replan` 1 is closed loop, `replan` = `horizon` follows each plan to its end: open loop, where it covers the episode.
Any model and any planner; `create` builds a probabilistic ensemble and the planner named in the settings (with CEM it
is PETS). Chua et al., 2018.
"""

from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.agent import Agent, Info
from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.loops.evaluate import like
from stitchrl.models.ensemble import Dynamics, Propagation
from stitchrl.models.fit import Fit, fit
from stitchrl.models.model import WorldModel
from stitchrl.planners.planner import Planner

PLANNERS = {
    'shooting': ('stitchrl.planners.shooting', 'Shooting'),
    'cem': ('stitchrl.planners.cem', 'CEM'),
    'mppi': ('stitchrl.planners.mppi', 'MPPI'),
    'gradient': ('stitchrl.planners.gradient', 'Gradient'),
    'exhaustive': ('stitchrl.planners.exhaustive', 'Exhaustive'),
}


@dataclass(frozen=True)
class Config:
    """Settings of planning with a learned ensemble."""

    planner: Literal['shooting', 'cem', 'mppi', 'gradient', 'exhaustive'] = 'cem'
    horizon: int = 15  # steps of a plan
    replan: int = 1  # steps of a plan that are taken before the next
    samples: int | None = None  # candidates in each iteration; None: the planner's own number
    iterations: int | None = None
    particles: int = 5  # roll-outs of each candidate
    gamma: float = 1.0
    noise: float = 0.0  # deviation of what is added to the action while exploring
    hidden: tuple[int, ...] = (200, 200, 200, 200)
    members: int = 7
    elites: int = 5  # members that answer
    propagation: Propagation = 'tsinf'
    ends: bool = False  # learn where the task ends
    lr: float = 1e-3
    batch: int = 256  # rows of each member in an update
    epochs: int = 100  # of a fit, at most
    patience: int = 5  # epochs without a better member that end it
    steps: int = 10_000  # updates planned in all, where it learns update by update


PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    'default': ('sizes, rates and elites of MBPO, TSinf of PETS', {}),
    'small': ('for worlds of a few numbers', {'hidden': (64, 64), 'members': 5, 'samples': 200, 'batch': 64}),
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
        model = Dynamics.create(
            spec, key, cfg.hidden, cfg.members, cfg.elites, cfg.propagation, ends=cfg.ends, lr=cfg.lr
        )
        return cls.of(model, planner(spec, cfg), cfg)

    @classmethod
    def of(cls, model: WorldModel, planner: Planner, cfg: Config) -> 'MPC':
        """Of a model and a planner that are there. UsageError for a plan that is followed past its end."""
        horizon = getattr(planner, 'horizon', cfg.horizon)
        if not 1 <= cfg.replan <= horizon:
            raise UsageError(f'replan every {cfg.replan} steps, but a plan has {horizon}; expected 1 to {horizon}')
        return cls(model=model, planner=planner, cfg=cfg)

    def remember(self, n: int) -> Memory:
        return Memory(self.planner.remember(n), jnp.zeros(n, jnp.int32))

    def act(self, memory: Memory, obs: jax.Array, key: jax.Array, t: jax.Array | None = None) -> tuple[jax.Array, Any]:
        k_observe, k_plan, k_noise = jr.split(key, 3)
        latent = self.model.observe(None, None, obs, k_observe)
        keys = jr.split(k_plan, obs.shape[0])
        due = memory.age % self.cfg.replan == 0
        follow = jax.vmap(self.planner.follow)

        def anew(plans: Any) -> tuple[jax.Array, Any]:
            made = jax.vmap(lambda *args: self.planner.plan(self.model, *args)[:2])(latent, plans, keys)
            if self.cfg.replan == 1:
                return made
            return jax.tree.map(lambda new, old: jnp.where(like(due, new), new, old), made, follow(plans))

        if self.cfg.replan == 1:
            action, plans = anew(memory.plans)
        else:
            action, plans = jax.lax.cond(due.any(), anew, follow, memory.plans)
        if t is not None and self.cfg.noise:
            action = jnp.clip(action + self.cfg.noise * jr.normal(k_noise, action.shape), -1, 1)
        return action, Memory(plans, memory.age + 1)

    def draw(self, data: Dataset, key: jax.Array) -> Transition:
        """Rows of its own for each member, [E, B, ...]."""
        count = self.model.count if isinstance(self.model, Dynamics) else 1
        batch = data.sample(key, count * self.cfg.batch)
        return jax.tree.map(lambda x: x.reshape(count, self.cfg.batch, *x.shape[1:]), batch)

    def update(self, batch: Transition, key: jax.Array, t: jax.Array) -> tuple['MPC', Info]:
        """One gradient step of every member; a model that does not learn stays as it is."""
        if not isinstance(self.model, Dynamics):
            return self, {}
        model, info = self.model.update(batch, key)
        return replace(self, model=model), info

    def fit(self, rows: Transition, count: jax.Array, key: jax.Array) -> tuple['MPC', Info]:
        """Fit the model to the first `count` of the rows [N, ...] by `models.fit`."""
        if not isinstance(self.model, Dynamics):
            return self, {}
        settings = Fit(self.cfg.batch, epochs=self.cfg.epochs, patience=self.cfg.patience)
        model, info = fit(self.model, rows, count, key, settings)
        return replace(self, model=model), info


def planner(spec: Spec, cfg: Config) -> Planner:
    """The planner that the settings name. UsageError for settings that it does not have."""
    module, name = PLANNERS[cfg.planner]
    make = partial(getattr(import_module(module), name).create, spec, cfg.horizon)
    chosen = {'samples': cfg.samples, 'iterations': cfg.iterations}
    try:
        return make(particles=cfg.particles, gamma=cfg.gamma, **{k: v for k, v in chosen.items() if v is not None})
    except TypeError:
        given = ', '.join(name for name, value in chosen.items() if value is not None)
        raise UsageError(f'{cfg.planner} has no such setting among: {given}; leave it at none') from None


ALGO = MPC

"""Behaviour cloning: imitate the data.

    pi <- max E log pi(a | s)          gaussian, mixture, discrete actions
    pi <- min E mean_i (pi(s) - a)_i^2     deterministic

One Gaussian averages a mixture of behaviours, and its mean may be what nobody did; a mixture can keep them apart.
Pomerleau, 1991.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import equinox as eqx
import jax

from stitchrl.core.agent import Agent, Info
from stitchrl.core.boundary import Reward
from stitchrl.core.learner import Learner, adam
from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.maths.dists import inside
from stitchrl.nets.heads import Deterministic, Mixed, policy

Head = Literal['gaussian', 'deterministic', 'mixture']


@dataclass(frozen=True)
class Config:
    """Settings of behaviour cloning."""

    hidden: tuple[int, ...] = (256, 256)
    lr: float = 3e-4
    batch: int = 256
    steps: int = 1_000_000  # updates planned in all
    head: Head = 'gaussian'  # of continuous actions; discrete ones are always a softmax
    parts: int = 5  # components of the mixture
    best: float = 1.0  # share of the episodes, by return, that is imitated
    normalise: bool = True  # observations to zero mean and unit deviation
    reward: Reward = 'raw'  # never learned from, but it ranks the episodes


PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    'default': ('Gaussian likelihood as in AWR and IQL, sizes and rates of CORL', {}),
    'corl': ('CORL any_percent_bc: deterministic, squared error', {'head': 'deterministic'}),
}


class BC(Agent):
    """Continuous or discrete actions."""

    actor: Learner  # pi(s) -> distribution over actions, or the action itself
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, cfg: Config, key: jax.Array) -> 'BC':
        """A fresh network. UsageError for an unknown head."""
        if spec.discrete or cfg.head == 'gaussian':
            net = policy(spec, cfg.hidden, key=key)
        elif cfg.head == 'deterministic':
            net = Deterministic(spec, cfg.hidden, key=key)
        elif cfg.head == 'mixture':
            net = Mixed(spec, cfg.hidden, cfg.parts, key=key)
        else:
            raise UsageError(f'head {cfg.head!r}; expected gaussian, deterministic or mixture')
        return cls(actor=Learner.create(net, adam(cfg.lr)), cfg=cfg)

    @classmethod
    def select(cls, data: Dataset, cfg: Config) -> Dataset:
        return data if cfg.best == 1.0 else data.best(cfg.best)

    @classmethod
    def in_parts(cls, cfg: Config) -> bool:
        return cfg.best == 1.0

    def act(self, memory: Any, obs: jax.Array, key: jax.Array, t: jax.Array | None = None) -> tuple[jax.Array, Any]:
        out = self.actor.net(obs)
        if isinstance(self.actor.net, Deterministic):
            return out, memory
        return (out.mode() if t is None else inside(out.sample(key))), memory

    def update(self, batch: Transition, key: jax.Array, t: jax.Array) -> tuple['BC', Info]:
        loss = squared_error if isinstance(self.actor.net, Deterministic) else likelihood
        actor, info = self.actor.step(loss, batch)
        return replace(self, actor=actor), info

    def inspect(self, batch: Transition, key: jax.Array) -> Info:
        action, _ = self.act((), batch.obs, key)
        off = (action != batch.action) if action.ndim == 1 else (action - batch.action) ** 2
        return {'actor/distance': off.mean()}


# The first argument of a loss is what learns; everything else is a constant.


def likelihood(actor: Any, batch: Transition) -> tuple[jax.Array, Info]:
    """- E log pi(a | s)."""
    loss = -actor(batch.obs).log_prob(batch.action).mean()
    return loss, {'actor/loss': loss}


def squared_error(actor: Deterministic, batch: Transition) -> tuple[jax.Array, Info]:
    """E mean_i (pi(s) - a)_i^2."""
    loss = ((actor(batch.obs) - batch.action) ** 2).mean()
    return loss, {'actor/loss': loss}


ALGO = BC

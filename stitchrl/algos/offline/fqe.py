"""Fitted Q evaluation: what a policy that stays as it is would earn, learned from a recording of others.

    y  = r + gamma m mean_k Q'(s', a'_k),     a'_k ~ pi(s'), k = 1 .. K; K is 1 for a policy without chance
    Q <- min E (y - Q(s, a))^2
    J  = E mean_k Q(s_0, a_k),                s_0 the first observations of the episodes, a_k ~ pi(s_0)

Q' becomes Q every `period` updates: one regression, one backup further. m is 0 where the task ended and 1 elsewhere.
It is no policy and never asks one: what the policy would do at each row is a column beside the data, written once.
Le, Voloshin and Yue, 2019, algorithm 3; J as the score of a policy: Paine et al., 2020.
"""

from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from stitchrl.core.agent import Info
from stitchrl.core.learner import Learner, adam, copy, follow
from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.data.sampling import transitions
from stitchrl.errors import UsageError
from stitchrl.maths.backups import bootstrap
from stitchrl.nets.heads import Critic


@dataclass(frozen=True)
class Config:
    """Settings of fitted Q evaluation."""

    hidden: tuple[int, ...] = (128, 128)
    lr: float = 1e-3
    batch: int = 256
    steps: int = 30_000  # updates; steps / period backups should be several times 1 / (1 - gamma)
    gamma: float = 0.99  # discount
    period: int = 50  # updates after which Q' becomes Q


PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    'default': ("this package's: d3rlpy's with smaller networks, a higher rate and a faster copy", {}),
    'd3rlpy': ("d3rlpy's FQEConfig", {'hidden': (256, 256), 'lr': 1e-4, 'batch': 100, 'period': 100}),
}


class FQE(eqx.Module):
    """Continuous or discrete actions. It learns as an Agent does, and has nothing to act with."""

    critic: Learner  # Q(s, a) -> [B]
    target: Critic  # Q'
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, cfg: Config, key: jax.Array) -> 'FQE':
        """A fresh Q, small as in PyTorch. UsageError for a discount outside [0, 1), and for counts below 1."""
        if not 0 <= cfg.gamma < 1:
            raise UsageError(f'gamma {cfg.gamma}: expected a discount from 0 to below 1, such as 0.99')
        if min(cfg.steps, cfg.period, cfg.batch) < 1:
            raise UsageError(f'steps {cfg.steps}, period {cfg.period}, batch {cfg.batch}: expected at least 1 of each')
        critic = Critic(spec, cfg.hidden, 'uniform', key=key)
        return cls(critic=Learner.create(critic, adam(cfg.lr)), target=copy(critic), cfg=cfg)

    def draw(self, data: Dataset, key: jax.Array) -> Transition:
        """One step each; next_action [K, B, ...] is the policy's, from the column 'action' [N, K, ...]."""
        row = data.rows(key, self.cfg.batch)
        intended = data.labels['action'][data.ahead(row, jnp.int32(1))]
        step = transitions(data, row, 1, self.cfg.gamma)
        return step._replace(next_action=jnp.moveaxis(intended, 1, 0))

    def update(self, batch: Transition, key: jax.Array, t: jax.Array) -> tuple['FQE', Info]:
        """One step of the regression; nothing in it is random."""
        y = bootstrap(batch, mean_over_actions(self.target, batch.next_obs, batch.next_action))
        critic, info = self.critic.step(critic_loss, batch, y)
        return replace(self, critic=critic, target=follow(critic.net, self.target, t, None, self.cfg.period)), info

    def value(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        """J: Q at first observations [E, ...] and the policy's actions [E, K, ...] there, its mean []."""
        return mean_over_actions(self.critic.net, obs, jnp.moveaxis(action, 1, 0)).mean()


def mean_over_actions(critic: Critic, obs: jax.Array, action: jax.Array) -> jax.Array:
    """mean_k Q(s, a_k): obs [B, ...], action [K, B, ...] -> [B]."""
    return jax.vmap(critic, (None, 0))(obs, action).mean(0)


# The first argument of a loss is what learns; everything else is a constant.


def critic_loss(critic: Critic, batch: Transition, y: jax.Array) -> tuple[jax.Array, Info]:
    """E (y - Q(s, a))^2; y [B]."""
    error = y - critic(batch.obs, batch.action)
    loss = (error**2).mean()
    return loss, {'critic/loss': loss, 'critic/error': jnp.abs(error).mean()}

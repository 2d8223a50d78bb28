"""Conservative Q-learning for discrete actions: double DQN whose Q is pushed down where the data is silent.

    y = r + gamma m Q'(s', argmax_a Q(s', a))
    Q <- min E (y - Q(s, a))^2 + alpha E [T log sum_b exp(Q(s, b) / T) - Q(s, a)]

The soft maximum presses on every action, most on the highest; the data's own is lifted by as much. Its slope is
alpha (softmax Q - onehot a), which sums to zero. Q' becomes Q every `period` updates. Kumar et al., 2020, eq. 4 with
the closed form of the entropy regulariser, on double DQN (van Hasselt et al., 2016).
"""

from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from stitchrl.core.agent import Agent, Info
from stitchrl.core.boundary import Reward
from stitchrl.core.learner import Learner, adam, copy, follow
from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.maths.backups import greedy_target
from stitchrl.maths.dists import epsilon_greedy, take
from stitchrl.nets.heads import Critic


@dataclass(frozen=True)
class Config:
    """Settings of discrete CQL; the defaults are those of the CS285 homework, but for alpha and the discount."""

    hidden: tuple[int, ...] = (64, 64)
    lr: float = 1e-3
    batch: int = 128
    steps: int = 200_000  # updates planned in all
    gamma: float = 0.99  # discount
    alpha: float = 1.0  # weight of the conservative term; 0 is double DQN
    temperature: float = 1.0  # T of the soft maximum
    period: int = 300  # updates after which Q' becomes Q
    epsilon: float = 0.05  # share of random actions when it explores
    n_steps: int = 1  # steps of reward before Q's target bootstraps
    normalise: bool = False  # observations to zero mean and unit deviation
    reward: Reward = 'raw'


PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    'default': ('CS285 homework 5, with alpha 1 and discount .99', {}),
    'homework': ('CS285 homework 5', {'alpha': 0.1, 'gamma': 0.95}),
}


class DiscreteCQL(Agent):
    """Discrete actions."""

    critic: Learner  # Q(s, .) -> [B, n]
    target: Critic  # Q'
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, cfg: Config, key: jax.Array) -> 'DiscreteCQL':
        """Fresh networks. UsageError for continuous actions."""
        if not spec.discrete:
            raise UsageError('discrete_cql needs discrete actions, the data has continuous ones; cql takes those')
        critic = Critic(spec, cfg.hidden, 'uniform', key=key)
        return cls(critic=Learner.create(critic, adam(cfg.lr)), target=copy(critic), cfg=cfg)

    def act(self, memory: Any, obs: jax.Array, key: jax.Array, t: jax.Array | None = None) -> tuple[jax.Array, Any]:
        q = self.critic.net.all(obs)
        if t is None:
            return q.argmax(-1).astype(jnp.int32), memory
        return epsilon_greedy(q, self.cfg.epsilon, key), memory

    def draw(self, data: Dataset, key: jax.Array) -> Transition:
        return data.sample(key, self.cfg.batch, self.cfg.n_steps, self.cfg.gamma)

    def update(self, batch: Transition, key: jax.Array, t: jax.Array) -> tuple['DiscreteCQL', Info]:
        y = greedy_target(batch, self.target.all(batch.next_obs), self.critic.net.all(batch.next_obs))
        critic, info = self.critic.step(critic_loss, batch, y, self.cfg.alpha, self.cfg.temperature)
        target = follow(critic.net, self.target, t, None, self.cfg.period)
        return replace(self, critic=critic, target=target), info

    def inspect(self, batch: Transition, key: jax.Array) -> Info:
        q = self.critic.net.all(batch.obs)
        data, own = take(q, batch.action).mean(), q.max(-1).mean()
        others = (q.sum(-1).mean() - data) / max(q.shape[-1] - 1, 1)  # actions that were not taken there
        return {'q/data': data, 'q/policy': own, 'q/gap': own - data, 'q/others': others}


# The first argument of a loss is what learns; everything else is a constant.


def critic_loss(
    critic: Critic, batch: Transition, y: jax.Array, alpha: float, temperature: float
) -> tuple[jax.Array, Info]:
    """E (y - Q(s, a))^2 + alpha E [T log sum_b exp(Q(s, b) / T) - Q(s, a)]; y [B]."""
    q = critic.all(batch.obs)
    data = take(q, batch.action)
    error = ((y - data) ** 2).mean()
    gap = (temperature * jax.nn.logsumexp(q / temperature, axis=-1) - data).mean()
    loss = error + alpha * gap
    return loss, {'critic/loss': loss, 'critic/error': error, 'critic/gap': gap}


ALGO = DiscreteCQL

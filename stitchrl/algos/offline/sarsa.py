"""SARSA: the value of what the recorder itself did, and one step of improvement on it.

    Q  <- min E (r + gamma m Q'(s', a') - Q(s, a))^2,     a' the action recorded at s'
    V  <- min E (Q'(s, a) - V(s))^2
    pi <- max E exp(beta (Q'(s, a) - V(s))) log pi(a | s)
    Q' <- Q' + rate (Q - Q')

No maximum anywhere, so nothing asks about an action nobody took; and so Q is the behaviour's, not the best policy's:
the baseline that IQL refines by turning the mean of V into an expectile. Steps at which a recording was cut have no
a' and are left out. Rummery and Niranjan, 1994; as offline RL: Brandfonbrener et al., 2021.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.random as jr
import numpy as np

from stitchrl.core.agent import Agent, Info
from stitchrl.core.boundary import Reward
from stitchrl.core.learner import Learner, adam, copy, polyak
from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.maths.dists import inside
from stitchrl.maths.losses import advantage_weight, squared_errors
from stitchrl.nets.dense import Ensemble
from stitchrl.nets.heads import Critic, Value, policy


@dataclass(frozen=True)
class Config:
    """Settings of SARSA; sizes, rates and the policy's are IQL's, so that the two differ in one thing."""

    hidden: tuple[int, ...] = (256, 256)
    lr: float = 3e-4
    batch: int = 256
    steps: int = 1_000_000  # updates planned in all
    gamma: float = 0.99  # discount
    beta: float = 3.0  # inverse temperature of the policy's weights
    max_weight: float = 100.0  # weights are cut off here
    rate: float = 0.005  # how fast Q' follows Q
    normalise: bool = False  # observations to zero mean and unit deviation
    reward: Reward = 'raw'  # range: x 1000 / range of returns; minus_one: r - 1


PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    'default': ("IQL's sizes and rates", {}),
    'locomotion': ("IQL's for D4RL MuJoCo, rewards x 1000 / range of returns", {'reward': 'range'}),
}


class SARSA(Agent):
    """Continuous or discrete actions."""

    actor: Learner  # pi(s) -> distribution over actions
    critic: Learner  # Q(s, a) -> [2, B]
    value: Learner  # V(s) -> [B]
    target: Ensemble  # Q'
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, cfg: Config, key: jax.Array) -> 'SARSA':
        """Fresh networks."""
        k_actor, k_critic, k_value = jr.split(key, 3)
        critic = Ensemble(partial(Critic, spec, cfg.hidden), 2, key=k_critic)
        learner = partial(Learner.create, tx=adam(cfg.lr))
        return cls(
            actor=learner(policy(spec, cfg.hidden, key=k_actor)),
            critic=learner(critic),
            value=learner(Value(spec, cfg.hidden, key=k_value)),
            target=copy(critic),
            cfg=cfg,
        )

    @classmethod
    def select(cls, data: Dataset, cfg: Config) -> Dataset:
        """Only steps whose a' was recorded, or which ended the task. UsageError where there is none."""
        starts = np.asarray(data.starts)
        known = (np.asarray(data.ends)[starts + 1] == 0) | (np.asarray(data.mask)[starts] == 0)
        if not known.any():
            raise UsageError('sarsa needs the action after a step; in this recording every episode is cut after one')
        return replace(data, starts=starts[known])

    def act(self, memory: Any, obs: jax.Array, key: jax.Array, t: jax.Array | None = None) -> tuple[jax.Array, Any]:
        dist = self.actor.net(obs)
        return (dist.mode() if t is None else inside(dist.sample(key))), memory

    def draw(self, data: Dataset, key: jax.Array) -> Transition:
        return data.sample(key, self.cfg.batch, gamma=self.cfg.gamma)

    def update(self, batch: Transition, key: jax.Array, t: jax.Array) -> tuple['SARSA', Info]:
        q = self.target(batch.obs, batch.action).min(0)
        y = batch.reward + batch.discount * self.target(batch.next_obs, batch.next_action).min(0)
        value, v_info = self.value.step(value_loss, batch, q)
        actor, pi_info = self.actor.step(actor_loss, batch, q - value.net(batch.obs), self.cfg)
        critic, q_info = self.critic.step(critic_loss, batch, y)
        target = polyak(critic.net, self.target, self.cfg.rate)
        agent = replace(self, actor=actor, critic=critic, value=value, target=target)
        return agent, v_info | pi_info | q_info

    def inspect(self, batch: Transition, key: jax.Array) -> Info:
        data = self.critic.net(batch.obs, batch.action).min(0).mean()
        own = self.critic.net(batch.obs, self.actor.net(batch.obs).mode()).min(0).mean()
        return {'q/data': data, 'q/policy': own, 'q/gap': own - data}


# The first argument of a loss is what learns; everything else is a constant.


def critic_loss(critic: Ensemble, batch: Transition, y: jax.Array) -> tuple[jax.Array, Info]:
    """Sum over critics of E (y - Q(s, a))^2; y [B]."""
    loss = squared_errors(critic(batch.obs, batch.action), y)
    return loss, {'critic/loss': loss}


def value_loss(value: Value, batch: Transition, q: jax.Array) -> tuple[jax.Array, Info]:
    """E (q - V(s))^2; q [B]."""
    u = q - value(batch.obs)
    loss = (u**2).mean()
    return loss, {'value/loss': loss, 'value/advantage': u.mean()}


def actor_loss(actor: Any, batch: Transition, advantage: jax.Array, cfg: Config) -> tuple[jax.Array, Info]:
    """- E min(exp(beta advantage), max_weight) log pi(a | s); advantage [B]."""
    weight = advantage_weight(advantage, cfg.beta, cfg.max_weight)
    loss = -(weight * actor(batch.obs).log_prob(batch.action)).mean()
    return loss, {'actor/loss': loss, 'actor/weight': weight.mean()}


ALGO = SARSA

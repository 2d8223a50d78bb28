"""Implicit Q-learning: improve on the data without asking Q about an action nobody took.

    V  <- min E |tau - 1{u < 0}| u^2,      u = Q'(s, a) - V(s)
    pi <- max E exp(beta (Q'(s, a) - V(s))) log pi(a | s)
    Q  <- min E (r + gamma m V(s') - Q(s, a))^2
    Q' <- Q' + rate (Q - Q')

Q' is a slow copy of two critics, of which the smaller counts; m is 0 where the task ended and 1 elsewhere. The
updates run in this order, each with the networks just updated. Kostrikov, Nair and Levine, 2021.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.random as jr

from stitchrl.core.agent import Agent, Info
from stitchrl.core.boundary import Reward
from stitchrl.core.learner import Learner, adam, copy, polyak, when
from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.maths.dists import inside
from stitchrl.maths.losses import advantage_weight, expectile, squared_errors
from stitchrl.nets.dense import Ensemble
from stitchrl.nets.heads import Critic, Value, policy


@dataclass(frozen=True)
class Config:
    """Settings of IQL; the defaults are the paper's for locomotion, but for `reward`."""

    hidden: tuple[int, ...] = (256, 256)
    lr: float = 3e-4
    actor_decay: bool = True  # the actor's rate falls to 0 over its updates, along a cosine
    batch: int = 256
    steps: int = 1_000_000  # updates planned in all
    gamma: float = 0.99  # discount
    expectile: float = 0.7  # tau in the equations; 0.5 is the mean, towards 1 the maximum
    beta: float = 3.0  # inverse temperature of the policy's weights
    max_weight: float = 100.0  # weights are cut off here
    rate: float = 0.005  # how fast Q' follows Q
    n_steps: int = 1  # steps of reward before Q's target bootstraps
    extract: Literal['joint', 'late'] = 'joint'  # the policy beside the critic, or in the second half, V and Q at rest
    normalise: bool = False  # observations to zero mean and unit deviation
    reward: Reward = 'raw'  # range: x 1000 / range of returns; minus_one: r - 1


PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    'default': ('paper, section 5 and appendix, without a rule for rewards', {}),
    'locomotion': ('paper: D4RL MuJoCo, rewards x 1000 / range of returns', {'reward': 'range'}),
    'antmaze': (
        'paper: D4RL AntMaze, rewards - 1',
        {'expectile': 0.9, 'beta': 10.0, 'reward': 'minus_one'},
    ),
}


class IQL(Agent):
    """Continuous or discrete actions."""

    actor: Learner  # pi(s) -> distribution over actions
    critic: Learner  # Q(s, a) -> [2, B]
    value: Learner  # V(s) -> [B]
    target: Ensemble  # Q'
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, cfg: Config, key: jax.Array) -> 'IQL':
        """Fresh networks. UsageError for an expectile outside (0, 1)."""
        if not 0 < cfg.expectile < 1:
            raise UsageError(f'expectile {cfg.expectile}: expected a number between 0 and 1, such as 0.7')
        k_actor, k_critic, k_value = jr.split(key, 3)
        critic = Ensemble(partial(Critic, spec, cfg.hidden), 2, key=k_critic)
        actor_steps = cfg.steps if cfg.extract == 'joint' else cfg.steps - cfg.steps // 2
        actor_tx = adam(cfg.lr, actor_steps if cfg.actor_decay else None)
        return cls(
            actor=Learner.create(policy(spec, cfg.hidden, key=k_actor), actor_tx),
            critic=Learner.create(critic, adam(cfg.lr)),
            value=Learner.create(Value(spec, cfg.hidden, key=k_value), adam(cfg.lr)),
            target=copy(critic),
            cfg=cfg,
        )

    @classmethod
    def going_on(cls, cfg: Config) -> Config:
        """A constant rate for the actor, as the authors fine-tune."""
        return replace(cfg, actor_decay=False)

    def act(self, memory: Any, obs: jax.Array, key: jax.Array, t: jax.Array | None = None) -> tuple[jax.Array, Any]:
        dist = self.actor.net(obs)
        return (dist.mode() if t is None else inside(dist.sample(key))), memory

    def draw(self, data: Dataset, key: jax.Array) -> Transition:
        return data.sample(key, self.cfg.batch, self.cfg.n_steps, self.cfg.gamma)

    def update(self, batch: Transition, key: jax.Array, t: jax.Array) -> tuple['IQL', Info]:
        q = self.target(batch.obs, batch.action).min(0)
        if self.cfg.extract == 'joint':
            agent, v_info = self.update_value(batch, q)
            agent, pi_info = agent.update_actor(batch, q)
            agent, q_info = agent.update_critic(batch)
            return agent, v_info | pi_info | q_info
        critic_turn = t < self.cfg.steps // 2
        agent, q_info = when(critic_turn, lambda agent: agent.update_values(batch, q), self, 'critic')
        agent, pi_info = when(~critic_turn, lambda agent: agent.update_actor(batch, q), agent, 'actor')
        return agent, q_info | {'value/ran': q_info['critic/ran']} | pi_info

    def update_value(self, batch: Transition, q: jax.Array) -> tuple['IQL', Info]:
        value, info = self.value.step(value_loss, batch, q, self.cfg.expectile)
        return replace(self, value=value), info

    def update_actor(self, batch: Transition, q: jax.Array) -> tuple['IQL', Info]:
        actor, info = self.actor.step(actor_loss, batch, q - self.value.net(batch.obs), self.cfg)
        return replace(self, actor=actor), info

    def update_critic(self, batch: Transition) -> tuple['IQL', Info]:
        y = batch.reward + batch.discount * self.value.net(batch.next_obs)
        critic, info = self.critic.step(critic_loss, batch, y)
        return replace(self, critic=critic, target=polyak(critic.net, self.target, self.cfg.rate)), info

    def update_values(self, batch: Transition, q: jax.Array) -> tuple['IQL', Info]:
        agent, v_info = self.update_value(batch, q)
        agent, q_info = agent.update_critic(batch)
        return agent, v_info | q_info

    def inspect(self, batch: Transition, key: jax.Array) -> Info:
        data = self.critic.net(batch.obs, batch.action).min(0).mean()
        own = self.critic.net(batch.obs, self.actor.net(batch.obs).mode()).min(0).mean()
        return {'q/data': data, 'q/policy': own, 'q/gap': own - data}


# The first argument of a loss is what learns; everything else is a constant.


def value_loss(value: Value, batch: Transition, q: jax.Array, tau: float) -> tuple[jax.Array, Info]:
    """E |tau - 1{u < 0}| u^2 with u = q - V(s); q [B]."""
    u = q - value(batch.obs)
    loss = expectile(u, tau).mean()
    return loss, {'value/loss': loss, 'value/advantage': u.mean()}


def actor_loss(actor: Any, batch: Transition, advantage: jax.Array, cfg: Config) -> tuple[jax.Array, Info]:
    """- E min(exp(beta advantage), max_weight) log pi(a | s); advantage [B]."""
    weight = advantage_weight(advantage, cfg.beta, cfg.max_weight)
    loss = -(weight * actor(batch.obs).log_prob(batch.action)).mean()
    return loss, {'actor/loss': loss, 'actor/weight': weight.mean()}


def critic_loss(critic: Ensemble, batch: Transition, y: jax.Array) -> tuple[jax.Array, Info]:
    """Sum over critics of E (y - Q(s, a))^2; y [B]."""
    loss = squared_errors(critic(batch.obs, batch.action), y)
    return loss, {'critic/loss': loss}


ALGO = IQL

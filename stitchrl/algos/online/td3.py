"""Twin delayed deterministic policy gradient: three remedies for a policy that climbs the errors of its critic.

    a'  = clip(pi'(s') + clip(eps, +-c), +-1),        eps ~ N(0, noise^2)
    Q  <- min E (r + gamma m min_i Q_i'(s', a') - Q(s, a))^2
    pi <- max E Q_1(s, pi(s))

The smaller of two critics, a target action that is smoothed by noise, and a policy that waits: it and both targets
(pi', Q') move every second update only. Fujimoto, van Hoof and Meger, 2018.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.agent import Agent, Info
from stitchrl.core.boundary import Reward
from stitchrl.core.learner import Learner, adam, copy, polyak, when
from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.maths.backups import smoothed_target
from stitchrl.maths.losses import squared_errors
from stitchrl.nets.dense import Ensemble
from stitchrl.nets.heads import Critic, Deterministic


@dataclass(frozen=True)
class Config:
    """Settings of TD3; the defaults are those of the author's code."""

    hidden: tuple[int, ...] = (256, 256)
    lr: float = 3e-4
    batch: int = 256
    steps: int = 1_000_000  # environment steps planned in all
    gamma: float = 0.99  # discount
    exploration_noise: float = 0.1  # deviation of the noise on the actions taken, for actions in [-1, 1]
    noise: float = 0.2  # deviation of the smoothing noise on a'
    noise_clip: float = 0.5  # c
    delay: int = 2  # updates of Q per update of policy and targets
    rate: float = 0.005  # how fast pi' and Q' follow
    n_steps: int = 1  # steps of reward before Q's target bootstraps
    normalise: bool = False  # observations to zero mean and unit deviation
    reward: Reward = 'raw'


PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    'default': ("the author's code on MuJoCo", {'random_steps': 25_000}),
    'pendulum': (
        'chosen here: a faster rate, a shorter horizon',
        {'lr': 1e-3, 'gamma': 0.98, 'steps': 20_000, 'random_steps': 1000},
    ),
}


class TD3(Agent):
    """Continuous actions."""

    actor: Learner  # pi(s) -> [B, A]
    critic: Learner  # Q(s, a) -> [2, B]
    actor_target: Deterministic  # pi'
    critic_target: Ensemble  # Q'
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, cfg: Config, key: jax.Array) -> 'TD3':
        """Fresh networks, initialised as in PyTorch. UsageError for discrete actions."""
        if spec.discrete:
            raise UsageError('td3 needs continuous actions, these are discrete; dqn and double_dqn take those')
        k_actor, k_critic = jr.split(key)
        actor = Deterministic(spec, cfg.hidden, 'uniform', key=k_actor)
        critic = Ensemble(partial(Critic, spec, cfg.hidden, 'uniform'), 2, key=k_critic)
        learner = partial(Learner.create, tx=adam(cfg.lr))
        return cls(
            actor=learner(actor),
            critic=learner(critic),
            actor_target=copy(actor),
            critic_target=copy(critic),
            cfg=cfg,
        )

    def act(self, memory: Any, obs: jax.Array, key: jax.Array, t: jax.Array | None = None) -> tuple[jax.Array, Any]:
        action = self.actor.net(obs)
        if t is None:
            return action, memory
        return jnp.clip(action + self.cfg.exploration_noise * jr.normal(key, action.shape), -1, 1), memory

    def draw(self, data: Dataset, key: jax.Array) -> Transition:
        return data.sample(key, self.cfg.batch, self.cfg.n_steps, self.cfg.gamma)

    def update(self, batch: Transition, key: jax.Array, t: jax.Array) -> tuple['TD3', Info]:
        eps = self.cfg.noise * jr.normal(key, batch.action.shape)
        y = smoothed_target(self.actor_target, self.critic_target, batch, eps, self.cfg.noise_clip)
        critic, q_info = self.critic.step(critic_loss, batch, y)
        due = t % self.cfg.delay == self.cfg.delay - 1
        agent, pi_info = when(due, partial(update_actor, batch=batch), replace(self, critic=critic), 'actor')
        return agent, q_info | pi_info

    def inspect(self, batch: Transition, key: jax.Array) -> Info:
        data = self.critic.net(batch.obs, batch.action).min(0).mean()
        own = self.critic.net(batch.obs, self.actor.net(batch.obs)).min(0).mean()
        return {'q/data': data, 'q/policy': own, 'q/gap': own - data}


def update_actor(agent: TD3, batch: Transition) -> tuple[TD3, Info]:
    """The delayed half: policy, then both targets."""
    first = jax.tree.map(lambda x: x[0], agent.critic.net.members)
    actor, info = agent.actor.step(actor_loss, batch, first)
    follow = partial(polyak, rate=agent.cfg.rate)
    targets = follow(actor.net, agent.actor_target), follow(agent.critic.net, agent.critic_target)
    return replace(agent, actor=actor, actor_target=targets[0], critic_target=targets[1]), info


# The first argument of a loss is what learns; everything else is a constant.


def critic_loss(critic: Ensemble, batch: Transition, y: jax.Array) -> tuple[jax.Array, Info]:
    """Sum over critics of E (y - Q(s, a))^2; y [B]."""
    loss = squared_errors(critic(batch.obs, batch.action), y)
    return loss, {'critic/loss': loss}


def actor_loss(actor: Deterministic, batch: Transition, critic: Critic) -> tuple[jax.Array, Info]:
    """- E Q_1(s, pi(s)); `critic` is the first of the two."""
    loss = -critic(batch.obs, actor(batch.obs)).mean()
    return loss, {'actor/loss': loss}


ALGO = TD3

"""TD3+BC: a deterministic policy gradient, held near the data by one imitation term.

    a'  = clip(pi'(s') + clip(eps, +-c), +-1),        eps ~ N(0, noise^2)
    Q  <- min E (r + gamma m min_i Q_i'(s', a') - Q(s, a))^2
    pi <- max E lambda Q_1(s, pi(s)) - mean_i (pi(s) - a)_i^2,     lambda = alpha / mean |Q_1(s, pi(s))|

Policy and both targets (pi', Q') move every second update only. The weight lambda is a constant to the gradient.
Fujimoto and Gu, 2021.
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
    """Settings of TD3+BC; the defaults are the paper's."""

    hidden: tuple[int, ...] = (256, 256)
    lr: float = 3e-4
    batch: int = 256
    steps: int = 1_000_000  # updates planned in all
    gamma: float = 0.99  # discount
    alpha: float = 2.5  # weight of Q against imitation; small imitates
    noise: float = 0.2  # deviation of the smoothing noise on a', for actions in [-1, 1]
    noise_clip: float = 0.5  # c
    delay: int = 2  # updates of Q per update of policy and targets
    rate: float = 0.005  # how fast pi' and Q' follow
    n_steps: int = 1  # steps of reward before Q's target bootstraps
    normalise: bool = True  # observations to zero mean and unit deviation
    reward: Reward = 'raw'


PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    'default': ('paper, table of hyperparameters', {}),
    'antmaze': (
        'the author on mazes: no normalisation, rewards - 1 as IQL has them',
        {'normalise': False, 'reward': 'minus_one'},
    ),
}


class TD3BC(Agent):
    """Continuous actions."""

    actor: Learner  # pi(s) -> [B, A]
    critic: Learner  # Q(s, a) -> [2, B]
    actor_target: Deterministic  # pi'
    critic_target: Ensemble  # Q'
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, cfg: Config, key: jax.Array) -> 'TD3BC':
        """Fresh networks, initialised as in PyTorch. UsageError for discrete actions."""
        if spec.discrete:
            raise UsageError(
                'td3_bc needs continuous actions, the data has discrete ones; bc, filtered_bc and iql take both'
            )
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
        return jnp.clip(action + self.cfg.noise / 2 * jr.normal(key, action.shape), -1, 1), memory

    def draw(self, data: Dataset, key: jax.Array) -> Transition:
        return data.sample(key, self.cfg.batch, self.cfg.n_steps, self.cfg.gamma)

    def update(self, batch: Transition, key: jax.Array, t: jax.Array) -> tuple['TD3BC', Info]:
        eps = self.cfg.noise * jr.normal(key, batch.action.shape)
        y = smoothed_target(self.actor_target, self.critic_target, batch, eps, self.cfg.noise_clip)
        critic, q_info = self.critic.step(critic_loss, batch, y)
        agent = replace(self, critic=critic)
        agent, pi_info = when(
            t % self.cfg.delay == self.cfg.delay - 1, partial(update_actor, batch=batch), agent, 'actor'
        )
        return agent, q_info | pi_info

    def inspect(self, batch: Transition, key: jax.Array) -> Info:
        data = self.critic.net(batch.obs, batch.action).min(0).mean()
        own = self.critic.net(batch.obs, self.actor.net(batch.obs)).min(0).mean()
        return {'q/data': data, 'q/policy': own, 'q/gap': own - data}


def update_actor(agent: TD3BC, batch: Transition) -> tuple[TD3BC, Info]:
    """The delayed half: policy, then both targets."""
    first = jax.tree.map(lambda x: x[0], agent.critic.net.members)
    actor, info = agent.actor.step(actor_loss, batch, first, agent.cfg.alpha)
    follow = partial(polyak, rate=agent.cfg.rate)
    targets = follow(actor.net, agent.actor_target), follow(agent.critic.net, agent.critic_target)
    return replace(agent, actor=actor, actor_target=targets[0], critic_target=targets[1]), info


# The first argument of a loss is what learns; everything else is a constant.


def critic_loss(critic: Ensemble, batch: Transition, y: jax.Array) -> tuple[jax.Array, Info]:
    """Sum over critics of E (y - Q(s, a))^2; y [B]."""
    loss = squared_errors(critic(batch.obs, batch.action), y)
    return loss, {'critic/loss': loss}


def actor_loss(actor: Deterministic, batch: Transition, critic: Critic, alpha: float) -> tuple[jax.Array, Info]:
    """E mean_i (pi(s) - a)_i^2 - lambda Q_1(s, pi(s)); `critic` is the first of the two."""
    action = actor(batch.obs)
    q = critic(batch.obs, action)
    scale = alpha / jax.lax.stop_gradient(jnp.abs(q).mean())
    distance = ((action - batch.action) ** 2).mean()
    return distance - scale * q.mean(), {
        'actor/loss': distance - scale * q.mean(),
        'actor/distance': distance,
    }


ALGO = TD3BC

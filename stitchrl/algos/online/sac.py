"""Soft actor-critic: as much return as can be had at an entropy that is kept, with every choice that the course names.

    y_i = r + gamma m (B_i(Q'(s', a')) + T H(s')),     a' ~ pi(s')
    Q_i <- min E (y_i - Q_i(s, a))^2
    pi  <- max E Q(s, b) + T H(s),                     b ~ pi(s)
    T   <- so that E H(s) is the target entropy

B decides which slow copies teach critic i: its own, the mean or the smaller of all, or the other one (doubleq). H(s) is
- log pi of an action sampled for this alone, not of a' or b. The policy's gradient leads through b (reparametrised),
or is Q times the score of b (REINFORCE; with a baseline, Q less its mean over the state's other samples), or is that
of H only. T is the one before the update; the policy sees the new critics. Haarnoja et al., 2018a and 2018b.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.agent import Agent, Info
from stitchrl.core.boundary import Reward
from stitchrl.core.learner import Learner, adam, copy, follow
from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.maths.backups import Backup, bootstrap, combined
from stitchrl.maths.dists import Squashed
from stitchrl.maths.losses import temperature_loss
from stitchrl.nets.dense import Ensemble
from stitchrl.nets.heads import Critic, Positive, SquashedGaussian


@dataclass(frozen=True)
class Config:
    """Settings of SAC; the defaults are Stable-Baselines3's."""

    hidden: tuple[int, ...] = (256, 256)
    lr: float = 3e-4  # of the critics and the temperature
    actor_lr: float = 3e-4
    batch: int = 256
    steps: int = 1_000_000  # environment steps planned in all
    gamma: float = 0.99  # discount
    rate: float | None = 0.005  # how fast Q' follows Q; None: it becomes Q every `period` critic updates
    period: int = 1000
    critics: int = 2
    critic_updates: int = 1  # per update, each on a batch of its own; policy and temperature see the last batch
    backup: Backup = 'min'
    actor_gradient: Literal['reparametrize', 'reinforce', 'none'] = 'reparametrize'
    actor_samples: int = 1  # actions per state in REINFORCE
    actor_baseline: bool = False  # in REINFORCE: the mean of Q over the state's other samples
    actor_q: Literal['mean', 'min'] = 'min'  # of the critics, in the policy's loss
    temperature: float | None = None  # T; None: it is learned
    target_entropy: float | None = None  # None: minus the number of action dimensions
    entropy_backup: bool = True  # T H(s') in y
    entropy_actor: bool = True  # T H(s) in the policy's loss
    n_steps: int = 1  # steps of reward before Q's target bootstraps
    normalise: bool = False  # observations to zero mean and unit deviation
    reward: Reward = 'raw'


PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    'default': ('Stable-Baselines3', {'random_steps': 100}),
    'mujoco': ('RL Zoo on MuJoCo', {'random_steps': 10_000}),
    'pendulum': ('RL Zoo: 20,000 steps', {'lr': 1e-3, 'actor_lr': 1e-3, 'steps': 20_000, 'random_steps': 100}),
    'homework': (
        'CS285 homework 3 (2023): a fixed temperature, the mean of the critics in both losses',
        {
            'hidden': (128, 128, 128),
            'batch': 128,
            'backup': 'mean',
            'actor_q': 'mean',
            'temperature': 0.1,
            'random_steps': 5000,
        },
    ),
}


class SAC(Agent):
    """Continuous actions."""

    actor: Learner  # pi(s) -> squashed normal
    critic: Learner  # Q(s, a) -> [K, B]
    temperature: Learner | None  # T, where it is learned
    target: Ensemble  # Q'
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, cfg: Config, key: jax.Array) -> 'SAC':
        """Fresh networks, initialised as in PyTorch. UsageError for discrete actions and for too few of a thing."""
        if spec.discrete:
            raise UsageError('sac needs continuous actions, these are discrete; dqn and double_dqn take those')
        if cfg.critics < 1 + (cfg.backup == 'doubleq') or min(cfg.critic_updates, cfg.actor_samples) < 1:
            got = f'critics {cfg.critics}, critic_updates {cfg.critic_updates}, actor_samples {cfg.actor_samples}'
            raise UsageError(f'sac with {got}; expected at least 1 of each, and 2 critics for the backup doubleq')
        if cfg.actor_baseline and cfg.actor_samples < 2:
            raise UsageError('actor_baseline is the mean over the other samples: actor_samples must be 2 or more')
        k_actor, k_critic = jr.split(key)
        critic = Ensemble(partial(Critic, spec, cfg.hidden, 'uniform'), cfg.critics, key=k_critic)
        actor = SquashedGaussian(spec, cfg.hidden, 'uniform', key=k_actor)
        return cls(
            actor=Learner.create(actor, adam(cfg.actor_lr)),
            critic=Learner.create(critic, adam(cfg.lr)),
            temperature=Learner.create(Positive.create(), adam(cfg.lr)) if cfg.temperature is None else None,
            target=copy(critic),
            cfg=cfg,
        )

    def act(self, memory: Any, obs: jax.Array, key: jax.Array, t: jax.Array | None = None) -> tuple[jax.Array, Any]:
        dist = self.actor.net(obs)
        return (dist.mode() if t is None else dist.sample(key)), memory

    def draw(self, data: Dataset, key: jax.Array) -> Transition:
        """The rows of all critic updates of one update, one after another."""
        return data.sample(key, self.cfg.critic_updates * self.cfg.batch, self.cfg.n_steps, self.cfg.gamma)

    def update(self, batch: Transition, key: jax.Array, t: jax.Array) -> tuple['SAC', Info]:
        k_critic, k_actor = jr.split(key)
        count, agent = self.cfg.critic_updates, self
        heat = self.cfg.temperature if self.temperature is None else self.temperature.net()
        parts = [Transition(*rows) for rows in zip(*(jnp.split(x, count) for x in batch), strict=True)]
        for i, (part, k_part) in enumerate(zip(parts, jr.split(k_critic, count), strict=True)):
            agent, q_info = agent.update_critics(part, heat, k_part, t * count + i)
        actor, info = self.actor.step(actor_loss, parts[-1].obs, agent.critic.net, heat, k_actor, self.cfg)
        agent, info = replace(agent, actor=actor), q_info | info
        if self.temperature is None:
            return agent, info
        wanted = self.cfg.target_entropy
        wanted = -float(batch.action.shape[-1]) if wanted is None else wanted
        temperature, t_info = self.temperature.step(temperature_loss, info['actor/entropy'], wanted)
        return replace(agent, temperature=temperature), info | t_info

    def update_critics(self, batch: Transition, heat: Any, key: jax.Array, t: jax.Array) -> tuple['SAC', Info]:
        """One step of Q, and of Q' after it; t counts updates of critics."""
        y = q_target(self.target, self.actor.net(batch.next_obs), batch, heat, key, self.cfg)
        critic, info = self.critic.step(critic_loss, batch, y)
        target = follow(critic.net, self.target, t, self.cfg.rate, self.cfg.period)
        return replace(self, critic=critic, target=target), info

    def inspect(self, batch: Transition, key: jax.Array) -> Info:
        data = self.critic.net(batch.obs, batch.action).mean(0)
        own = self.critic.net(batch.obs, self.actor.net(batch.obs).mode()).mean(0)
        return {'q/data': data.mean(), 'q/policy': own.mean(), 'q/gap': (own - data).mean()}


def q_target(target: Ensemble, after: Squashed, batch: Transition, heat: Any, key: jax.Array, cfg: Config) -> jax.Array:
    """r + gamma m (B_i(Q'(s', a')) + T H(s')), [K, B]; `after` is pi(s')."""
    k_action, k_entropy = jr.split(key)
    value = combined(target(batch.next_obs, after.sample(k_action)), cfg.backup)
    if cfg.entropy_backup:
        value = value + heat * entropy(after, k_entropy)[None]
    return bootstrap(batch, value)


def entropy(dist: Squashed, key: jax.Array) -> jax.Array:
    """- log pi of an action sampled for this alone, [B]; its gradient leads through the action."""
    return -dist.sample_and_log_prob(key)[1]


# The first argument of a loss is what learns; everything else is a constant.


def critic_loss(critic: Ensemble, batch: Transition, y: jax.Array) -> tuple[jax.Array, Info]:
    """Mean over critics and batch of (y - Q(s, a))^2; y [K, B]."""
    loss = ((y - critic(batch.obs, batch.action)) ** 2).mean()
    return loss, {'critic/loss': loss, 'critic/target': y.mean()}


def actor_loss(
    actor: SquashedGaussian, obs: jax.Array, critic: Ensemble, heat: Any, key: jax.Array, cfg: Config
) -> tuple[jax.Array, Info]:
    """- E Q(s, b) - T H(s), its gradient by one of three ways to Q."""
    k_action, k_entropy = jr.split(key)
    dist = actor(obs)
    random = entropy(dist, k_entropy).mean()
    loss = -reward_of(dist, obs, critic, k_action, cfg)
    loss = loss - heat * random if cfg.entropy_actor else loss
    return loss, {'actor/loss': loss, 'actor/entropy': random}


def reward_of(dist: Squashed, obs: jax.Array, critic: Ensemble, key: jax.Array, cfg: Config) -> Any:
    """E Q(s, b), or what has its gradient: E log pi(b | s) Q(s, b) with b and Q constants; 0 for an actor without Q."""
    if cfg.actor_gradient == 'none':
        return 0.0
    together = partial(jnp.mean if cfg.actor_q == 'mean' else jnp.min, axis=0)
    if cfg.actor_gradient == 'reparametrize':
        return together(critic(obs, dist.sample(key))).mean()
    action, log_prob = dist.scored_samples(key, cfg.actor_samples)
    q = together(critic(jnp.broadcast_to(obs, (cfg.actor_samples, *obs.shape)), action))  # [S, B]
    if cfg.actor_baseline:
        q = q - (q.sum(0, keepdims=True) - q) / (cfg.actor_samples - 1)
    return (log_prob * q).mean()


ALGO = SAC

"""Deep Q-network: act greedily on a Q that is taught what its own slow copy expects of the next step.

    y = r + gamma m max_a Q'(s', a)
    Q <- min E l(y - Q(s, a)),          l the square, or Huber's

Q' becomes Q every `period` updates, or follows it slowly. The behaviour takes a random action with probability
epsilon(t), which falls on a line from 1 to its end. Mnih et al., 2015.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

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
from stitchrl.maths.losses import huber
from stitchrl.nets.heads import Critic


@dataclass(frozen=True)
class Config:
    """Settings of DQN; the defaults are those of the CS285 homework."""

    hidden: tuple[int, ...] = (64, 64)
    lr: float = 1e-3
    decay: bool = False  # the rate of learning falls to zero along a cosine, over as many updates as `steps`
    batch: int = 128
    steps: int = 300_000  # environment steps planned in all
    gamma: float = 0.99  # discount
    loss: Literal['squared', 'huber'] = 'squared'
    clip: float | None = None  # largest norm of the gradient
    rate: float | None = None  # how fast Q' follows Q; None: it becomes Q every `period` updates
    period: int = 1000
    final_epsilon: float = 0.02  # share of random actions in the end
    explore: float = 0.1  # share of the environment steps over which epsilon falls
    double: bool = False  # Q chooses the action that Q' values
    n_steps: int = 1  # steps of reward before the target bootstraps
    normalise: bool = False  # observations to zero mean and unit deviation
    reward: Reward = 'raw'


PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    'default': ('CS285 homework 3 (2023)', {'random_steps': 20_000}),
    'cartpole': (
        'chosen here: three-step returns, a slow copy that follows and a rate that ends at zero; see recipes/online.py',
        {
            'hidden': (128, 128),
            'lr': 3e-4,
            'decay': True,
            'steps': 50_000,
            'loss': 'huber',
            'clip': 10.0,
            'rate': 0.005,
            'final_epsilon': 0.02,
            'n_steps': 3,
            'random_steps': 1000,
        },
    ),
    'lunarlander': (
        'sizes and rates after an older RL Zoo file, the rest as cartpole; chosen here on seeds 100 to 102',
        {
            'hidden': (256, 256),
            'lr': 6.3e-4,
            'decay': True,
            'steps': 200_000,
            'loss': 'huber',
            'clip': 10.0,
            'rate': 0.005,
            'n_steps': 3,
            'final_epsilon': 0.05,
            'explore': 0.12,
            'random_steps': 1000,
        },
    ),
    'acrobot': (
        'the default with a fresh target and a rate that ends at zero: see recipes/',
        {'decay': True, 'steps': 100_000, 'period': 100, 'final_epsilon': 0.05, 'random_steps': 1000},
    ),
    'atari': (
        "CS285 homework 3 on MsPacman, with Mnih's loss and one update in four steps",
        {
            'hidden': (512,),
            'lr': 1e-4,
            'batch': 32,
            'steps': 1_000_000,
            'loss': 'huber',
            'clip': 10.0,
            'period': 2000,
            'final_epsilon': 0.01,
            'random_steps': 20_000,
            'ratio': 0.25,
        },
    ),
}


class DQN(Agent):
    """Discrete actions."""

    critic: Learner  # Q(s, .) -> [B, n]
    target: Critic  # Q'
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, cfg: Config, key: jax.Array) -> 'DQN':
        """Fresh networks, initialised as in PyTorch. UsageError for continuous actions."""
        if not spec.discrete:
            raise UsageError('dqn and double_dqn need discrete actions, these are continuous; td3 and sac take those')
        critic = Critic(spec, cfg.hidden, 'uniform', key=key)
        tx = adam(cfg.lr, cfg.steps if cfg.decay else None, cfg.clip)
        return cls(critic=Learner.create(critic, tx), target=copy(critic), cfg=cfg)

    def act(self, memory: Any, obs: jax.Array, key: jax.Array, t: jax.Array | None = None) -> tuple[jax.Array, Any]:
        q = self.critic.net.all(obs)
        if t is None:
            return q.argmax(-1).astype(jnp.int32), memory
        return epsilon_greedy(q, epsilon(t, self.cfg), key), memory

    def draw(self, data: Dataset, key: jax.Array) -> Transition:
        return data.sample(key, self.cfg.batch, self.cfg.n_steps, self.cfg.gamma)

    def update(self, batch: Transition, key: jax.Array, t: jax.Array) -> tuple['DQN', Info]:
        critic, info = self.critic.step(critic_loss, batch, self.q_target(batch), self.cfg.loss)
        target = follow(critic.net, self.target, t, self.cfg.rate, self.cfg.period)
        return replace(self, critic=critic, target=target), info

    def q_target(self, batch: Transition) -> jax.Array:
        """r + gamma m Q'(s', a), a the best of Q', or of Q in double DQN: [B]."""
        values = self.target.all(batch.next_obs)
        return greedy_target(batch, values, self.critic.net.all(batch.next_obs) if self.cfg.double else values)

    def inspect(self, batch: Transition, key: jax.Array) -> Info:
        q = self.critic.net.all(batch.obs)
        data, own = take(q, batch.action).mean(), q.max(-1).mean()
        others = (q.sum(-1).mean() - data) / max(q.shape[-1] - 1, 1)  # actions that were not taken there
        return {'q/data': data, 'q/policy': own, 'q/gap': own - data, 'q/others': others}


def epsilon(t: jax.Array, cfg: Config) -> jax.Array:
    """Share of random actions at environment step t: from 1 on a line to its end at `explore` of all steps."""
    done = jnp.clip(t / (cfg.explore * cfg.steps), 0, 1)
    return 1 + (cfg.final_epsilon - 1) * done


# The first argument of a loss is what learns; everything else is a constant.


def critic_loss(critic: Critic, batch: Transition, y: jax.Array, loss: str) -> tuple[jax.Array, Info]:
    """E l(y - Q(s, a)); y [B]."""
    error = y - critic(batch.obs, batch.action)
    value = (huber(error) if loss == 'huber' else error**2).mean()
    return value, {'critic/loss': value, 'critic/target': y.mean()}


ALGO = DQN

"""Conservative Q-learning: a soft actor-critic whose Q is pushed down where the policy goes and the data does not.

    y  = r + gamma m min_i Q_i'(s', a'),                               a' ~ pi(s')
    Q <- min E (y - Q_i(s, a))^2 + alpha E [log E_{b ~ nu} exp(Q_i(s, b)) / nu(b) - Q_i(s, a)]
    pi <- max E min_i Q_i(s, b) - T log pi(b | s),                     b ~ pi(s)
    T  <- so that E [- log pi(b | s)] is the target entropy
    Q' <- Q' + rate (Q - Q')

The integral of exp Q is estimated from `samples` actions each of nu = uniform, pi(s) and pi(s'), all at s and divided
by their density; the constant log of their number is left out. All losses see the networks as they were before the
update. Kumar, Zhou, Tucker and Levine, 2020, eq. 4 (CQL(H)); in the variant of JaxCQL unless a switch says otherwise.
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
from stitchrl.core.learner import Learner, adam, copy, in_cache, polyak
from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.maths.backups import bootstrap
from stitchrl.maths.dists import Squashed
from stitchrl.maths.losses import squared_errors, temperature_loss
from stitchrl.nets.dense import Ensemble
from stitchrl.nets.heads import Critic, Positive, SquashedGaussian


@dataclass(frozen=True)
class Config:
    """Settings of CQL; the defaults are JaxCQL's."""

    hidden: tuple[int, ...] = (256, 256)
    lr: float = 3e-4  # of the critics, the temperature and the multiplier
    actor_lr: float = 3e-4
    batch: int = 256
    steps: int = 1_000_000  # updates planned in all
    gamma: float = 0.99  # discount
    rate: float = 0.005  # how fast Q' follows Q
    alpha: float = 5.0  # weight of the conservative term; 0 is SAC on fixed data
    samples: int = 10  # actions from each of the three sources
    data_term: bool = True  # subtract Q of the data's action; without it Q is a lower bound everywhere
    regulariser: Literal['entropy', 'prior'] = 'entropy'  # prior: KL to pi(s), so exp Q is averaged under it
    lagrange: float | None = None  # learn the term's multiplier so that alpha x gap stays below this
    max_backup: bool = False  # the best of `samples` actions in y: each by the smaller of both Q'
    entropy_backup: bool = False  # - T log pi(a' | s') in y
    warmup: int = 0  # first updates, in which the policy imitates instead of climbing Q
    n_steps: int = 1  # steps of reward before Q's target bootstraps
    normalise: bool = False  # observations to zero mean and unit deviation
    reward: Reward = 'raw'


PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    'default': ('JaxCQL on D4RL MuJoCo', {}),
    'locomotion': ('CORL on MuJoCo, with two layers, not three', {'alpha': 10.0, 'actor_lr': 3e-5, 'normalise': True}),
    'official': (
        "the authors' code on D4RL MuJoCo: three layers, a slow policy that imitates for 40,000 updates",
        {'hidden': (256, 256, 256), 'actor_lr': 1e-4, 'warmup': 40_000},
    ),
}


class CQL(Agent):
    """Continuous actions."""

    actor: Learner  # pi(s) -> squashed normal
    critic: Learner  # Q(s, a) -> [2, B]
    temperature: Learner  # T
    multiplier: Learner | None  # of the conservative term, where cfg.lagrange is set
    target: Ensemble  # Q'
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, cfg: Config, key: jax.Array) -> 'CQL':
        """Fresh networks. UsageError for discrete actions and for no samples."""
        if spec.discrete:
            raise UsageError('cql needs continuous actions, the data has discrete ones; discrete_cql takes those')
        if cfg.samples < 1 or cfg.regulariser not in ('entropy', 'prior'):
            got = f'samples is {cfg.samples} and regulariser {cfg.regulariser!r}'
            raise UsageError(f'{got}; expected at least 1, and entropy or prior')
        k_actor, k_critic = jr.split(key)
        critic = Ensemble(partial(Critic, spec, cfg.hidden), 2, key=k_critic)
        learner, actor = partial(Learner.create, tx=adam(cfg.lr)), SquashedGaussian(spec, cfg.hidden, key=k_actor)
        return cls(
            actor=Learner.create(actor, adam(cfg.actor_lr)),
            critic=learner(critic),
            temperature=learner(Positive.create()),
            multiplier=None if cfg.lagrange is None else learner(Positive.create()),
            target=copy(critic),
            cfg=cfg,
        )

    def act(self, memory: Any, obs: jax.Array, key: jax.Array, t: jax.Array | None = None) -> tuple[jax.Array, Any]:
        dist = self.actor.net(obs)
        return (dist.mode() if t is None else dist.sample(key)), memory

    def draw(self, data: Dataset, key: jax.Array) -> Transition:
        return data.sample(key, self.cfg.batch, self.cfg.n_steps, self.cfg.gamma)

    def update(self, batch: Transition, key: jax.Array, t: jax.Array) -> tuple['CQL', Info]:
        (k_backup, k_asked, k_actor), temperature = jr.split(key, 3), self.temperature.net()
        y = self.q_target(batch, temperature, k_backup)
        asked = self.asked(batch, k_asked)
        weight = 1.0 if self.multiplier is None else jnp.clip(self.multiplier.net(), max=1e6)
        pieces = in_cache(*asked[1].shape)
        critic, q_info = self.critic.step(critic_loss, batch, y, asked, weight, self.cfg, pieces=pieces)
        warm = t < self.cfg.warmup
        actor, pi_info = self.actor.step(actor_loss, batch, self.critic.net, temperature, warm, k_actor)
        tempered, t_info = self.temperature.step(temperature_loss, pi_info['actor/entropy'], -batch.action.shape[-1])
        agent = replace(self, actor=actor, critic=critic, temperature=tempered)
        if self.multiplier is not None:
            multiplier, m_info = self.multiplier.step(multiplier_loss, q_info['critic/excess'])
            agent, t_info = replace(agent, multiplier=multiplier), t_info | m_info
        target = polyak(critic.net, self.target, self.cfg.rate)
        return replace(agent, target=target), q_info | pi_info | t_info

    def q_target(self, batch: Transition, temperature: jax.Array, key: jax.Array) -> jax.Array:
        """r + gamma m min_i Q_i'(s', a') with a' ~ pi(s'), or with the best of several: [B]."""
        count = self.cfg.samples if self.cfg.max_backup else 1
        action, log_prob = several(self.actor.net(batch.next_obs), key, count)
        q = at_each(self.target, batch.next_obs, action).min(0)  # [B, K]
        q = q - temperature * log_prob if self.cfg.entropy_backup else q
        return bootstrap(batch, q.max(1))

    def asked(self, batch: Transition, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The actions whose Q at s is pushed down [B, K, A], and the log of what their exp Q is divided by [B, K]."""
        k_uniform, k_here, k_next = jr.split(key, 3)
        here, log_here = several(self.actor.net(batch.obs), k_here, self.cfg.samples)
        if self.cfg.regulariser == 'prior':
            return here, jnp.zeros_like(log_here)
        after, log_after = several(self.actor.net(batch.next_obs), k_next, self.cfg.samples)
        uniform = jr.uniform(k_uniform, here.shape, minval=-1, maxval=1)
        log_uniform = jnp.full_like(log_here, -here.shape[-1] * jnp.log(2.0))
        return jnp.concatenate([uniform, here, after], 1), jnp.concatenate([log_uniform, log_here, log_after], 1)

    def inspect(self, batch: Transition, key: jax.Array) -> Info:
        data = self.critic.net(batch.obs, batch.action).min(0).mean()
        own = self.critic.net(batch.obs, self.actor.net(batch.obs).mode()).min(0).mean()
        return {'q/data': data, 'q/policy': own, 'q/gap': own - data}


def several(dist: Squashed, key: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
    """n actions in each of B states [B, n, A], with their log-densities [B, n]."""
    action, log_prob = dist.samples_and_log_prob(key, n)
    return action.swapaxes(0, 1), log_prob.T


def at_each(critic: Ensemble, obs: jax.Array, action: jax.Array) -> jax.Array:
    """Q of K actions [B, K, A] at their states [B, O]: [2, B, K]."""
    return critic(jnp.broadcast_to(obs[:, None], (*action.shape[:2], *obs.shape[1:])), action)


# The first argument of a loss is what learns; everything else is a constant.


def critic_loss(
    critic: Ensemble, batch: Transition, y: jax.Array, asked: tuple[jax.Array, jax.Array], weight: Any, cfg: Config
) -> tuple[jax.Array, Info]:
    """Sum over critics of E (y - Q(s, a))^2 + weight (alpha gap - lagrange); y [B], asked: actions, log-densities."""
    q = critic(batch.obs, batch.action)
    error = squared_errors(q, y)
    soft = jax.nn.logsumexp(at_each(critic, batch.obs, asked[0]) - asked[1][None], axis=2)  # [2, B]
    gap = (soft - q if cfg.data_term else soft).mean(1)  # [2]
    excess = cfg.alpha * gap - (cfg.lagrange or 0.0)
    loss = error + weight * excess.sum()
    return loss, {'critic/loss': loss, 'critic/error': error, 'critic/gap': gap.mean(), 'critic/excess': excess.sum()}


def actor_loss(
    actor: SquashedGaussian,
    batch: Transition,
    critic: Ensemble,
    temperature: jax.Array,
    imitate: jax.Array,
    key: jax.Array,
) -> tuple[jax.Array, Info]:
    """E T log pi(b | s) - min_i Q_i(s, b), b ~ pi(s) reparametrised; while imitating, log pi(a | s) instead of Q."""
    dist = actor(batch.obs)
    action, log_prob = dist.sample_and_log_prob(key)
    good = jnp.where(imitate, dist.log_prob(batch.action), critic(batch.obs, action).min(0))
    loss = (temperature * log_prob - good).mean()
    return loss, {'actor/loss': loss, 'actor/entropy': -log_prob.mean()}


def multiplier_loss(multiplier: Positive, excess: jax.Array) -> tuple[jax.Array, Info]:
    """- min(multiplier, 1e6) excess: it rises while the gap is above what is allowed."""
    loss = -jnp.clip(multiplier(), max=1e6) * jax.lax.stop_gradient(excess)
    return loss, {'multiplier/loss': loss, 'multiplier/value': multiplier()}


ALGO = CQL

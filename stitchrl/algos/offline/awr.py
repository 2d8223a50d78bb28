"""Advantage-weighted regression: imitate every step by how much better it went than expected.

    R_t = r_t + gamma m_t ((1 - lambda) V(s_{t+1}) + lambda R_{t+1}),      R = V(s) where a recording was cut
    w   = min(exp(beta (A - mean A) / (std A + 1e-5)), max_weight),        A = R - V(s)
    V  <- min 1/2 E (R - V(s))^2
    pi <- max E w log pi(a | s)

R and w are written beside all the data at once, with V as it was at the last refresh, and used until the next. A is
over the behaviour's own value: an improvement of one step on it, and no action but the data's is ever asked about.
Beside a ring, which changes with every step, R is summed over the `horizon` steps after a drawn one, with V behind
them, and the mean and deviation of A are the batch's. Peng, Kumar, Zhang and Levine, 2019.
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
from stitchrl.core.learner import Learner, adam, copy
from stitchrl.core.spec import Spec
from stitchrl.core.types import Weighted, Window
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.maths.dists import inside
from stitchrl.maths.losses import advantage_weight
from stitchrl.maths.returns import lambda_returns
from stitchrl.nets.heads import Value, policy

BLOCK = 4096  # rows that are labelled at once: a layer of 256 then takes 4 MB instead of a GB


@dataclass(frozen=True)
class Config:
    """Settings of AWR; lambda, temperature and cut are the paper's, sizes and optimiser IQL's."""

    hidden: tuple[int, ...] = (256, 256)
    lr: float = 3e-4
    batch: int = 256
    steps: int = 1_000_000  # updates planned in all
    gamma: float = 0.99  # discount
    lam: float = 0.95  # lambda in the equations
    beta: float = 1.0  # inverse temperature of the weights
    max_weight: float = 20.0  # weights are cut off here
    refresh: int = 2500  # steps between two rounds of returns and weights
    horizon: int = 32  # of R online, where 1 - 0.95^32 of a return's weight lies within it
    normalise: bool = False  # observations to zero mean and unit deviation
    reward: Reward = 'raw'  # range: x 1000 / range of returns; minus_one: r - 1


PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    'default': ('paper and its code: lambda .95, temperature 1, weights up to 20, advantages normalised', {}),
    'locomotion': ("the same, with IQL's rule for MuJoCo: rewards x 1000 / range of returns", {'reward': 'range'}),
}


class AWR(Agent):
    """Continuous or discrete actions."""

    actor: Learner  # pi(s) -> distribution over actions
    value: Learner  # V(s) -> [B]
    labeller: Value  # V at the last refresh, which returns and weights come from
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, cfg: Config, key: jax.Array) -> 'AWR':
        """Fresh networks. UsageError for a lambda outside [0, 1], a refresh after no steps or returns over none."""
        if not 0 <= cfg.lam <= 1:
            raise UsageError(f'lam {cfg.lam}: expected a number from 0 to 1, such as 0.95')
        if cfg.refresh < 1 or cfg.horizon < 1:
            raise UsageError(f'refresh {cfg.refresh}, horizon {cfg.horizon}: expected at least one step each')
        k_actor, k_value = jr.split(key)
        value = Value(spec, cfg.hidden, key=k_value)
        learner = partial(Learner.create, tx=adam(cfg.lr))
        return cls(
            actor=learner(policy(spec, cfg.hidden, key=k_actor)), value=learner(value), labeller=copy(value), cfg=cfg
        )

    def act(self, memory: Any, obs: jax.Array, key: jax.Array, t: jax.Array | None = None) -> tuple[jax.Array, Any]:
        dist = self.actor.net(obs)
        return (dist.mode() if t is None else inside(dist.sample(key))), memory

    def refresh(self, data: Dataset, key: jax.Array, t: jax.Array) -> 'AWR':
        return replace(self, labeller=copy(self.value.net))

    def label(self, data: Dataset) -> dict[str, jax.Array]:
        """target: R of every step; weight: w of every step. [N] each."""
        v = jax.lax.map(self.labeller, data.obs, batch_size=BLOCK)
        returns = lambda_returns(data.reward, data.mask, data.ends, v, self.cfg.gamma, self.cfg.lam)
        return {'target': returns, 'weight': weights(returns - v, data.starts, self.cfg)}

    def draw(self, data: Any, key: jax.Array) -> Weighted:
        if not isinstance(data, Dataset):
            return self.weighted(data.windows(key, self.cfg.batch, self.cfg.horizon + 1))
        row = data.rows(key, self.cfg.batch)
        return Weighted(data.obs[row], data.action[row], data.labels['target'][row], data.labels['weight'][row])

    def weighted(self, window: Window) -> Weighted:
        """The first steps of windows [B, horizon + 1], each cut at its last row where it did not end before."""
        v, ends = self.labeller(window.obs), window.ends.at[:, -1].set(1.0)
        discounted = partial(lambda_returns, gamma=self.cfg.gamma, lam=self.cfg.lam)
        target = jax.vmap(discounted)(window.reward, window.mask, ends, v)[:, 0]
        weight = weights(target - v[:, 0], jnp.arange(len(v)), self.cfg)
        return Weighted(window.obs[:, 0], window.action[:, 0], target, weight)

    def update(self, batch: Weighted, key: jax.Array, t: jax.Array) -> tuple['AWR', Info]:
        value, v_info = self.value.step(value_loss, batch)
        actor, pi_info = self.actor.step(actor_loss, batch)
        return replace(self, actor=actor, value=value), v_info | pi_info

    def inspect(self, batch: Weighted, key: jax.Array) -> Info:
        return {'value/data': self.value.net(batch.obs).mean(), 'value/return': batch.target.mean()}


def weights(advantage: jax.Array, starts: jax.Array, cfg: Config) -> jax.Array:
    """w of advantages [N], normalised by mean and deviation over the M steps at rows `starts`."""
    steps = advantage[starts]
    standard = (advantage - steps.mean()) / (steps.std() + 1e-5)
    return advantage_weight(standard, cfg.beta, cfg.max_weight)


# The first argument of a loss is what learns; everything else is a constant.


def value_loss(value: Value, batch: Weighted) -> tuple[jax.Array, Info]:
    """1/2 E (R - V(s))^2."""
    u = batch.target - value(batch.obs)
    loss = (u**2).mean() / 2
    return loss, {'value/loss': loss, 'value/advantage': u.mean()}


def actor_loss(actor: Any, batch: Weighted) -> tuple[jax.Array, Info]:
    """- E w log pi(a | s)."""
    loss = -(batch.weight * actor(batch.obs).log_prob(batch.action)).mean()
    return loss, {'actor/loss': loss, 'actor/weight': batch.weight.mean()}


ALGO = AWR

"""AlphaGo: a policy makes the search narrow, a value and fast roll-outs make it short; all are learned from games.

    sigma, fast  <- max E ln P(a | s)                         over recorded games
    rho          <- max E (z - b) ln P(a | s), from sigma on  games of rho against an earlier rho; b the mean of z
    v            <- min E (v(s) - z)^2                        one position of each of rho's games, others are too alike
    a = argmax Q(s, a) + c sigma(s, a) sqrt(N(s)) / (1 + n(s, a)),    Q = (1 - lam) W_v / N_v + lam W_r / N_r

z is the outcome for the player to move, W_v sums the values v of the leaves below (s, a), W_r the outcomes of games
that the fast policy plays from there to their end. AlphaGo counts them apart because its evaluations arrive at
different times; here a walk brings one of each, N_v = N_r, and the mean of the mixtures is the mixture of the means:
the tree holds one sum, of (1 - lam) v + lam z. With lam 0 nothing is rolled out. Silver et al., 2016.
"""

from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl import envs
from stitchrl.core.agent import Agent, Info
from stitchrl.core.learner import Learner, adam
from stitchrl.core.spec import Spec
from stitchrl.core.types import Position
from stitchrl.envs.game import Game
from stitchrl.errors import UsageError
from stitchrl.models.rules import Branching, Rules, rolled_out
from stitchrl.nets.board import BoardNet, among
from stitchrl.planners.mcts import MCTS, Leaf
from stitchrl.planners.select import puct


@dataclass(frozen=True)
class Config:
    """Settings of networks, learning and search."""

    game: str | None = None  # its name
    filters: int = 64
    side: int = 4  # of the networks' windows
    hidden: tuple[int, ...] = (256, 256)
    fast: int = 16  # filters of the fast policy, whose answers are summed and nothing more
    lr: float = 1e-3
    gentle: float = 1e-4  # rate of the policy gradient
    batch: int = 256
    lam: float = 0.5  # share of roll-outs in a leaf's value; 0: the network's alone, 1: theirs alone
    c: float = 1.5  # weight of the prior
    judged: int = 100  # simulations of a search
    steps: int = 4000  # updates of the imitation


PRESETS: dict[str, tuple[str, dict[str, Any]]] = {'default': ('connect four', {})}


class Opinion(eqx.Module):
    """What the networks say of a state, as an evaluation of leaves. Without `prior` all legal moves are as likely,
    without `fast` roll-outs are random."""

    prior: BoardNet | None
    value: BoardNet | None
    fast: BoardNet | None
    lam: float = eqx.field(static=True)

    def __call__(self, model: Branching, latent: Any, keys: jax.Array) -> Leaf:
        """See `planners.mcts.Evaluate`."""
        legal, value = model.legal(latent), jnp.zeros(len(keys))
        logits = self.prior(model.seen(latent))[0] if self.prior is not None else jnp.zeros(legal.shape)
        if self.lam < 1:
            assert self.value is not None
            value = (1 - self.lam) * self.value(model.seen(latent))[1]
        if self.lam > 0 and self.fast is not None:
            value += self.lam * rolled_out(model, latent, keys, Drawn(self.fast), 1.0, 1000)
        elif self.lam > 0:
            value += self.lam * model.playouts(latent, keys, 1.0, 1000)
        return Leaf(value, jax.nn.softmax(among(logits, legal)))


class Drawn(eqx.Module):
    """Moves drawn from a network's policy; see `models.rules.Act`."""

    net: BoardNet

    def __call__(self, model: Branching, latent: Any, keys: jax.Array) -> jax.Array:
        logits = among(self.net(model.seen(latent))[0], model.legal(latent))
        return jax.vmap(jr.categorical)(keys, logits).astype(jnp.int32)


class AlphaGo(Agent):
    """Four networks. `update` imitates, `improve` follows the policy gradient, `appraise` learns values."""

    sigma: Learner  # obs [..., C, H, W] -> logits of moves as in the record
    fast: Learner  # the same in a small network
    rho: Learner  # logits of moves that win
    value: Learner  # obs -> v
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, cfg: Config, key: jax.Array) -> 'AlphaGo':
        """UsageError for a space that is no board, and for a share that is none."""
        if not spec.discrete or len(spec.obs.shape) != 3:
            raise UsageError(f'alphago plays on boards [C, H, W] with discrete moves, not {spec.obs.shape}')
        if not 0 <= cfg.lam <= 1:
            raise UsageError(f'lam {cfg.lam}: a share lies between 0 and 1')
        k_sigma, k_fast, k_value = jr.split(key, 3)
        shape, moves = spec.obs.shape, spec.action_dim
        deep = lambda n, key: BoardNet(shape, n, cfg.filters, cfg.side, 0, cfg.hidden, key=key)
        small = BoardNet(shape, moves, cfg.fast, cfg.side, 0, (), key=k_fast)
        sigma = Learner.create(deep(moves, k_sigma), adam(cfg.lr))
        value = Learner.create(deep(0, k_value), adam(cfg.lr))
        fast = Learner.create(small, adam(cfg.lr))
        return cls(sigma=sigma, fast=fast, rho=stronger(sigma, cfg), value=value, cfg=cfg)

    @property
    def game(self) -> Game:
        """The rules. UsageError where the settings name none."""
        return envs.rules(self.cfg.game)

    def planner(self, simulations: int, noisy: bool = False) -> MCTS:
        """The search with all that was learned; it is never noisy."""
        told = Opinion(self.sigma.net, self.value.net, self.fast.net, self.cfg.lam)
        return MCTS(puct(self.cfg.c), told, simulations)

    def act(self, memory: Any, obs: jax.Array, key: jax.Array, t: jax.Array | None = None) -> tuple[jax.Array, Any]:
        """The most visited move."""
        boards, keys = jax.vmap(self.game.recall)(obs), jr.split(key, len(obs))
        return self.planner(self.cfg.judged).plans(Rules(self.game), boards, keys)[0], memory

    def update(self, batch: Position, key: jax.Array, t: jax.Array) -> tuple['AlphaGo', Info]:
        """One step of imitation, of both policies."""
        sigma, info = self.sigma.step(imitation_loss, batch)
        fast, more = self.fast.step(imitation_loss, batch)
        return replace(self, sigma=sigma, fast=fast), info | {f'fast/{name}': x for name, x in more.items()}

    def promoted(self) -> 'AlphaGo':
        """What was imitated is where the policy gradient begins."""
        return replace(self, rho=stronger(self.sigma, self.cfg))

    def improve(self, batch: Position) -> tuple['AlphaGo', Info]:
        """One step of the policy gradient, on whole games of rho."""
        rho, info = self.rho.step(gradient_loss, batch)
        return replace(self, rho=rho), info

    def appraise(self, batch: Position) -> tuple['AlphaGo', Info]:
        """One step of the value."""
        value, info = self.value.step(value_loss, batch)
        return replace(self, value=value), info


def stronger(sigma: Learner, cfg: Config) -> Learner:
    """A learner that begins as a copy of sigma, with the rate of the policy gradient."""
    return Learner.create(jax.tree.map(jnp.copy, sigma.net), adam(cfg.gentle, None, 1.0))


def chances(net: BoardNet, batch: Position) -> jax.Array:
    """ln P(a | s) of the moves made, [B]."""
    logits = among(net(batch.obs)[0], batch.legal)
    return (batch.policy * jax.nn.log_softmax(logits)).sum(-1)


def imitation_loss(net: BoardNet, batch: Position) -> tuple[jax.Array, Info]:
    """- E ln P(a | s); with how often the recorded move is the likeliest."""
    logits = among(net(batch.obs)[0], batch.legal)
    loss = -(batch.policy * jax.nn.log_softmax(logits)).sum(-1).mean()
    return loss, {'policy/loss': loss, 'policy/hits': (logits.argmax(-1) == batch.policy.argmax(-1)).mean()}


def gradient_loss(net: BoardNet, batch: Position) -> tuple[jax.Array, Info]:
    """- E (z - b) ln P(a | s) over the moves that count, b the mean of their z."""
    count = jnp.maximum(batch.weight.sum(), 1.0)
    mean = (batch.weight * batch.outcome).sum() / count
    loss = -(batch.weight * (batch.outcome - mean) * chances(net, batch)).sum() / count
    return loss, {'gradient/loss': loss, 'gradient/outcome': mean}


def value_loss(net: BoardNet, batch: Position) -> tuple[jax.Array, Info]:
    """E (v(s) - z)^2."""
    loss = ((net(batch.obs)[1] - batch.outcome) ** 2).mean()
    return loss, {'value/loss': loss}


ALGO = AlphaGo

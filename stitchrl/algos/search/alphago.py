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
from stitchrl.algos.search import uct
from stitchrl.core.agent import Info
from stitchrl.core.learner import Learner, adam
from stitchrl.core.pupil import Pupil
from stitchrl.core.spec import Spec
from stitchrl.core.types import Position
from stitchrl.envs.game import Game
from stitchrl.errors import UsageError
from stitchrl.models.rules import Branching, Rules, rolled_out
from stitchrl.nets.board import BoardNet, Drawn, among
from stitchrl.planners.mcts import MCTS, Leaf
from stitchrl.planners.select import puct


@dataclass(frozen=True)
class Config:
    """Settings of networks, stages and search."""

    game: str | None = None  # its name; `--env` says it
    teacher: int = 256  # simulations of the UCT whose games are recorded
    games: int = 2048  # recorded
    drawn: int = 8  # their first moves, drawn from the visits; later ones are the most visited
    rivals: int = 128  # games of one update of the policy gradient
    keep: int = 20  # updates after which rho joins the networks it plays against
    positions: int = 32_768  # for the value, each of a game of its own
    latest: int | None = None  # moves before such a position, at most; None: six in seven of the longest game
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
    steps: int = 8200  # updates of all stages
    parts: tuple[int, int, int] = (20, 1, 20)  # how the stages share them: imitation, policy gradient, value


PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    'default': ('connect four', {'seeds': 1}),
    'tictactoe': (
        'boards of a few fields',
        {'seeds': 1, 'side': 3, 'hidden': (128, 128), 'games': 1024, 'drawn': 4, 'gentle': 1e-3}
        | {'positions': 8192, 'latest': 6, 'steps': 2100, 'parts': (10, 1, 10)},
    ),
}


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


class AlphaGo(Pupil):
    """Four networks."""

    sigma: Learner  # obs [..., C, H, W] -> logits of moves as in the record
    fast: Learner  # the same in a small network
    rho: Learner  # logits of moves that win
    value: Learner  # obs -> v
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, cfg: Config, key: jax.Array) -> 'AlphaGo':
        """UsageError for continuous actions and settings that cannot be."""
        if not spec.discrete:
            raise UsageError('alphago needs discrete actions')
        if not 0 <= cfg.lam <= 1 or min(cfg.teacher, cfg.judged) < 1:
            got = f'lam {cfg.lam:g}, teacher {cfg.teacher}, judged {cfg.judged}'
            raise UsageError(f'{got}: expected a share from 0 to 1, and whole numbers from 1 on')
        k_sigma, k_fast, k_value = jr.split(key, 3)
        moves, shape = spec.action_dim, spec.obs.shape if len(spec.obs.shape) == 3 else (1, 1, *spec.obs.shape)
        deep = lambda n, key: BoardNet(shape, n, cfg.filters, cfg.side, 0, cfg.hidden, key=key)
        small = BoardNet(shape, moves, cfg.fast, cfg.side, 0, (), key=k_fast)
        nets = deep(moves, k_sigma), small, deep(0, k_value)
        sigma, fast, value = (Learner.create(net, adam(cfg.lr)) for net in nets)
        return cls(sigma=sigma, fast=fast, rho=sigma, value=value, cfg=cfg).promoted()

    @property
    def game(self) -> Game:
        """The rules. UsageError where the settings name none."""
        return envs.rules(self.cfg.game)

    @property
    def teacher(self) -> MCTS:
        """UCT: random roll-outs, nothing learned."""
        return uct.uct(uct.Config(simulations=self.cfg.teacher))

    def planner(self, simulations: int, noisy: bool = False) -> MCTS:
        """The search with all that was learned; it is never noisy."""
        told = Opinion(self.sigma.net, self.value.net, self.fast.net, self.cfg.lam)
        return MCTS(puct(self.cfg.c), told, simulations)

    def best(self, boards: Any, keys: jax.Array) -> jax.Array:
        """Moves [n] as it is judged: the most visited."""
        return self.planner(self.cfg.judged).plans(Rules(self.game), boards, keys)[0]

    def remember(self, n: int) -> Any:
        """What the game asks for."""
        return self.game.remember(n)

    def act(self, memory: Any, obs: jax.Array, key: jax.Array, t: jax.Array | None = None) -> tuple[jax.Array, Any]:
        """The most visited move."""
        boards = self.game.found(memory, obs)
        action = self.best(boards, jr.split(key, len(obs)))
        return action, self.game.kept(boards, action)

    def imitate(self, batch: Position) -> tuple['AlphaGo', Info]:
        """See `Pupil`: both policies."""
        sigma, info = self.sigma.step(imitation_loss, batch)
        fast, more = self.fast.step(imitation_loss, batch)
        return replace(self, sigma=sigma, fast=fast), info | {f'fast/{name}': x for name, x in more.items()}

    def promoted(self) -> 'AlphaGo':
        """See `Pupil`: the rate is another."""
        copy = jax.tree.map(jnp.copy, self.sigma.net)
        return replace(self, rho=Learner.create(copy, adam(self.cfg.gentle, None, 1.0)))

    def improve(self, batch: Position) -> tuple['AlphaGo', Info]:
        """See `Pupil`: the policy gradient."""
        rho, info = self.rho.step(gradient_loss, batch)
        return replace(self, rho=rho), info

    def appraise(self, batch: Position) -> tuple['AlphaGo', Info]:
        """See `Pupil`."""
        value, info = self.value.step(value_loss, batch)
        return replace(self, value=value), info


def chances(logits: jax.Array, batch: Position) -> jax.Array:
    """ln P(a | s) of the moves made, [B]; logits [B, A] among legal moves."""
    return (batch.policy * jax.nn.log_softmax(logits)).sum(-1)


def imitation_loss(net: BoardNet, batch: Position) -> tuple[jax.Array, Info]:
    """- E ln P(a | s); with how often the recorded move is the likeliest."""
    logits = among(net(batch.obs)[0], batch.legal)
    loss = -chances(logits, batch).mean()
    return loss, {'policy/loss': loss, 'policy/hits': (logits.argmax(-1) == batch.policy.argmax(-1)).mean()}


def gradient_loss(net: BoardNet, batch: Position) -> tuple[jax.Array, Info]:
    """- E (z - b) ln P(a | s) over the moves that count, b the mean of their z."""
    count = jnp.maximum(batch.weight.sum(), 1.0)
    mean = (batch.weight * batch.outcome).sum() / count
    told = chances(among(net(batch.obs)[0], batch.legal), batch)
    loss = -(batch.weight * (batch.outcome - mean) * told).sum() / count
    return loss, {'gradient/loss': loss, 'gradient/outcome': mean}


def value_loss(net: BoardNet, batch: Position) -> tuple[jax.Array, Info]:
    """E (v(s) - z)^2."""
    loss = ((net(batch.obs)[1] - batch.outcome) ** 2).mean()
    return loss, {'value/loss': loss}


ALGO = AlphaGo

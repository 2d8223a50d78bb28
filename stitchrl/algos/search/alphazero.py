"""AlphaZero: a network plays itself by tree search, and learns to foresee what the search finds and who wins.

    a   = argmax Q(s, a) + c P(s, a) sqrt(N(s)) / (1 + n(s, a)),    P, v = f(s);  a leaf is worth v, no roll-outs
    pi  = n(s, .) / N(s) at the root,                               the move played is drawn from it, later the largest
    f  <- min (u - v)^2 - sum_a pi_a ln P(s, a) + decay |theta|^2,  u = (1 - k) z + k q

z is the outcome of the game for the player to move, q what the search found the position worth. While it trains the
root's P is mixed with Dirichlet noise over the legal moves; positions come from a ring, each seen through a random
symmetry of the game. With `cap` only every so many moves get a full search, the others a quick one without noise whose
visits teach the policy nothing. Silver et al., 2018; the cap is Wu's, 2020.
"""

from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl import envs
from stitchrl.core.agent import Info
from stitchrl.core.learner import Learner, adam
from stitchrl.core.player import Decision, Player
from stitchrl.core.spec import Spec
from stitchrl.core.types import Position
from stitchrl.data.games import Games
from stitchrl.envs.game import Game
from stitchrl.errors import UsageError
from stitchrl.models.rules import Branching, Rules
from stitchrl.nets.board import BoardNet, among
from stitchrl.planners.mcts import MCTS, Leaf, each_split
from stitchrl.planners.select import by_visits, puct
from stitchrl.planners.tree import root


@dataclass(frozen=True)
class Config:
    """Settings of self-play, search and learning."""

    game: str | None = None  # its name; `--env` says it
    simulations: int = 64  # of a full search while it trains
    cap: int = 1  # one move in so many is searched in full, the others by `quick` simulations
    quick: int = 16
    judged: int = 100  # simulations of a search when it is judged
    c: float = 1.5  # weight of the prior
    first_play: float | None = 0.2  # an action not tried yet is worth so much less than those that were; None: 0
    alpha: float = 1.0  # of Dirichlet's noise
    share: float = 0.25  # of the noise in the root's prior
    drawn: int = 10  # moves of a game that are drawn from the visits; later ones are the most visited
    blend: float = 0.0  # share of the search's value in the value's target
    filters: int = 64
    side: int = 4  # of the network's windows
    blocks: int = 0  # residual blocks of convolutions
    hidden: tuple[int, ...] = (256, 256)
    lr: float = 1e-3
    decay: float = 1e-4  # weight of |theta|^2
    batch: int = 256
    updates: int | None = None  # in all, over which the rate falls to 0; the loop says it
    steps: int = 3_000_000  # moves in all, of each seed


# Games side by side, moves before the first update; one agent, whose games keep a processor busy.
TABLE = {'lanes': 256, 'random_steps': 10_000, 'seeds': 1}
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    'default': ('connect four', TABLE | {'ratio': 1 / 32, 'capacity': 500_000}),
    'tictactoe': (
        'boards of a few fields',
        TABLE
        | {'ratio': 1 / 64, 'capacity': 50_000, 'side': 3, 'hidden': (128, 128), 'drawn': 6, 'simulations': 32}
        | {'steps': 400_000},
    ),
}


class Foresight(eqx.Module):
    """What the network says of a state, as an evaluation of leaves."""

    net: BoardNet

    def __call__(self, model: Branching, latent: Any, keys: jax.Array) -> Leaf:
        """See `planners.mcts.Evaluate`."""
        logits, value = self.net(model.seen(latent))
        return Leaf(value, jax.nn.softmax(among(logits, model.legal(latent))))


class AlphaZero(Player):
    """Games of two players who see everything."""

    learner: Learner  # obs [..., C, H, W] -> logits [..., A], value [...]
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, cfg: Config, key: jax.Array) -> 'AlphaZero':
        """UsageError for continuous actions and settings that cannot be."""
        if not spec.discrete:
            raise UsageError('alphazero needs discrete actions')
        if not 0 <= cfg.blend <= 1 or not 0 <= cfg.share <= 1:
            raise UsageError(f'blend is {cfg.blend:g} and share {cfg.share:g}; expected numbers from 0 to 1')
        if min(cfg.simulations, cfg.quick, cfg.judged, cfg.cap) < 1:
            raise UsageError('simulations, quick, judged and cap are whole numbers from 1 on')
        shape = spec.obs.shape if len(spec.obs.shape) == 3 else (1, 1, *spec.obs.shape)
        net = BoardNet(shape, spec.action_dim, cfg.filters, cfg.side, cfg.blocks, cfg.hidden, key=key)
        return cls(learner=Learner.create(net, adam(cfg.lr, cfg.updates)), cfg=cfg)

    @classmethod
    def seated(cls, cfg: Config, game: str | None, updates: int) -> Config:
        """See `Player`."""
        return replace(cfg, game=cfg.game if game is None else game, updates=updates)

    @property
    def game(self) -> Game:
        """The rules. UsageError where the settings name none."""
        return envs.rules(self.cfg.game)

    def planner(self, simulations: int, noisy: bool) -> MCTS:
        """The search; noise only for a full search while it trains."""
        cfg = self.cfg
        rule = puct(cfg.c, first_play=cfg.first_play)
        noise = (cfg.alpha, cfg.share) if noisy else None
        return MCTS(rule, Foresight(self.learner.net), simulations, noise=noise)

    def searched(self, boards: Any, keys: jax.Array, age: jax.Array, full: bool) -> Decision:
        """Moves by a full search or by a quick one."""
        game, (k_search, k_draw) = self.game, each_split(keys, 2)
        planner = self.planner(self.cfg.simulations if full else self.cfg.quick, full)
        best, tree, info = planner.plans(Rules(game), boards, k_search)
        top = root(tree)
        drawn = by_visits(1.0)(k_draw, top, jax.vmap(game.legal)(boards))
        return Decision(
            action=jnp.where(age < self.cfg.drawn, drawn, best),
            policy=top.visits / top.visits.sum(-1, keepdims=True),
            value=info['plan/value'],
            weight=jnp.full(len(age), float(full)),
        )

    def play(self, boards: Any, keys: jax.Array, age: jax.Array, t: jax.Array) -> Decision:
        """See `Player`."""
        search = lambda full: lambda: self.searched(boards, keys, age, full)
        if self.cfg.cap == 1:
            return search(True)()
        turn = jr.randint(jr.fold_in(jr.key(0), t), (), 0, self.cfg.cap)  # the clock's, so that all games take one side
        return jax.lax.cond(turn == 0, search(True), search(False))

    def best(self, boards: Any, keys: jax.Array, temperature: float = 0.0) -> jax.Array:
        """Moves [n] as it is judged: a search without noise, the most visited; above temperature 0 drawn."""
        planner = replace(self.planner(self.cfg.judged, False), choose=by_visits(temperature))
        return planner.plans(Rules(self.game), boards, keys)[0]

    def remember(self, n: int) -> Any:
        """What the game asks for."""
        return self.game.remember(n)

    def act(self, memory: Any, obs: jax.Array, key: jax.Array, t: jax.Array | None = None) -> tuple[jax.Array, Any]:
        """The most visited move; with t drawn from the visits."""
        boards = self.game.found(memory, obs)
        action = self.best(boards, jr.split(key, len(obs)), 0.0 if t is None else 1.0)
        return action, self.game.kept(boards, action)

    def draw(self, data: Games, key: jax.Array) -> Position:
        """Positions, each through a random symmetry: the board, its moves and their visits alike."""
        k_rows, k_turn = jr.split(key)
        batch, turns = data.sample(k_rows, self.cfg.batch), self.game.symmetries()
        which = jr.randint(k_turn, (self.cfg.batch,), 0, len(turns.fields))
        obs, legal, policy = turns.of(which, batch.obs, batch.legal, batch.policy)
        return batch._replace(obs=obs, legal=legal, policy=policy)

    def update(self, batch: Position, key: jax.Array, t: jax.Array) -> tuple['AlphaZero', Info]:
        """One step on the sum of the losses."""
        learner, info = self.learner.step(loss, batch, self.cfg.blend, self.cfg.decay)
        return replace(self, learner=learner), info

    def inspect(self, batch: Position, key: jax.Array) -> Info:
        """How good the search's own value is, and how sure policies are."""
        seen = jnp.log(jnp.maximum(batch.policy, 1e-9))
        return {
            'search/error': ((batch.outcome - batch.value) ** 2).mean(),
            'search/entropy': -(batch.policy * seen).sum(-1).mean(),
        }


def loss(net: BoardNet, batch: Position, blend: float, decay: float) -> tuple[jax.Array, Info]:
    """(u - v)^2 - sum pi ln P + decay |theta|^2, means over the positions; the policy's over those that teach it."""
    logits, value = net(batch.obs)
    error = ((1 - blend) * batch.outcome + blend * batch.value - value) ** 2
    surprise = -(batch.policy * jax.nn.log_softmax(among(logits, batch.legal))).sum(-1)
    policy = (batch.weight * surprise).sum() / jnp.maximum(batch.weight.sum(), 1.0)
    size = sum(jnp.sum(x**2) for x in jax.tree.leaves(net))
    total = error.mean() + policy + decay * size
    return total, {'value/loss': error.mean(), 'policy/loss': policy, 'weights/size': jnp.sqrt(size)}


ALGO = AlphaZero

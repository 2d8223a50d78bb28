"""From recorded games to a player in three stages: imitate, improve by self-play, learn values from what that plays.

A stage gathers once what it learns from, and then has a batch for each of its updates; which stage it is follows from
the number of the update alone. Knows no game and no algorithm by name, of an agent what `core.pupil.Pupil` says.
Silver et al., 2016.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.pupil import Pupil
from stitchrl.core.types import Position
from stitchrl.envs.game import Game
from stitchrl.loops.duel import Games, Policy, drawn, duel, flat
from stitchrl.loops.plan import Tally
from stitchrl.loops.seeds import over_seeds
from stitchrl.models.rules import Rules
from stitchrl.nets.board import Drawn
from stitchrl.planners.mcts import MCTS, each_split
from stitchrl.planners.select import by_visits
from stitchrl.planners.tree import root

Info = dict[str, jax.Array]
AT_ONCE = 1024  # games that are played side by side for the values


class Stage(NamedTuple):
    """Functions of one agent; i counts the stage's updates from 0."""

    pace: int  # updates per second, about
    gather: Callable[[Any, Game, jax.Array], tuple[Any, Any]]  # agent, game, key -> agent, material
    draw: Callable[[Any, Game, Any, jax.Array, Any], Position]  # agent, game, material, key, i -> batch
    learn: Callable[[Any, Position], tuple[Any, Info]]  # agent, batch -> agent, info
    keep: Callable[[Any, Any, Any], Any] = lambda material, agent, i: material  # after update i


class Desk(NamedTuple):
    """What a run carries from update to update. Every leaf has a leading axis of S agents."""

    agents: Pupil
    material: Any  # of the last update's stage; () before the first
    tally: Any  # Tally; () before the first update


def by_net(game: Game, net: Any) -> Policy:
    """Moves drawn from a network's policy."""
    return lambda boards, keys, t: Drawn(net)(Rules(game), boards, keys)


def by_search(game: Game, planner: MCTS, drawn: int) -> Policy:
    """The most visited moves, the first `drawn` of a game in proportion to their visits."""

    def act(boards: Any, keys: jax.Array, t: jax.Array) -> jax.Array:
        k_search, k_draw = each_split(keys, 2)
        best, tree, _ = planner.plans(Rules(game), boards, k_search)
        some = by_visits(1.0)(k_draw, root(tree), jax.vmap(game.legal)(boards))
        return jnp.where(t < drawn, some, best)

    return act


def record(game: Game, planner: MCTS, n: int, key: jax.Array, drawn: int = 8) -> Games:
    """n games of a search against itself. The first moves are drawn, so that the games differ."""
    play = by_search(game, planner, drawn)
    return jax.jit(lambda key: duel(game, play, play, jnp.zeros(n, jnp.int32), key))(key)


def recorded(agent: Any, game: Game, key: jax.Array) -> tuple[Any, Position]:
    """Positions [N, ...] of the teacher's games."""
    return agent, packed(flat(record(game, agent.teacher, agent.cfg.games, key, agent.cfg.drawn).positions))


def packed(positions: Position) -> Position:
    """The same with boards as bits: what a checkpoint holds."""
    return positions._replace(obs=positions.obs > 0)


def rows(agent: Any, game: Game, positions: Position, key: jax.Array, i: Any) -> Position:
    """`cfg.batch` of the positions, each through a random symmetry."""
    k_rows, k_turn = jr.split(key)
    batch, turns = drawn(positions, k_rows, agent.cfg.batch), game.symmetries()
    which = jr.randint(k_turn, batch.outcome.shape, 0, len(turns.fields))
    obs, legal, policy = turns.of(which, batch.obs.astype(jnp.float32), batch.legal, batch.policy)
    return batch._replace(obs=obs, legal=legal, policy=policy)


def past(agent: Any, game: Game, key: jax.Array) -> tuple[Any, Any]:
    """The improvement begins: networks [P, ...] that it was, with room for those that join them."""
    agent = agent.promoted()
    room = agent.course(agent.cfg)[1] // agent.cfg.keep + 1
    return agent, jax.tree.map(lambda x: jnp.zeros((room, *x.shape), x.dtype).at[0].set(x), agent.rho.net)


def games(agent: Any, game: Game, pool: Any, key: jax.Array, i: Any) -> Position:
    """Whole games of rho against one of the networks that it was; only its own moves have weight."""
    k_pool, k_games = jr.split(key)
    which = jr.randint(k_pool, (), 0, i // agent.cfg.keep + 1)
    other = jax.tree.map(lambda x: x[which], pool)
    side = jnp.arange(agent.cfg.rivals, dtype=jnp.int32) % 2
    played = duel(game, by_net(game, agent.rho.net), by_net(game, other), side, k_games)
    return flat(played.positions._replace(weight=played.positions.weight * (played.player == side[None])))


def joined(pool: Any, agent: Any, i: Any) -> Any:
    """The past after update i: every `cfg.keep` updates rho is one more."""
    room, now = len(jax.tree.leaves(pool)[0]), (i + 1) // agent.cfg.keep
    place = jnp.where((i + 1) % agent.cfg.keep == 0, now, room)
    return jax.tree.map(lambda old, new: old.at[place].set(new, mode='drop'), pool, agent.rho.net)


def one_each(agent: Any, game: Game, key: jax.Array, n: int, latest: int) -> Position:
    """n positions [n, ...] of n games, weight 0 where a game was over before. Up to a move drawn evenly from 0 to
    `latest` - 1 sigma plays; that move is any legal one, and what follows it is the position; from there rho plays."""
    k_games, k_when = jr.split(key)
    when = jr.randint(k_when, (n,), 0, latest)

    def act(boards: Any, keys: jax.Array, t: jax.Array) -> jax.Array:
        sigma, rho = (by_net(game, net)(boards, keys, t) for net in (agent.sigma.net, agent.rho.net))
        anything = jnp.where(jax.vmap(game.legal)(boards), 0.0, -1e9)
        free = jax.vmap(jr.categorical)(keys, anything).astype(jnp.int32)
        return jnp.where(t < when, sigma, jnp.where(t == when, free, rho))

    played = duel(game, act, act, jnp.zeros(n, jnp.int32), k_games)
    return jax.tree.map(lambda x: x[when + 1, jnp.arange(n)], played.positions)


def positions(agent: Any, game: Game, key: jax.Array) -> tuple[Any, Position]:
    """One position of each of `cfg.positions` games of rho, [N, ...]."""
    n, longest = agent.cfg.positions, game.spec.horizon or 0
    latest = agent.cfg.latest or 6 * longest // 7
    size = min(n, AT_ONCE)
    keys = jax.vmap(partial(jr.fold_in, key))(jnp.arange(-(-n // size)))
    parts = flat(jax.lax.map(lambda key: one_each(agent, game, key, size, latest), keys))
    return agent, packed(jax.tree.map(lambda x: x[:n], parts))


IMITATION = Stage(100, recorded, rows, lambda agent, batch: agent.imitate(batch))
IMPROVEMENT = Stage(10, past, games, lambda agent, batch: agent.improve(batch), joined)
VALUES = Stage(100, positions, rows, lambda agent, batch: agent.appraise(batch))
STAGES = (IMITATION, IMPROVEMENT, VALUES)


def studied(stage: Stage, desk: Desk, game: Game, key: jax.Array, first: Any, start: Any, n: Any) -> Desk:
    """Updates start .. start + n - 1 of one agent, in a stage that began with update `first`."""

    def one(t: jax.Array, desk: Desk) -> Desk:
        batch = stage.draw(desk.agents, game, desk.material, jr.fold_in(key, t), t - first)
        agent, info = stage.learn(desk.agents, batch)
        return Desk(agent, stage.keep(desk.material, agent, t - first), desk.tally.counted(info))

    return jax.lax.fori_loop(start, start + n, one, desk)


def blank(stage: Stage, agent: Any, game: Game, material: Any) -> Tally:
    """A tally of nothing, of one agent."""
    batch = lambda: stage.draw(agent, game, material, jr.key(0), jnp.int32(0))
    info, zero = jax.eval_shape(lambda: stage.learn(agent, batch())[1]), jnp.zeros(())
    return Tally(zero, dict.fromkeys(info, zero), zero, zero, zero, zero)


def taught(stage: Stage, agent: Any, game: Game, material: Any, key: jax.Array, updates: int) -> tuple[Any, Info]:
    """One agent after a stage of so many updates, and the means over them: for those who own their loop."""
    desk = Desk(agent, material, blank(stage, agent, game, material))
    desk = jax.jit(lambda desk, key: studied(stage, desk, game, key, 0, 0, updates))(desk, key)
    return desk.agents, {name: total / updates for name, total in desk.tally.sums.items()}


@partial(jax.jit, static_argnums=1)
def entered(agents: Pupil, stage: Stage, game: Game, keys: jax.Array) -> Desk:
    """All agents [S, ...] at the beginning of a stage, with what they will learn from."""

    def one(agent: Any, key: jax.Array) -> Desk:
        agent, material = stage.gather(agent, game, key)
        return Desk(agent, material, blank(stage, agent, game, material))

    return over_seeds(one, agents, keys)


@partial(jax.jit, donate_argnums=0, static_argnums=1)
def lessons(desk: Desk, stage: Stage, game: Game, keys: jax.Array, first: Any, start: Any, n: Any) -> Desk:
    """`studied` of all agents [S, ...]."""
    return over_seeds(lambda desk, key: studied(stage, desk, game, key, first, start, n), desk, keys)

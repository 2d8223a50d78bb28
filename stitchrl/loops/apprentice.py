"""From recorded games to a player: imitate, improve by self-play, learn values from what that plays.

Knows no game by name, and of the agent that it has `update`, `promoted`, `improve` and `appraise`, networks `sigma` and
`rho` that give logits, and `cfg` with `batch` and `steps`. Silver et al., 2016.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.types import Position
from stitchrl.envs.game import Game
from stitchrl.loops.duel import Games, Policy, drawn, duel, flat
from stitchrl.models.rules import Rules
from stitchrl.nets.board import among
from stitchrl.planners.mcts import MCTS, each_split
from stitchrl.planners.select import by_visits
from stitchrl.planners.tree import root

Info = dict[str, jax.Array]


def by_net(game: Game, net: Any) -> Policy:
    """Moves drawn from a network's policy."""

    def act(boards: Any, keys: jax.Array, t: jax.Array) -> jax.Array:
        logits = among(net(jax.vmap(game.observe)(boards))[0], jax.vmap(game.legal)(boards))
        return jax.vmap(jr.categorical)(keys, logits).astype(jnp.int32)

    return act


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


def learn(method: Any, agent: Any, game: Game, positions: Position, key: jax.Array, updates: int) -> tuple[Any, Info]:
    """`method(agent, batch) -> agent, info` on so many batches of rows [N, ...], each through a random symmetry; info
    is the mean over the updates."""

    @jax.jit
    def run(agent: Any, positions: Position, key: jax.Array) -> tuple[Any, Info]:
        def one(agent: Any, t: jax.Array) -> tuple[Any, Info]:
            k_rows, k_turn = jr.split(jr.fold_in(key, t))
            return method(agent, turned(game, drawn(positions, k_rows, agent.cfg.batch), k_turn))

        return jax.lax.scan(one, agent, jnp.arange(updates))

    agent, info = run(agent, positions, key)
    return agent, {name: values.mean() for name, values in info.items()}


def turned(game: Game, batch: Position, key: jax.Array) -> Position:
    """Each position as one of its mirror images."""
    turns = game.symmetries()
    which = jr.randint(key, batch.outcome.shape, 0, len(turns.fields))
    obs, legal, policy = turns.of(which, batch.obs, batch.legal, batch.policy)
    return batch._replace(obs=obs, legal=legal, policy=policy)


def imitate(agent: Any, game: Game, positions: Position, key: jax.Array) -> tuple[Any, Info]:
    """Both policies after `cfg.steps` updates on recorded positions [N, ...], and where the gradient begins."""
    method = lambda agent, batch: agent.update(batch, key, jnp.int32(0))
    agent, info = learn(method, agent, game, positions, key, agent.cfg.steps)
    return agent.promoted(), info


def improve(
    agent: Any, game: Game, key: jax.Array, rounds: int, n: int = 128, every: int = 20
) -> tuple[Any, list[Any]]:
    """rho after so many rounds of n games against one of the networks that it was before: it joins them after every
    `every` rounds. Also what each round told."""

    @jax.jit
    def one(agent: Any, other: Any, key: jax.Array) -> tuple[Any, Info]:
        side = jnp.arange(n, dtype=jnp.int32) % 2
        games = duel(game, by_net(game, agent.rho.net), by_net(game, other), side, key)
        ours = games.positions.weight * (games.player == side[None])
        return agent.improve(flat(games.positions._replace(weight=ours)))

    pool, told = [agent.rho.net], []
    for i in range(rounds):
        k_pool, k_games = jr.split(jr.fold_in(key, i))
        agent, info = one(agent, pool[int(jr.randint(k_pool, (), 0, len(pool)))], k_games)
        told.append(info)
        if (i + 1) % every == 0:
            pool.append(agent.rho.net)
    return agent, told


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

    games = duel(game, act, act, jnp.zeros(n, jnp.int32), k_games)
    return jax.tree.map(lambda x: x[when + 1, jnp.arange(n)], games.positions)


def appraise(agent: Any, game: Game, key: jax.Array, games: int, updates: int, latest: int) -> tuple[Any, Info]:
    """The value after so many updates on one position of each of so many games of rho."""
    k_games, k_learn = jr.split(key)
    size = min(games, 1024)
    make = jax.jit(partial(one_each, n=size, latest=latest, game=game))
    parts = [make(agent=agent, key=jr.fold_in(k_games, i)) for i in range(-(-games // size))]
    positions = jax.tree.map(lambda *x: jnp.concatenate(x), *parts)
    return learn(lambda agent, batch: agent.appraise(batch), agent, game, positions, k_learn, updates)

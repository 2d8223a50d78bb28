"""Self-play on the device: many games at once, each agent on both sides of its own. Knows no algorithm and no game by
name.

Tick t plays one move in every game, keeps the positions, and is followed by the updates that are due. Moves draw from
fold_in(root, t), update u from fold_in(root', u), and u follows from t alone: a resumed run draws what the unbroken run
would have drawn.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.player import Player
from stitchrl.core.types import Position
from stitchrl.data.games import Games
from stitchrl.envs.game import Game
from stitchrl.loops.evaluate import like
from stitchrl.loops.plan import Plan, Tally
from stitchrl.loops.seeds import over_seeds


class Keys(NamedTuple):
    """[S] keys from which everything random grows."""

    act: jax.Array
    update: jax.Array


class Hall(NamedTuple):
    """What a run carries from tick to tick. Every leaf has a leading axis of S agents."""

    agents: Player
    games: Games
    boards: Any  # [S, n, ...]
    age: jax.Array  # [S, n] int32, moves played
    tally: Tally  # an episode is a game, its return that of who began


def open_hall(agents: Player, game: Game, capacity: int, lanes: int) -> Hall:
    """Before the first move: `lanes` games of each agent, and room for so many positions."""
    spec, seeds = game.spec, jax.tree.leaves(agents)[0].shape[0]
    ring = lambda _: Games.create(spec.obs.shape, spec.action_dim, capacity, lanes, spec.horizon or 0)
    games = jax.vmap(ring)(jnp.arange(seeds))
    boards = jax.tree.map(lambda x: jnp.tile(x[None, None], (seeds, lanes, *(1,) * x.ndim)), game.start())
    one = lambda agent, games: learned(agent, games, jr.key(0), jnp.int32(0))[1]
    info, zero = jax.eval_shape(jax.vmap(one), agents, games), lambda: jnp.zeros(seeds)
    tally = Tally(zero(), {name: zero() for name in info}, zero(), zero(), zero(), zero())
    return Hall(agents, games, boards, jnp.zeros((seeds, lanes), jnp.int32), tally)


def learned(agent: Player, games: Games, root: jax.Array, u: jax.Array) -> tuple[Player, dict[str, jax.Array]]:
    """Update u of one agent."""
    k_data, k_update = jr.split(jr.fold_in(root, u))
    return agent.update(agent.draw(games, k_data), k_update, u)


def move(hall: Hall, game: Game, root: jax.Array, t: jax.Array) -> Hall:
    """One move in every game of one agent."""
    boards, tally = hall.boards, hall.tally
    keys = jr.split(jr.fold_in(root, t), len(hall.age))
    decision = hall.agents.play(boards, keys, hall.age, t)
    after, reward, over = jax.vmap(game.play)(boards, decision.action)
    player = jax.vmap(game.player)(boards)
    seen = Position(
        obs=jax.vmap(game.observe)(boards) > 0,
        legal=jax.vmap(game.legal)(boards),
        policy=decision.policy,
        value=decision.value,
        outcome=jnp.zeros_like(reward),  # not known yet
        weight=decision.weight,
    )
    first = jnp.where(player == 0, reward, -reward)
    return hall._replace(
        games=hall.games.add(seen, player, reward, over),
        boards=jax.tree.map(lambda new, old: jnp.where(like(over, old), new[None], old), game.start(), after),
        age=jnp.where(over, 0, hall.age + 1),
        tally=tally._replace(
            episodes=tally.episodes + over.sum(),
            returns=tally.returns + jnp.where(over, first, 0.0).sum(),
            lengths=tally.lengths + jnp.where(over, hall.age + 1, 0).sum(),
        ),
    )


def learn(hall: Hall, root: jax.Array, t: jax.Array, plan: Plan) -> Hall:
    """The updates of one agent that are due after tick t."""

    def one(u: jax.Array, carry: tuple[Player, Tally]) -> tuple[Player, Tally]:
        agent, tally = carry
        agent, info = learned(agent, hall.games, root, u)
        return agent, tally.counted(info)

    carry = jax.lax.fori_loop(plan.due(t), plan.due(t + 1), one, (hall.agents, hall.tally))
    return hall._replace(agents=carry[0], tally=carry[1])


@partial(jax.jit, donate_argnums=0, static_argnums=(4, 5))
def ticks(hall: Hall, game: Game, keys: Keys, first: jax.Array, n: int, plan: Plan) -> Hall:
    """Ticks first .. first + n - 1. The plan's `random_steps` are those before the first update; by then every lane has
    a game that is over."""

    def one(keys: Keys, hall: Hall, t: jax.Array) -> Any:
        return learn(move(hall, game, keys.act, t), keys.update, t, plan), None

    each = lambda hall, keys: jax.lax.scan(partial(one, keys), hall, first + jnp.arange(n))[0]
    return over_seeds(each, hall, keys)


@jax.jit
def looked_at(hall: Hall, root: jax.Array, t: jax.Array) -> dict[str, jax.Array]:
    """The agents' own diagnostics on a batch of the ring, {name: [S]}."""

    def one(agent: Player, games: Games, root: jax.Array) -> dict[str, jax.Array]:
        k_data, k_use = jr.split(jr.fold_in(root, t))
        return agent.inspect(agent.draw(games, k_data), k_use)

    return over_seeds(one, hall.agents, hall.games, root)

"""What a tree search asks of a model beyond `step`: which actions there are and whose turn it is."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.envs.game import Game
from stitchrl.models.model import WorldModel


class Branching(WorldModel):
    """A model of discrete actions. Rewards are those of the player who acted; whoever looks ahead turns the sign of
    what follows where the turn passes to another player."""

    actions: eqx.AbstractVar[int]  # A

    @abstractmethod
    def legal(self, latent: Any) -> jax.Array:
        """[B, A] bool."""

    @abstractmethod
    def player(self, latent: Any) -> jax.Array:
        """Whose turn it is, [B] int32; always 0 where there is but one."""

    def each(self, latent: Any, action: jax.Array, keys: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
        """`step` with a key for each row [B], so that what happens in a row does not depend on the others."""

        def one(latent: Any, action: jax.Array, key: jax.Array) -> Any:
            latent, action = jax.tree.map(lambda x: x[None], (latent, action))
            return jax.tree.map(lambda x: x[0], self.step(latent, action, key))

        return jax.vmap(one)(latent, action, keys)

    def playouts(self, latent: Any, keys: jax.Array, gamma: float, steps: int) -> jax.Array:
        """Discounted returns of random legal actions from each row, cut after so many steps, seen by the player to
        act. Keys [B]; [B] float32."""
        return rolled_out(self, latent, keys, at_random, gamma, steps)


Act = Callable[[Branching, Any, jax.Array], jax.Array]  # model, states with leading axis B, keys [B] -> actions [B]


def at_random(model: Branching, latent: Any, keys: jax.Array) -> jax.Array:
    """A legal action of each row, all of them with the same chance, [B] int32."""
    noise = jax.vmap(lambda key: jr.uniform(key, (model.actions,)))(keys)
    return jnp.where(model.legal(latent), noise, -1.0).argmax(-1).astype(jnp.int32)


def rolled_out(model: Branching, latent: Any, keys: jax.Array, act: Act, gamma: float, steps: int) -> jax.Array:
    """Discounted returns of what `act` does from each row, cut after so many steps, seen by the player to act. Keys
    [B]; [B] float32."""
    me = model.player(latent)

    def body(carry: Any) -> Any:
        latent, t, weight, total = carry
        k_actions, k_steps = jnp.moveaxis(jax.vmap(lambda key: jr.split(jr.fold_in(key, t)))(keys), 1, 0)
        action, mine = act(model, latent, k_actions), model.player(latent) == me
        latent, reward, mask = model.each(latent, action, k_steps)
        total += weight * jnp.where(mine, reward, -reward)
        return latent, t + 1, weight * gamma * mask, total

    start = (latent, jnp.int32(0), jnp.ones(len(me)), jnp.zeros(len(me)))
    going = lambda carry: (carry[1] < steps) & (carry[2] > 0).any()
    return jax.lax.while_loop(going, body, start)[3]


class Rules(Branching):
    """A game as its own model. A latent is a position; no observation is made of it."""

    game: Game

    def __init__(self, game: Game):
        self.game = game

    @property
    def actions(self) -> int:
        """A."""
        return self.game.spec.action_dim

    def observe(self, latent: Any, action: Any, obs: jax.Array, key: jax.Array) -> Any:
        raise NotImplementedError('a position is not made from an observation; plan from `State.inner`')

    def seen(self, latent: Any) -> jax.Array:
        """[B, 2, H, W]."""
        return jax.vmap(self.game.observe)(latent)

    def step(self, latent: Any, action: jax.Array, key: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
        """Legal moves; nothing is random, `key` is not used."""
        board, reward, over = jax.vmap(self.game.play)(latent, action)
        return board, reward, 1.0 - over

    def legal(self, latent: Any) -> jax.Array:
        """[B, A] bool."""
        return jax.vmap(self.game.legal)(latent)

    def player(self, latent: Any) -> jax.Array:
        """[B] int32."""
        return jax.vmap(self.game.player)(latent)

    def playouts(self, latent: Any, keys: jax.Array, gamma: float, steps: int) -> jax.Array:
        """Games to their end in the game's own way; nothing is cut and nothing discounted."""
        return self.game.playouts(latent, keys)


class Branches(Branching):
    """Any model of discrete actions, of one player to whom all of them are open: a gridworld, a learned model."""

    model: WorldModel
    actions: int = eqx.field(static=True)

    def observe(self, latent: Any, action: Any, obs: jax.Array, key: jax.Array) -> Any:
        return self.model.observe(latent, action, obs, key)

    def step(self, latent: Any, action: jax.Array, key: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
        return self.model.step(latent, action, key)

    def seen(self, latent: Any) -> jax.Array:
        return self.model.seen(latent)

    def value(self, latent: Any) -> jax.Array:
        return self.model.value(latent)

    def legal(self, latent: Any) -> jax.Array:
        """All."""
        return jnp.ones((jax.tree.leaves(latent)[0].shape[0], self.actions), bool)

    def player(self, latent: Any) -> jax.Array:
        """The one."""
        return jnp.zeros(jax.tree.leaves(latent)[0].shape[0], jnp.int32)

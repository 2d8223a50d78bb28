"""Monte Carlo tree search: the mechanism. Which action a walk takes and what a leaf is worth are passed in.

A simulation walks down from the root by the scores of a rule, among legal actions only and with ties broken at random,
until it takes an action below which there is no node or with which the task ends. What it reached is evaluated, given
a node unless it is an end, and the return is averaged into every action on the way. Coulom, 2006; Kocsis and
Szepesvari, 2006.

B searches advance side by side, each with its own key: what one finds does not depend on its neighbours.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.models.rules import Branching
from stitchrl.planners.planner import Info, Planner
from stitchrl.planners.select import Choice, Rule, by_visits, dirichlet
from stitchrl.planners.tree import Path, Tree, back_up, grow, look, plant, root


class Leaf(NamedTuple):
    """What an evaluation says of n states."""

    value: jax.Array  # [n], the return to come, for the player to act
    prior: jax.Array  # [n, A] probabilities of the legal actions; [n, 0] where it has no opinion


Evaluate = Callable[[Branching, Any, jax.Array], Leaf]  # model, states with leading axis n, keys [n]


class Walk(NamedTuple):
    """Where the walks of one simulation are."""

    node: jax.Array  # [B] int32
    latent: Any  # [B, ...]
    going: jax.Array  # [B] bool
    last: jax.Array  # [B] int32, the place of the last action, as in `Path`
    fresh: jax.Array  # [B] bool: the task goes on there and there is no node yet
    path: Path


class MCTS(Planner):
    """The search as a planner without a memory: who plays on keeps the tree of `plans`, by `descend`."""

    rule: Rule = eqx.field(static=True)
    evaluate: Evaluate
    simulations: int = eqx.field(static=True)
    gamma: float = eqx.field(static=True, default=1.0)
    depth: int = eqx.field(static=True, default=64)  # of the longest walk
    noise: tuple[float, float] | None = eqx.field(static=True, default=None)  # Dirichlet's alpha and its share
    choose: Choice = eqx.field(static=True, default=by_visits(0.0))

    def remember(self, n: int) -> Any:
        """Nothing."""
        return ()

    def plan(self, model: Branching, latent: Any, memory: Any, key: jax.Array) -> tuple[jax.Array, Any, Info]:
        """See `Planner.plan`; for one state. `plans` takes many, and keeps their trees."""
        action, _, info = self.plans(model, jax.tree.map(lambda x: x[None], latent), key[None])
        return action[0], memory, {name: value[0] for name, value in info.items()}

    def plans(
        self, model: Branching, latent: Any, keys: jax.Array, tree: Tree | None = None
    ) -> tuple[jax.Array, Tree, Info]:
        """Actions [B], trees and scalars [B] of B searches. latent: leading axis B; keys [B]; tree: see `search`."""
        k_search, k_act = each_split(keys, 2)
        tree = self.search(model, latent, k_search, tree)
        top = root(tree)
        action = self.choose(k_act, top, model.legal(latent))
        value = (top.visits * top.values).sum(-1) / jnp.maximum(top.visits.sum(-1), 1.0)
        return action, tree, {'plan/value': value, 'plan/nodes': tree.size.astype(jnp.float32)}

    def search(self, model: Branching, latent: Any, keys: jax.Array, tree: Tree | None = None) -> Tree:
        """Trees after so many simulations from B states, none of which is an end. tree: what is known already, such
        as `descend` keeps of an earlier search; when its room is used up, values improve and no node is added."""
        k_root, k_noise, k_walks = each_split(keys, 3)
        prior = self.evaluate(model, latent, k_root).prior
        if self.noise is not None:
            prior = dirichlet(k_noise, prior, model.legal(latent), *self.noise)
        if tree is None:
            tree = plant(len(keys), self.simulations + 1, model.actions, priors=prior.shape[1] > 0)
        tree = tree._replace(prior=tree.prior.at[:, 0].set(prior))

        def simulate(tree: Tree, t: jax.Array) -> tuple[Tree, None]:
            k_walk, k_evaluate = each_split(jax.vmap(jr.fold_in, (0, None))(k_walks, t), 2)
            walk = self.walk(model, tree, latent, k_walk)
            leaf = self.evaluate(model, walk.latent, k_evaluate)
            tree = grow(tree, walk.last, walk.fresh, leaf.prior)
            return back_up(tree, walk.path, leaf.value), None

        return jax.lax.scan(simulate, tree, jnp.arange(self.simulations))[0]

    def walk(self, model: Branching, tree: Tree, latent: Any, keys: jax.Array) -> Walk:
        """From the root to an action below which nothing is known yet, an end, or the greatest depth."""
        batch, none = len(keys), jnp.full(len(keys), tree.visits.size, jnp.int32)
        zeros, no = jnp.zeros((self.depth, batch)), jnp.zeros(batch, bool)
        path = Path(jnp.tile(none[None], (self.depth, 1)), zeros, zeros, jnp.int32(0))
        start = Walk(jnp.zeros(batch, jnp.int32), latent, ~no, none, no, path)
        going = lambda walk: (walk.path.length < self.depth) & walk.going.any()
        seeds = jax.vmap(jr.bits)(keys)
        return jax.lax.while_loop(going, lambda walk: self.step(model, tree, walk, keys, seeds), start)

    def step(self, model: Branching, tree: Tree, walk: Walk, keys: jax.Array, seeds: jax.Array) -> Walk:
        """One action further down, in the walks that go on."""
        (batch, nodes, actions), (places, rewards, factors, depth) = tree.children.shape, walk.path
        scores = jnp.where(model.legal(walk.latent), self.rule(look(tree, walk.node)), -jnp.inf)
        action = first_of_ties(scores, seeds, depth)
        moved, reward, mask = model.each(walk.latent, action, jax.vmap(jr.fold_in, (0, None))(keys, depth))
        sign = jnp.where(model.player(moved) == model.player(walk.latent), 1.0, -1.0)
        place = (jnp.arange(batch, dtype=jnp.int32) * nodes + walk.node) * actions + action
        child, on = tree.children.reshape(-1)[place], walk.going
        keep = lambda new, old: jnp.where(on.reshape(-1, *(1,) * (new.ndim - 1)), new, old)
        return Walk(
            node=keep(jnp.maximum(child, 0), walk.node),
            latent=jax.tree.map(keep, moved, walk.latent),
            going=on & (mask > 0) & (child >= 0),
            last=keep(place, walk.last),
            fresh=keep((mask > 0) & (child < 0), walk.fresh),
            path=Path(
                places.at[depth].set(jnp.where(on, place, tree.visits.size)),
                rewards.at[depth].set(reward),
                factors.at[depth].set(self.gamma * mask * sign),
                depth + 1,
            ),
        )


def each_split(keys: jax.Array, n: int) -> tuple[jax.Array, ...]:
    """n keys from each of [B], as n arrays [B]."""
    return tuple(jnp.moveaxis(jax.vmap(lambda key: jr.split(key, n))(keys), 1, 0))


def first_of_ties(scores: jax.Array, seeds: jax.Array, depth: jax.Array) -> jax.Array:
    """The action of the highest score, a random one of several; scores [B, A], seeds [B] uint32. [B] int32

    The order of the actions is an integer hash of seed, depth and action: a tie needs no better randomness, and a
    generator would cost as much as the rest of the step.
    """
    count = scores.shape[1]
    x = seeds[:, None] + (depth.astype(jnp.uint32) * count + jnp.arange(count, dtype=jnp.uint32))[None] * np.uint32(
        0x9E3779B9
    )
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = (x ^ (x >> shift)) * np.uint32(factor)
    order = (x >> 9).astype(jnp.float32)
    return jnp.where(scores == scores.max(-1, keepdims=True), order, -1.0).argmax(-1).astype(jnp.int32)

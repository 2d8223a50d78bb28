"""Rules of the search: which action a walk takes, how noise enters at the root, which action is taken in the end.

    UCB1   Q(s, a) + c sqrt(ln N(s) / n(s, a)),               infinite where n = 0
    PUCT   Q(s, a) + c P(s, a) sqrt(N(s)) / (1 + n(s, a)),    c = c0 + ln((N(s) + base + 1) / base)

N(s): in UCB1 the visits of all actions together; in PUCT one more, the node's own evaluation, so that the prior counts
from the first walk on. Auer, Cesa-Bianchi and Fischer, 2002; Kocsis and Szepesvari, 2006; Silver et al., 2018.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.planners.tree import Node

Rule = Callable[[Node], jax.Array]  # the actions of n nodes -> scores [n, A]; the largest legal one is taken
Choice = Callable[[jax.Array, Node, jax.Array], jax.Array]  # keys [B], roots, legal [B, A] -> actions [B]


def ucb1(c: float) -> Rule:
    """UCB1 with constant c; sqrt 2 for returns between 0 and 1, with a range twice as wide twice that."""

    def scores(node: Node) -> jax.Array:
        all_visits = jnp.maximum(node.visits.sum(-1, keepdims=True), 1.0)
        bonus = c * jnp.sqrt(jnp.log(all_visits) / jnp.maximum(node.visits, 1.0))
        return jnp.where(node.visits > 0, node.values + bonus, jnp.inf)

    return scores


def puct(c: float, base: float = 19652.0, first_play: float | None = None) -> Rule:
    """PUCT with c0 = c; `base` infinite leaves c a constant. An action without a visit has Q = 0; with `first_play` it
    has the mean of those that were tried, less first_play x the root of their prior (Wu, 2020)."""

    def scores(node: Node) -> jax.Array:
        n = 1 + node.visits.sum(-1, keepdims=True)
        growing = c + jnp.log1p((n + 1) / base)
        values = node.values
        if first_play is not None:
            tried = node.visits > 0
            mean = (node.visits * values).sum(-1, keepdims=True) / jnp.maximum(n - 1, 1.0)
            known = jnp.where(tried, node.prior, 0.0).sum(-1, keepdims=True)
            values = jnp.where(tried, values, mean - first_play * jnp.sqrt(known))
        return values + growing * node.prior * jnp.sqrt(n) / (1 + node.visits)

    return scores


def evenly(node: Node) -> jax.Array:
    """Every action as often as every other: the least visited first."""
    return -node.visits


def dirichlet(keys: jax.Array, prior: jax.Array, legal: jax.Array, alpha: float, share: float) -> jax.Array:
    """The prior [B, A] with a share of noise drawn from a symmetric Dirichlet distribution over the legal actions."""
    gammas = jax.vmap(lambda key: jr.loggamma(key, alpha, prior.shape[1:]))(keys)
    return (1 - share) * prior + share * jax.nn.softmax(jnp.where(legal, gammas, -jnp.inf))


def by_visits(temperature: float) -> Choice:
    """Drawn with probability in proportion to visits^(1 / temperature); at temperature 0 the most visited, among
    several the one of the highest value."""

    def choose(keys: jax.Array, node: Node, legal: jax.Array) -> jax.Array:
        visits = jnp.where(legal, node.visits, -1.0)
        if temperature > 0:
            weights = jnp.where(visits > 0, jnp.log(jnp.maximum(visits, 1.0)) / temperature, -jnp.inf)
            return jax.vmap(jr.categorical)(keys, weights).astype(jnp.int32)
        top = visits == visits.max(-1, keepdims=True)
        return jnp.where(top, node.values, -jnp.inf).argmax(-1).astype(jnp.int32)

    return choose


def by_value(keys: jax.Array, node: Node, legal: jax.Array) -> jax.Array:
    """The highest value among the actions that were tried."""
    return jnp.where(legal & (node.visits > 0), node.values, -jnp.inf).argmax(-1).astype(jnp.int32)

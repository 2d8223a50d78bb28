"""Trees of visit counts and values, as arrays; B searches side by side, none of which sees another.

Nodes hold statistics of their actions, not states: a walk plays its actions through the model again. So a random
model is sampled anew at every visit and its values are averages, never what one sample happened to give.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

NONE = -1  # no node there


class Tree(NamedTuple):
    """B trees of at most N nodes and A actions. Node 0 is the root; a parent's number is below its children's."""

    children: jax.Array  # [B, N, A] int32, or NONE
    visits: jax.Array  # [B, N, A] float32, how often an action was taken
    totals: jax.Array  # [B, N, A] float32, sum of the returns that followed, for the player who took it
    prior: jax.Array  # [B, N, A] float32, probabilities; [B, 1, 0] where evaluations give none
    size: jax.Array  # [B] int32, nodes in use


class Node(NamedTuple):
    """What a selection rule sees: the actions of one node per tree, n nodes in all."""

    visits: jax.Array  # [n, A]
    values: jax.Array  # [n, A], mean returns for the player to act; 0 where there is no visit
    prior: jax.Array  # [n, A]; [n, 0] where there is none


class Path(NamedTuple):
    """The way of one walk in each tree, [D, B]; rows beyond a walk's end are all 0 and lead to no place."""

    place: jax.Array  # int32, (b N + node) A + action; B N A beyond the end
    reward: jax.Array  # float32
    factor: jax.Array  # float32, what a later return counts here: discount, 0 after an end, less than 0 for the other
    length: jax.Array  # [] int32, of the longest


def plant(batch: int, nodes: int, actions: int, priors: bool) -> Tree:
    """Trees of nothing but a root, with room for so many nodes; priors: whether evaluations will give any."""
    count = jnp.zeros((batch, nodes, actions))
    children = jnp.full(count.shape, NONE, jnp.int32)
    return Tree(children, count, count, count if priors else jnp.zeros((batch, 1, 0)), jnp.ones(batch, jnp.int32))


def look(tree: Tree, node: jax.Array) -> Node:
    """The actions of node [B] of each tree."""
    batch = jnp.arange(len(node))
    visits, totals = tree.visits[batch, node], tree.totals[batch, node]
    prior = tree.prior[batch, node] if tree.prior.shape[2] else tree.prior[:, 0]
    return Node(visits, totals / jnp.maximum(visits, 1.0), prior)


def root(tree: Tree) -> Node:
    """The actions at the root of each tree."""
    return look(tree, jnp.zeros(len(tree.size), jnp.int32))


def grow(tree: Tree, place: jax.Array, new: jax.Array, prior: jax.Array) -> Tree:
    """A node below the action at `place` [B] (as in `Path`) where `new` [B] and there is room, with its prior."""
    batch, nodes, actions = tree.children.shape
    room = new & (tree.size < nodes)
    place = jnp.where(room, place, batch * nodes * actions)
    children = tree.children.reshape(-1).at[place].set(tree.size, mode='drop').reshape(tree.children.shape)
    priors = tree.prior
    if priors.shape[2]:
        row = jnp.where(room, tree.size, nodes)
        priors = priors.at[jnp.arange(batch), row].set(prior, mode='drop')
    return tree._replace(children=children, prior=priors, size=tree.size + room)


def back_up(tree: Tree, path: Path, value: jax.Array) -> Tree:
    """Every action of the path counts one visit more and the return G = reward + factor G', where G' is that of the
    action after it and, at the end, `value` [B] of the state reached."""
    shape = tree.visits.shape

    def body(carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        depth, visits, totals, value = carry
        place = path.place[depth]
        on = place < visits.size
        value = jnp.where(on, path.reward[depth] + path.factor[depth] * value, value)
        visits = visits.at[place].add(1.0, mode='drop')
        return depth - 1, visits, totals.at[place].add(value, mode='drop'), value

    start = (path.length - 1, tree.visits.reshape(-1), tree.totals.reshape(-1), value)
    _, visits, totals, _ = jax.lax.while_loop(lambda carry: carry[0] >= 0, body, start)
    return tree._replace(visits=visits.reshape(shape), totals=totals.reshape(shape))


def descend(tree: Tree, action: jax.Array) -> Tree:
    """What the trees know of the states after `action` [B]: the subtrees below, as trees of their own with the same
    room. Where there is no node, a tree of nothing but a root."""
    batch, nodes, _ = tree.children.shape
    rows = jnp.arange(batch)[:, None]
    top = tree.children[rows[:, 0], 0, action][:, None]
    kept = below(tree.children, top)
    number = jnp.where(kept, jnp.cumsum(kept, 1) - 1, nodes)  # in the new tree; parents stay before children

    def move(old: jax.Array, empty: float) -> jax.Array:
        return jnp.full_like(old, empty).at[rows, number].set(old, mode='drop') if old.size else old

    new = jnp.take_along_axis(number, jnp.maximum(tree.children, 0).reshape(batch, -1), 1)
    children = jnp.where(tree.children < 0, NONE, new.reshape(tree.children.shape))
    size = jnp.maximum(kept.sum(1), 1).astype(jnp.int32)
    return Tree(move(children, NONE), move(tree.visits, 0.0), move(tree.totals, 0.0), move(tree.prior, 0.0), size)


def below(children: jax.Array, top: jax.Array) -> jax.Array:
    """Which nodes are `top` [B, 1] or stand below it, [B, N] bool; none where top is NONE."""
    batch, nodes, actions = children.shape
    places = jnp.where(children < 0, nodes, children).reshape(batch, -1)
    owner = jnp.broadcast_to(jnp.repeat(jnp.arange(nodes), actions)[None], places.shape)
    above = jnp.zeros((batch, nodes), owner.dtype).at[jnp.arange(batch)[:, None], places].set(owner, mode='drop')
    above = jnp.where(jnp.arange(nodes)[None] == top, top, above)  # the way up ends at the top or at the root
    for _ in range(nodes.bit_length()):  # each round doubles how far up it reaches
        above = jnp.take_along_axis(above, above, 1)
    return (above == top) & (top > 0)

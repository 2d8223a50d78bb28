"""Changes of an agent that show what its losses depend on. See `spy` for what is then watched.

    redrawn   other weights: whatever changes depends on that network
    closed    its layers pass no gradient to what they were given: a slope that changes led through that network
    poisoned  Q is NaN for every action but 0, the only one in the data: whatever is NaN asked about another
              (a choice by argmax swallows the NaN; the network that then values the choice shows it)
    misled    log-densities of actions other than 0 are off by one: whatever changes used that of an own action

All change only numbers in an agent that `opened` has given the switches, so that one compiled program serves them all.
"""

from dataclasses import fields
from functools import cache
from typing import Any

import equinox as eqx
import jax
import numpy as np

from stitchrl.core.agent import Agent
from stitchrl.nets.dense import Dense
from stitchrl.nets.heads import Critic
from stitchrl.report.spy import networks, switch, with_network

HUGE = 1e30  # its square is beyond all float32 numbers


def opened(agent: Agent) -> Agent:
    """The agent with switches in its networks, all of them off: it does what it did."""
    layer = lambda x: isinstance(x, Dense)
    gate = lambda x: recast(x, Gated, gate=np.ones(x.bias.shape[:-1], np.float32)) if layer(x) else x
    for name, net in networks(agent).items():
        net = jax.tree.map(gate, net, is_leaf=layer)
        agent = with_network(agent, name, recast(net, tell(type(net)), shift=np.zeros((), np.float32)))
    return agent


def redrawn(net: Any, seed: int) -> Any:
    """The network with other random weights."""
    rng = np.random.default_rng(seed)
    draw = lambda path, x: x if switch(path) else (0.5 * rng.normal(size=x.shape)).astype(x.dtype)
    return jax.tree.map_with_path(draw, net)


def closed(net: Any) -> Any:
    """The network with the gates of all layers closed."""
    return turned(net, '.gate', 0.0)


def misled(net: Any) -> Any:
    """The network, a policy, with wrong log-densities of actions other than 0."""
    return turned(net, '.shift', 1.0)


def turned(tree: Any, name: str, value: float) -> Any:
    """The tree with all switches of a name at a value."""
    ours = lambda path: jax.tree_util.keystr(path).endswith(name)
    return jax.tree.map_with_path(lambda path, x: np.full_like(x, value) if ours(path) else x, tree)


class Gated(Dense):
    """A layer with a gate: 0 keeps the gradient from what it was given, 1 does nothing."""

    gate: jax.Array  # []

    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(self.gate * x + (1 - self.gate) * jax.lax.stop_gradient(x))


def poisoned(net: Any, actions: int) -> Any:
    """The network with every critic's Q at NaN for all actions but 0; `actions` is the width of one."""
    critic = lambda x: isinstance(x, Critic)
    return jax.tree.map(lambda x: poison(x, actions) if critic(x) else x, net, is_leaf=critic)


def poison(critic: Critic, actions: int) -> Critic:
    """Discrete: the output's bias. Continuous: two pairs of units, at 0 for the action 0 and else so large that the
    next layer, which takes one of a pair from the other, has infinity minus infinity."""
    torso: Any = critic.torso  # dense: it is only ever asked about vectors
    layers = jax.tree.map(lambda x: np.array(x), torso.layers)  # copies, to be written in
    first, second, last = layers[0], layers[1], layers[-1]
    if critic.discrete:
        last.bias[..., 1:] = np.nan
    else:
        first.bias[..., :4] = 0
        first.weight[..., :4] = 0
        first.weight[..., -actions:, :4] = HUGE * np.array([1, 1, -1, -1])
        second.weight[..., :4, :] = HUGE * np.array([[1], [-1], [1], [-1]])
    return eqx.tree_at(lambda critic: critic.torso.layers, critic, layers)


@cache
def tell(cls: type) -> type:
    """A network that, if it is a policy, adds `shift` to log-densities of actions other than 0."""

    class Told(cls):
        shift: jax.Array  # []

        def __call__(self, *args: jax.Array) -> Any:
            out = super().__call__(*args)
            return recast(out, off(type(out)), shift=self.shift) if hasattr(out, 'log_prob') else out

    return Told


@cache
def off(cls: type) -> type:
    """A distribution whose log-densities of actions other than 0 are `shift` too large."""

    class Off(cls):
        shift: jax.Array  # []

        def wrong(self, action: jax.Array, log_prob: jax.Array) -> jax.Array:
            other = action != 0
            return log_prob + self.shift * (other.any(-1) if other.ndim > log_prob.ndim else other)

        def log_prob(self, x: jax.Array) -> jax.Array:
            return self.wrong(x, super().log_prob(x))

        def sample_and_log_prob(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            action, log_prob = super().sample_and_log_prob(key)
            return action, self.wrong(action, log_prob)

    return Off


def recast(node: Any, cls: type, **more: Any) -> Any:
    """The module as one of a subclass, with `more` fields."""
    new = object.__new__(cls)
    for name, value in ({field.name: getattr(node, field.name) for field in fields(node)} | more).items():
        object.__setattr__(new, name, value)
    return new

"""A network with its optimiser, and the few ways in which networks change."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

Loss = Callable[..., tuple[jax.Array, dict[str, jax.Array]]]


@lru_cache
def adam(lr: float, decay_steps: int | None = None, clip: float | None = None) -> optax.GradientTransformation:
    """Adam (Kingma and Ba, 2015), cached by its numbers so that equal configs share one compiled program.

    decay_steps: cosine decay of the rate to zero over so many steps. clip: largest global norm of the gradient.
    """
    rate = lr if decay_steps is None else optax.cosine_decay_schedule(lr, decay_steps)
    step = optax.adam(rate)
    return step if clip is None else optax.chain(optax.clip_by_global_norm(clip), step)


class Learner(eqx.Module):
    """A network and the optimiser state that belongs to it. Temperatures and multipliers are Learners too."""

    net: Any
    opt: Any
    tx: optax.GradientTransformation | None = eqx.field(static=True)  # None: frozen, losses are only measured

    @classmethod
    def create(cls, net: Any, tx: optax.GradientTransformation) -> 'Learner':
        return cls(net, tx.init(net), tx)

    def step(self, loss: Loss, *args: Any) -> tuple['Learner', dict[str, jax.Array]]:
        """One gradient step on `loss(net, *args) -> (scalar, info)`: net is what learns, args are constants."""
        if self.tx is None:
            return self, loss(self.net, *args)[1]
        grad, info = jax.grad(loss, has_aux=True)(self.net, *args)
        change, opt = self.tx.update(grad, self.opt, self.net)
        return Learner(optax.apply_updates(self.net, change), opt, self.tx), info


def frozen(agent: Any) -> Any:
    """The same agent with every Learner's optimiser off, so that `update` measures its losses and changes nothing."""
    is_learner = lambda node: isinstance(node, Learner)
    stop = lambda node: replace(node, tx=None) if is_learner(node) else node
    return jax.tree.map(stop, agent, is_leaf=is_learner)


def polyak(net: Any, target: Any, rate: float) -> Any:
    """target + rate (net - target), leaf by leaf: how a slow copy follows."""
    return jax.tree.map(lambda new, old: old + rate * (new - old), net, target)


def copy(net: Any) -> Any:
    """A copy in buffers of its own: two leaves of one agent must never share one, or donation refuses it."""
    return jax.tree.map(lambda x: jnp.array(x, copy=True), net)


def when(go: jax.Array, update: Callable[[Any], tuple[Any, dict[str, jax.Array]]], state: Any, part: str) -> Any:
    """`update(state) -> (state, info)` where `go`, else the state as it was and an info of zeros.

    Adds `part/ran`, 1 where it ran: the mean of a metric of `part` is taken over those updates only. A real
    branch, not a select, as long as `go` is not vmapped.
    """
    shapes = jax.eval_shape(update, state)[1]
    skip = lambda state: (state, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))
    state, info = jax.lax.cond(go, update, skip, state)
    return state, info | {f'{part}/ran': go.astype(jnp.float32)}

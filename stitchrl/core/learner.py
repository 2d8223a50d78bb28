"""A network with its optimiser, and the few ways in which networks change."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

CACHED = 1024  # inputs; a hidden layer of 256 keeps a megabyte of them
Loss = Callable[..., tuple[jax.Array, dict[str, jax.Array]]]


@lru_cache
def adam(lr: float, decay_steps: int | None = None, clip: float | None = None) -> optax.GradientTransformation:
    """Adam (Kingma and Ba, 2015), cached by its numbers so that equal configs share one compiled program.

    decay_steps: cosine decay of the rate to zero over so many steps. clip: largest global norm of the gradient.
    """
    rate = (lambda count: lr) if decay_steps is None else optax.cosine_decay_schedule(lr, decay_steps)
    step = optax.GradientTransformation(adam_init, partial(adam_update, rate))  # pyright: ignore[reportArgumentType]
    return step if clip is None else optax.chain(optax.clip_by_global_norm(clip), step)


class Moments(NamedTuple):
    """Adam's state: updates done, running means of the gradient and of its square."""

    count: jax.Array  # [], int32
    first: Any
    second: Any


def adam_init(net: Any) -> Moments:
    """The state before the first update."""
    return Moments(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, net), jax.tree.map(jnp.zeros_like, net))


def adam_update(rate: Callable[[Any], Any], grad: Any, state: Moments, net: Any) -> tuple[Any, Moments]:
    """As optax.adam with its defaults, but with both bias corrections in two scalars, as the paper's section 2 ends:
    rate c2 / c1 m / (sqrt(v) + eps c2) with c1 = 1 - b1^t, c2 = sqrt(1 - b2^t). Half the time on CPU."""
    b1, b2, eps = 0.9, 0.999, 1e-8
    first = jax.tree.map(lambda m, g: m + (1 - b1) * (g - m), state.first, grad)
    second = jax.tree.map(lambda v, g: v + (1 - b2) * (g * g - v), state.second, grad)
    count = state.count + 1
    root = jnp.sqrt(1 - b2 ** count.astype(jnp.float32))
    scale = rate(state.count) * root / (1 - b1 ** count.astype(jnp.float32))
    change = jax.tree.map(lambda m, v: -scale * m / (jnp.sqrt(v) + eps * root), first, second)
    return change, Moments(count, first, second)


class Learner(eqx.Module):
    """A network and the optimiser state that belongs to it. Temperatures and multipliers are Learners too."""

    net: Any
    opt: Any
    tx: optax.GradientTransformation | None = eqx.field(static=True)  # None: frozen, losses are only measured

    @classmethod
    def create(cls, net: Any, tx: optax.GradientTransformation) -> 'Learner':
        return cls(net, tx.init(net), tx)

    def step(self, loss: Loss, *args: Any, pieces: int = 1) -> tuple['Learner', dict[str, jax.Array]]:
        """One gradient step on `loss(net, *args) -> (scalar, info)`: net is what learns, args are constants. pieces:
        see `gradient`."""
        if self.tx is None:
            return self, loss(self.net, *args)[1]
        grad, info = gradient(loss, self.net, args, pieces)
        change, opt = self.tx.update(grad, self.opt, self.net)
        return Learner(optax.apply_updates(self.net, change), opt, self.tx), info


def gradient(loss: Loss, net: Any, args: tuple[Any, ...], pieces: int = 1) -> tuple[Any, dict[str, jax.Array]]:
    """The gradient of `loss(net, *args) -> (scalar, info)` with respect to net, and info.

    pieces: the batch is gone through in so many parts, and the mean over them is the same but for rounding where loss
    and info are means over its rows. Every array among args is cut along its first axis, which is the batch;
    numbers and settings go whole into every part.
    """
    if pieces == 1:
        return jax.grad(loss, has_aux=True)(net, *args)
    rows, rest = eqx.partition(args, lambda leaf: eqx.is_array(leaf) and leaf.ndim > 0)
    parts = jax.tree.map(lambda x: x.reshape(pieces, -1, *x.shape[1:]), rows)
    of = lambda rows: jax.grad(loss, has_aux=True)(net, *eqx.combine(rows, rest))
    shapes = jax.eval_shape(of, jax.tree.map(lambda x: x[0], parts))
    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    total, _ = jax.lax.scan(lambda total, rows: (jax.tree.map(jnp.add, total, of(rows)), None), nothing, parts)
    return jax.tree.map(lambda x: x / pieces, total)


def in_cache(rows: int, each: int) -> int:
    """In how many pieces to go through a batch of so many rows with `each` inputs of a network. On a CPU as few as keep
    what a network remembers of a piece in the cache of a core, where the batch can be cut so; elsewhere one."""
    if jax.default_backend() != 'cpu':
        return 1
    fits = (n for n in range(1, rows + 1) if rows % n == 0 and CACHED / 4 <= rows // n * each <= CACHED)
    return next(fits, 1)


def frozen(agent: Any) -> Any:
    """The same agent with every Learner's optimiser off, so that `update` measures its losses and changes nothing."""
    is_learner = lambda node: isinstance(node, Learner)
    stop = lambda node: replace(node, tx=None) if is_learner(node) else node
    return jax.tree.map(stop, agent, is_leaf=is_learner)


def polyak(net: Any, target: Any, rate: float) -> Any:
    """target + rate (net - target), leaf by leaf: how a slow copy follows."""
    return jax.tree.map(lambda new, old: old + rate * (new - old), net, target)


def follow(net: Any, target: Any, t: jax.Array, rate: float | None, period: int) -> Any:
    """The slow copy after update t: a step of `rate` towards the network, or, where that is None, the network itself
    after every `period` updates and otherwise what it was."""
    if rate is not None:
        return polyak(net, target, rate)
    return jax.lax.cond(t % period == period - 1, lambda: net, lambda: target)


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

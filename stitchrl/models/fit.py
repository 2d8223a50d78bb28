"""Fitting an ensemble to all rows there are: bootstrap, holdout, early stop, elites.

Of every `every` rows in order one, drawn at random, is held out for good: a row keeps its role from fit to fit, so no
member is ever judged by what it learned from before. Each member learns from a sample of the others with replacement.
After every epoch the members whose held-out error fell by more than a hundredth are kept as they are; the fit ends
when for `patience` epochs none was. After the first all are kept, for there are new rows to follow, but where rows are
`static` only those that got better than they were before the fit. The elites are those with the least held-out error.
One compiled program for any number of rows up to the length of the arrays. Janner et al., 2019 (MBPO).
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.learner import Learner
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.data.sampling import transitions
from stitchrl.models.ensemble import Dynamics
from stitchrl.models.member import Scale
from stitchrl.models.model import Info

SPLIT = 7  # key of the draw that says which rows are held out
MIN_STD = 1e-6  # of a column that never changes
SLOWEST = 1e-3  # at which scales follow


@dataclass(frozen=True)
class Fit:
    """Settings of a fit."""

    batch: int = 256  # rows of each member in an update
    every: int = 5  # one row in so many is held out
    least: int = 20  # updates of an epoch; of few rows it makes several passes
    epochs: int = 100  # at most
    patience: int = 5  # epochs without a better member, after which the fit ends
    better: float = 0.01  # a smaller part of the error than this is no improvement
    static: bool = False  # no rows come in from fit to fit, so that another must not make a member worse


class Going(NamedTuple):
    """A fit that goes on."""

    model: Dynamics
    best: Any  # the members when each was at its best
    error: jax.Array  # [E], held out, of those
    stale: jax.Array  # [] int32, epochs since one was better
    epoch: jax.Array  # [] int32


def rows_of(data: Dataset) -> Transition:
    """Every step of a recording, [N, ...]."""
    return transitions(data, jnp.asarray(data.starts), 1, 1.0)


@partial(jax.jit, static_argnums=4)
def fit(model: Dynamics, rows: Transition, count: jax.Array, key: jax.Array, cfg: Fit) -> tuple[Dynamics, Info]:
    """The model fitted to the first `count` of the rows [N, ...], and how the members did, [E] and scalars.

    Inputs and targets are scaled by the moments of the rows that are learned from; the members go on from where they
    were. Fewer rows than a whole group of `every` leave the model as it was, with an error of 0 after 0 epochs.
    """
    k_boot, k_epochs = jr.split(key)
    learned, judged, n_train, n_held = split(rows, count, cfg.every)
    size = len(learned.reward)
    seen = (jnp.arange(size) < n_train).astype(jnp.float32)
    inside = (jnp.arange(len(judged.reward)) < n_held).astype(jnp.float32)
    before, model = model, replace(model, scale=moments(model, learned, seen))
    boot = below(jr.uniform(k_boot, (model.count, size)), n_train)

    def epoch(now: Going) -> Going:
        k_epoch, updates = jr.fold_in(k_epochs, now.epoch), jnp.maximum(-(-n_train // cfg.batch), cfg.least)
        trained = an_epoch(now.model, learned, boot, n_train, updates, k_epoch, cfg.batch)
        best, error, improved = kept(now, trained, trained.errors(judged, inside), cfg.better)
        return Going(trained, best, error, jnp.where(improved, 0, now.stale + 1), now.epoch + 1)

    begin = model.errors(judged, inside) if cfg.static else jnp.where(n_held > 0, jnp.full(model.count, jnp.inf), 0)
    now = Going(model, model.members.net, begin, jnp.int32(0), jnp.int32(0))
    last = jnp.where(n_held > 0, cfg.epochs, 0)
    now = jax.lax.while_loop(lambda now: (now.stale < cfg.patience) & (now.epoch < last), epoch, now)
    members = Learner(now.best, now.model.members.opt, now.model.members.tx)
    model = replace(now.model, members=members, elites=elites(now.error, len(model.elites)))
    model = jax.tree.map(lambda new, old: jnp.where(n_held > 0, new, old), model, before)
    info = {'model/held_out': now.error, 'model/epochs': now.epoch, 'model/rows': n_train}
    return model, info | {'model/train': model.errors(learned, seen)}


def split(rows: Transition, count: jax.Array, every: int) -> tuple[Transition, Transition, jax.Array, jax.Array]:
    """(rows to learn from, rows held out, how many of the first count, how many of the second)."""
    held, train, n_held, n_train = parts(len(rows.reward), count, every)
    return take(rows, train), take(rows, held), n_train, n_held


def parts(n: int, count: jax.Array, every: int) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Of n places with `count` rows -> places held out [n // every] and learned from, and how many of each are rows.

    Rows after the last whole group of `every` wait for the next fit. Where n holds no group there is one, without rows.
    """
    groups, each = max(n // every, 1), every - 1
    pick = jr.randint(jr.key(SPLIT), (groups,), 0, every)
    held = jnp.arange(groups) * every + pick
    others = jnp.arange(each)[None] + (jnp.arange(each)[None] >= pick[:, None])
    train = (jnp.arange(groups)[:, None] * every + others).ravel()
    full = count // every
    return held, train, full, full * each


def below(u: jax.Array, n: jax.Array) -> jax.Array:
    """Uniform numbers in [0, 1) as integers in [0, n)."""
    return jnp.minimum((u * n).astype(jnp.int32), n - 1)


def take(rows: Transition, where: jax.Array) -> Transition:
    """The rows at `where` [...]."""
    return jax.tree.map(lambda column: column[where], rows)


def moments(model: Dynamics, rows: Transition, inside: jax.Array) -> Scale:
    """Mean and deviation of inputs and targets over the rows [N, ...] where `inside` [N] is 1."""

    def two(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        mean = inside @ x / jnp.maximum(inside.sum(), 1)
        std = jnp.sqrt(inside @ (x - mean[None]) ** 2 / jnp.maximum(inside.sum(), 1))
        return mean, jnp.where(std < MIN_STD, 1.0, std)

    return Scale(*two(model.inputs(rows.obs, rows.action)), *two(model.targets(rows)))


def followed(model: Dynamics, batch: Transition) -> Dynamics:
    """The model with scales that follow the moments of batches [E, B, ...] when it learns update by update: their mean
    over the updates so far, as Adam counts them, in the end over the last thousand or so."""
    rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)
    new, old = moments(model, rows, jnp.ones(len(rows.reward))), model.scale
    rate = jnp.maximum(1 / (model.members.opt.count + 1), SLOWEST)

    def mixed(mean: jax.Array, std: jax.Array, to_mean: jax.Array, to_std: jax.Array) -> tuple[jax.Array, jax.Array]:
        off = to_mean - mean
        return mean + rate * off, jnp.sqrt((1 - rate) * (std**2 + rate * off**2) + rate * to_std**2)

    x = mixed(old.x_mean, old.x_std, new.x_mean, new.x_std)
    return replace(model, scale=Scale(*x, *mixed(old.y_mean, old.y_std, new.y_mean, new.y_std)))


def an_epoch(
    model: Dynamics,
    rows: Transition,
    boot: jax.Array,
    n: jax.Array,
    updates: jax.Array,
    key: jax.Array,
    batch: int,
) -> Dynamics:
    """So many updates, each member on rows drawn from its bootstrap `boot` [E, N], of which n count."""

    def drawn(k_rows: jax.Array) -> Transition:
        where = jnp.take_along_axis(boot, below(jr.uniform(k_rows, (model.count, batch)), n), 1)
        return take(rows, where)

    def keys(i: Any) -> jax.Array:
        return jr.split(jr.fold_in(key, i))

    def one(i: jax.Array, now: tuple[Dynamics, Transition]) -> tuple[Dynamics, Transition]:
        following = drawn(keys(i + 1)[0])  # beside the update, on a core that waits for the other
        return now[0].update(now[1], keys(i)[1])[0], following

    return jax.lax.fori_loop(0, updates, one, (model, drawn(keys(0)[0])))[0]


def kept(now: Going, trained: Dynamics, error: jax.Array, better: float) -> tuple[Any, jax.Array, jax.Array]:
    """(the members at their best, their errors [E], whether any is better than before)."""
    improved = error < (1 - better) * jnp.where(jnp.isfinite(now.error), now.error, jnp.inf)
    pick = lambda new, old: jnp.where(improved.reshape((-1,) + (1,) * (new.ndim - 1)), new, old)
    best = jax.tree.map(pick, trained.members.net, now.best)
    return best, jnp.where(improved, error, now.error), improved.any()


def elites(error: jax.Array, k: int) -> jax.Array:
    """The k members with the least error [E], best first; one that came to no number is the last."""
    return jnp.argsort(jnp.where(jnp.isfinite(error), error, jnp.inf))[:k]

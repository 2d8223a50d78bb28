"""The agents of a run beside one another: in groups, one for each core, and within a group all in one program.

A small network does not fill two cores, however many agents its products are batched over; two programs do.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp


def over_seeds(one: Callable[..., Any], *each: Any) -> Any:
    """`one` of every agent: all leaves of `each`, and of what comes back, have a leading axis [S].

    A single agent is not vmapped: a product with a batch axis of one is slower than a plain one (CQL by a third), and
    a loop that ends when its condition says so would become one that keeps what it had, array by array. Put it around
    a scan, not into it: the axis that comes and goes may have XLA copy what is large, a ring of replay for one.
    """
    if len(jax.tree.leaves(each)[0]) > 1:
        return jax.vmap(one)(*each)
    alone = jax.tree.map(lambda x: x.reshape(x.shape[1:]), each)  # x[0] would be a copy
    return jax.tree.map(lambda x: x.reshape(1, *x.shape), one(*alone))


def cores() -> int:
    """How many groups run at once: the cores of this process, or as many as NPROC says; 1 on an accelerator."""
    if jax.default_backend() != 'cpu':
        return 1
    mine = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return min(mine, int(os.environ.get('NPROC') or mine))


def count(tree: Any) -> int:
    """S, the number of agents."""
    return len(jax.tree.leaves(tree)[0])


def apart(tree: Any, most: int | None = None) -> list[Any]:
    """The agents [S, ...] in as many groups as there are cores, or `most`, the larger ones first. More than one are
    copies, and `tree` is given up for them leaf by leaf, as if it had been donated."""
    seeds, groups = count(tree), min(most or cores(), count(tree))
    if groups == 1:
        return [tree]
    sizes = [seeds // groups + (i < seeds % groups) for i in range(groups)]
    stops = [sum(sizes[: i + 1]) for i in range(groups)]
    leaves, form = jax.tree.flatten(tree)
    parts: list[list[Any]] = [[] for _ in sizes]
    for leaf in leaves:
        whole_leaf = jnp.asarray(leaf)
        for part, size, stop in zip(parts, sizes, stops, strict=True):
            part.append(jax.block_until_ready(whole_leaf[stop - size : stop]))
        whole_leaf.delete()
    return [jax.tree.unflatten(form, part) for part in parts]


def whole(groups: list[Any]) -> Any:
    """All agents as one again [S, ...]: a copy where there is more than one group."""
    return groups[0] if len(groups) == 1 else joined(groups)


@jax.jit
def joined(groups: list[Any]) -> Any:
    """Leaf by leaf, along the first axis."""
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *groups)


@contextmanager
def side_by_side() -> Iterator[Callable[..., list[Any]]]:
    """A function as `map`, (work, *groups) -> results, that works on all groups at once.

    The first is begun here, which compiles its program, and goes on by itself; each other has a thread, for what one
    thread asks for is done in turn. Equal groups find the program compiled.
    """
    with ThreadPoolExecutor(max(cores() - 1, 1), 'seeds') as pool:

        def run(work: Callable[..., Any], *groups: list[Any]) -> list[Any]:
            first, *others = zip(*groups, strict=True)
            done = [work(*first)]
            waiting = [pool.submit(lambda args: jax.block_until_ready(work(*args)), args) for args in others]
            return done + [one.result() for one in waiting]

        yield run

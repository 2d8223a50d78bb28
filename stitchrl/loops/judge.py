"""Judging without a simulator: fitted Q evaluation of many policies at once, several fits of each."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.algos.offline.fqe import FQE, Config
from stitchrl.core.boundary import Boundary
from stitchrl.data.dataset import Dataset
from stitchrl.errors import StitchError, UsageError
from stitchrl.loops.offline import UPDATE, State, create, many, roots
from stitchrl.maths.returns import lambda_returns

POINTS = 20  # of the curve of estimates along a fit; the estimate is the mean of the last LAST
LAST = 4
INTEND = 3  # the stream of randomness that the policies' actions come from
BLOCK = 4096  # rows at which the policies are asked at once

Tell = Callable[[int, float], Any]


class Fits(NamedTuple):
    """What F fits said of P policies, in the recorder's units of reward."""

    steps: np.ndarray  # [C] updates done, C = POINTS
    values: np.ndarray  # [P, F, C] estimates of J
    losses: np.ndarray  # [P, F, C] mean squared errors of the regression up to there, in units of `scale` squared
    scale: float  # rewards were divided by it for the fit

    @property
    def value(self) -> np.ndarray:
        """[P, F]: the estimate, a mean over the last fifth of the fit."""
        return self.values[..., -LAST:].mean(-1)

    @property
    def drift(self) -> np.ndarray:
        """[P]: how far the mean estimate still moved in the last fifth."""
        mean = self.values.mean(1)
        return np.abs(mean[:, -1] - mean[:, -1 - LAST])


def judge(
    policies: Any,
    boundary: Boundary,
    data: Dataset,
    cfg: Config,
    fits: int = 1,
    samples: int = 1,
    seed: int = 0,
    tell: Tell | None = None,
) -> Fits:
    """Fit Q of each policy to a recording in its own units.

    policies: a pytree with leaves [P, ...] and `remember` and `act` as an Agent's, in the units of `boundary`, whose
    rule for rewards is not used. fits: of each policy, with seeds of their own. samples: actions K that stand for a
    policy at each row; 1 is exact for one without chance. tell: called as the fits go on, with updates done and the
    mean estimate. UsageError for a policy that remembers.
    """
    if jax.tree.leaves(jax.eval_shape(lambda: jax.vmap(lambda policy: policy.remember(1))(policies))):
        raise UsageError('fitted Q evaluation is of policies that see only the present; this one remembers')
    scale = spread(data, cfg.gamma)
    units = replace(boundary, scale=np.float32(1 / scale), shift=np.float32(0))
    inner: Dataset = jax.device_put(units.inward(data))
    action = intended(policies, inner, jr.fold_in(jr.key(seed), INTEND), samples)
    labels = {'action': jnp.asarray(np.repeat(action, fits, axis=0))}
    steps, values, losses = fit(inner, labels, cfg, seed, lambda step, value: tell and tell(step, scale * value))
    shape = lambda x: np.stack(x, -1).reshape(len(action), fits, -1).astype(np.float64)
    return Fits(steps, scale * shape(values), shape(losses), scale)


def fit(
    data: Dataset, labels: dict[str, jax.Array], cfg: Config, seed: int, tell: Tell
) -> tuple[np.ndarray, list[Any], list[Any]]:
    """All fits in one program, S of them for labels [S, N, K, ...]: updates done [C], values and losses [S] after each.

    The updates are rounded up to a multiple of POINTS, so that every piece is the same program.
    """
    algo: Any = FQE
    count = len(labels['action'])
    root, first = roots(seed, count, UPDATE), jnp.asarray(data.episodes()[:, 0])
    state = State(create(algo, data.spec, cfg, seed, count), labels)
    values, losses, chunk = [], [], -(-cfg.steps // POINTS)
    for start in range(0, POINTS * chunk, chunk):
        state, info = many(state, data, root, jnp.int32(start), chunk)
        values.append(np.asarray(estimates(state, data, first)))
        losses.append(np.asarray(info['critic/loss']).mean(0))
        if not np.isfinite(values[-1]).all():
            raise StitchError(f'fitted Q evaluation diverged: its Q is not finite after {start + chunk:,} updates')
        tell(start + chunk, float(values[-1].mean()))
    return chunk * np.arange(1, POINTS + 1), values, losses


@jax.jit
def estimates(state: State, data: Dataset, first: jax.Array) -> jax.Array:
    """J of each fit, [S], at the rows `first`."""
    fqe: Any = state.agents
    return jax.vmap(lambda one, action: one.value(data.obs[first], action[first]))(fqe, state.labels['action'])


def intended(policies: Any, data: Dataset, key: jax.Array, samples: int) -> np.ndarray:
    """What each policy would do at each row, drawn `samples` times: [P, N, K, ...] in the agent's units."""
    count = len(data.obs)
    keys, size, parts = jr.split(key, count), min(BLOCK, count), []
    for start in range(0, count, size):
        first = min(start, count - size)  # the last block is as large as the others, and what it repeats is cut
        block = np.asarray(asked(policies, data.obs[first : first + size], keys[first : first + size], samples))
        parts.append(block[:, start - first :])
    return np.concatenate(parts, 1)


@partial(jax.jit, static_argnums=3)
def asked(policies: Any, obs: jax.Array, keys: jax.Array, samples: int) -> jax.Array:
    """Actions [P, B, K, ...] of every policy at observations [B, ...], with keys [B]."""

    def one(policy: Any, obs: jax.Array, key: jax.Array) -> jax.Array:
        return policy.act(policy.remember(1), obs[None], key)[0][0]

    each = jax.vmap(one, (None, None, 0))  # over the samples
    draws = jax.vmap(partial(jr.split, num=samples))(keys)
    return jax.vmap(jax.vmap(each, (None, 0, 0)), (0, None, None))(policies, obs, draws)


def to_go(data: Dataset, gamma: float) -> np.ndarray:
    """[N]: discounted sums of the recorded rewards from each row to where its episode stops."""
    reward, mask, ends = (jnp.asarray(x) for x in (data.reward, data.mask, data.ends))
    sums = jax.jit(lambda_returns)(reward, mask, ends, jnp.zeros(len(reward)), gamma, 1.0)
    return np.asarray(sums, np.float64)


def spread(data: Dataset, gamma: float) -> float:
    """The largest discounted sum, in size: rewards over it make every recorded value one within [-1, 1]."""
    return float(np.abs(to_go(data, gamma)).max()) or 1.0

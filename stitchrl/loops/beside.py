"""Online learning beside environments that run on the host: one compiled program between two of their steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stitchrl.envs.gymnasium import Lanes, Seen
from stitchrl.errors import StitchError
from stitchrl.loops.online import Live, first_actions, host_tick
from stitchrl.loops.plan import Plan, Roots


class Beside:
    """S x n environments in one vector, and the program that goes between their steps."""

    def __init__(self, name: str, vector: Any, seeds: int, plan: Plan, patience: float = 60.0):
        """`patience`: seconds a step may take before its environment counts as hung."""
        self.name, self.lanes, self.plan, self.patience = name, Lanes(vector), plan, patience
        self.shape = (seeds, plan.lanes)
        self.chosen: Any = None  # the actions that come next, in the agents' units and raw
        self.heard = False  # whether an alarm is
        self.waited = 0  # quarters of the patience

    def spread(self, x: np.ndarray) -> np.ndarray:
        """[S x n, ...] -> [S, n, ...]."""
        return x.reshape(*self.shape, *x.shape[1:])

    def reset(self, seed: int, dtype: str) -> jax.Array:
        """First observations [S, n, ...]; the environments of agent i of seed s are those of agent 0 of seed s + i."""
        seeds, n = self.shape
        each = [1000 * (seed + i) + lane for i in range(seeds) for lane in range(n)]
        with self.listening(), self.watched('its first reset'):
            return jnp.asarray(self.spread(self.lanes.reset(each)), dtype)

    def ticks(self, live: Live, constants: Any, roots: Roots, first: int, n: int, each: int | None) -> Live:
        """Ticks first .. first + n - 1, `each` updates after each; `constants` is (boundary, recording or None).
        StitchError names the step at which an environment broke."""
        dtype = live.replay.spec.obs.dtype
        if self.chosen is None:
            live, *self.chosen = first_actions(live, constants[0], roots, jnp.int32(first), self.plan)
        action, raw = self.chosen
        leaves, tree = jax.tree.flatten((live, action))
        with self.listening():
            for t in range(first, first + n):
                raw = np.asarray(raw)
                with self.watched(f'environment step {t * self.plan.lanes}'):
                    seen = self.lanes.step(raw.reshape(-1, *raw.shape[2:]))
                self.check(seen, t)
                seen = seen._replace(next_obs=seen.next_obs.astype(dtype), now=seen.now.astype(dtype))
                seen = tuple(self.spread(x) for x in seen)
                leaves, raw = host_tick(leaves, seen, constants, roots, np.int32(t), tree, self.plan, each)
        live, action = jax.tree.unflatten(tree, leaves)
        self.chosen = action, raw
        return live

    def check(self, seen: Seen, t: int) -> None:
        """StitchError where an environment gave a number that is not finite."""
        for name, values in (('reward', seen.reward), ('observation', seen.next_obs)):
            if not np.isfinite(values).all():
                lane = int(np.argwhere(~np.isfinite(values))[0, 0])
                seed, copy = divmod(lane, self.plan.lanes)
                raise StitchError(
                    f'{self.name}: {name} {values[lane]} at environment step {t * self.plan.lanes} (agent {seed}, '
                    f'copy {copy}): nothing was learned from it. Look closer with: stitch env check {self.name}'
                )

    @contextmanager
    def listening(self) -> Iterator[None]:
        """In here the alarm of `watched` is heard; only the main thread can hear one."""
        self.heard = threading.current_thread() is threading.main_thread() and hasattr(signal, 'SIGALRM')
        before = signal.signal(signal.SIGALRM, self.late) if self.heard else None
        try:
            yield
        finally:
            if self.heard:
                signal.signal(signal.SIGALRM, before)
            self.heard = False

    @contextmanager
    def watched(self, what: str) -> Iterator[None]:
        """StitchError where the environment raises, or takes longer than it may.

        A process that was paused hears all alarms it has missed as one, so it takes four of them.
        """
        if self.heard:
            self.waited = 0
            signal.setitimer(signal.ITIMER_REAL, self.patience / 4, self.patience / 4)
        try:
            yield
        except Late:
            raise StitchError(f'{self.name}: no answer within {self.patience:g} s at {what}; it hangs') from None
        except Exception as error:
            raise StitchError(f'{self.name} raised {type(error).__name__} at {what}: {error}') from error
        finally:
            if self.heard:
                signal.setitimer(signal.ITIMER_REAL, 0)

    def late(self, *_: Any) -> None:
        """The alarm."""
        self.waited += 1
        if self.waited >= 4:
            raise Late

    def close(self) -> None:
        self.lanes.vector.close()


class Late(BaseException):
    """A step took too long. No Exception, so that an environment's own except clause does not swallow it."""

"""The border between the user's units and the agent's: fitted once from the data, saved with the policy.

Nothing inside ever sees raw units, nothing outside ever sees scaled ones.
"""

from dataclasses import replace
from typing import Any, Literal, Protocol

import equinox as eqx
import numpy as np

from stitchrl.core.spec import Continuous, Spec
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError

Reward = Literal['raw', 'range', 'minus_one']
EDGE = 1 - 1e-5  # actions of the data stay this far inside [-1, 1]; a squashed density is infinite at the edge
MIN_STD = 1e-3  # added to the deviation, so that a constant column stays finite


class Measured(Protocol):
    """What a boundary is fitted to: a Dataset, or a recording that one pass has gone through."""

    @property
    def spec(self) -> Spec:
        """What the recording looks like from outside."""
        ...

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of the observations that a step was taken from, float64."""
        ...

    def return_range(self) -> tuple[float, float]:
        """The lowest and the highest undiscounted sum of rewards of an episode."""
        ...


class Boundary(eqx.Module):
    """obs' = (obs - mean) / std;  action' = 2 (action - low) / (high - low) - 1;  reward' = scale (reward + shift)."""

    mean: Any  # [...], like one observation; [0] for images, which pass unchanged as bytes
    std: Any
    low: Any  # [A]; [0] for discrete actions, which pass unchanged
    high: Any
    scale: Any  # []
    shift: Any  # []

    @classmethod
    def fit(cls, data: Measured, normalise: bool = False, reward: Reward = 'raw') -> 'Boundary':
        """From a recording in the recorder's units.

        normalise: observations to zero mean and unit deviation. reward 'range': times 1000 over the range of
        episode returns (IQL's locomotion rule); 'minus_one': r - 1 (its maze rule).
        Raises UsageError where 'range' has nothing to divide by, and for images that are to be normalised.
        """
        blank = cls.blank(data.spec)
        scale, shift = (np.asarray(x, np.float32) for x in reward_rule(data, reward))
        if not normalise:
            return replace(blank, scale=scale, shift=shift)
        if data.spec.obs.image:
            raise UsageError('normalise: images are kept as bytes and scaled to [0, 1] by the network; leave it off')
        mean, std = (x.astype(np.float32) for x in data.moments())
        std = std + np.float32(MIN_STD)
        return replace(blank, mean=mean, std=std, scale=scale, shift=shift)

    @classmethod
    def without_data(cls, spec: Spec, normalise: bool = False, reward: Reward = 'raw') -> 'Boundary':
        """For learning online, where there is nothing yet to measure. UsageError for rules that need a recording."""
        if normalise or reward == 'range':
            rule = 'normalise' if normalise else 'the reward rule "range"'
            raise UsageError(f'{rule} is measured on a recording, and there is none; leave it off, or give --data')
        return replace(cls.blank(spec), shift=np.float32(-1.0 if reward == 'minus_one' else 0.0))

    @classmethod
    def blank(cls, spec: Spec) -> 'Boundary':
        """Only the action bounds; observations and rewards pass unchanged."""
        action, shape = spec.action, (0,) if spec.obs.image else spec.obs.shape
        low, high = (action.low, action.high) if isinstance(action, Continuous) else ((), ())
        bounds = np.asarray(low, np.float32), np.asarray(high, np.float32)
        return cls(
            np.zeros(shape, np.float32),
            np.ones(shape, np.float32),
            *bounds,
            np.ones((), np.float32),
            np.zeros((), np.float32),
        )

    def obs(self, obs: Any) -> Any:
        """Raw observation [..., *obs] to the agent's."""
        if self.mean.size == 0:
            return obs
        return (obs - align(self.mean, obs)) / align(self.std, obs)

    def reward(self, reward: Any) -> Any:
        """Raw reward [...] to the agent's."""
        return align(self.scale, reward) * (reward + align(self.shift, reward))

    def action_in(self, action: Any) -> Any:
        """Raw action [..., A] to [-1, 1]; a discrete one passes."""
        if self.low.size == 0:
            return action
        low, high = align(self.low, action), align(self.high, action)
        return 2 * (action - low) / (high - low) - 1

    def action_out(self, action: Any) -> Any:
        """The agent's action in [-1, 1] to the user's units."""
        if self.low.size == 0:
            return action
        low, high = align(self.low, action), align(self.high, action)
        return low + (action.clip(-1, 1) + 1) / 2 * (high - low)

    def inward(self, data: Dataset) -> Dataset:
        """A dataset in the agent's units. Final rows keep their zero action and reward."""
        final = np.asarray(data.ends) > 0
        action = np.asarray(data.action)
        if self.low.size:
            clipped = np.clip(self.action_in(action), -EDGE, EDGE)
            action = np.where(final[:, None], 0, clipped).astype(np.float32)
        reward = np.where(final, 0, self.scale * (np.asarray(data.reward) + self.shift)).astype(np.float32)
        obs = np.asarray(self.obs(np.asarray(data.obs)), None if data.spec.obs.image else np.float32)
        return replace(data, obs=obs, action=action, reward=reward)


def align(v: Any, x: Any) -> Any:
    """v with as many axes as x, so that strict rank promotion lets them meet."""
    return v.reshape((1,) * (x.ndim - v.ndim) + v.shape)


def reward_rule(data: Measured, reward: str) -> tuple[float, float]:
    """(scale, shift) of a named reward rule."""
    if reward == 'raw':
        return 1.0, 0.0
    if reward == 'minus_one':
        return 1.0, -1.0
    if reward != 'range':
        raise UsageError(f'reward rule {reward!r}; expected raw, range or minus_one')
    low, high = data.return_range()
    if high <= low:
        raise UsageError(f'reward rule "range" divides by the range of episode returns, but all are {low:g}; use raw')
    return 1000.0 / (high - low), 0.0

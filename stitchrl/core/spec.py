"""What an environment or a recording looks like from outside: shapes, action kind, horizon.

Frozen and hashable, so it can be a static field; round-trips through JSON. Dataset, environment, agent and
exported policy share it. Imports no JAX.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from stitchrl.errors import UsageError


@dataclass(frozen=True)
class Continuous:
    """Actions in R^dim, with the bounds of the outside world (inside they are always [-1, 1])."""

    dim: int
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Discrete:
    """Actions 0 .. n - 1, int32."""

    n: int


@dataclass(frozen=True)
class Observation:
    """One array per time step."""

    shape: tuple[int, ...]
    dtype: str = 'float32'
    frames: int = 1  # images stacked along the first axis, oldest first

    @property
    def image(self) -> bool:
        """Whether it is an image [channels or frames, height, width] of bytes."""
        return len(self.shape) == 3 and self.dtype == 'uint8'


@dataclass(frozen=True)
class Spec:
    """Observation, action and the longest episode in steps (None: unknown or unlimited)."""

    obs: Observation
    action: Continuous | Discrete
    horizon: int | None = None

    @property
    def discrete(self) -> bool:
        return isinstance(self.action, Discrete)

    @property
    def action_dim(self) -> int:
        """Width of the policy's output: action dimension, or number of actions."""
        return self.action.n if isinstance(self.action, Discrete) else self.action.dim

    def joined(self, place: 'Spec') -> 'Spec':
        """The spec of a recording that was made in `place`: with the discrete actions there that nobody took."""
        if isinstance(self.action, Discrete) and isinstance(place.action, Discrete):
            return replace(self, action=Discrete(max(self.action.n, place.action.n)))
        return self

    def to_json(self) -> dict[str, Any]:
        kind = 'discrete' if self.discrete else 'continuous'
        return {
            'obs': asdict(self.obs),
            'action': {'kind': kind} | asdict(self.action),
            'horizon': self.horizon,
        }

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> 'Spec':
        """Inverse of `to_json`. Raises UsageError on an unknown action kind."""
        action = dict(tree['action'])
        kind = action.pop('kind', None)
        if kind == 'discrete':
            space: Continuous | Discrete = Discrete(int(action['n']))
        elif kind == 'continuous':
            space = Continuous(int(action['dim']), tuple(action['low']), tuple(action['high']))
        else:
            raise UsageError(f'spec: action kind {kind!r}; expected "continuous" or "discrete"')
        obs = Observation(tuple(tree['obs']['shape']), tree['obs']['dtype'], tree['obs'].get('frames', 1))
        return cls(obs, space, tree['horizon'])

    def check(self, other: 'Spec', ours: str, theirs: str) -> None:
        """Raise UsageError where two specs cannot share a policy; names both sides."""
        if self.obs.shape != other.obs.shape:
            raise UsageError(f'observations are {self.obs.shape} in {ours} but {other.obs.shape} in {theirs}')
        if (self.discrete, self.action_dim) != (other.discrete, other.action_dim):
            raise UsageError(f'actions are {self.action} in {ours} but {other.action} in {theirs}')

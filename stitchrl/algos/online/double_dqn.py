"""Double DQN: the network chooses the next action, its slow copy values it.

    y = r + gamma m Q'(s', argmax_a Q(s', a))

The maximum of noisy values lies above the value of the best action; where one network chooses and another values,
the noise of the choice is not counted. It is DQN with this target; nothing else differs.
Van Hasselt, Guez and Silver, 2016.
"""

from dataclasses import dataclass
from typing import Any

from stitchrl.algos.online import dqn


@dataclass(frozen=True)
class Config(dqn.Config):
    """Settings of DQN, with the other target."""

    double: bool = True  # Q chooses the action that Q' values


PRESETS: dict[str, tuple[str, dict[str, Any]]] = dqn.PRESETS
ALGO = dqn.DQN

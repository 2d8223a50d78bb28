"""Who plays: the saved policy of a run, or nobody in particular."""

from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Spec
from stitchrl.errors import UsageError
from stitchrl.loops.online import uniform
from stitchrl.runs import policy
from stitchrl.runs.directory import RunDir
from stitchrl.runs.ring import numbered

RANDOM = 'random'


class Player(eqx.Module):
    """An agent that acts greedily but for some noise; or none, and every action has the same chance."""

    agent: Agent | None
    noise: jax.Array  # [], deviation in units of [-1, 1], or the chance of a random action where they are choices
    spec: Spec = eqx.field(static=True)

    @classmethod
    def create(cls, agent: Agent | None, noise: float, spec: Spec) -> 'Player':
        """UsageError for noise that cannot be meant."""
        if not 0 <= noise <= (1 if spec.discrete else np.inf) or not np.isfinite(noise):
            kind = 'the chance of a random action, 0 to 1' if spec.discrete else 'a deviation, 0 or more'
            raise UsageError(f'--noise {noise:g}: expected {kind}')
        return cls(agent, jnp.float32(noise), spec)

    def remember(self, n: int) -> Any:
        """As an agent's."""
        return () if self.agent is None else self.agent.remember(n)

    def act(self, memory: Any, obs: jax.Array, key: jax.Array) -> tuple[jax.Array, Any]:
        """Actions [n, A] in [-1, 1] or [n] int32 at obs [n, ...] in the agent's units, and memory."""
        k_act, k_noise, k_which = jr.split(key, 3)
        if self.agent is None:
            return uniform(self.spec, k_act, len(obs)), memory
        action, memory = self.agent.act(memory, obs, k_act)
        if self.spec.discrete:
            other = jr.bernoulli(k_which, self.noise, action.shape)
            return jnp.where(other, uniform(self.spec, k_noise, len(obs)), action), memory
        return jnp.clip(action + self.noise * jr.normal(k_noise, action.shape), -1, 1), memory


class Cast(NamedTuple):
    """A player and the border between its units and the environment's."""

    player: Player
    boundary: Boundary


def cast(who: str, spec: Spec, place: str, noise: float = 0.0, seed: int = 0) -> Cast:
    """`who`: 'random', a run's folder or a policy's; `seed`: which of its agents; `spec`, `place`: where it will play.

    UsageError for noise, an agent or a space that will not do; Corrupt for a policy that cannot be used.
    """
    if who == RANDOM:
        if noise:
            raise UsageError(f'--noise {noise:g}: random actions have no policy that noise could disturb; leave it out')
        return Cast(Player.create(None, 0.0, spec), jax.device_put(Boundary.blank(spec)))
    folder = Path(who) if (Path(who) / policy.ABOUT).is_file() else RunDir.find(who).policy
    _, agents, boundary, own = policy.load_all(folder)
    own.check(spec, who, place)
    which = numbered(agents, seed)
    agent = jax.tree.map(lambda x: jnp.asarray(x[which]), agents)
    return Cast(Player.create(agent, noise, own), jax.device_put(boundary))

"""What every algorithm owes the loops: a row for each, and the programs that the checks share.

A new algorithm adds its row to ROWS; `test_conformance.py` does the rest.
"""

from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.algos import algorithm
from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.data.dataset import Dataset
from stitchrl.loops.offline import REFRESH, UPDATE, begin, create, many, renew, roots

SEEDS, CHUNK, STEPS = 3, 3, 200


class Row(NamedTuple):
    """One algorithm in one variant."""

    algo: str
    settings: dict[str, Any] = {}  # noqa: RUF012 - never changed
    discrete: bool = False
    targets: dict[str, str] = {}  # noqa: RUF012 - slow copy -> the learner it follows


IQL = {'target': 'critic'}
PLANS = {'horizon': 2, 'particles': 2, 'members': 2, 'elites': 2}
ROLLS = {
    'rollouts': 16,
    'keep': 2,
    'final_length': 3,
    'grow_from': 0,
    'grow_to': 100,
    'refresh': 50,
    'model_hidden': (16, 16),
    'members': 3,
    'elites': 2,
    'epochs': 3,
    'model_batch': 16,
}
ROWS = {
    'bc': Row('bc'),
    'bc, deterministic': Row('bc', {'head': 'deterministic'}),
    'bc, mixture': Row('bc', {'head': 'mixture'}),
    'bc, discrete': Row('bc', discrete=True),
    'filtered_bc': Row('filtered_bc'),
    'td3_bc': Row('td3_bc', targets={'actor_target': 'actor', 'critic_target': 'critic'}),
    'sarsa': Row('sarsa', targets=IQL),
    'sarsa, discrete': Row('sarsa', discrete=True, targets=IQL),
    'awr': Row('awr', {'refresh': 2}),
    'awr, discrete': Row('awr', {'refresh': 2}, discrete=True),
    'cql': Row('cql', {'samples': 2}, targets=IQL),
    'cql, every switch': Row(
        'cql',
        {'samples': 2, 'lagrange': 1.0, 'max_backup': True, 'entropy_backup': True, 'warmup': 3, 'n_steps': 2},
        targets=IQL,
    ),
    'discrete_cql': Row('discrete_cql', {'period': 2}, discrete=True),
    'dqn': Row('dqn', {'period': 2}, discrete=True),
    'dqn, every switch': Row(
        'dqn',
        {'loss': 'huber', 'clip': 1.0, 'decay': True, 'rate': 0.1, 'n_steps': 2},
        discrete=True,
        targets=IQL,
    ),
    'double_dqn': Row('double_dqn', {'rate': 0.005}, discrete=True, targets=IQL),
    'td3': Row('td3', targets={'actor_target': 'actor', 'critic_target': 'critic'}),
    'sac': Row('sac', targets=IQL),
    'sac, one critic, hard target': Row(
        'sac', {'critics': 1, 'backup': 'own', 'rate': None, 'period': 2, 'entropy_backup': False, 'n_steps': 2}
    ),
    'sac, four critics, reinforce': Row(
        'sac',
        {
            'critics': 4,
            'backup': 'doubleq',
            'critic_updates': 2,
            'actor_gradient': 'reinforce',
            'actor_samples': 2,
            'actor_q': 'mean',
            'temperature': 0.1,
        },
    ),
    'sac, entropy only': Row('sac', {'actor_gradient': 'none', 'backup': 'mean'}, targets=IQL),
    'iql': Row('iql', {'n_steps': 2}, targets=IQL),
    'iql, discrete': Row('iql', discrete=True, targets=IQL),
    'iql, late': Row('iql', {'extract': 'late'}, targets=IQL),
    'dyna': Row('dyna', {'planning': 2, 'members': 2, 'model_hidden': (16,)}, discrete=True),
    'mbpo': Row('mbpo', ROLLS, targets={'inner.target': 'inner.critic'}),
    'mpc': Row('mpc', {**PLANS, 'samples': 8, 'iterations': 2, 'ends': True, 'noise': 0.1}),
    'mpc, discrete': Row('mpc', {**PLANS, 'planner': 'exhaustive', 'noise': 0.5}, discrete=True),
}


def recording(seed: int, discrete: bool) -> Dataset:
    """24 episodes of 10 steps, every other one cut by a time limit; the same shapes for every seed."""
    rng, n = np.random.default_rng(seed), 240
    last, task = np.arange(n) % 10 == 9, np.arange(n) // 10 % 2 == 0
    action = rng.permutation(n) % 4 if discrete else rng.uniform(-1, 1, (n, 2))
    data = Dataset.from_arrays(rng.normal(size=(n, 3)), action, rng.normal(size=n), last & task, last & ~task)
    return jax.device_put(Boundary.fit(data).inward(data))


class Trained:
    """A row with its compiled programs: `create` and `many` for three seeds at once, `alone` for one."""

    def __init__(self, row: Row):
        self.row, self.module = row, algorithm(row.algo)
        self.cfg = self.module.Config(hidden=(32, 32), batch=32, steps=STEPS, **row.settings)
        self.data, self.other_data = (recording(seed, row.discrete) for seed in (0, 1))
        self.traces: list[Any] = []
        self.algo = counted(self.module.ALGO, self.traces)

    @cached_property
    def fresh(self) -> Any:
        """Three agents as one."""
        return create(self.algo, self.data.spec, self.cfg, seed=0, seeds=SEEDS)

    @cached_property
    def first(self) -> tuple[Any, dict[str, np.ndarray]]:
        """The three agents after the first chunk, and its metrics [CHUNK, SEEDS]."""
        return self.chunk(self.fresh, self.data, seed=0, start=0)

    def chunk(self, agents: Any, data: Dataset, seed: int, start: int) -> tuple[Any, dict[str, np.ndarray]]:
        """CHUNK updates by the package's own loop, which takes the buffers of what it is given: a copy."""
        state = begin(jax.tree.map(jnp.copy, agents), data)
        state = renew(state, data, roots(seed, SEEDS, REFRESH), start) if refreshes(agents) else state
        (agents, _), each = many(state, data, roots(seed, SEEDS, UPDATE), jnp.int32(start), CHUNK)
        return agents, each

    def agent(self, seed: int) -> Any:
        """One of the three fresh agents."""
        return jax.tree.map(lambda leaf: leaf[seed], self.fresh)

    def fresh_like(self) -> Any:
        """Shapes of one agent, as a run knows them before it loads."""
        return jax.eval_shape(lambda: self.agent(0))

    def alone(self, agent: Any, start: int, stop: int, seed: int = 0) -> Any:
        """One agent, updates `start` to `stop`, by a loop of our own that compiles once for all lengths."""
        keys = (roots(seed, 1, stream)[0] for stream in (UPDATE, REFRESH))
        return run(agent, self.data, *keys, jnp.int32(start), jnp.int32(stop))

    @cached_property
    def at_7(self) -> Any:
        """The agent of seed 0 after 7 updates."""
        return self.alone(self.agent(0), 0, 7)

    @cached_property
    def at_200(self) -> Any:
        """The same after 7 + 193."""
        return self.alone(self.at_7, 7, STEPS)


def counted(algo: type, traces: list[Any]) -> type:
    """The algorithm, noting each time that Python runs its `update`: once per trace."""

    class Counted(algo):
        def update(self, batch, key, t):
            traces.append(batch)
            return super().update(batch, key, t)

    return Counted


def refreshes(agent: Any) -> bool:
    """Whether it does so without labels, which this loop writes at its start only."""
    return bool(getattr(agent.cfg, 'refresh', 0)) and type(agent).label is Agent.label


@jax.jit
def run(agent: Any, data: Dataset, root: jax.Array, again: jax.Array, start: jax.Array, stop: jax.Array) -> Any:
    data = data.with_labels(agent.label(data))

    def one(t: jax.Array, agent: Any) -> Any:
        if refreshes(agent):
            anew = lambda agent: agent.refresh(data, jr.fold_in(again, t), t)
            agent = jax.lax.cond(t % agent.cfg.refresh == 0, anew, lambda agent: agent, agent)
        k_data, k_update = jr.split(jr.fold_in(root, t))
        return agent.update(agent.draw(data, k_data), k_update, t)[0]

    return jax.lax.fori_loop(start, stop, one, agent)


def same(one: Any, other: Any) -> bool:
    """Whether two trees are equal bit for bit."""
    equal = partial(jax.tree.map, lambda a, b: np.asarray(a).tobytes() == np.asarray(b).tobytes())
    return jax.tree.all(equal(one, other))


def furthest(one: Any, other: Any) -> float:
    """The largest difference between two trees."""
    apart = jax.tree.map(lambda a, b: float(np.abs(np.asarray(a) - np.asarray(b)).max()), one, other)
    return max(jax.tree.leaves(apart))

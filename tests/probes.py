"""Which algorithm must pass which probe world, and how that is checked. See `stitchrl/envs/probes.py` for the worlds.

A new algorithm adds its row to ROWS; `test_probes.py` does the rest. A probe that an algorithm cannot be asked to
pass is left out of its row, with the reason beside it.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.algos import algorithm
from stitchrl.core.boundary import Boundary
from stitchrl.data.dataset import Dataset
from stitchrl.envs.probes import PROBES, create, probe_columns
from stitchrl.loops import offline
from stitchrl.loops.offline import REFRESH, UPDATE, begin, many, renew, roots

GAMMA, ROWS_OF_DATA, CHUNK = 0.8, 256, 100
VALUE_OFF, ACTION_OFF = 0.05, 0.15  # how far an answer may lie from the one worked by hand


class Row(NamedTuple):
    """One algorithm in one variant. `value(agent, obs)` is [K], what it expects of obs [K, 1]; None: nothing."""

    algo: str
    probes: tuple[str, ...]
    value: Callable[[Any, Any], Any] | None
    settings: dict[str, Any] = {}  # noqa: RUF012 - never changed
    discrete: bool = False
    updates: int = 400
    expert: bool = False  # learns from the best actions instead of random ones


QUICK = {'lr': 1e-2, 'gamma': GAMMA, 'rate': 0.1}
# The weights exp(beta A) are then narrow enough for their mean to be the best action: under random actions and
# beta = 3 the mean is 0.33 where 0.5 is best.
IQL = {**QUICK, 'beta': 10.0}

AWR = {'lr': 1e-2, 'gamma': GAMMA, 'beta': 3.0, 'refresh': 50}
CQL = {**QUICK, 'actor_lr': 1e-2, 'samples': 4}
SAC = {**QUICK, 'actor_lr': 1e-2, 'temperature': 1e-3}
DYNA = {'lr': 1e-2, 'gamma': GAMMA, 'rate': 0.1, 'planning': 2, 'model_hidden': (32,), 'model_lr': 1e-2}
MBPO = {
    **QUICK,
    'actor_lr': 1e-2,
    'target_entropy': -4.0,
    'real': 0.0,
    'refresh': CHUNK,
    'rollouts': 256,
    'model_hidden': (32, 32),
    'members': 3,
    'elites': 2,
    'model_lr': 1e-2,
    'model_batch': 64,
}
DQN = {'lr': 1e-2, 'gamma': GAMMA, 'period': 10}
MPC = {'lr': 1e-2, 'gamma': GAMMA, 'horizon': 2, 'ends': True, 'propagation': 'mean', 'members': 2, 'elites': 2}


def greedy_q(agent: Any, obs: Any) -> Any:
    """Q of what the agent would do, the smaller of two critics where there are two."""
    q = agent.critic.net(obs, agent.act((), obs, jr.key(0))[0])
    return q if q.ndim == 1 else q.min(0)


def planned(agent: Any, obs: Any) -> Any:
    """What the best plan is expected to return."""
    plan = lambda *args: agent.planner.plan(agent.model, *args)[2]['plan/best']
    return jax.vmap(plan)(obs, agent.planner.remember(len(obs)), jr.split(jr.key(0), len(obs)))


ROWS = {
    # No values, so the first three probes ask nothing of it; it must do what an expert did, and where.
    'bc': Row('bc', ('action', 'both'), None, {'lr': 3e-3}, expert=True),
    'bc, discrete': Row('bc', ('action', 'both'), None, {'lr': 3e-3}, discrete=True, expert=True),
    # No values either, but the best tenth of random one-step episodes are those with the best actions.
    'filtered_bc': Row('filtered_bc', ('action', 'both'), None, {'lr': 3e-3}),
    # With alpha = 2.5 the imitation of random actions pulls the best action from 0.5 to 0.36.
    'td3_bc': Row(
        'td3_bc',
        tuple(PROBES),
        lambda agent, obs: agent.critic.net(obs, agent.actor.net(obs)).min(0),
        {**QUICK, 'alpha': 25.0},
    ),
    # The behaviour's values: no probe asks for a choice in the first three, and the last two only about the action.
    'sarsa': Row('sarsa', tuple(PROBES), lambda agent, obs: agent.value.net(obs), IQL),
    'sarsa, discrete': Row('sarsa', ('delayed', 'both'), lambda agent, obs: agent.value.net(obs), IQL, discrete=True),
    'awr': Row('awr', tuple(PROBES), lambda agent, obs: agent.value.net(obs), AWR),
    'awr, discrete': Row('awr', ('delayed', 'both'), lambda agent, obs: agent.value.net(obs), AWR, discrete=True),
    # Gap terms bias Q by design, so its values are asked for with alpha 0 and its actions with alpha 1/2.
    'cql, alpha 0': Row('cql', ('constant', 'observation', 'delayed'), greedy_q, {**CQL, 'alpha': 0.0}),
    'cql': Row('cql', ('action', 'both'), None, {**CQL, 'alpha': 0.1}, updates=800),
    'discrete_cql, alpha 0': Row(
        'discrete_cql', ('constant', 'observation', 'delayed'), greedy_q, {**DQN, 'alpha': 0.0}, discrete=True
    ),
    'discrete_cql': Row('discrete_cql', ('action', 'both'), None, {**DQN, 'alpha': 0.1}, discrete=True),
    'dqn': Row('dqn', tuple(PROBES), greedy_q, DQN, discrete=True),
    'double_dqn': Row('double_dqn', ('delayed', 'both'), greedy_q, {**DQN, 'loss': 'huber'}, discrete=True),
    # On random actions, so both learn from data that they did not choose; their Q needs no correction for that here.
    'td3': Row('td3', tuple(PROBES), greedy_q, {**QUICK, 'lr': 3e-3}),
    # A temperature of nearly nothing, or the entropy would be part of the values; its mode is then the best action.
    'sac': Row('sac', tuple(PROBES), greedy_q, SAC),
    'sac, mean of one, reinforce': Row(
        'sac',
        ('delayed', 'both'),
        greedy_q,
        {
            **SAC,
            'actor_lr': 3e-3,
            'critics': 1,
            'backup': 'mean',
            'actor_gradient': 'reinforce',
            'actor_samples': 8,
        },
        updates=800,
    ),
    'iql': Row('iql', tuple(PROBES), lambda agent, obs: agent.value.net(obs), {**IQL, 'expectile': 0.9}),
    'iql, discrete': Row(
        'iql', tuple(PROBES), lambda agent, obs: agent.value.net(obs), {**IQL, 'expectile': 0.9}, discrete=True
    ),
    # The values of the first half, the policy of the second.
    'iql, late': Row(
        'iql',
        ('both',),
        lambda agent, obs: agent.value.net(obs),
        {**IQL, 'expectile': 0.9, 'extract': 'late'},
        updates=800,
    ),
    # Values are imagined returns over both steps there are, with an end that is learned. The model's mean is planned
    # in: of many plans with noise the best is the luckiest, and worth less than it seems.
    'dyna': Row('dyna', tuple(PROBES), lambda agent, obs: greedy_q(agent.inner, obs), DYNA, discrete=True),
    # From imagined rows alone, so every answer has gone through the model: its rewards, its successors, its ends.
    'mbpo': Row('mbpo', tuple(PROBES), lambda agent, obs: greedy_q(agent.inner, obs), MBPO),
    'mpc': Row('mpc', tuple(PROBES), planned, MPC),
    'mpc, discrete': Row('mpc', ('both',), planned, {**MPC, 'planner': 'exhaustive'}, discrete=True),
}


def recording(row: Row, probe: str) -> Dataset:
    """Random steps in a probe, or an expert's. The horizon is dropped, so that the worlds share compiled programs."""
    columns = probe_columns(probe, jr.key(0), ROWS_OF_DATA, row.discrete)
    if row.expert:
        answer = create(probe, row.discrete).answer(GAMMA)
        which = np.abs(columns.obs - answer.obs.T).argmin(1)
        columns = replace(columns, action=answer.action[which])
    data = Dataset.from_columns(columns)
    data = replace(data, spec=replace(create(probe, row.discrete).spec, horizon=None))
    return Boundary.fit(data).inward(data)


@cache
def fresh(algo: type, spec: Any, cfg: Any) -> Any:
    return offline.create(algo, spec, cfg, seed=0, seeds=1)


def learn(row: Row, probe: str, again: bool = False) -> Any:
    """The agent after its updates. again: compile anew, for when something was changed in the source."""
    module, data = algorithm(row.algo), recording(row, probe)
    cfg = module.Config(hidden=(32, 32), batch=64, steps=row.updates, **row.settings)
    data = jax.device_put(module.ALGO.select(data, cfg))
    agents = jax.tree.map(jnp.copy, fresh(module.ALGO, data.spec, cfg))
    if again:
        parts = {field.name: getattr(agents, field.name) for field in fields(agents)}
        agents = type('Again', (module.ALGO,), {})(**parts)  # another class is another program
    state = begin(agents, data)
    for start in range(0, row.updates, CHUNK):
        state = renew(state, data, roots(0, 1, REFRESH), start)
        state, _ = many(state, data, roots(0, 1, UPDATE), jnp.int32(start), CHUNK)
    return jax.tree.map(lambda leaf: leaf[0], state.agents)


def check(name: str, probe: str, again: bool = False) -> None:
    """AssertionError where the agent's values or actions are not those worked by hand."""
    row = ROWS[name]
    agent, answer = learn(row, probe, again), create(probe, row.discrete).answer(GAMMA)
    obs = jnp.asarray(answer.obs, jnp.float32)
    if answer.action is None:
        np.testing.assert_allclose(row.value(agent, obs), answer.value, atol=VALUE_OFF)
        return
    action = agent.act(agent.remember(len(obs)), obs, jr.key(0))[0]
    if row.discrete:
        np.testing.assert_array_equal(action, answer.action)
    else:
        np.testing.assert_allclose(action, answer.action, atol=ACTION_OFF)

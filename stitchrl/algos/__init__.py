"""The table of algorithms: name -> (module, one line). Nothing is imported before it is asked for."""

from importlib import import_module
from types import ModuleType

from stitchrl.errors import UsageError, meant

ALGORITHMS = {
    'bc': ('stitchrl.algos.offline.bc', 'imitate every action of the data'),
    'filtered_bc': ('stitchrl.algos.offline.filtered_bc', 'imitate the best tenth of the episodes'),
    'awr': ('stitchrl.algos.offline.awr', 'imitate every step by how much better it went than expected'),
    'sarsa': ('stitchrl.algos.offline.sarsa', 'values of what the recorder did, one step of improvement on it'),
    'td3_bc': (
        'stitchrl.algos.offline.td3_bc',
        'deterministic policy gradient, held near the data by an imitation term',
    ),
    'cql': ('stitchrl.algos.offline.cql', 'soft actor-critic whose Q is pushed down off the data'),
    'discrete_cql': (
        'stitchrl.algos.offline.discrete_cql',
        'double DQN whose Q is pushed down off the data',
    ),
    'iql': (
        'stitchrl.algos.offline.iql',
        'expectile values of actions in the data, policy by weighted imitation',
    ),
    'dqn': ('stitchrl.algos.online.dqn', 'discrete actions, greedy on a Q that learns from its slow copy'),
    'double_dqn': ('stitchrl.algos.online.double_dqn', 'DQN where Q chooses the action that its slow copy values'),
    'td3': ('stitchrl.algos.online.td3', 'deterministic policy gradient, twin critics, a policy that waits'),
    'sac': ('stitchrl.algos.online.sac', 'soft actor-critic: as much return as it can at an entropy it keeps'),
    'mpc': ('stitchrl.algos.modelled.mpc', 'a learned model of the world, planned over at every step'),
    'dyna': ('stitchrl.algos.modelled.dyna', 'Q, a table or a network, that also learns from steps of a model'),
    'mbpo': ('stitchrl.algos.modelled.mbpo', 'SAC or TD3 on short roll-outs of a learned ensemble'),
}

# Those that learn a game by playing both sides of it, and nothing from recordings or from steps in a world.
PLAYERS = {
    'alphago': ('stitchrl.algos.search.alphago', 'imitates games of a search, improves against itself, learns values'),
    'alphazero': ('stitchrl.algos.search.alphazero', 'plays itself by tree search, learns what the search finds'),
}


def algorithm(name: str) -> ModuleType:
    """The module of an algorithm: `ALGO` (the class), `Config`, `PRESETS`. UsageError names the nearest match."""
    known = ALGORITHMS | PLAYERS
    if name not in known:
        raise UsageError(f'unknown algorithm {name!r}{meant(name, known)}')
    return import_module(known[name][0])

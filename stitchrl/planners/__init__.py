"""The table of planners over sequences of actions: name -> (module, class, which settings of candidates it has).

Nothing is imported before it is asked for. The tree search is not in it: it asks more of a model (`models.rules`).
"""

from importlib import import_module
from typing import Any

from stitchrl.core.spec import Spec
from stitchrl.errors import UsageError, meant

PLANNERS = {
    'shooting': ('stitchrl.planners.shooting', 'Shooting', ('samples',)),
    'cem': ('stitchrl.planners.cem', 'CEM', ('samples', 'iterations')),
    'mppi': ('stitchrl.planners.mppi', 'MPPI', ('samples', 'iterations')),
    'gradient': ('stitchrl.planners.gradient', 'Gradient', ('iterations',)),
    'exhaustive': ('stitchrl.planners.exhaustive', 'Exhaustive', ()),
}


def named(
    name: str,
    spec: Spec,
    horizon: int,
    samples: int | None = None,
    iterations: int | None = None,
    particles: int = 1,
    gamma: float = 1.0,
) -> Any:
    """A planner by its name; None leaves a number to it. UsageError for an unknown name, a setting that it does not
    have, a number below 1, and actions that it cannot take."""
    if name not in PLANNERS:
        raise UsageError(f'no planner {name!r}{meant(name, PLANNERS)}')
    module, cls, has = PLANNERS[name]
    numbers = {'samples': samples, 'iterations': iterations}
    given = {setting: value for setting, value in numbers.items() if value is not None}
    if other := [setting for setting in given if setting not in has]:
        none = ' '.join(f'--{setting} None' for setting in other)
        raise UsageError(f'{name} has no {" and no ".join(other)}; leave them out, or where a preset sets them: {none}')
    for setting, value in {'horizon': horizon, 'particles': particles, **given}.items():
        if value < 1:
            raise UsageError(f'{setting} is {value}; expected at least 1')
    return getattr(import_module(module), cls).create(spec, horizon, particles=particles, gamma=gamma, **given)

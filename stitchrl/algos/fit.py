"""Which algorithms can act in a space. Asked of the algorithms themselves, so a new one needs no line here."""

from functools import partial

import jax
import jax.random as jr

from stitchrl.algos import ALGORITHMS, algorithm
from stitchrl.core.spec import Observation, Spec
from stitchrl.errors import UsageError

SMALL = Observation((2,))  # only the actions decide


def takes(name: str, spec: Spec) -> bool:
    """Whether the algorithm can act in `spec.action`. Nothing is computed; its shapes alone are drawn."""
    module = algorithm(name)
    try:
        jax.eval_shape(partial(module.ALGO.create, Spec(SMALL, spec.action), module.Config()), jr.key(0))
    except UsageError:
        return False
    return True


def refuse(name: str, spec: Spec, where: str) -> None:
    """Raise UsageError where the algorithm cannot act in the space of `where` (a recording or an environment), with
    the list of those that can."""
    if takes(name, spec):
        return
    kind, other = ('discrete', 'continuous') if spec.discrete else ('continuous', 'discrete')
    family = algorithm(name).__name__.split('.')[-2]
    fits = [known for known in ALGORITHMS if takes(known, spec)]
    near = [known for known in fits if algorithm(known).__name__.split('.')[-2] == family]
    raise UsageError(f'{name} needs {other} actions, those of {where} are {kind}; {", ".join(near or fits)} take them')

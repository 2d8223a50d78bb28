"""A policy as a list of steps, and two ways in which such a list gets shorter. Imports no JAX."""

from typing import Any, NamedTuple

import numpy as np

Step = dict[
    str, Any
]  # {op: name of the function, in: names of its inputs, out: of its result, to: its setting, if any}


class Program(NamedTuple):
    """Steps in order, from `observation` to the action, which the last one gives, and the arrays they use."""

    steps: list[Step]
    constants: dict[str, np.ndarray]


def tidy(steps: list[Step], constants: dict[str, np.ndarray], out: str) -> Program:
    """Without what `out`, which ends it, does not need."""
    needed, kept = {out}, []
    for step in reversed(steps):
        if step['out'] in needed:
            needed.update(step['in'])
            kept.append(step)
    return Program(kept[::-1], {name: x for name, x in constants.items() if name in needed})


def fused(program: Program) -> Program:
    """Where a product is followed by its bias, and that by max(., 0), one step `dense` instead of two or three: it
    works in place, which saves a robot a few microseconds."""
    steps: list[Step] = []
    for step in program.steps:
        merged = join(steps[-1], step, program) if steps else None
        steps = [*steps[:-1], merged] if merged else [*steps, step]
    return tidy(steps, program.constants, steps[-1]['out'])


def join(first: Step, then: Step, program: Program) -> Step | None:
    """Two steps as one, if they are part of a dense layer and nothing else uses the first."""
    constants, users = program.constants, sum(first['out'] in step['in'] for step in program.steps)
    others = [name for name in then['in'] if name != first['out']]
    if first['out'] not in then['in'] or users != 1 or len(others) != 1 or others[0] not in constants:
        return None
    other = others[0]
    if first['op'] == 'matmul' and then['op'] == 'add' and constants[other].size == constants[first['in'][1]].shape[1]:
        return {'op': 'dense', 'in': [*first['in'], other], 'out': then['out']}
    if first['op'] == 'dense' and then['op'] == 'maximum' and constants[other].shape == () and not constants[other]:
        return first | {'to': 'relu', 'out': then['out']}
    return None

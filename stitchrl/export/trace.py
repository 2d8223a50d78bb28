"""What a policy computes, as a list of NumPy functions: read off its jaxpr, whatever the algorithm.

The greedy action is traced once with a symbolic number n of observations. What depends on weights alone is computed
here and now; every other equation becomes a step that NumPy (runner.py) and ONNX (as_onnx.py) have a function for.
A primitive that they lack is refused by name.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np

from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Spec
from stitchrl.errors import UsageError
from stitchrl.export.greedy import batch, greedy
from stitchrl.export.program import Program, Step, fused, tidy

CALLS = ('jit', 'pjit', 'closed_call', 'custom_jvp_call', 'custom_vjp_call')  # equations that hold others
ELEMENTWISE = {
    'add': 'add',
    'sub': 'subtract',
    'mul': 'multiply',
    'div': 'divide',
    'max': 'maximum',
    'min': 'minimum',
    'tanh': 'tanh',
    'exp': 'exp',
    'log': 'log',
}
REDUCTIONS = {'reduce_max': 'max', 'reduce_sum': 'sum', 'argmax': 'argmax'}


class Known(NamedTuple):
    """A value that depends on no observation. One that JAX repeats n times is kept once."""

    value: Any
    name: str


class Unknown(NamedTuple):
    """A value that a step gives."""

    name: str


def trace(agent: Agent, boundary: Boundary, spec: Spec) -> Program:
    """The program of one agent's policy. UsageError for what has no counterpart."""
    tree, tracer = {'agent': agent, 'boundary': boundary}, Tracer()
    closed, leaves = jax.make_jaxpr(greedy)(tree, batch(spec)), jax.tree_util.tree_flatten_with_path(tree)[0]
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator='.')
    known = [Known(jnp.asarray(leaf), name(path)) for path, leaf in leaves]
    (action,) = tracer.run(closed.jaxpr, closed.consts, [*known, Unknown('observation')])
    if isinstance(action, Known):
        raise UsageError('the policy does the same whatever it observes; there is nothing to export')
    return fused(tidy(tracer.steps, tracer.constants, action.name))


class Tracer:
    """Walks a jaxpr, and collects steps and the constants that they use."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.constants: dict[str, np.ndarray] = {}

    def run(self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
        """Known or Unknown outputs of a jaxpr of such inputs."""
        env = dict(zip(jaxpr.constvars, [Known(value, 'constant') for value in consts], strict=True))
        env |= dict(zip(jaxpr.invars, args, strict=True))
        read = lambda v: Known(jnp.asarray(v.val), 'number') if isinstance(v, jex.Literal) else env[v]
        for eqn in jaxpr.eqns:
            env |= dict(zip(eqn.outvars, self.equation(eqn, [read(v) for v in eqn.invars]), strict=True))
        return [read(v) for v in jaxpr.outvars]

    def equation(self, eqn: Any, ins: list[Any]) -> list[Any]:
        """The outputs of one equation: of those inside it, a constant, or of new steps."""
        name, known = eqn.primitive.name, all(isinstance(x, Known) for x in ins)
        if name in CALLS and eqn.params.get('name') == 'take_along_axis' and not known:
            return [self.take(eqn, *ins)]
        if name in CALLS:
            inner = next(value for value in eqn.params.values() if isinstance(value, jex.ClosedJaxpr))
            return self.run(inner.jaxpr, inner.consts, ins)
        if name in ('reshape', 'squeeze', 'broadcast_in_dim'):
            return [self.reshape(eqn, ins[0])]
        if known and ins:  # what has no inputs asks for n
            out, label = eqn.primitive.bind(*(x.value for x in ins), **eqn.params), ','.join(x.name for x in ins)
            return [Known(x, f'{name}({label})') for x in (out if eqn.primitive.multiple_results else [out])]
        if name == 'split':
            ends = np.cumsum([0, *eqn.params['sizes']])
            return [self.cut(eqn, ins[0], {eqn.params['axis']: pair}) for pair in pairwise(ends)]
        return [self.lower(name, eqn, ins)]

    def lower(self, name: str, eqn: Any, ins: list[Any]) -> Any:
        """An equation that depends on the observation."""
        p, dtype = eqn.params, eqn.outvars[0].aval.dtype
        if name in ELEMENTWISE and (name != 'div' or np.issubdtype(dtype, np.floating)):
            return self.elementwise(ELEMENTWISE[name], ins)
        match name:
            case 'stop_gradient':
                return ins[0]
            case 'convert_element_type':
                return self.step('astype', ins, np.dtype(dtype).name)
            case 'transpose':
                return self.step('transpose', ins, [int(axis) for axis in p['permutation']])
            case 'concatenate' if all(isinstance(x, Unknown) for x in ins):
                return self.step('concatenate', ins, int(p['dimension']))
            case 'slice' if not p['strides']:
                return self.cut(eqn, ins[0], dict(enumerate(zip(p['start_indices'], p['limit_indices'], strict=True))))
            case 'gather' if isinstance(ins[1], Known):
                return self.gather(eqn, *ins)
            case 'reduce_max' | 'reduce_sum' | 'argmax' if len(p['axes']) == 1:
                out = self.step(REDUCTIONS[name], ins, int(p['axes'][0]))
                return self.step('astype', [out], np.dtype(dtype).name) if name == 'argmax' else out
            case 'dot_general' if matrix(eqn, ins):
                return self.step('matmul', ins)
        raise unknown(name)

    def step(self, op: str, ins: Sequence[Any], to: Any = None) -> Unknown:
        """Append one; the constants it uses come along."""
        out = f'{op}_{len(self.steps)}'
        names = [x.name if isinstance(x, Unknown) else self.keep(np.asarray(x.value), x.name) for x in ins]
        self.steps.append({'op': op, 'in': names, 'out': out} | ({} if to is None else {'to': to}))
        return Unknown(out)

    def keep(self, value: np.ndarray, name: str) -> str:
        """The name of a constant: a number's is the number; another one where the name stands for another array."""
        name = name if value.ndim else str(value.item())
        told = lambda x: (x.dtype, x.shape, x.tobytes())
        while told(self.constants.get(name, value)) != told(value):
            name += "'"
        self.constants[name] = value
        return name

    def elementwise(self, op: str, ins: list[Any]) -> Any:
        """A function of numbers one by one. max(x, -inf), which a softmax begins with, is x."""
        real = [x for x in ins if not (isinstance(x, Known) and x.value.ndim == 0 and np.isneginf(x.value))]
        return real[0] if op == 'maximum' and len(real) == 1 else self.step(op, ins)

    def reshape(self, eqn: Any, x: Any) -> Any:
        """Axes added, dropped, split or joined. One along which JAX repeats stays 1: what follows broadcasts."""
        before, after = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
        if eqn.primitive.name == 'broadcast_in_dim':
            own = dict(zip(eqn.params['broadcast_dimensions'], before, strict=True))
            after = tuple(own.get(i, 1) for i in range(len(after)))
        if isinstance(x, Known):
            return Known(x.value.reshape([size if isinstance(size, int) else 1 for size in after]), x.name)
        if sum(not isinstance(size, int) for size in after) > 1:
            raise unknown(f'a reshape from {before} to {after}')
        return x if before == after else self.step('reshape', [x], sizes(after))

    def cut(self, eqn: Any, x: Any, ends: dict[int, tuple[Any, Any]]) -> Unknown:
        """From, to along some axes; all of the others."""
        sides = [ends.get(axis, (0, None)) for axis in range(eqn.invars[0].aval.ndim)]
        number = lambda end: int(end) if isinstance(end, int | np.integer) else None  # n: to the end
        return self.step('slice', [x], [[number(first), number(last)] for first, last in sides])

    def gather(self, eqn: Any, x: Any, start: Known) -> Unknown:
        """At a constant place: how JAX writes a slice while n is open."""
        numbers, widths = eqn.params['dimension_numbers'], eqn.params['slice_sizes']
        if start.value.ndim != 1 or numbers.operand_batching_dims:
            raise unknown('gather')
        ends = {
            axis: (at, at + widths[axis])
            for axis, at in zip(numbers.start_index_map, start.value.tolist(), strict=True)
        }
        out, after = self.cut(eqn, x, ends), eqn.outvars[0].aval.shape
        return self.step('reshape', [out], sizes(after)) if numbers.collapsed_slice_dims else out

    def take(self, eqn: Any, values: Any, index: Any) -> Unknown:
        """take_along_axis at one place: a sum in which all but that one are zero."""
        before, after = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
        axis = next((i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b), None)
        if axis is None:
            return values
        places = np.arange(before[axis], dtype=np.int32).reshape([-1 if i == axis else 1 for i in range(len(before))])
        here = self.step('equal', [index, Known(places, f'0..{before[axis] - 1}')])
        total = self.step('sum', [self.step('where', [here, values, Known(np.float32(0), '0.0')])], axis)
        return self.step('reshape', [total], sizes(after))


def matrix(eqn: Any, ins: Sequence[Any]) -> bool:
    """Whether a product is x [..., in] times a constant [in, out]."""
    (left, right), batched = eqn.params['dimension_numbers']
    plain = tuple(left) == (eqn.invars[0].aval.ndim - 1,) and tuple(right) == (0,) and not any(batched)
    return plain and isinstance(ins[1], Known) and ins[1].value.ndim == 2


def sizes(shape: Sequence[Any]) -> list[int]:
    """Of a shape in which n is open, as reshape takes it."""
    return [size if isinstance(size, int) else -1 for size in shape]


def unknown(what: str) -> UsageError:
    """The error for what cannot be a step."""
    return UsageError(f'this policy computes {what}, for which NumPy and ONNX exports have no step; try --to stablehlo')

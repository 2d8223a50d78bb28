"""A policy as ONNX, for onnxruntime and what else reads it. Step by step the program that NumPy runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Spec
from stitchrl.errors import MissingExtra
from stitchrl.export.program import Program, Step
from stitchrl.export.trace import trace

FILE = 'policy.onnx'
OPSET, IR = 18, 8  # of 2022, so that older runtimes read it too
PLAIN = {
    'add': 'Add',
    'subtract': 'Sub',
    'multiply': 'Mul',
    'divide': 'Div',
    'maximum': 'Max',
    'minimum': 'Min',
    'tanh': 'Tanh',
    'exp': 'Exp',
    'log': 'Log',
    'equal': 'Equal',
    'where': 'Where',
    'matmul': 'MatMul',
}
END = np.iinfo(np.int64).max  # of a slice that goes to the end


def write(folder: Path, agent: Agent, boundary: Boundary, spec: Spec) -> None:
    """Fill a folder. UsageError for a policy that ONNX has no functions for, MissingExtra without onnx."""
    try:
        import onnx
    except ImportError:
        raise MissingExtra('ONNX is written with onnx: pip install "stitchrl[export]"') from None
    proto = model(trace(agent, boundary, spec), spec)
    onnx.checker.check_model(proto, full_check=True)
    onnx.save_model(proto, folder / FILE)


def load(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The function from observations [n, ...] to actions, by onnxruntime. ValueError for what it does not take."""
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as errors  # pyright: ignore[reportAttributeAccessIssue]
    except ImportError:
        raise MissingExtra('ONNX is run by onnxruntime: pip install onnxruntime') from None
    refused = errors.Fail, errors.InvalidProtobuf, errors.InvalidGraph, errors.InvalidArgument, errors.NotImplemented
    try:
        session = onnxruntime.InferenceSession((folder / FILE).read_bytes(), providers=['CPUExecutionProvider'])
    except refused as error:
        raise ValueError(f'{folder / FILE}: {error}') from None
    return lambda obs: np.asarray(session.run(['action'], {'observation': obs})[0])


def model(program: Program, spec: Spec) -> Any:
    """The ModelProto: observation [n, ...] -> action [n, A] float32 or [n] int32; the spec is in its metadata."""
    from onnx import helper, numpy_helper

    kind = lambda dtype: helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    tensor = lambda name, dtype, shape: helper.make_tensor_value_info(name, kind(dtype), ['n', *shape])
    numbers = dict(program.constants)
    nodes = [node for step in program.steps for node in nodes_of(step, numbers)]
    nodes.append(helper.make_node('Identity', [program.steps[-1]['out']], ['action']))
    shape, dtype = ((), 'int32') if spec.discrete else ((spec.action_dim,), 'float32')
    graph = helper.make_graph(
        nodes,
        'policy',
        [tensor('observation', spec.obs.dtype, spec.obs.shape)],
        [tensor('action', dtype, shape)],
        [numpy_helper.from_array(np.ascontiguousarray(x).reshape(x.shape), name) for name, x in numbers.items()],
    )
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', OPSET)], ir_version=IR, producer_name='stitchrl'
    )
    helper.set_model_props(proto, {'spec': json.dumps(spec.to_json())})
    return proto


def nodes_of(step: Step, numbers: dict[str, np.ndarray]) -> list[Any]:
    """The nodes of one step; what ONNX takes as an input and NumPy as a setting goes into `numbers`."""
    from onnx import helper

    op, ins, out, to = step['op'], step['in'], step['out'], step.get('to')
    if op == 'dense':
        product, total = f'{out}.product', f'{out}.sum' if to == 'relu' else out
        nodes = [helper.make_node('MatMul', ins[:2], [product]), helper.make_node('Add', [product, ins[2]], [total])]
        return nodes + ([helper.make_node('Relu', [total], [out])] if to == 'relu' else [])
    kind, attributes, settings = word(op, to)
    names = [f'{out}.{i}' for i in range(len(settings))]
    numbers.update({name: np.asarray(x, np.int64) for name, x in zip(names, settings, strict=True)})
    return [helper.make_node(kind, [*ins, *names], [out], **attributes)]


def word(op: str, to: Any) -> tuple[str, dict[str, Any], list[Any]]:
    """(ONNX's name for a step, its attributes, its further inputs)."""
    from onnx import helper

    match op:
        case 'reshape':
            return 'Reshape', {}, [to]
        case 'transpose':
            return 'Transpose', {'perm': to}, []
        case 'concatenate':
            return 'Concat', {'axis': to}, []
        case 'slice':
            return 'Slice', {}, [[first for first, _ in to], [END if last is None else last for _, last in to]]
        case 'astype':
            return 'Cast', {'to': helper.np_dtype_to_tensor_dtype(np.dtype(to))}, []
        case 'argmax':
            return 'ArgMax', {'axis': to, 'keepdims': 0}, []
        case 'max' | 'sum':
            return 'ReduceMax' if op == 'max' else 'ReduceSum', {'keepdims': 0}, [[to]]
    return PLAIN[op], {}, []

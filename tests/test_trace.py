"""What a policy computes, read off its jaxpr: few steps, constants with names, and a word for what cannot be read."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from test_export import ARM, BUTTONS, boundary

from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.errors import UsageError
from stitchrl.export import runner
from stitchrl.export.greedy import greedy
from stitchrl.export.program import Program, fused, tidy
from stitchrl.export.trace import trace
from stitchrl.runs.policy import without_optimisers

OBS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


class Acts(Agent):
    """An agent whose greedy action is any function of the observation."""

    weight: jax.Array
    function: Any = eqx.field(static=True)
    cfg: Any = eqx.field(static=True, default=None)

    @classmethod
    def create(cls, spec, cfg, key):
        raise NotImplementedError

    def act(self, memory, obs, key, t=None):
        return self.function(self.weight, obs), memory

    def update(self, batch, key, t):
        raise NotImplementedError


WEIGHT = np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)


def acts(function, spec=BUTTONS):
    """(program, what it gives, what JAX gives)."""
    agent, units = Acts(jnp.asarray(WEIGHT), function), Boundary.blank(spec)
    program = trace(agent, units, spec)
    return program, run(program, OBS), np.asarray(greedy({'agent': agent, 'boundary': units}, OBS))


def run(program, obs):
    values, steps = runner.compiled(program.steps, program.constants)
    values[0] = obs
    for function, inputs, place in steps:
        values[place] = function(*[values[i] for i in inputs])
    return values[-1]


@pytest.mark.parametrize(
    'function',
    [
        lambda w, x: jnp.exp(x @ w) / (1 + jnp.abs(w).sum()),
        lambda w, x: jnp.log(jnp.maximum(x[:, 1:] @ w[:2], 0.5)).sum(-1),
        lambda w, x: jnp.concatenate([x[:, :1] - 1, x[:, 2:]], -1),
        lambda w, x: jnp.tanh(x * jnp.where(w[0, 0] < 0, 2, 3)),
        lambda w, x: jnp.concatenate([x @ w, x @ (2 * w)], -1).reshape(-1, 2, 2).max(-1),
        lambda w, x: jnp.swapaxes((x @ w)[:, None, :] * jnp.ones((1, 3, 1)) + x[:, :, None], -1, -2),
        lambda w, x: jax.nn.log_softmax(x @ w),
        lambda w, x: jnp.minimum(x, w[:, 0][None]).argmax(-1).astype(jnp.float32),
        lambda w, x: jnp.take_along_axis(x, x.argmax(-1)[:, None], -1)[:, 0],
        lambda w, x: x + jnp.float32(1),
        lambda w, x: (x @ w).sum(-1) + (x[:, :2] @ w.reshape(2, 3)).sum(-1),  # one name, two shapes
        lambda w, x: (x @ w + w[:1]) * (x @ w),
    ],
)
def test_functions_of_all_kinds_are_read_as_they_are(function):
    _, found, expected = acts(function)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(
    ('function', 'word'),
    [
        (lambda w, x: jnp.sin(x), 'sin'),
        (lambda w, x: jnp.sort(x, -1), 'sort'),
        (lambda w, x: jax.lax.fori_loop(0, 3, lambda i, x: x * x, x), 'scan|while'),
        (lambda w, x: jax.lax.cond(x.sum() > 0, lambda x: x, lambda x: -x, x), 'gt|reduce_sum'),
        (lambda w, x: x @ x.T, 'dot_general'),
        (lambda w, x: jax.lax.rev(x, (1,)), 'rev'),
        (lambda w, x: x / jnp.arange(x.shape[0])[:, None], 'dim_as_value|iota'),
        (lambda w, x: x[:, ::2], 'slice|gather|iota'),
        (lambda w, x: w[x[:, 0].astype(jnp.int32)], 'lt|gather|select_n'),
        (lambda w, x: x.sum(), 'reduce_sum'),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(function, word):
    with pytest.raises(UsageError, match=f'computes ({word}).*try --to stablehlo'):
        acts(function)


def test_an_action_that_depends_on_nothing_is_refused():
    with pytest.raises(UsageError, match='does the same whatever it observes'):
        acts(lambda w, x: w)


@pytest.mark.parametrize('spec', [ARM, BUTTONS], ids=['arm', 'buttons'])
def test_a_policy_is_a_dozen_steps_with_the_names_of_the_agents_own_leaves(spec):
    agent = jax.tree.map(lambda x: x[0], without_optimisers(tiny.agents('iql', spec)))
    steps, constants = trace(agent, boundary(spec), spec)
    words = [step['op'] for step in steps]
    tail = ['argmax', 'astype'] if spec.discrete else ['tanh', 'maximum', 'minimum', 'add', 'divide', 'multiply', 'add']
    assert words == ['subtract', 'divide', 'dense', 'dense', *tail]
    assert steps[2]['to'] == 'relu'
    for i, layer in enumerate(agent.actor.net.torso.layers):
        np.testing.assert_array_equal(constants[f'agent.actor.net.torso.layers.{i}.weight'], layer.weight)
    np.testing.assert_array_equal(constants['boundary.mean'], boundary(spec).mean[None])
    assert not any('critic' in name or 'value' in name for name in constants), 'only what acts is taken along'


STEPS = [
    {'op': 'matmul', 'in': ['observation', 'w'], 'out': 'a'},
    {'op': 'add', 'in': ['a', 'b'], 'out': 'c'},
    {'op': 'maximum', 'in': ['c', '0'], 'out': 'd'},
]
CONSTANTS = {'w': WEIGHT, 'b': np.float32([[1, -1]]), '0': np.float32(0), 'unused': np.float32(1)}


def program(*steps, **constants):
    return tidy([*STEPS, *steps], CONSTANTS | constants, (steps or STEPS)[-1]['out'])


def test_a_layer_becomes_one_step_and_computes_the_same():
    plain = program()
    layer = fused(plain)
    assert layer.steps == [{'op': 'dense', 'in': ['observation', 'w', 'b'], 'out': 'd', 'to': 'relu'}]
    assert set(layer.constants) == {'w', 'b'}
    np.testing.assert_array_equal(run(layer, OBS), run(plain, OBS))


@pytest.mark.parametrize(
    'other',
    [
        program({'op': 'add', 'in': ['a', 'd'], 'out': 'e'}),  # the product is used again
        program({'op': 'add', 'in': ['c', 'd'], 'out': 'e'}),  # the sum is
        program(**{'0': np.float32(1)}),  # not a ReLU
        program(b=np.float32([[1], [2], [3], [4], [5]])),  # one number per row, not a bias
    ],
    ids=['product', 'sum', 'max', 'rows'],
)
def test_steps_that_are_no_layer_stay_apart(other: Program):
    again = fused(other)
    assert len(again.steps) > 1
    np.testing.assert_array_equal(run(again, OBS), run(other, OBS))

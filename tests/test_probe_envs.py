"""The five probes: their answers are right, and a broken part is named by the first probe that it fails."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.envs.probes import PROBES, Probe, create, probe_columns
from stitchrl.errors import UsageError

GAMMA = 0.9
reset, step = jax.jit(Probe.reset), jax.jit(Probe.step)
EVERY_PROBE = pytest.mark.parametrize('name', PROBES)
BOTH_KINDS = pytest.mark.parametrize('discrete', [False, True], ids=['continuous', 'discrete'])


@EVERY_PROBE
@BOTH_KINDS
def test_the_answer_is_the_best_of_all_actions(name, discrete):
    probe = create(name, discrete)
    answer = probe.answer(GAMMA)
    actions = jnp.arange(2) if discrete else jnp.linspace(-1, 1, 41)[:, None]
    for i, start in enumerate(probe.starts):
        returns = np.array([discounted(probe, start, action) for action in actions])
        assert answer.obs[i] == start
        np.testing.assert_allclose(returns.max(), answer.value[i], rtol=1e-6)
        if answer.action is None:
            np.testing.assert_allclose(returns, returns[0])
        else:
            np.testing.assert_allclose(actions[returns.argmax()], answer.action[i], atol=1e-6)
            assert (returns < returns.max()).sum() == len(actions) - 1


def discounted(probe, start, action):
    """Discounted return of one action throughout; the task must end exactly after `steps`."""
    state = replace(reset(probe, jr.key(0)), obs=jnp.array([start]))
    total = 0.0
    for t in range(probe.steps):
        assert not state.terminated
        state = step(probe, state, action, jr.key(0))
        total += GAMMA**t * float(state.reward)
    assert state.terminated
    assert not state.truncated
    return total


@EVERY_PROBE
def test_every_first_observation_comes_up(name):
    obs = jax.vmap(lambda k: create(name).reset(k).obs)(jr.split(jr.key(0), 100))
    assert set(np.asarray(obs).ravel().tolist()) == set(create(name).starts)


@EVERY_PROBE
@BOTH_KINDS
def test_recordings_have_the_spaces_and_ends_of_the_world(name, discrete):
    probe, columns = create(name, discrete), probe_columns(name, jr.key(0), 200, discrete)
    assert 200 <= len(columns) < 200 + probe.steps
    assert columns.obs.shape == (len(columns), 1)
    assert columns.discrete == discrete
    assert columns.action.shape == ((len(columns),) if discrete else (len(columns), 1))
    assert set(np.unique(columns.action)) == {0, 1} if discrete else np.ptp(columns.action) > 1.9
    ends = np.arange(1, len(columns) + 1) % probe.steps == 0
    np.testing.assert_array_equal(columns.terminal, ends)
    assert not columns.timeout.any()


def solve(columns, broken):
    """Q(o) [2] by tabular Q-learning on a discrete recording, with one part broken."""
    seen = np.zeros_like(columns.obs[:, 0]) if broken == 'blind' else columns.obs[:, 0]
    following = np.zeros_like(seen) if broken == 'blind' else columns.next_obs[:, 0]
    following = seen if broken == 'next_obs' else following
    mask = np.ones(len(seen)) if broken == 'mask' else 1 - columns.terminal
    gamma = 1.0 if broken == 'gamma' else 0.0 if broken == 'bootstrap' else GAMMA
    q = {o: np.zeros(2) for o in np.unique(np.concatenate([seen, following]))}
    for _ in range(0 if broken == 'value' else 200):
        target = columns.reward + gamma * mask * np.array([q[o].max() for o in following])
        for o in q:
            q[o] = np.array([mean(target[(seen == o) & (columns.action == a)]) for a in (0, 1)])
    return lambda obs: q[0.0 if broken == 'blind' else obs]


def mean(x):
    return x.mean() if len(x) else 0.0


def passes(name, broken):
    """Whether the solver finds the probe's answer."""
    answer = create(name, True).answer(GAMMA)
    q = solve(probe_columns(name, jr.key(0), 200, True), broken)
    rows = np.array([q(float(o)) for o in answer.obs[:, 0]])
    best = rows.argmin(1) if broken == 'sign' else rows.argmax(1)
    best = np.full_like(best, best[0]) if broken == 'policy blind' else best
    value_right = np.allclose(rows.max(1), answer.value, atol=1e-3)
    return value_right and (answer.action is None or (best == answer.action).all())


@pytest.mark.parametrize(
    ('broken', 'first'),
    [
        (None, None),
        ('value', 'constant'),
        ('mask', 'constant'),
        ('blind', 'observation'),
        ('gamma', 'delayed'),
        ('bootstrap', 'delayed'),
        ('next_obs', 'delayed'),
        ('sign', 'action'),
        ('policy blind', 'both'),
    ],
)
def test_the_first_probe_that_fails_names_the_broken_part(broken, first):
    failed = [name for name in PROBES if not passes(name, broken)]
    assert failed[:1] == ([first] if first else [])


def test_an_unknown_probe_is_refused_in_words():
    with pytest.raises(UsageError, match="no probe 'harder'; choose one of constant, observation"):
        create('harder')

"""Each way to be broken is found in an environment that is broken in it, and nothing in those that are not."""

import gymnasium as gym
import numpy as np
import pytest
from broken_worlds import GYMNASIUM, Walk

from stitchrl.envs.episode import Plan
from stitchrl.envs.finding import once
from stitchrl.envs.gymnasium_check import findings

PLAN = Plan(episodes=4, steps=60, slow=0.02)
COMPANY = {  # one defect that is others as well
    'observation_shape': {'gymnasium_warning', 'gymnasium_error'},
    'action_changed': {'not_repeatable'},
    'observation_outside': {'gymnasium_warning', 'gymnasium_error'},
    'observation_dtype': {'gymnasium_warning', 'gymnasium_error'},
    'reward_type': {'gymnasium_warning', 'gymnasium_error'},
    'flag_type': {'gymnasium_warning', 'gymnasium_error'},
    'refused': {'gymnasium_error'},
}


def look(make, refused=None, plan=PLAN):
    return list(once(findings(make, refused, plan, lambda episode, step: None)))


def wrong(found):
    return {finding.name for finding in found} - {'ok'}


@pytest.mark.parametrize('name', GYMNASIUM)
def test_a_broken_world_is_found_and_nothing_else_in_it(name):
    found = wrong(look(GYMNASIUM[name], 'only Box is supported' if name == 'refused' else None))
    assert name in found
    assert found <= {name} | COMPANY.get(name, set())


@pytest.mark.parametrize('name', ['CartPole-v1', 'Pendulum-v1', 'Acrobot-v1', 'MountainCarContinuous-v0'])
def test_gymnasiums_own_are_in_order(name):
    found = look(lambda: gym.make(name), plan=Plan(episodes=3, steps=220))
    assert [str(finding) for finding in found if finding.severity != 'ok'] == []
    assert len(found) >= 11


def test_the_world_that_the_others_are_made_from_is_in_order():
    assert wrong(look(Walk)) == set()


def test_a_buffer_shared_but_not_changed_is_found_by_gymnasiums_checker():
    class Still(Walk):
        buffer = np.zeros(1, np.float32)

        def obs(self):
            return self.buffer

    found = look(Still)
    (shared,) = [finding for finding in found if finding.name == 'buffer_reused']
    assert 'share an object' in shared.what
    assert 'interface' not in {finding.part for finding in found if finding.severity == 'ok'}


def test_the_moment_is_named():
    raised = next(finding for finding in look(GYMNASIUM['raises']) if finding.name == 'raises')
    assert (raised.episode, raised.step, raised.what) == (1, 7, 'RuntimeError: lost contact')
    nan = next(finding for finding in look(GYMNASIUM['not_finite']) if finding.name == 'not_finite')
    assert (nan.episode, nan.step, nan.what) == (1, 5, 'the reward is nan')
    slow = next(finding for finding in look(GYMNASIUM['slow']) if finding.name == 'slow')
    assert slow.step == 3


def test_a_reset_that_raises_is_step_0():
    class Reset(Walk):
        def start(self):
            raise OSError('no power')

    (raised,) = [finding for finding in look(Reset) if finding.severity == 'error']
    assert (raised.episode, raised.step) == (1, 0)
    assert str(raised).startswith('steps, episode 1, reset: OSError: no power. It means: a run stops there')


@pytest.mark.parametrize(
    ('step', 'words'),
    [
        ((np.zeros(1), 0.0, False, {}), 'step returned a tuple of 4, expected'),
        (None, 'step returned a NoneType, expected'),
    ],
)
def test_what_is_not_five_values_is_named(step, words):
    class Old(Walk):
        def step(self, action):
            return step

    assert any(words in finding.what for finding in look(Old) if finding.name == 'raises')


def test_a_step_after_the_end_that_is_refused_is_in_order():
    class Strict(Walk):
        def step(self, action):
            if self.over() or self.t >= self.LIMIT:
                raise RuntimeError('reset first')
            return super().step(action)

    found = look(Strict)
    assert wrong(found) == set()
    assert any('a further step is refused (RuntimeError: reset first)' in finding.what for finding in found)


def test_a_world_registered_as_without_seeds_may_be():
    class Robot(GYMNASIUM['not_repeatable']):
        spec = gym.envs.registration.EnvSpec('Robot-v0', entry_point='x:y', nondeterministic=True)

        def reset(self, *, seed=None, options=None):
            return super().reset(seed=seed, options=options)

    assert 'not_repeatable' not in wrong(look(Robot))

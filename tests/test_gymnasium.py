"""Gymnasium's environments as ours: their spaces as a Spec, and vectors that leave a finished one alone."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Tuple

from stitchrl.core.spec import Continuous, Observation, Spec
from stitchrl.core.spec import Discrete as Choice
from stitchrl.envs.gymnasium import host
from stitchrl.errors import MissingExtra, UsageError

LINE = Box(-1, 1, (3,), np.float32)


class Short(gym.Env):
    """Episodes of two steps; obs counts them: 0, 1, 2."""

    observation_space = Box(-1, 9, (1,), np.float64)
    action_space = LINE

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1), {}

    def step(self, action):
        self.t += 1
        return np.array([self.t], np.float64), 1.0, self.t == 2, False, {}


def with_spaces(obs=LINE, action=LINE):
    return type('Made', (Short,), {'observation_space': obs, 'action_space': action})


def test_a_registered_environment_with_discrete_actions():
    found = host('CartPole-v1')
    assert found.name == 'CartPole-v1'
    assert found.spec == Spec(Observation((4,)), Choice(2), 500)


def test_a_registered_environment_with_continuous_actions():
    assert host('Pendulum-v1').spec == Spec(Observation((3,)), Continuous(1, (-2.0,), (2.0,)), 200)


def test_an_own_environment_without_a_limit():
    low, high = np.float32([-1, 0]), np.float32([1, 0.5])
    spec = host('mine', with_spaces(Box(0, 255, (8, 8, 3), np.uint8), Box(low, high))).spec
    assert spec == Spec(Observation((8, 8, 3), 'uint8'), Continuous(2, (-1.0, 0.0), (1.0, 0.5)))
    assert Spec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('CartPol-v1', 'Did you mean: `CartPole`'),
        ('CartPole-v99', 'version `v99`'),
        ('nonsense', "doesn't exist"),
        ('', 'Malformed'),
    ],
)
def test_an_unknown_name_is_refused_with_what_gymnasium_says(name, words):
    with pytest.raises(UsageError, match=f'no environment {name!r}: .*{words}'):
        host(name)


@pytest.mark.filterwarnings('ignore:.*out of date')
def test_a_name_that_gymnasium_gave_away_is_refused_as_well():
    with pytest.raises(UsageError, match=r"no environment 'Ant-v2': .*gymnasium-robotics"):
        host('Ant-v2')


@pytest.mark.parametrize(
    'obs', [Dict({'joints': LINE}), Tuple((LINE,)), Discrete(5)], ids=['dict', 'tuple', 'discrete']
)
def test_observations_that_are_not_arrays_are_refused(obs):
    with pytest.raises(UsageError, match=r'mine has observations .*; only Box is supported'):
        host('mine', with_spaces(obs=obs))


@pytest.mark.parametrize(
    'action',
    [
        Dict({'arm': LINE}),
        MultiDiscrete([2, 3]),
        Discrete(3, start=1),
        Box(-np.inf, np.inf, (2,)),
        Box(np.float32([-1, -np.inf]), np.float32([1, 1])),
        Box(-1, 1, (2, 2)),
    ],
    ids=['dict', 'multi-discrete', 'from 1', 'unbounded', 'half bounded', 'matrix'],
)
def test_actions_of_another_kind_are_refused(action):
    with pytest.raises(UsageError, match=r'mine has actions .*; expected Discrete from 0 or a bounded Box of one axis'):
        host('mine', with_spaces(action=action))


def test_a_missing_part_is_named_with_the_command_that_installs_it():
    def make():
        raise gym.error.DependencyNotInstalled('mujoco is not installed')

    with pytest.raises(MissingExtra) as refusal:
        host('Hopper-v5', make)
    assert 'Hopper-v5' in str(refusal.value)
    assert 'pip install "stitchrl[mujoco]"' in str(refusal.value)


def test_what_is_no_environment_is_refused():
    with pytest.raises(UsageError, match="mine made 'text', expected a Gymnasium environment"):
        host('mine', lambda: 'text')


def test_a_finished_one_stays_finished_until_it_is_reset_by_name():
    """The observation of the last step is the true final one; nothing is reset behind anybody's back."""
    vector = host('short', Short).vector(2)
    assert vector.reset(seed=[0, 1])[0].tolist() == [[0], [0]]
    action = np.zeros((2, 3), np.float32)
    vector.step(action)
    obs, reward, terminated, _, info = vector.step(action)
    assert obs.tolist() == [[2], [2]]
    assert (reward.tolist(), terminated.tolist()) == ([1, 1], [True, True])
    assert 'final_obs' not in info
    obs, _ = vector.reset(options={'reset_mask': np.array([False, True])})
    assert obs.tolist() == [[2], [0]]
    with pytest.raises(AssertionError):  # Gymnasium's own: the first is still finished
        vector.step(action)
    vector.reset(options={'reset_mask': np.array([True, False])})
    assert vector.step(action)[0].tolist() == [[1], [1]]
    vector.close()

"""Which algorithms can act in a space, and the refusal that lists them."""

import pytest

from stitchrl.algos import ALGORITHMS
from stitchrl.algos.fit import refuse, takes
from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.errors import UsageError

CHOICES = Spec(Observation((3,)), Discrete(2), 10)
FORCES = Spec(Observation((3,)), Continuous(2, (-1.0, -1.0), (1.0, 1.0)), 10)
CONTINUOUS, DISCRETE = {'td3_bc', 'cql', 'td3', 'sac', 'mbpo'}, {'discrete_cql', 'dqn', 'double_dqn', 'dyna'}


def test_every_algorithm_takes_its_kind():
    assert {name for name in ALGORITHMS if not takes(name, CHOICES)} == CONTINUOUS
    assert {name for name in ALGORITHMS if not takes(name, FORCES)} == DISCRETE


@pytest.mark.parametrize(
    ('name', 'spec', 'words'),
    [
        ('sac', CHOICES, 'sac needs continuous actions, those of CartPole-v1 are discrete; dqn, double_dqn take them'),
        ('dqn', FORCES, 'dqn needs discrete actions, those of CartPole-v1 are continuous; td3, sac take them'),
        ('td3_bc', CHOICES, 'are discrete; bc, filtered_bc, awr, sarsa, discrete_cql, iql take them'),
    ],
)
def test_a_refusal_lists_those_that_fit(name, spec, words):
    with pytest.raises(UsageError, match=words):
        refuse(name, spec, 'CartPole-v1')


def test_those_that_fit_pass():
    refuse('iql', CHOICES, 'x')
    refuse('iql', FORCES, 'x')

"""What a recording looks like from outside: through JSON and back, and who fits whom."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.errors import UsageError

numbers = st.floats(-1e6, 1e6)
spaces = st.one_of(
    st.builds(Discrete, st.integers(1, 1000)),
    st.lists(st.tuples(numbers, numbers), min_size=1, max_size=4).map(
        lambda pairs: Continuous(len(pairs), tuple(a for a, _ in pairs), tuple(b for _, b in pairs))
    ),
)
observations = st.builds(
    Observation,
    st.lists(st.integers(1, 99), max_size=3).map(tuple),
    st.sampled_from(['float32', 'uint8']),
    st.integers(1, 8),
)
specs = st.builds(Spec, observations, spaces, st.none() | st.integers(1, 10_000))


@given(specs)
def test_json_gives_the_same_spec_back(spec):
    again = Spec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert hash(again) == hash(spec)  # a static field: equal specs share a compiled program


@given(specs, specs)
def test_different_specs_have_different_json(one, other):
    assert (one == other) == (one.to_json() == other.to_json())


def test_json_of_before_frames_were_counted_still_loads():
    tree = Spec(Observation((4, 84, 84), 'uint8', 4), Discrete(6)).to_json()
    assert tree['obs'].pop('frames') == 4
    assert Spec.from_json(tree).obs == Observation((4, 84, 84), 'uint8', 1)


def test_images_are_three_axes_of_bytes():
    assert Observation((4, 84, 84), 'uint8').image
    assert not Observation((4, 84, 84), 'float32').image
    assert not Observation((128,), 'uint8').image


VECTOR = Spec(Observation((11,)), Continuous(3, (-1.0,) * 3, (1.0,) * 3), 1000)


def test_a_recording_may_lack_actions_that_its_place_has():
    """The larger number of choices; continuous actions and anything else stay as they are."""
    few, many = (Spec(Observation((2,)), Discrete(n), horizon) for n, horizon in ((2, 7), (3, 9)))
    assert few.joined(many) == Spec(Observation((2,)), Discrete(3), 7)
    assert many.joined(few) == many
    arm = Spec(Observation((2,)), Continuous(1, (-1.0,), (1.0,)))
    assert (arm.joined(many), many.joined(arm)) == (arm, many)


BUTTONS = Spec(Observation((11,)), Discrete(3))


def test_width_of_the_policy():
    assert (VECTOR.discrete, VECTOR.action_dim) == (False, 3)
    assert (BUTTONS.discrete, BUTTONS.action_dim) == (True, 3)


def test_an_unknown_kind_of_action_is_refused():
    tree = VECTOR.to_json()
    tree['action']['kind'] = 'box'
    with pytest.raises(UsageError, match='"continuous" or "discrete"'):
        Spec.from_json(tree)
    del tree['action']['kind']
    with pytest.raises(UsageError, match='None'):
        Spec.from_json(tree)


def test_bounds_dtype_and_horizon_may_differ_between_data_and_environment():
    wide = Spec(Observation((11,), 'float64'), Continuous(3, (-2.0,) * 3, (2.0,) * 3), None)
    VECTOR.check(wide, 'the data', 'the environment')


@pytest.mark.parametrize(
    ('other', 'message'),
    [
        (BUTTONS, 'actions are Continuous.* in the data but Discrete.* in the environment'),
        (
            Spec(Observation((11,)), Continuous(2, (0.0,) * 2, (1.0,) * 2)),
            'actions are .*dim=3.* but .*dim=2',
        ),
        (
            Spec(Observation((12,)), VECTOR.action),
            r'observations are \(11,\) in the data but \(12,\) in the env',
        ),
    ],
)
def test_specs_that_cannot_share_a_policy(other, message):
    with pytest.raises(UsageError, match=message):
        VECTOR.check(other, 'the data', 'the environment')


def test_numbers_of_discrete_actions_must_agree():
    with pytest.raises(UsageError, match=r'n=3.*n=4'):
        BUTTONS.check(Spec(BUTTONS.obs, Discrete(4)), 'the data', 'the environment')

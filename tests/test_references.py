import pytest

from stitchrl.data.references import REFERENCES, find


@pytest.mark.parametrize(
    ('name', 'entry'),
    [
        ('hopper-medium-v2', 'hopper'),
        ('Hopper-v5', 'hopper'),
        ('hopper', 'hopper'),
        ('antmaze-large-play-v0', 'antmaze'),
        ('ant-medium-v2', 'ant'),
        ('maze2d-umaze-v1', 'maze2d-umaze'),
        ('maze2d-umaze-dense-v1', 'maze2d-umaze-dense'),
    ],
)
def test_a_name_finds_the_longest_entry_that_begins_it(name, entry):
    assert find(name) == REFERENCES[entry]


@pytest.mark.parametrize('name', ['pointmaze', 'hopperette-v0', 'my-hopper-v0', 'maze2d-open-v0', ''])
def test_a_task_without_reference_has_none(name):
    assert find(name) is None


def test_the_expert_is_above_the_random_policy_everywhere():
    assert all(r.expert > r.random for r in REFERENCES.values())

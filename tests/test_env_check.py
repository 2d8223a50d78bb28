"""The process that plays: what hangs or crashes is told, and names are told from environments."""

import pytest
from broken_worlds import DEVICE, GYMNASIUM, PROCESS

from stitchrl.envs.check import check, findings
from stitchrl.envs.episode import Plan
from stitchrl.envs.faults import FAULTS
from stitchrl.errors import UsageError


def test_every_fault_has_a_world_that_has_it():
    assert set(FAULTS) == set(GYMNASIUM) | set(DEVICE) | set(PROCESS)


def test_what_hangs_is_stopped_and_named():
    (found,) = [finding for finding in check('broken_worlds:Waits', Plan(timeout=1.5)) if finding.severity != 'ok']
    assert (found.name, found.episode, found.step) == ('hangs', 1, 4)
    assert found.what == 'no answer for 1.5 s'


def test_a_crash_is_survived_and_named():
    (found,) = [finding for finding in check('broken_worlds:Exits') if finding.severity != 'ok']
    assert (found.name, found.episode, found.step) == ('dies', 1, 1)
    assert found.what == 'its process ended with exit code 7'


def test_a_name_that_leads_nowhere_is_refused():
    with pytest.raises(UsageError, match="no environment 'CartPol-v1'"):
        check('CartPol-v1')


@pytest.mark.parametrize(
    ('name', 'words'),
    [('os:getcwd', 'expected a Gymnasium environment'), ('broken_worlds:Nobody', 'has no Nobody')],
)
def test_what_is_no_environment_is_refused(name, words):
    with pytest.raises(UsageError, match=words):
        list(findings(name, Plan(), lambda episode, step: None))


@pytest.mark.parametrize(
    ('world', 'fault'),
    [('NotMade', 'not_made'), ('Parts', 'refused'), ('Unbounded', 'unbounded_action'), ('Limit', 'limit_as_end')],
)
def test_what_cannot_be_used_is_looked_at_all_the_same(world, fault):
    found = findings(f'broken_worlds:{world}', Plan(steps=40), lambda episode, step: None)
    assert fault in {finding.name for finding in found}


@pytest.mark.parametrize('plan', [Plan(episodes=0), Plan(steps=0), Plan(seed=-1), Plan(slow=0), Plan(timeout=0)])
def test_a_plan_that_makes_no_sense_is_refused(plan):
    with pytest.raises(UsageError, match='cannot be played'):
        check('CartPole-v1', plan)

"""Each way for a device environment to be broken is found, and nothing in those of the package."""

import pytest
from broken_worlds import DEVICE, Drift

from stitchrl import envs
from stitchrl.envs.device_check import findings
from stitchrl.envs.episode import Plan
from stitchrl.envs.finding import once
from stitchrl.envs.gridworld import GridWorld

PLAN = Plan(episodes=4)


def look(env, plan=PLAN):
    return list(once(findings(env, plan, lambda episode, step: None)))


def wrong(found):
    return {finding.name for finding in found} - {'ok'}


@pytest.mark.nans
@pytest.mark.parametrize('name', DEVICE)
def test_a_broken_world_is_found_and_nothing_else_in_it(name):
    company = {'compiled_differs': {'batched_differs'}}
    found = wrong(look(DEVICE[name]()))
    assert name in found
    assert found <= {name} | company.get(name, set())


@pytest.mark.parametrize(
    'env',
    [Drift(), envs.make('pointmaze/umaze'), envs.make('pointmass/easy'), GridWorld.create(slip=0.1)],
    ids=lambda env: type(env).__name__,
)
def test_worlds_in_order(env):
    assert [str(finding) for finding in look(env) if finding.severity != 'ok'] == []


def test_a_limit_that_random_play_does_not_reach_is_said():
    told = [finding.what for finding in look(Drift(), Plan(episodes=2, steps=3)) if finding.part == 'ends']
    assert told == ['none within 3 steps; the stated limit is 20 (see it with --steps)']

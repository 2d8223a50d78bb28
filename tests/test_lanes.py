"""One stream of steps from every way in which a vector environment resets."""

import gymnasium as gym
import numpy as np
import pytest
from counting import Counting
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from stitchrl.envs.gymnasium import Lanes
from stitchrl.errors import UsageError

MODES = (AutoresetMode.DISABLED, AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP)
SCRIPT = st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=5)


def stream(mode, scripts, steps):
    """Per lane the valid steps: (obs, action, reward, next obs, terminated, truncated)."""
    lanes = Lanes(SyncVectorEnv([lambda s=s: Counting(s) for s in scripts], autoreset_mode=mode))
    now, told = lanes.reset(seed=0), [[] for _ in scripts]
    for _ in range(steps):
        action = (now[:, 0] % 3).astype(np.int64)  # what a policy does that sees only the observation
        seen = lanes.step(action)
        for i in np.flatnonzero(seen.valid):
            row = now[i, 0], action[i], seen.reward[i], seen.next_obs[i, 0], seen.terminated[i], seen.truncated[i]
            told[i].append(tuple(float(x) for x in row))
        now = seen.now
    lanes.vector.close()
    return told


@settings(deadline=None, max_examples=40)
@given(st.lists(SCRIPT, min_size=1, max_size=3))
def test_the_three_modes_give_the_same_steps(scripts):
    streams = [stream(mode, scripts, 24) for mode in MODES]
    for lane in zip(*streams, strict=True):
        shortest = min(len(steps) for steps in lane)
        assert shortest >= 12  # NEXT_STEP spends a step of every episode on resetting
        assert lane[0][:shortest] == lane[1][:shortest] == lane[2][:shortest]


def test_every_step_leads_to_its_own_successor():
    """Worked by hand: episodes of 3 (ends) and 2 (is cut) steps; a reset shows a number of its own."""
    for mode in MODES:
        steps = stream(mode, [((3, True), (2, False))], 9)[0][:6]
        assert [(o, s) for o, _, _, s, _, _ in steps] == [(0, 1), (1, 2), (2, 3), (4, 5), (5, 6), (7, 8)]
        assert [(t, c) for *_, t, c in steps] == [(0, 0), (0, 0), (1, 0), (0, 0), (0, 1), (0, 0)]
        assert [r for _, _, r, _, _, _ in steps] == [0, 1, 2, 1, 2, 1]


def test_observations_are_copies():
    """A vector may hand out the array that it writes to in the next step."""
    vector = SyncVectorEnv([Counting], autoreset_mode=AutoresetMode.DISABLED, copy=False)
    lanes = Lanes(vector)
    first = lanes.reset(seed=0)
    second = lanes.step(np.array([0])).next_obs
    lanes.step(np.array([0]))
    assert (first[0, 0], second[0, 0]) == (0, 1)


def test_a_vector_that_does_not_say_how_it_resets_is_refused():
    vector = gym.make_vec('CartPole-v1', 1, vectorization_mode='sync')
    vector.metadata = {}
    with pytest.raises(UsageError, match=r'metadata\["autoreset_mode"\] is None'):
        Lanes(vector)
    vector.close()

"""Judging against plain loops: returns, lengths and success of whole episodes, however they end."""

from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Continuous, Observation, Spec
from stitchrl.envs.env import Env, State
from stitchrl.envs.gymnasium import host
from stitchrl.errors import UsageError
from stitchrl.loops import evaluate as module
from stitchrl.loops.evaluate import SEED, SLOTS, Episodes, evaluate, rows

HORIZON, GOAL = 6, 3.0
LINE = Spec(Observation((1,)), Continuous(1, (-2.0,), (4.0,)), HORIZON)
UNITS = Boundary(  # of someone who measures in other units: obs' = (obs - 0.5) / 2, actions -2 .. 4
    *(np.float32(x) for x in ([0.5], [2.0], [-2.0], [4.0], 1.0, 0.0))
)


class Linear(Agent):
    """action = gain x obs + offset, in the agent's units."""

    gain: jax.Array
    offset: jax.Array
    cfg: Any = eqx.field(static=True, default=None)

    @classmethod
    def create(cls, spec, cfg, key):
        return agents((0, 0))

    def act(self, memory, obs, key, t=None):
        return self.gain * obs[..., :1] + self.offset, memory

    def update(self, batch, key, t):
        raise AssertionError('nothing is trained here')


class Counting(Linear):
    """action = the number of steps since it was last made to forget, a 64th each."""

    def remember(self, n):
        return {'steps': jnp.zeros((n, 1)), 'twice': jnp.zeros(n)}

    def act(self, memory, obs, key, t=None):
        steps = memory['steps']
        return steps / 64, {'steps': steps + 1, 'twice': memory['twice'] + 2}


def agents(*pairs, kind=Linear):
    """One agent per (gain, offset)."""
    return kind(*jnp.float32(pairs).T)


class Line(Env):
    """x' = x + action; reward x'; ends as a task from GOAL on, by the clock after `limit` steps."""

    after: float = 0.0  # reward of steps taken after the end
    limit: int = HORIZON
    spec: Spec = eqx.field(static=True, default=LINE)

    def reset(self, key):
        no = jnp.zeros((), bool)
        return State(jr.uniform(key, (1,)), jnp.zeros(()), no, no, jnp.zeros((), jnp.int32))

    def step(self, state, action, key):
        x, t = state.obs + action, state.inner + 1
        reward = jnp.where(state.terminated | state.truncated, self.after, x[0])
        return State(x, reward, x[0] >= GOAL, t >= self.limit, t)


class Passing(Line):
    """Solved while 2 < x < 3, whatever comes later."""

    def success(self, state):
        return (state.obs[0] > 2) & (state.obs[0] < 3)


def by_hand(x, gain, offset, limit=HORIZON):
    """(return, length, success, path) of an episode on the line from x, in plain Python."""
    path = [x]
    while len(path) <= limit and x < GOAL:
        inside = gain * (x - 0.5) / 2 + offset
        x += -2 + (np.clip(inside, -1, 1) + 1) / 2 * 6
        path.append(x)
    return sum(path[1:]), len(path) - 1, x >= GOAL, path


# Offsets are inside [-1, 1]: -1/3 stands still, 1 jumps 4 and ends at once, -0.2 creeps and is stopped by the clock.
AGENTS = ((0.0, -1 / 3), (0.0, 1.0), (0.0, -0.2), (0.0, 0.0), (0.3, -0.1))


def test_on_the_device_as_in_a_plain_loop():
    found = evaluate(agents(*AGENTS), UNITS, Line(), seed=3, episodes=4, trace=True)
    assert found.returns.shape == found.lengths.shape == found.success.shape == (5, 4)
    assert found.paths.shape == (5, 4, HORIZON + 1, 1)
    assert set(found.lengths.flat) >= {1, HORIZON}, 'both ends are in it'
    assert set(found.success.flat) == {False, True}
    for s, e in np.ndindex(5, 4):
        total, length, success, path = by_hand(float(found.paths[s, e, 0, 0]), *AGENTS[s])
        assert found.returns[s, e] == pytest.approx(total, rel=1e-5)
        assert (found.lengths[s, e], found.success[s, e]) == (length, success)
        path += [path[-1]] * (HORIZON + 1 - len(path))
        np.testing.assert_allclose(found.paths[s, e, :, 0], path, rtol=1e-5, err_msg='the last observation is repeated')


def test_all_agents_meet_the_same_starts_and_episodes_differ():
    starts = evaluate(agents(*AGENTS), UNITS, Line(), seed=3, episodes=4, trace=True).paths[:, :, 0, 0]
    np.testing.assert_array_equal(starts, np.tile(starts[:1], (5, 1)))
    assert len(set(starts[0])) == 4


def test_without_a_trace_there_is_none_and_nothing_else_changes():
    traced = evaluate(agents(*AGENTS), UNITS, Line(), seed=3, episodes=4, trace=True)
    plain = evaluate(agents(*AGENTS), UNITS, Line(), seed=3, episodes=4)
    assert plain.paths is None
    for one, other in zip(traced[:3], plain[:3], strict=True):
        np.testing.assert_array_equal(one, other)


def test_equal_seeds_give_equal_episodes_and_others_others():
    first, again, other = (evaluate(agents(*AGENTS), UNITS, Line(), seed, 4) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.returns, again.returns)
    assert (first.returns != other.returns).any()


@pytest.mark.nans
@pytest.mark.parametrize('after', [1e6, np.nan, np.inf])
def test_what_an_environment_says_after_the_end_does_not_count(after):
    """All episodes run on together to the horizon; a step after an end has no meaning and may have no value."""
    found = evaluate(agents(*AGENTS), UNITS, Line(after), seed=3, episodes=4)
    np.testing.assert_array_equal(found.returns, evaluate(agents(*AGENTS), UNITS, Line(), 3, 4).returns)


def test_an_episode_cut_before_the_longest_is_over():
    found = evaluate(agents(*AGENTS), UNITS, Line(limit=4), seed=3, episodes=4, trace=True)
    assert set(found.lengths.flat) == {1, 3, 4}
    for s, e in np.ndindex(5, 4):
        total, length, success, _ = by_hand(float(found.paths[s, e, 0, 0]), *AGENTS[s], limit=4)
        assert found.returns[s, e] == pytest.approx(total, rel=1e-5)
        assert (found.lengths[s, e], found.success[s, e]) == (length, success)


def test_success_counts_whenever_it_came_but_not_after_the_end():
    """By steps of 1 from 0 .. 1: between 2 and 3 on the way. Standing still: never. The third jumps to 4 .. 5, which
    ends the episode, and would come back to 2 .. 3."""
    found = evaluate(agents((0.0, 0.0), (0.0, -1 / 3), (-2.0, 1.5)), UNITS, Passing(), seed=0, episodes=4)
    assert found.success.tolist() == [[True] * 4, [False] * 4, [False] * 4]
    assert (found.returns[0] > 3).all()


def test_memory_on_the_device_starts_at_nothing_and_goes_on():
    """Steps of -2 + 3 (k / 64 + 1) = 1 + 3 k / 64 for k = 0, 1, 2."""
    found = evaluate(agents((0.0, 0.0), kind=Counting), UNITS, Line(), seed=0, episodes=3, trace=True)
    for path in found.paths[0, :, :, 0]:
        np.testing.assert_allclose(np.diff(path)[:2], [1, 1 + 3 / 64], rtol=1e-5)


class Clock(gym.Env):
    """Episodes of random lengths that watch over who plays them: obs = (t, length), action expected `wanted(t)`."""

    observation_space = gym.spaces.Box(-100, 100, (2,), np.float64)
    action_space = gym.spaces.Box(-2, 4, (1,), np.float32)
    wanted = None  # t, length -> the action that a player of the true observation takes
    says_success = True

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.length, self.over = 0, int(self.np_random.integers(1, 9)), False
        return self.obs, {}

    @property
    def obs(self):
        return np.array([self.t, self.length], np.float64)

    def step(self, action):
        assert not self.over, 'a step after the end: the slot was not reset'
        assert action == pytest.approx(self.wanted(self.t, self.length), abs=1e-5)
        self.t += 1
        self.over = self.t == self.length
        info = {'is_success': self.over and self.length > 4} if self.says_success else {}
        odd = self.length % 2 == 1
        return self.obs, 0.1 * self.t, self.over and odd, self.over and not odd, info


CLOCK = Boundary(*(np.float32(x) for x in ([0.5, 0.0], [2.0, 1.0], [-2.0], [4.0], 1.0, 0.0)))


def clocks(seed, episodes):
    """Lengths of the episodes of one agent: slot i plays its share, one after another, from seed + SEED + i."""
    slots, lengths = min(SLOTS, episodes), []
    for i in range(slots):
        env = Clock()
        for e in range(episodes // slots + (i < episodes % slots)):
            env.reset(seed=seed + SEED + i if e == 0 else None)
            lengths.append(env.length)
    return lengths


@pytest.mark.parametrize('episodes', [2, SLOTS, 13])
def test_on_the_host_every_slot_plays_its_share_and_no_more(monkeypatch, episodes):
    """The true observation at every step, an action in the environment's units, and exactly the episodes that a
    plain loop plays: who stopped at the first E ends would have the short ones."""
    gain, offset = 0.4, -0.5
    inside = lambda t, length: np.clip(gain * (t - 0.5) / 2 + offset, -1, 1)
    monkeypatch.setattr(Clock, 'wanted', staticmethod(lambda t, length: -2 + (inside(t, length) + 1) / 2 * 6))
    found = evaluate(agents((gain, offset), (gain, offset)), CLOCK, host('clock', Clock), 5, episodes)
    expected = np.array(clocks(5, episodes))
    assert found.lengths.tolist() == [expected.tolist()] * 2
    np.testing.assert_allclose(found.returns[1], 0.1 * expected * (expected + 1) / 2)
    np.testing.assert_array_equal(found.success, [expected > 4] * 2)
    assert found.success.dtype == bool


def test_on_the_host_memory_is_forgotten_where_and_when_an_episode_ended(monkeypatch):
    monkeypatch.setattr(Clock, 'wanted', staticmethod(lambda t, length: -2 + (t / 64 + 1) / 2 * 6))
    found = evaluate(agents((0, 0), (0, 0), kind=Counting), CLOCK, host('clock', Clock), 5, 13)
    assert found.lengths.tolist() == [clocks(5, 13)] * 2


def test_on_the_host_seeds_repeat_and_success_is_not_made_up(monkeypatch):
    monkeypatch.setattr(Clock, 'wanted', staticmethod(lambda t, length: 1.0))
    monkeypatch.setattr(Clock, 'says_success', False)
    first, again, other = (evaluate(agents((0, 0)), CLOCK, host('clock', Clock), seed, 13) for seed in (3, 3, 4))
    assert first.success is None
    np.testing.assert_array_equal(first.lengths, again.lengths)
    assert (first.lengths != other.lengths).any()


class Endless(Clock):
    """Its episodes do not end."""

    def step(self, action):
        obs, reward, _, _, info = super().step(action)
        self.over = False
        return obs, reward, False, False, info


def test_on_the_host_an_episode_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(module, 'LONGEST', 30)
    monkeypatch.setattr(Clock, 'wanted', staticmethod(lambda t, length: 1.0))
    with pytest.raises(
        UsageError, match=r'endless: an episode did not end within 30 steps; give the environment a time'
    ):
        evaluate(agents((0, 0)), CLOCK, host('endless', Endless), 5, 2)


class Screen(gym.Env):
    """One step; the picture says which action was right."""

    observation_space = gym.spaces.Box(0, 255, (1, 2, 2), np.uint8)
    action_space = gym.spaces.Discrete(256)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.pixel = int(self.np_random.integers(256))
        return np.full((1, 2, 2), self.pixel, np.uint8), {}

    def step(self, action):
        return np.zeros((1, 2, 2), np.uint8), float(action == self.pixel), True, False, {}


class Looking(Linear):
    """action = the first pixel."""

    def act(self, memory, obs, key, t=None):
        assert obs.dtype == jnp.uint8, 'a picture is bytes up to the network'
        return obs[..., 0, 0, 0].astype(jnp.int32), memory


def test_on_the_host_pictures_stay_bytes():
    env = host('screen', Screen)
    found = evaluate(agents((0, 0), kind=Looking), Boundary.blank(env.spec), env, 0, 7)
    assert found.returns.tolist() == [[1.0] * 7]


def test_rows_are_one_per_episode():
    found = Episodes(np.float32([[1, 2], [3, 4]]), np.int32([[5, 6], [7, 8]]), np.array([[True, False], [False, True]]))
    assert rows(found, 50, 10) == [
        {'step': 50, 'seed': 10, 'episode': 0, 'return': 1.0, 'length': 5, 'success': True},
        {'step': 50, 'seed': 10, 'episode': 1, 'return': 2.0, 'length': 6, 'success': False},
        {'step': 50, 'seed': 11, 'episode': 0, 'return': 3.0, 'length': 7, 'success': False},
        {'step': 50, 'seed': 11, 'episode': 1, 'return': 4.0, 'length': 8, 'success': True},
    ]
    assert 'success' not in rows(found._replace(success=None), 50, 10)[0]

"""Atari games: stacks, lives and rewards. The lives also without a game installed."""

import sys
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest

from stitchrl import envs
from stitchrl.core.spec import Discrete, Observation, Spec
from stitchrl.envs.atari import HORIZON, Lives
from stitchrl.errors import MissingExtra, UsageError


class Game(gym.Env):
    """obs counts steps of the game; a life is lost at every third, the game is over two steps after the last."""

    observation_space = gym.spaces.Box(0, 99, (1,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, lives=3):
        self.all, self.ale, self.games = lives, SimpleNamespace(lives=lambda: self.alive), 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.games += 1
        self.t, self.alive = 0, self.all
        return np.float32([0]), {}

    def step(self, action):
        self.t += 1
        self.alive = max(self.all - self.t // 3, 0)
        return np.float32([self.t]), 1.0, self.t == 3 * self.all + 2, False, {}


def played(env, steps):
    """obs, terminated of so many steps with resets where an episode ended."""
    rows = []
    for _ in range(steps):
        obs, _, terminated, truncated, _ = env.step(1)
        rows.append((int(obs[0]), terminated))
        if terminated or truncated:
            rows.append(int(env.reset()[0][0]))
    return rows


def test_an_episode_ends_with_a_life_and_the_next_one_goes_on():
    """Lives end at 3 and 6; the last, at 9, ends with the game at 11. Doing nothing takes a step after each."""
    env = Lives(Game())
    assert env.reset(seed=0)[0] == 0
    first = [(1, False), (2, False), (3, True), 4, (5, False), (6, True), 7]
    last = [(8, False), (9, False), (10, False), (11, True), 0]
    assert played(env, 9) == first + last
    assert env.unwrapped.games == 2
    assert played(env, 3) == [(1, False), (2, False), (3, True), 4]


def test_a_seed_or_a_reset_half_way_begins_a_new_game():
    env = Lives(Game())
    env.reset(seed=0)
    assert played(env, 2) == [(1, False), (2, False)]
    assert env.reset()[0] == 0
    for _ in range(3):
        env.step(1)
    assert env.reset(seed=1)[0] == 0
    assert played(env, 3) == [(1, False), (2, False), (3, True), 4]


def test_a_game_that_ends_while_nothing_is_done_begins_anew():
    class Sudden(Game):
        def step(self, action):
            obs, reward, _, _, info = super().step(action)
            return obs, reward, self.t == 4, False, info

    env = Lives(Sudden())
    env.reset(seed=0)
    assert played(env, 3) == [(1, False), (2, False), (3, True), 0]


def test_a_game_without_lives_ends_with_the_game():
    env = Lives(Game(lives=0))
    env.reset(seed=0)
    assert played(env, 2) == [(1, False), (2, True), 0]


@pytest.mark.parametrize('part', ['ale_py', 'cv2'])
def test_a_missing_part_is_named_with_the_command_that_installs_it(monkeypatch, part):
    for name in ('ale_py', 'cv2'):
        monkeypatch.setitem(sys.modules, name, None if name == part else SimpleNamespace())
    with pytest.raises(MissingExtra) as refusal:
        envs.make('ALE/Pong-v5')
    for words in ('ALE/Pong-v5', part, 'pip install "stitchrl[atari]"'):
        assert words in str(refusal.value)


@pytest.fixture
def ale():
    for part in ('ale_py', 'cv2'):
        pytest.importorskip(part, reason=f'{part} is not installed: pip install "stitchrl[atari]"')


@pytest.mark.usefixtures('ale')
def test_the_spec_of_a_game():
    for training in (False, True):
        spec = envs.make('ALE/Pong-v5', training).spec
        assert spec == Spec(Observation((4, 84, 84), 'uint8', 4), Discrete(6), HORIZON)


@pytest.mark.usefixtures('ale')
def test_an_unknown_game_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"no environment 'ALE/Pnog-v5': .*Did you mean: `Pong`"):
        envs.make('ALE/Pnog-v5')


@pytest.mark.usefixtures('ale')
def test_a_stack_holds_the_last_four_and_begins_with_the_first_repeated():
    vector = envs.make('ALE/Breakout-v5').vector(2)
    obs, _ = vector.reset(seed=[1, 2])
    assert (obs.shape, obs.dtype) == ((2, 4, 84, 84), np.uint8)
    assert (obs == obs[:, :1]).all()
    assert obs.max() > 100  # not scaled
    for action in (1, 0, 2, 3):
        before = obs
        obs = vector.step(np.full(2, action))[0]
        np.testing.assert_array_equal(obs[:, :-1], before[:, 1:])
    assert (obs[:, -1] != obs[:, 0]).any()
    vector.close()


def breakout(training, steps=400):
    """(observations, ends, lives left at the ends) of random play."""
    vector, rng = envs.make('ALE/Breakout-v5', training).vector(1), np.random.default_rng(0)
    total, lives = [vector.reset(seed=[3])[0].sum()], []
    for _ in range(steps):
        obs, _, terminated, truncated, info = vector.step(rng.integers(0, 4, 1))
        total.append(obs.sum())
        if (terminated | truncated).any():
            lives.append(int(info['lives'][0]))
            vector.reset(options={'reset_mask': terminated | truncated})
    vector.close()
    return total, lives


@pytest.mark.usefixtures('ale')
def test_a_life_is_an_episode_in_training_and_a_game_in_judging():
    assert breakout(training=True)[1][:5] == [4, 3, 2, 1, 0]
    assert set(breakout(training=False)[1]) == {0}


@pytest.mark.usefixtures('ale')
def test_seeds_repeat():
    assert breakout(training=True, steps=50) == breakout(training=True, steps=50)


@pytest.mark.usefixtures('ale')
def test_rewards_are_clipped_in_training_alone():
    """Q*bert pays 25 for a cube."""
    found = []
    for training in (False, True):
        vector, rng = envs.make('ALE/Qbert-v5', training).vector(1), np.random.default_rng(0)
        vector.reset(seed=[0])
        rewards = {0.0}
        while len(rewards) == 1:
            _, reward, terminated, truncated, _ = vector.step(rng.integers(0, 6, 1))
            rewards.add(float(reward[0]))
            if (terminated | truncated).any():
                vector.reset(options={'reset_mask': terminated | truncated})
        vector.close()
        found.append(rewards)
    assert found == [{0.0, 25.0}, {0.0, 1.0}]


@pytest.mark.usefixtures('ale')
def test_a_game_draws_itself_in_colour():
    frames, _ = envs.make('ALE/Pong-v5').render(0, [0, 1, 2], [0, 3], 64)
    assert [frame.shape for frame in frames] == [(210, 160, 3)] * 2
    assert (frames[0] != frames[1]).any()

from io import BytesIO

import gymnasium as gym
import jax
import numpy as np
import pytest
import tiny
from PIL import Image

from stitchrl.core.boundary import Boundary
from stitchrl.envs.gridworld import GridWorld
from stitchrl.envs.gymnasium import host
from stitchrl.envs.pointmass import PointMass
from stitchrl.envs.pointmaze import PointMaze
from stitchrl.errors import UsageError
from stitchrl.report.mazes import SOLVED
from stitchrl.report.rollout import Played, play
from stitchrl.report.video import FRAMES, HOLD, SIDE, film, save, shown, webp


class Counter(gym.Env):
    """Draws a bar as long as its steps so far; what was done in it is written down."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    metadata = {'render_modes': ['rgb_array'], 'render_fps': 10}  # noqa: RUF012
    done = []  # noqa: RUF012

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        self.t = 0
        self.done.append(seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        self.done.append(int(action))
        return np.zeros(1, np.float32), 0.0, False, False, {}

    def render(self):
        frame = np.zeros((40, 40, 3), np.uint8)
        frame[:, : self.t] = 255
        return frame


class Blind(Counter):
    metadata = {'render_modes': ['human']}  # noqa: RUF012


class Broken(Counter):
    def render(self):
        raise RuntimeError('no driver')


def frames(data):
    image = Image.open(BytesIO(data), formats=['WEBP'])
    found = []
    for k in range(image.n_frames):
        image.seek(k)
        found.append((np.asarray(image.convert('RGB')).astype(int), image.info['duration']))
    return found


def counted(steps):
    actions = (np.arange(steps) % 2)[None, None]
    return Played(
        np.zeros((1, 1, 1)), actions, 0.0 * actions, np.array([[steps]]), np.zeros((1, 1), bool), np.array([7])
    )


@pytest.mark.parametrize('env', [PointMaze.create('umaze', 6), PointMass.create('easy')], ids=['maze', 'mass'])
def test_a_maze_is_drawn_with_the_way_that_was_taken(env):
    agents = tiny.agents('bc', env.spec)
    played = play(agents, Boundary.blank(env.spec), env, 0, 2)
    found = frames(film(env, played, 1, 0, 6))
    assert len(found) == min(int(played.length[1, 0]), 6) + 1
    assert max(found[0][0].shape) == pytest.approx(SIDE, abs=2)
    assert found[-1][1] == HOLD
    blue = np.array([int(SOLVED[i : i + 2], 16) for i in (1, 3, 5)])
    painted = [(np.abs(image - blue).max(-1) < 40).sum() for image, _ in found]
    assert 50 < painted[0] <= painted[-1]


def test_the_disc_stands_where_the_observation_says():
    env = PointMaze.create('umaze', 6)
    path = np.array([[1.5, 1.5], [3.5, 3.5]], np.float32)[None, None]  # lower left, upper right
    played = Played(
        path[:, :, 0], np.zeros((1, 1, 1, 2)), np.zeros((1, 1, 1)), np.ones((1, 1), int), np.zeros((1, 1)), None, path
    )
    blue = np.array([int(SOLVED[i : i + 2], 16) for i in (1, 3, 5)])
    for (image, _), (x, y) in zip(frames(film(env, played, 0, 0)), [(1.5, 1.5), (3.5, 3.5)], strict=True):
        column, row = (x - 0.5) / 4 * image.shape[1], (4.5 - y) / 4 * image.shape[0]
        assert np.abs(image[int(row), int(column)] - blue).max() < 30


def test_a_host_is_played_again_from_its_seed_with_the_same_actions():
    Counter.done.clear()
    found = frames(film(host('counter', Counter), counted(5), 0, 0))
    assert Counter.done[-6:] == [7, 0, 1, 0, 1, 0]
    assert [round((image > 128).mean() * 40) for image, _ in found] == [0, 1, 2, 3, 4, 5]
    assert [duration for _, duration in found] == [100] * 5 + [HOLD]


def test_a_long_episode_has_fewer_frames_and_the_same_pace():
    steps = 10 * FRAMES
    kept = shown(steps)
    assert (kept[0], kept[-1], len(kept)) == (0, steps, FRAMES)
    found = frames(film(host('counter', Counter), counted(300), 0, 0))
    assert len(found) <= FRAMES
    assert sum(duration for _, duration in found) == pytest.approx(300 * 100 + HOLD, rel=0.02)
    assert shown(0) == [0]


@pytest.mark.parametrize(('env', 'told'), [(Blind, 'no render mode rgb_array'), (Broken, 'no driver.*MUJOCO_GL=egl')])
def test_what_cannot_be_drawn_says_why(env, told):
    with pytest.raises(UsageError, match=f'(?s)road cannot be drawn.*{told}'):
        film(host('road', env), counted(2), 0, 0)


def test_a_device_environment_without_a_drawing_says_so():
    env = GridWorld.create('corridor')
    with pytest.raises(UsageError, match='GridWorld cannot be drawn'):
        film(env, counted(2), 0, 0)


def test_pictures_are_scaled_down_and_saved(tmp_path):
    data = webp([np.zeros((800, 400, 3), np.uint8)], [100])
    assert frames(data)[0][0].shape == (SIDE, SIDE // 2, 3)
    assert save(tmp_path / 'x.webp', data).read_bytes() == data
    with pytest.raises(UsageError, match='cannot be written'):
        save(tmp_path / 'nowhere' / 'x.webp', data)


def test_equal_episodes_make_equal_films():
    env = PointMaze.create('umaze', 6)
    agents = tiny.agents('bc', env.spec)
    films = [film(env, play(agents, Boundary.blank(env.spec), env, 0, 1), 0, 0) for _ in range(2)]
    assert films[0] == films[1]
    assert jax.tree.leaves(agents)[0].shape[0] == 2

"""Environments by name, and what is said of names that lead nowhere."""

import sys

import pytest

from stitchrl import envs
from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.envs.env import Env
from stitchrl.envs.gymnasium import Host
from stitchrl.envs.pointmaze import PointMaze
from stitchrl.errors import UsageError

OWN = """
import jax.numpy as jnp
import gymnasium as gym
import equinox as eqx
from stitchrl.core.spec import Continuous, Observation, Spec
from stitchrl.envs.env import Env, State

SPEC = Spec(Observation((1,)), Continuous(1, (-1.0,), (1.0,)), 5)

class Device(Env):
    spec: Spec = eqx.field(static=True, default=SPEC)

    def reset(self, key):
        no = jnp.zeros((), bool)
        return State(jnp.zeros(1), jnp.zeros(()), no, no, ())

    def step(self, state, action, key):
        return state

class Made(Device):
    @classmethod
    def create(cls):
        return cls(Spec(Observation((1,)), SPEC.action, 7))

class Endless(Device):
    spec: Spec = eqx.field(static=True, default=Spec(SPEC.obs, SPEC.action))

class Hosted(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Discrete(3)

class Choosy(Hosted):
    def __init__(self, difficulty):
        self.difficulty = difficulty

TEXT = 'text'
"""


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """A module of the user's in the working directory, which is not on the path."""
    (tmp_path / 'own_worlds.py').write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', list(sys.path))
    yield
    sys.modules.pop('own_worlds', None)


@pytest.mark.parametrize('name', envs.DEVICE)
def test_every_name_in_the_table_is_a_device_environment_with_a_limit(name):
    env = envs.make(name)
    assert isinstance(env, Env)
    assert env.spec.horizon > 0
    assert envs.DEVICE[name][2]


def test_the_name_says_which_maze():
    assert isinstance(envs.make('pointmaze/umaze'), PointMaze)
    assert envs.make('pointmaze/umaze').spec.obs == envs.make('pointmaze/medium').spec.obs
    assert (envs.make('pointmaze/umaze').goal != envs.make('pointmaze/medium').goal).any()


def test_other_names_are_gymnasiums():
    env = envs.make('CartPole-v1')
    assert isinstance(env, Host)
    assert env.spec == Spec(Observation((4,)), Discrete(2), 500)


def test_own_classes_of_either_kind():
    spec = Spec(Observation((1,)), Continuous(1, (-1.0,), (1.0,)), 5)
    assert envs.make('own_worlds:Device').spec == spec
    assert envs.make('own_worlds:Made').spec.horizon == 7
    hosted = envs.make('own_worlds:Hosted')
    assert isinstance(hosted, Host)
    assert hosted.spec == Spec(Observation((2,)), Discrete(3))


def test_what_a_module_registers_with_gymnasium_is_found(tmp_path, monkeypatch):
    """Its own form, `module:id`: importing the module is what makes the name known."""
    (tmp_path / 'registers_one.py').write_text(
        'import gymnasium\n'
        "gymnasium.register('Ours-v0', 'gymnasium.envs.classic_control.cartpole:CartPoleEnv', max_episode_steps=7)"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', list(sys.path))
    assert envs.make('registers_one:Ours-v0').spec.horizon == 7


def test_the_working_directory_hides_no_installed_module(tmp_path, monkeypatch):
    (tmp_path / 'colorsys.py').write_text('class World: ...')
    monkeypatch.delitem(sys.modules, 'colorsys', raising=False)
    with pytest.raises(UsageError, match='colorsys has no World'):
        envs.make('colorsys:World')


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('pointmaze/umze', r'did you mean pointmaze/umaze\?'),
        ('nonsense', "no environment 'nonsense'"),
        ('absent:World', "cannot import environment 'absent:World': No module named 'absent'"),
        ('own_worlds:Wrold', 'own_worlds has no Wrold, and Gymnasium'),
        ('own_worlds:Choosy', 'difficulty.*made without arguments'),
        ('own_worlds:TEXT', 'made without arguments'),
        ('own_worlds:Endless', 'has no time limit; its spec needs a horizon'),
        ('os:getcwd', 'expected a Gymnasium environment'),
        ('stitchrl.envs.env:Env', 'abstract.*made without arguments'),
    ],
)
def test_a_name_that_leads_nowhere_says_why(name, words):
    with pytest.raises(UsageError, match=words):
        envs.make(name)

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Continuous, Observation, Spec
from stitchrl.envs.env import Env, State
from stitchrl.envs.gymnasium import host
from stitchrl.report.rollout import Played, play

SPEC = Spec(Observation((1,)), Continuous(1, (-2.0,), (2.0,)), 4)
UNITS = Boundary.blank(SPEC)


class Constant(Agent):
    """Always the same action."""

    push: jax.Array
    cfg: object = eqx.field(static=True, default=None)

    @classmethod
    def create(cls, spec, cfg, key):
        raise AssertionError('nothing is trained here')

    def act(self, memory, obs, key, t=None):
        return jnp.broadcast_to(self.push, (len(obs), 1)), memory

    def update(self, batch, key, t):
        raise AssertionError('nothing is trained here')


class Road(Env):
    """A place that moves by the action; the task ends beyond 3, the reward is the place."""

    spec: Spec = eqx.field(static=True, default=SPEC)

    def reset(self, key):
        no = jnp.zeros((), bool)
        return State(jnp.zeros(1), jnp.zeros(()), no, no, jnp.zeros((), jnp.int32))

    def step(self, state, action, key):
        place, t = state.obs + action, state.inner + 1
        return State(place, place[0], place[0] > 3, t >= self.spec.horizon, t)


class HostRoad(gym.Env):
    """The same outside."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gym.spaces.Box(-2, 2, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.t = np.zeros(1, np.float32), 0
        return self.place, {}

    def step(self, action):
        self.place, self.t = self.place + action.astype(np.float32), self.t + 1
        return self.place, float(self.place[0]), bool(self.place[0] > 3), self.t >= 4, {}


AGENTS = Constant(jnp.array([[0.25], [1.0]]))  # in [-1, 1]; outside 0.5 and 2


@pytest.mark.parametrize('env', [Road(), host('road', HostRoad)], ids=['device', 'host'])
def test_every_step_is_kept(env):
    played = play(AGENTS, UNITS, env, 0, 3)
    assert played.length.tolist() == [[4] * 3, [2] * 3]
    assert played.terminated.tolist() == [[False] * 3, [True] * 3]
    assert played.reward[0, 0].tolist() == [0.5, 1, 1.5, 2]
    assert played.reward[1, 2].tolist() == [2, 4, 0, 0]
    assert played.action[0, 0, :4, 0].tolist() == [0.5] * 4
    assert played.start.tolist() == [[[0.0]] * 3] * 2
    assert played.returns().tolist() == [[5.0] * 3, [6.0] * 3]
    assert played.returns(limit=2)[0].tolist() == [1.5] * 3


def test_a_device_environment_is_played_beyond_its_time_limit_on_demand():
    played = play(AGENTS, UNITS, Road(), 0, 1, steps=6)
    assert played.length[:, 0].tolist() == [6, 2]
    assert played.path.shape == (2, 1, 7, 1)
    assert played.path[0, 0, :, 0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    assert play(AGENTS, UNITS, Road(), 0, 1, steps=2).length[0, 0] == 4


def test_discounted_returns_by_hand():
    reward = np.array([[[1.0, 2, 4], [1, 0, 0]]])
    played = Played(np.zeros((1, 2, 1)), reward, reward, np.array([[3, 1]]), np.ones((1, 2), bool), np.arange(2))
    assert played.discounted(0.5).tolist() == [[1 + 1 + 1, 1]]
    # 10 (r - 1) over the steps that were taken, and nothing after them
    assert played.discounted(0.5, 10, -1).tolist() == [[0 + 5 + 7.5, 0]]

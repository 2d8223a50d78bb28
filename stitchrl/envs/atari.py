"""Atari games of the Arcade Learning Environment, `ALE/Pong-v5` and its like, prepared as the papers do."""

from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import AtariPreprocessing, ClipReward, FrameStackObservation

from stitchrl.envs.gymnasium import Host
from stitchrl.envs.gymnasium import host as registered
from stitchrl.errors import MissingExtra

SKIP = 4  # frames for which an action is repeated
FRAMES = 4  # in an observation, one per action
HORIZON = 108_000 // SKIP  # steps; the ALE cuts a game after half an hour


class Lives(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """Ends the episode with each life lost. The game goes on: the next episode begins where the last one ended."""

    def __init__(self, env: gym.Env):
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)
        self.lives, self.alive = 0, False  # lives left; whether the game goes on after the episode

    def left(self) -> int:
        """Lives left, 0 in games that count none."""
        ale: Any = self.unwrapped
        return ale.ale.lives()

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the game, but that a lost life terminates. The last one ends with the game, some frames later."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        lives = self.left()
        self.alive = 0 < lives < self.lives and not (terminated or truncated)
        self.lives = lives
        return obs, reward, terminated or self.alive, truncated, info

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """After a lost life one step of doing nothing; else, and with a seed, a new game."""
        if self.alive and seed is None:
            obs, _, terminated, truncated, info = self.env.step(0)
            if not (terminated or truncated):
                self.lives, self.alive = self.left(), False
                return obs, info
        obs, info = self.env.reset(seed=seed, options=options)
        self.lives, self.alive = self.left(), False
        return obs, info


def build(name: str, training: bool) -> gym.Env:
    """A game as Gymnasium's: obs [4, 84, 84] uint8, grey, oldest frame first; the first one is repeated at the start.

    Each action is repeated for 4 frames, of which the last two are seen as their maximum; a game begins with up to 30
    steps of doing nothing. The v5 games keep the action before with probability 1/4 (Machado et al., 2018).
    training: an episode per life and rewards clipped to [-1, 1] (Mnih et al., 2015); a policy is judged without.
    """
    ale = import_module('ale_py')
    ale.ALEInterface.setLoggerMode(ale.LoggerMode.Error)  # else each process begins with a banner
    gym.register_envs(ale)
    env: gym.Env = gym.make(name, frameskip=1, obs_type='grayscale')
    env = AtariPreprocessing(env, noop_max=30, frame_skip=SKIP, screen_size=84)
    if training:
        env = ClipReward(Lives(env), -1, 1)
    return FrameStackObservation(env, FRAMES)


def host(name: str, training: bool) -> Host:
    """A game by its name, such as ALE/Breakout-v5. UsageError for an unknown one; MissingExtra without its parts."""
    for part in ('ale_py', 'cv2'):
        try:
            import_module(part)
        except ImportError as error:
            raise MissingExtra(
                f'{name} needs a part that is not installed ({error}): pip install "stitchrl[atari]"'
            ) from None
    found = registered(name, partial(build, name, training))
    return replace(found, spec=replace(found.spec, obs=replace(found.spec.obs, frames=FRAMES), horizon=HORIZON))

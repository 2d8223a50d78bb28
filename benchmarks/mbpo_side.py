"""The peer's half of mbpo.py, run by the Python of an environment that has mbrl-lib, and the world of both halves.

PYTHON benchmarks/mbpo_side.py SIZES
"""

import json
import sys
import tempfile
import time
from typing import Any

import gymnasium as gym
import numpy as np

OBS, ACT = 11, 3  # Hopper's


class World(gym.Env):
    """A linear world of Hopper's sizes that costs next to nothing and never ends; it notes when it was stepped."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (OBS,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (ACT,), np.float32)
    clock: Any = time.process_time

    def __init__(self, horizon: int = 1000):
        self.horizon, self.t, self.steps = horizon, 0, []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.t, self.state = 0, self.np_random.normal(size=OBS).astype(np.float32)
        return self.state, {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.t += 1
        push = np.resize(np.asarray(action, np.float32), OBS)
        self.state = (0.9 * np.roll(self.state, 1) + 0.3 * push).astype(np.float32)
        self.steps.append(World.clock())
        return self.state, float(-(self.state**2).mean()), False, self.t >= self.horizon, {}


def actions() -> gym.spaces.Box:
    """The world's, under a name that a configuration can hold."""
    return World.action_space


def settings(size: dict[str, Any]) -> Any:
    """The configuration of mbrl-lib's MBPO with these sizes: that of its own examples, the values aside."""
    from omegaconf import OmegaConf

    agent = {'gamma': 0.99, 'tau': 0.005, 'alpha': 0.2, 'policy': 'Gaussian', 'target_update_interval': 1}
    agent |= {'automatic_entropy_tuning': True, 'target_entropy': -1.0, 'hidden_size': size['hidden']}
    overrides = {'num_steps': size['steps'], 'epoch_length': size['steps'], 'num_elites': size['elites']}
    overrides |= {'patience': size['epochs'], 'num_epochs_train_model': size['epochs'], 'model_lr': 1e-3}
    overrides |= {'model_wd': 5e-5, 'model_batch_size': 256, 'validation_ratio': 0.2}
    overrides |= {'freq_train_model': size['refresh'], 'rollout_schedule': [1, 2, 1, 1]}
    overrides |= {'effective_model_rollouts_per_step': size['rollouts'] // size['refresh']}
    overrides |= {'num_sac_updates_per_step': size['ratio'], 'sac_updates_every_steps': 1, 'sac_batch_size': 256}
    return OmegaConf.create(
        {
            'seed': 0,
            'device': 'cpu',
            'log_frequency_agent': 10**9,
            'overrides': overrides | {'num_epochs_to_retain_sac_buffer': 1},
            'dynamics_model': {
                '_target_': 'mbrl.models.GaussianMLP',
                '_recursive_': False,
                'device': 'cpu',
                'num_layers': size['layers'],
                'ensemble_size': size['members'],
                'hid_size': size['width'],
                'propagation_method': 'random_model',
                'activation_fn_cfg': {'_target_': 'torch.nn.SiLU'},
            },
            'algorithm': {
                'normalize': True,
                'target_is_delta': True,
                'learned_rewards': True,
                'freq_train_model': size['refresh'],
                'real_data_ratio': 0.05,
                'sac_samples_action': True,
                'initial_exploration_steps': size['random_steps'],
                'random_initial_explore': True,
                'dataset_size': size['random_steps'] + size['steps'],
                'num_eval_episodes': 1,
                'agent': {
                    '_target_': 'mbrl.third_party.pytorch_sac_pranz24.sac.SAC',
                    'num_inputs': OBS,
                    'action_space': {'_target_': 'mbpo_side.actions'},
                    'args': agent | {'device': 'cpu', 'lr': 3e-4},
                },
            },
        }
    )


def main() -> None:
    """Seconds of processor of each round after the first: a fit, its roll-outs, and the updates until the next."""
    import torch
    from mbrl.algorithms import mbpo

    size = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    world, first = World(), size['random_steps'] + size['refresh'] - 1
    size['steps'] = size['refresh'] * (size['rounds'] + 1)
    never = lambda action, next_obs: torch.zeros(len(next_obs), 1, dtype=torch.bool)
    with tempfile.TemporaryDirectory() as folder:
        mbpo.train(world, World(1), never, settings(size), silent=True, work_dir=folder)
    marks = world.steps[first :: size['refresh']]
    print(json.dumps(np.diff(marks).tolist()))


if __name__ == '__main__':
    main()

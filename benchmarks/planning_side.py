"""The peer's half of planning.py, run by the Python of an environment that has mbrl-lib: seconds of each plan as JSON,
as PyTorch comes and with products that may be of bfloat16.

PYTHON benchmarks/planning_side.py SIZES PLANS
"""

import json
import sys
import time
from typing import Any


def main() -> None:
    """Plans with mbrl-lib's own CEM over its own ensemble of random weights."""
    import gymnasium as gym
    import mbrl.models as models
    import numpy as np
    import torch
    from mbrl.planning import TrajectoryOptimizer

    size, plans = json.loads(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(size['threads'])
    obs, act, device = size['obs'], size['action'], torch.device('cpu')
    net = models.GaussianMLP(
        obs + act,
        obs + 1,
        device,
        num_layers=size['layers'],
        ensemble_size=size['members'],
        hid_size=size['width'],
        propagation_method='fixed_model',
        activation_fn_cfg={'_target_': 'torch.nn.SiLU'},
    )
    wrapped = models.OneDTransitionRewardModel(net, target_is_delta=True, normalize=True, learned_rewards=True)

    class World:
        """What ModelEnv asks of an environment."""

        observation_space = gym.spaces.Box(-np.inf, np.inf, (obs,), np.float32)
        action_space = gym.spaces.Box(-1, 1, (act,), np.float32)

    never = lambda action, next_obs: torch.zeros(len(next_obs), 1, dtype=torch.bool)
    world: Any = models.ModelEnv(World(), wrapped, never, None, torch.Generator())
    settings = {
        '_target_': 'mbrl.planning.CEMOptimizer',
        'num_iterations': size['iterations'],
        'elite_ratio': 0.1,
        'population_size': size['samples'],
        'alpha': 0.1,
        'device': 'cpu',
        'return_mean_elites': True,
    }
    from omegaconf import OmegaConf

    planner = TrajectoryOptimizer(OmegaConf.create(settings), -np.ones(act), np.ones(act), size['horizon'])
    start = np.zeros(obs, np.float32)
    took, clock = {}, time.process_time if size['threads'] == 1 else time.perf_counter
    with torch.no_grad():
        for name, precision in (('plan', 'highest'), ('plan_bfloat16', 'medium')):
            torch.set_float32_matmul_precision(precision)
            took[name] = []
            for _ in range(plans + 1):
                began = clock()
                planner.optimize(lambda actions: world.evaluate_action_sequences(actions, start, size['particles']))
                took[name].append(clock() - began)
    print(json.dumps({name: seconds[1:] for name, seconds in took.items()}))


if __name__ == '__main__':
    main()

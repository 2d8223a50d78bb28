"""Further seeds of d3rlpy on the recording that `hopper_v5_sac_replay.py` is about, judged as that judges.

    PYTHON recipes/hopper_peer.py iql 2 --data hopper-v5-sac-replay.npz --out curves/

PYTHON is that of an environment with d3rlpy, which needs another Gymnasium than ours, and MuJoCo; nothing of stitchrl
is imported. d3rlpy's own configurations, with its scaler of observations for TD3+BC: 100k updates, 20k of CQL, judged
ten times over 20 episodes. One process for one seed, one thread; writes ALGO-SEED.json after each evaluation, or
ALGO_shuffled-SEED.json with --shuffle-rewards, which permutes the rewards over all steps.
"""

import argparse
import json
import platform
from importlib.metadata import version
from pathlib import Path

import d3rlpy
import gymnasium
import numpy as np
import torch

EPISODES, UPDATES = 20, {'cql': 20_000}
CONFIGS = {
    'bc': lambda: d3rlpy.algos.BCConfig(batch_size=256, learning_rate=3e-4),
    'td3_bc': lambda: d3rlpy.algos.TD3PlusBCConfig(observation_scaler=d3rlpy.preprocessing.StandardObservationScaler()),
    'iql': d3rlpy.algos.IQLConfig,
    'cql': d3rlpy.algos.CQLConfig,
}


def returns(agent: d3rlpy.algos.QLearningAlgoBase, seed: int) -> np.ndarray:
    """Of EPISODES greedy episodes side by side, each place's first, [EPISODES]."""
    env = gymnasium.make_vec('Hopper-v5', EPISODES)
    obs, _ = env.reset(seed=seed)
    total, going = np.zeros(EPISODES), np.ones(EPISODES, bool)
    while going.any():
        obs, reward, terminated, truncated, _ = env.step(agent.predict(obs.astype(np.float32)))
        total += reward * going
        going &= ~(terminated | truncated)
    env.close()
    return total


def main() -> None:
    """Train, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('algo', choices=CONFIGS)
    parser.add_argument('seed', type=int)
    parser.add_argument('--data', required=True)
    parser.add_argument('--out', type=Path, default=Path('runs/hopper_peer'))
    parser.add_argument('--shuffle-rewards', action='store_true', help='negative control')
    args = parser.parse_args()
    name = args.algo + '_shuffled' * args.shuffle_rewards
    torch.set_num_threads(1)
    d3rlpy.seed(args.seed)
    names = ('observations', 'actions', 'rewards', 'terminals', 'timeouts')
    with np.load(args.data) as file:
        columns = {name: file[name] for name in names}
    columns['timeouts'][-1] |= not columns['terminals'][-1]  # the recording is cut off there
    if args.shuffle_rewards:
        columns['rewards'] = np.random.default_rng(args.seed).permutation(columns['rewards'])
    updates = UPDATES.get(args.algo, 100_000)
    agent, curve = CONFIGS[args.algo]().create(device=False), []
    packages = {name: version(name) for name in ('d3rlpy', 'torch', 'numpy', 'gymnasium', 'mujoco')}
    args.out.mkdir(parents=True, exist_ok=True)
    quiet = {'logger_adapter': d3rlpy.logging.NoopAdapterFactory(), 'show_progress': False}
    for epoch, _ in agent.fitter(d3rlpy.dataset.MDPDataset(**columns), updates, updates // 10, **quiet):
        scores = returns(agent, 1000 * epoch)
        point = {'updates': epoch * updates // 10, 'mean_return': round(float(scores.mean()), 1)}
        curve.append(point | {'std_over_episodes': round(float(scores.std()), 1)})
        print(name, args.seed, curve[-1], flush=True)
        about = {'python': platform.python_version(), 'packages': packages, 'algo': name}
        text = json.dumps(about | {'seed': args.seed, 'curve': curve}, indent=1)
        (args.out / f'{name}-{args.seed}.json').write_text(text + '\n')


if __name__ == '__main__':
    main()

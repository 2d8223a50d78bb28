"""One side of `online_peers.py`: a process that acts and learns for as long as it is told to and says how many steps of
the environment it took. It runs in the environment of its side, so nothing is imported before the side is known.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

WARM = 1000  # steps of random actions before learning
SAC = {'env': 'Hopper-v5', 'chunk': 100}
DQN = {'env': 'cartpole/upright', 'chunk': 2000}
TASKS: dict[str, dict[str, Any]] = {
    'sac': SAC,
    'dqn': DQN,
    'dqn, 8 seeds': DQN | {'seeds': 8, 'chunk': 500},
    'dqn, ring of 10k': DQN | {'ring': 10_000},
    'dqn, ring of 1M': DQN | {'ring': 1_000_000},
    'sac, ring of 10k': SAC | {'ring': 10_000},
    'sac, ring of 1M': SAC | {'ring': 1_000_000},
}


def ours() -> Any:
    """(versions, a function from a task to an endless training that yields steps of all agents)."""
    import jax

    from stitchrl import envs
    from stitchrl.core.boundary import Boundary
    from stitchrl.loops.offline import create
    from stitchrl.loops.plan import Plan
    from stitchrl.loops.settings import configure
    from stitchrl.loops.stream import Stream
    from stitchrl.runs.directory import system

    def stream(task: str) -> Iterator[int]:
        want, algo = TASKS[task], task.split(',')[0]
        env, seeds = envs.make(want['env']), want.get('seeds', 1)
        shape = {'hidden': (64, 64), 'batch': 128} if algo == 'dqn' else {}
        cfg = configure(algo, 'default', shape)
        boundary = jax.device_put(Boundary.blank(env.spec))
        full = want.get('ring')
        plan = Plan(random_steps=0 if full else WARM)
        course = Stream(env, boundary, None, plan, full or 100_000, seed=0)
        live = course.fresh(create(type_of(algo), env.spec, cfg, 0, seeds))
        live = live._replace(replay=filled(live.replay)) if full else live
        for part in course.chunks(live, 0, 10**9, want['chunk']):
            jax.block_until_ready(part.agents)
            if full or part.step > WARM:
                yield want['chunk'] * seeds

    return system(), stream


def type_of(algo: str) -> Any:
    """The class."""
    from stitchrl.algos import algorithm

    return algorithm(algo).ALGO


def filled(replay: Any) -> Any:
    """Rings as after so many steps of one endless episode, every row in use."""
    from dataclasses import replace

    import jax.numpy as jnp

    seeds, size = replay.reward.shape
    rows = jnp.broadcast_to(jnp.arange(size, dtype=jnp.int32), (seeds, size)) + 0
    ends = jnp.zeros((seeds, size)).at[:, -1].set(1)
    last = jnp.full((seeds, 1), size - 1, jnp.int32)
    return replace(replay, starts=rows, ends=ends, last=last, row=last + 0, open=jnp.ones((seeds, 1), bool))


def theirs() -> Any:
    """The same of stable-baselines3 and sbx, by `learn` in calls of 200 steps, without a progress bar or a log."""
    import platform

    import gymnasium
    import jax
    import sbx
    import stable_baselines3 as sb3
    import torch

    about = {
        'python': platform.python_version(),
        'stable_baselines3': sb3.__version__,
        'sbx': sbx.__version__,
        'torch': torch.__version__,
        'jax': jax.__version__,
        'gymnasium': gymnasium.__version__,
        'threads': torch.get_num_threads(),
    }
    alike = {'learning_starts': WARM, 'train_freq': 1, 'gradient_steps': 1, 'seed': 0}
    small = {'policy_kwargs': {'net_arch': [64, 64]}, 'batch_size': 128, 'learning_rate': 1e-3}
    makers = {
        'sb3 sac': lambda: sb3.SAC('MlpPolicy', 'Hopper-v5', **alike),
        'sbx sac': lambda: sbx.SAC('MlpPolicy', 'Hopper-v5', **alike),
        'sb3 dqn': lambda: sb3.DQN('MlpPolicy', 'CartPole-v1', target_update_interval=1000, **small, **alike),
    }

    def stream(task: str) -> Iterator[int]:
        model = makers[task]()
        model.learn(WARM + 200)
        while True:
            model.learn(200, reset_num_timesteps=False)
            yield 200

    return about, stream


if __name__ == '__main__':
    from peers_side import work

    work({'ours': ours, 'theirs': theirs}[sys.argv[1]])

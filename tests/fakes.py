"""Folders that look like those of real runs, without a training: policies of random weights and made-up scores."""

import numpy as np
import tiny

from stitchrl import envs
from stitchrl.core.boundary import Boundary
from stitchrl.core.config import to_json
from stitchrl.data.check import fingerprint
from stitchrl.data.columns import Columns
from stitchrl.data.episodes import episode_ends, returns
from stitchrl.envs.pointmaze import PointMaze
from stitchrl.loops.settings import Settings
from stitchrl.runs import policy
from stitchrl.runs.directory import RunDir, system

MAZE = 'pointmaze/umaze'


def recording(episodes=20, length=5, seed=0):
    """Random walks in a maze: obs [N, 2], action [N, 2]; each tenth episode ends with a reward."""
    rng = np.random.default_rng(seed)
    n = episodes * length
    obs, action = rng.uniform(1, 3, (2, n, 2)).astype(np.float32)
    last = np.arange(n) % length == length - 1
    terminal = last & (np.arange(n) // length % 10 == 0)
    next_obs = np.concatenate([obs[1:], obs[:1]])
    return Columns(obs, action - 2, terminal.astype(np.float32), terminal, last & ~terminal, next_obs)


def write(path, columns):
    """The recording as a file."""
    names = {'observations': columns.obs, 'actions': columns.action, 'rewards': columns.reward}
    ends = {'terminals': columns.terminal, 'timeouts': columns.timeout, 'next_observations': columns.next_obs}
    np.savez(path, **names, **ends)
    return path


def about(columns, path):
    """What data.json says."""
    total = returns(columns.reward, episode_ends(columns))
    noted = {'path': None if path is None else str(path), 'fingerprint': None if path is None else fingerprint(columns)}
    counts = {'steps': len(columns), 'episodes': len(total), 'return_mean': float(total.mean())}
    return noted | counts | {'return_max': float(total.max()), 'warnings': []}


def run(folder, algo='iql', data=None, scores=(0.4, 0.6, 0.5), env=MAZE, success=True, state='finished', **config):
    """A run of one seed for each score, which is the share of its 10 episodes that reach the goal."""
    folder.mkdir(parents=True)
    made, spec = RunDir(folder), PointMaze.create('umaze', 30).spec
    agents = tiny.agents(algo, spec, len(scores), **config)
    settings = Settings(None if data is None else str(data), eval_env=env, eval_episodes=10, seeds=len(scores))
    made.write('config.json', {'algo': algo, 'config': to_json(agents.cfg), 'settings': to_json(settings)})
    made.write('data.json', about(recording(), data))
    made.write('system.json', system())
    (folder / 'command.txt').write_text(f'stitch train {algo} --data here.npz\n')
    policy.save(made.policy, algo, agents, Boundary.blank(spec), spec)
    for step in (4, 8, 12):
        log(made, step, scores, success, algo)
    made.status(state, '' if state == 'finished' else 'SIGTERM after update 12')
    return made


def game_run(folder, algo='alphazero'):
    """A run of two agents that learned nothing of tic-tac-toe, judged against random play."""
    folder.mkdir()
    made, spec = RunDir(folder), envs.rules('tictactoe').spec
    agents = tiny.agents(algo, spec, 2, game='tictactoe', filters=4, side=3, hidden=(8,), judged=20)
    settings = Settings(None, env='tictactoe', eval_env='tictactoe/random', seeds=2)
    made.write('config.json', {'algo': algo, 'config': to_json(agents.cfg), 'settings': to_json(settings)})
    made.write('system.json', system())
    (folder / 'command.txt').write_text(f'stitch train {algo} --env tictactoe\n')
    policy.save(made.policy, algo, agents, Boundary.blank(spec), spec)
    for step in (4, 8, 12):
        log(made, step, (0.4, 0.6), True, 'bc')
    made.status('finished', '')
    return made


def log(made, step, scores, success, algo):
    """Rows of one evaluation and one chunk."""
    for seed, score in enumerate(scores):
        reached = [e < round(10 * score) for e in range(10)]
        rows = [{'step': step, 'seed': seed, 'episode': e, 'return': float(x)} for e, x in enumerate(reached)]
        if success:
            rows = [row | {'success': x} for row, x in zip(rows, reached, strict=True)]
        made.append('eval.jsonl', rows)
        q = {} if algo == 'bc' else {'q/data': step + seed, 'q/policy': 2.0 * step, 'q/gap': 1.0}
        made.append('metrics.jsonl', [{'step': step, 'seed': seed} | q])

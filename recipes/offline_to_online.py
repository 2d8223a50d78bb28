"""Does learning from data first pay when acting follows? IQL on the replay of one SAC run on Hopper-v5.

    python recipes/offline_to_online.py --data hopper-v5-sac-replay.npz [--pretrained RUN]

Three runs of 20,000 steps in Hopper-v5, 3 seeds, judged every 2,000 steps over 20 episodes of each:

    pretrained   begins with agents of 100,000 updates on the recording; half of each batch comes from it
    discarded    the same, but its agents begin anew: the recording is kept, what was learned from it is not
    scratch      without both: of the recording only the scale of its rewards is used

The score is the area under the learning curve: the mean return over all evaluations. Expected: pretrained above both.
--pretrained takes a finished run of IQL on that recording instead of training it (recipes/hopper_v5_sac_replay.py makes
one). Finished parts are kept in --runs. Writes recipes/results/offline_to_online.json.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from stitchrl.api import Run, load, train
from stitchrl.report.contrast import difference
from stitchrl.report.scores import curves
from stitchrl.report.statistics import interval
from stitchrl.runs.directory import system

STEPS = 20_000
COMMON = {'preset': 'locomotion', 'seeds': 3, 'eval_episodes': 20, 'every': 2000}
ONLINE = COMMON | {'env': 'Hopper-v5', 'steps': 0, 'online_steps': STEPS}
RESULT = Path(__file__).parent / 'results' / 'offline_to_online.json'


def finished(folder: Path) -> bool:
    """Whether a run lies there that came to its end."""
    status = folder / 'STATUS.json'
    return status.is_file() and json.loads(status.read_text())['state'] == 'finished'


def runs(args: argparse.Namespace) -> dict[str, Run]:
    """The three runs, trained where they are not there yet."""
    data, root = load(args.data), args.runs
    before = args.pretrained or root / 'before'
    if not finished(before):
        train('iql', data, out=str(before), eval_env='Hopper-v5', steps=100_000, **COMMON | {'every': 10_000})
    wanted = {
        'pretrained': (data, ONLINE | {'start': str(before)}),
        'discarded': (data, ONLINE),
        'scratch': (data, ONLINE | {'mix': 0.0, 'random_steps': 1000}),
    }
    for name, (recording, settings) in wanted.items():
        if not finished(root / name):
            train('iql', recording, out=str(root / name), **settings)
    return {name: Run(root / name) for name in wanted}


def main() -> None:
    """Train what is missing, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', required=True)
    parser.add_argument('--pretrained', type=Path, help='a finished run of IQL on that recording')
    parser.add_argument('--runs', type=Path, default=Path('runs/offline_to_online'))
    args = parser.parse_args()
    areas, parts = {}, {}
    for name, run in runs(args).items():
        steps, returns = curves(run.evaluations())
        areas[name] = returns.mean(2)  # [S, evaluations]
        curve = {'steps': steps, 'mean_return_per_seed': np.round(returns.mean(2), 1).tolist()}
        parts[name] = {'area': str(interval(areas[name])), 'curve': curve}
    above = {name: difference(areas['pretrained'], areas[name]) for name in ('discarded', 'scratch')}
    result = {
        'command': f'python recipes/offline_to_online.py --data {Path(args.data).name}',
        'system': system(),
        'parts': parts,
        'pretrained_less': {name: asdict(one) for name, one in above.items()},
    }
    RESULT.write_text(json.dumps(result, indent=1) + '\n')
    for name, part in parts.items():
        print(name, part['area'])
    for name, one in above.items():
        print(f'pretrained less {name}: {one}')


if __name__ == '__main__':
    main()

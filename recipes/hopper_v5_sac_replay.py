"""Offline RL on the whole replay of one SAC run on Hopper-v5: do the algorithms do better than imitation?

    python recipes/hopper_v5_sac_replay.py --data hopper-v5-sac-replay.npz [--peer d3rlpy-curves.json ...]

BC, filtered BC, TD3+BC, AWR and IQL, 100k updates, and CQL, 20k; 3 seeds, judged ten times over 20 episodes of each.
CQL with the settings of CORL, 25k, judged five times. Three seeds left it open whether TD3+BC stands above BC: both
have five more, in runs of their own (`--more`); so has each seed of CQL, which go faster one by one, a core for each.
Eight left it open whether TD3+BC is less than 10 points below d3rlpy's: `td3_bc_later` is eight more of it.
The score is the mean of the last five evaluations, normalised by D4RL's Hopper references (the environment is v5).
Expected: filtered BC above BC, IQL and TD3+BC above BC, neither more than 10 points below d3rlpy on the same file.

Two negative controls. IQL on rewards that were shuffled over all steps: they still have their positive mean, and
falling still ends them, so "do not fall" can be learned from them. IQL on shuffled rewards less their mean: then
nothing is left to learn.

About 40 minutes of two cores, and as many for CQL. Finished parts are kept in --runs and not trained again; one that
stopped is judged as far as it came, several runs of a part as far as all of them. Writes recipes/results/NAME.json;
parts that are not asked for stay there as they are, each with the command and the versions that made it.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from stitchrl.api import Run, load, train
from stitchrl.data.controls import shuffled
from stitchrl.data.dataset import Dataset
from stitchrl.data.references import find
from stitchrl.report.scores import curves
from stitchrl.report.statistics import best, interval, last_mean, lower_bound, normalised
from stitchrl.runs.directory import system

NAME = Path(__file__).stem
PARTS = {
    'bc': ('bc', {}),
    'filtered_bc': ('filtered_bc', {}),
    'td3_bc': ('td3_bc', {}),
    'td3_bc_later': ('td3_bc', {'seed': 8, 'seeds': 8}),
    'awr': ('awr', {'preset': 'locomotion'}),
    'cql': ('cql', {'steps': 20_000, 'every': 2_000}),  # an update costs twelve of IQL's
    'cql_locomotion': ('cql', {'preset': 'locomotion', 'steps': 25_000, 'every': 5_000, 'seeds': 1}),
    'iql': ('iql', {'preset': 'locomotion'}),
    'iql_shuffled': ('iql', {'preset': 'locomotion', 'shuffle_rewards': True}),
    'iql_centred': ('iql', {}),  # rewards shuffled and their mean taken off
}
SETTINGS = {'eval_env': 'Hopper-v5', 'steps': 100_000, 'every': 10_000, 'seeds': 3, 'eval_episodes': 20}
MORE = {  # runs of their own, PART_more1 and so on
    'bc': [{'seed': 3, 'seeds': 5}],
    'td3_bc': [{'seed': 3, 'seeds': 5}],
    'cql_locomotion': [{'seed': 1, 'seeds': 1}, {'seed': 2, 'seeds': 1}],
}
LAST, MARGIN = 5, 10.0


def obtain(part: str, path: Path, data, more: int = 0) -> Run:
    """The run of one part, or one of those of its further seeds: as it lies there if finished, else trained."""
    folder = path / (f'{part}_more{more}' if more else part)
    if (folder / 'STATUS.json').is_file() and json.loads((folder / 'STATUS.json').read_text())['state'] == 'finished':
        return Run(folder)
    if folder.is_dir():  # one that stopped: judged as far as it came
        return Run(folder)
    algo, own = PARTS[part]
    data = data.relabel(centred) if part == 'iql_centred' else data
    return train(algo, data, out=str(folder), **SETTINGS | own | (MORE[part][more - 1] if more else {}))


def centred(data: Dataset) -> np.ndarray:
    """Shuffled rewards of mean zero, on the scale that IQL's rule for rewards gives the true ones."""
    reward, starts = shuffled(data, 0), np.asarray(data.starts)
    return (reward - reward[starts].mean()) * 1000 / np.ptp(data.returns())


def outcome(runs: list[Run]) -> dict:
    """Scores and curves of one part, all seeds of its runs, returns and normalised."""
    reference = find('hopper')
    rows = together(runs)
    steps, returns = curves(rows)
    last = returns[:, -LAST:].reshape(len(returns), -1)
    metrics = [row for run in runs for row in run.metrics() if row['step'] == steps[-1]]
    return {
        'updates': steps[-1],
        'return': str(last_mean(rows, LAST)),
        'normalised': str(interval(normalised(last, reference))),
        'best_in_hindsight': str(best(rows)),
        'seeds_normalised': [round(float(x), 2) for x in normalised(last.mean(1), reference)],
        'curve': {'updates': steps, 'mean_return_per_seed': np.round(returns.mean(2), 1).tolist()},
        'each_run': [alone(run) for run in runs],
        'at_the_end': {k: round(float(np.mean([m[k] for m in metrics])), 4) for k in metrics[0] if '/' in k},
    }


def together(runs: list[Run]) -> list[dict]:
    """The evaluations of several runs as of one, the seeds of a later run counted on, at the steps that all have."""
    rows, before = [], 0
    for run in runs:
        own = [row | {'seed': before + row['seed']} for row in run.evaluations()]
        rows, before = rows + own, 1 + max(row['seed'] for row in own)
    common = set.intersection(*({row['step'] for row in run.evaluations()} for run in runs))
    return [row for row in rows if row['step'] in common]


def alone(run: Run) -> dict:
    """How far a run came, and its curve over all its seeds."""
    steps, returns = curves(run.evaluations())
    return {'state': run.dir.state(), 'updates': steps, 'mean_return': np.round(returns.mean((0, 2)), 1).tolist()}


def peer_scores(paths: list[str]) -> dict[str, list[float]]:
    """Normalised mean of the last five evaluations of each seed of another library, from files of many curves or, as
    `hopper_peer.py` writes them, of one."""
    reference, scores = find('hopper'), {}
    for content in (json.loads(Path(path).read_text()) for path in paths):
        for algo, seeds in content.get('results', {content.get('algo'): [content]}).items():
            last = [np.mean([point['mean_return'] for point in seed['curve'][-LAST:]]) for seed in seeds]
            scores.setdefault(algo, []).extend(float(normalised(score, reference)) for score in last)
    return scores


def verdicts(seeds: dict[str, list[float]], peer: dict[str, list[float]]) -> dict[str, dict]:
    """Each mark with its difference of means and its one-sided 95 % lower bound, in normalised points."""
    marks = {}
    for name, better, worse in (
        ('filtered_bc above bc', 'filtered_bc', 'bc'),
        ('td3_bc above bc', 'td3_bc', 'bc'),
        ('iql above bc', 'iql', 'bc'),
        ('awr above bc', 'awr', 'bc'),
        ('cql above bc', 'cql', 'bc'),
        ('cql_locomotion above bc', 'cql_locomotion', 'bc'),
        ('shuffled iql no better than bc', 'bc', 'iql_shuffled'),
        ('centred iql no better than bc', 'bc', 'iql_centred'),
    ):
        if better in seeds and worse in seeds:
            marks[name] = compare(seeds[better], seeds[worse], 0.0)
    for algo in sorted(set(peer) & set(seeds)):
        marks[f'{algo} not {MARGIN:g} below d3rlpy'] = compare(seeds[algo], peer[algo], -MARGIN)
    return marks


def compare(ours: list[float], theirs: list[float], margin: float) -> dict:
    """Difference of the means and its one-sided 95 % lower bound (None for a single seed)."""
    difference, bound = float(np.mean(ours) - np.mean(theirs)), lower_bound(ours, theirs)
    shown = None if bound is None else round(bound, 2)
    return {'difference': round(difference, 2), 'lower_bound': shown, 'mean_holds': difference > margin}


def main() -> None:
    """Train what is not trained yet, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', required=True)
    parser.add_argument('--peer', nargs='+', default=[], help="another library's curves on the same file")
    parser.add_argument('--runs', default=f'runs/{NAME}')
    parser.add_argument('--parts', nargs='+', default=list(PARTS), choices=list(PARTS))
    parser.add_argument('--more', action='store_true', help=f'with more seeds of {", ".join(MORE)}')
    parser.add_argument('--steps', type=int, default=SETTINGS['steps'], help='updates of parts not trained yet')
    parser.add_argument('--out', default=str(Path(__file__).parent / 'results' / f'{NAME}.json'))
    args = parser.parse_args()
    SETTINGS['steps'] = args.steps
    SETTINGS['every'] = args.steps // 10
    data, out = load(args.data), Path(args.out)
    before = json.loads(out.read_text()) if out.is_file() else {}
    peer, found = before.get('peer_normalised', {}) | peer_scores(args.peer), before.get('results', {})
    words = ' '.join(Path(word).name if '/' in word else word for word in sys.argv[1:])
    how = {'command': f'python recipes/{NAME}.py {words}', 'system': system()}
    for part in args.parts:
        more = MORE.get(part, []) if args.more else []
        runs = [obtain(part, Path(args.runs), data, i) for i in range(1 + len(more))]
        found[part] = how | {'settings': PARTS[part][1], 'more': more} | outcome(runs)
        print(f'{part:14s} {found[part]["normalised"]}', flush=True)
        seeds = {name: result['seeds_normalised'] for name, result in found.items()}
        if later := seeds.pop('td3_bc_later', []):
            seeds['td3_bc'] = seeds.get('td3_bc', []) + later
        result = {'settings': SETTINGS, 'results': found, 'peer_normalised': peer, 'marks': verdicts(seeds, peer)}
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1) + '\n')
    for name, mark in result['marks'].items():
        print(f'{name:36s} {mark}')


if __name__ == '__main__':
    main()

"""`stitch eval RUN --env ENV`: let the policies of a run play episodes; with --offline judge them by a recording."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchrl.cli.device import prepare
from stitchrl.cli.score import numbers
from stitchrl.errors import UsageError

if TYPE_CHECKING:
    from stitchrl.loops.evaluate import Episodes
    from stitchrl.report.statistics import Interval

EPISODES = 50  # of each seed
PLAYING, OFFLINE = ('env', 'episodes'), ('data', 'steps', 'seeds', 'gamma')  # options of the one and of the other
ABOUT = """Judge all policies of a run, greedily, with an interval over seeds: by playing episodes, or with --offline
by a recording alone (fitted Q evaluation, losses, actions), as where there is no simulator."""
EPILOG = """examples: stitch eval runs/iql-0001 --env Hopper-v5 --episodes 50
          stitch eval runs/iql-0001 --offline"""


def main(argv: list[str]) -> int:
    """Run the verb; raises StitchError."""
    parser = argparse.ArgumentParser(
        'stitch eval',
        description=ABOUT,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('run', metavar='RUN', help="the run's folder, or a policy folder")
    parser.add_argument('--env', help='where to play; default: where the run was judged')
    parser.add_argument('--episodes', type=int, help='episodes of each seed; default 50')
    parser.add_argument('--offline', action='store_true', help='play nothing, judge by the recording')
    parser.add_argument('--data', metavar='PATH', help='offline: the recording; default: what the run learned from')
    parser.add_argument('--steps', type=int, help='offline: updates of each fit; default 30,000')
    parser.add_argument('--seeds', type=int, help='offline: fits of each policy; default: three in all, or one of each')
    parser.add_argument('--gamma', type=float, help="offline: the discount; default: the run's, or 0.99")
    parser.add_argument('--seed', type=int, default=1000, help='of the episodes, or of the fits')
    parser.add_argument('--json', action='store_true', help='every episode, or the whole judgement, as JSON')
    args = parser.parse_args(argv)
    for name in PLAYING if args.offline else OFFLINE:
        if getattr(args, name) is not None:
            raise UsageError(f'--{name} {"does not go with" if args.offline else "is for"} --offline')
    for name in ('episodes', 'seeds', 'steps'):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise UsageError(f'--{name} {getattr(args, name)}: expected at least 1')
    prepare()
    return judge(args) if args.offline else play(args)


def judge(args: argparse.Namespace) -> int:
    """Fit, measure, store, print."""
    from stitchrl.loops.appraise import Request, appraise
    from stitchrl.recordings import load_checked
    from stitchrl.report import unplayed
    from stitchrl.runs.directory import RunDir

    tell = lambda step, value: print(f'fitted Q evaluation: {step:,} updates, mean estimate {value:.4g}', flush=True)
    run, say = RunDir.find(args.run), None if args.json else tell
    result = appraise(run, Request(args.data, args.steps, args.seeds, args.gamma, args.seed, say), load_checked)
    if args.json:
        print(json.dumps(result | {'value': str(unplayed.value(result)), 'warnings': unplayed.warnings(result)}))
        return 0
    recorder = result['recording']['value']
    lines = [
        ('the policies', f'{unplayed.value(result)}, estimated'),
        ('the recorder', f'{recorder:.4g} ({result["data"]["episodes"]:,} episodes, their own discounted returns)'),
        *unplayed.stays(result),
    ]
    print(f'{result["algo"]}: {unplayed.about(result)}')
    print('\n'.join(f'{name:12s} {line}' for name, line in lines))
    print('\n'.join([unplayed.TRUST, *(f'warning: {one}' for one in unplayed.warnings(result))]))
    print(f'in the run: {run.path / unplayed.FILE}; as a page: stitch report {run.path}')
    return 0


def play(args: argparse.Namespace) -> int:
    """Load, play, print."""
    from stitchrl import envs
    from stitchrl.loops.evaluate import evaluate
    from stitchrl.runs import policy
    from stitchrl.runs.directory import RunDir

    folder, name = Path(args.run), args.env
    if not (folder / policy.ABOUT).is_file():
        run = RunDir.find(args.run)
        folder, name = run.policy, name or run.judged_in()
    if name is None:
        raise UsageError('the run was judged nowhere; say where to play: --env ENV')
    algo, agents, boundary, spec = policy.load_all(folder)
    env = envs.make(name)
    spec.check(env.spec, str(folder), name)
    episodes = evaluate(agents, boundary, env, args.seed, EPISODES if args.episodes is None else args.episodes)
    if args.json:
        print(json.dumps({'run': args.run, 'env': name} | as_json(folder, episodes)))
    else:
        show(algo, name, episodes)
    return 0


def scores(episodes: 'Episodes') -> dict[str, 'Interval']:
    """{field: score over seeds}: the return, and success where the environment says it."""
    from stitchrl.report.statistics import interval

    found = {'return': interval(episodes.returns)}
    if episodes.success is not None:
        found['success'] = interval(episodes.success.astype(float), rate=True)
    return found


def as_json(folder: Path, episodes: 'Episodes') -> dict[str, Any]:
    """For a program: the step of the policies, the score as `stitch train --json` has it, every episode."""
    from stitchrl.loops.evaluate import rows

    (seed, step), found = origin(folder), {name: numbers(score) for name, score in scores(episodes).items()}
    field = list(found)[-1]
    told = {'step': step, 'field': field, 'score': found[field], 'return': found['return']}
    return told | {'episodes': [row | {'step': step} for row in rows(episodes, 0, seed)]}


def show(algo: str, env: str, episodes: 'Episodes') -> None:
    """For a person."""
    from stitchrl.data.references import find
    from stitchrl.report.statistics import interval, normalised

    print(f'{algo} in {env}')
    for field, score in scores(episodes).items():
        print(f'{field:9s} {score}')
    if reference := find(env):
        score = interval(normalised(episodes.returns, reference))
        print(f'normalised {score} (D4RL references of 2020, played in {env})')


def origin(folder: Path) -> tuple[int, int | None]:
    """(first seed, step) of the policies in a folder, as their run has them; (0, None) where it is not a run's."""
    from stitchrl.runs import checkpoint
    from stitchrl.runs.directory import RunDir

    run = RunDir(folder.resolve().parent)
    if folder.resolve() != run.policy or not (run.path / 'config.json').is_file():
        return 0, None
    saved = checkpoint.steps(run.checkpoints)
    return run.read('config.json')['settings']['seed'], int(saved[-1].name.removeprefix('step_')) if saved else None

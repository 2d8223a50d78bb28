"""`stitch eval RUN --env ENV`: let the policies of a run play episodes."""

import argparse
import json

from stitchrl.cli.device import prepare
from stitchrl.errors import UsageError


def main(argv: list[str]) -> int:
    """Run the verb; raises StitchError."""
    parser = argparse.ArgumentParser(
        'stitch eval',
        description='Play episodes with all policies of a run, greedily; gives the score with an interval over seeds.',
        epilog='example: stitch eval runs/iql-0001 --env Hopper-v5 --episodes 50',
    )
    parser.add_argument('run', metavar='RUN', help="the run's folder, or a policy folder")
    parser.add_argument('--env', help='where to play; default: where the run was judged')
    parser.add_argument('--episodes', type=int, default=50, help='episodes of each seed')
    parser.add_argument('--seed', type=int, default=1000, help='of the episodes')
    parser.add_argument('--json', action='store_true', help='every episode as JSON')
    args = parser.parse_args(argv)
    if args.episodes < 1:
        raise UsageError(f'--episodes {args.episodes}: expected at least 1')
    prepare()
    return play(args)


def play(args: argparse.Namespace) -> int:
    """Load, play, print."""
    from pathlib import Path

    from stitchrl import envs
    from stitchrl.data.references import find
    from stitchrl.loops.evaluate import evaluate, rows
    from stitchrl.report.statistics import interval, normalised
    from stitchrl.runs import policy
    from stitchrl.runs.directory import RunDir

    folder, name = Path(args.run), args.env
    if not (folder / 'policy.json').is_file():
        run = RunDir.find(args.run)
        folder, name = run.policy, name or run.judged_in()
    if name is None:
        raise UsageError('the run was judged nowhere; say where to play: --env ENV')
    algo, agents, boundary, spec = policy.load_all(folder)
    env = envs.make(name)
    spec.check(env.spec, str(folder), name)
    episodes = evaluate(agents, boundary, env, args.seed, args.episodes)
    if args.json:
        print(json.dumps({'run': args.run, 'env': name, 'episodes': rows(episodes, 0, 0)}))
        return 0
    print(f'{algo} in {name}\nreturn    {interval(episodes.returns)}')
    if episodes.success is not None:
        print(f'success   {interval(episodes.success.astype(float), rate=True)}')
    if reference := find(name):
        score = interval(normalised(episodes.returns, reference))
        print(f'normalised {score} (D4RL references of 2020, played in {name})')
    return 0

"""`stitch resume RUN`: go on with a run that stopped, as if it had not."""

import argparse
import sys

from stitchrl.cli.device import prepare
from stitchrl.errors import UsageError


def main(argv: list[str]) -> int:
    """Run the verb; raises StitchError."""
    parser = argparse.ArgumentParser(
        'stitch resume',
        description='Go on with a run from its newest whole checkpoint. It computes what the unbroken run would have.',
        epilog='example: stitch resume runs/iql-0001',
    )
    parser.add_argument('run', metavar='RUN', help="the run's folder, or anything inside it")
    parser.add_argument('--data', metavar='PATH', help='where the recording lies, if it was moved')
    parser.add_argument('--json', action='store_true', help='print the result as JSON')
    args = parser.parse_args(argv)
    prepare()
    from stitchrl.cli.train import follow
    from stitchrl.loops.launch import resume
    from stitchrl.recordings import asked
    from stitchrl.runs.directory import RunDir

    run = RunDir.find(args.run)
    if run.state() == 'finished':
        raise UsageError(f'{run.path}: finished; nothing to resume. stitch eval {run.path} judges it again')
    warn = lambda text: print(f'warning: {text}', file=sys.stderr if args.json else sys.stdout)
    session, agents, step = resume(run, asked, warn, args.data)
    return follow(session, agents, step, args.json, f'as begun; going on after update {step:,}')

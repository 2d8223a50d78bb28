"""`stitch report RUN`: one page that says what a run is worth, and opens anywhere."""

import argparse
import json

from stitchrl.cli.device import prepare


def main(argv: list[str]) -> int:
    """Run the verb; raises StitchError."""
    parser = argparse.ArgumentParser(
        'stitch report',
        description='Write a run as one HTML file: verdict, curves, value health, films, data, how to reproduce it.',
        epilog='example: stitch report runs/iql-0001 --baseline runs/bc-0001',
    )
    parser.add_argument('run', metavar='RUN', help="the run's folder, or anything inside it")
    parser.add_argument('--baseline', metavar='RUN_BC', help='run of BC; default: a neighbour on the same recording')
    parser.add_argument('--out', metavar='FILE', help='default: RUN/report.html')
    parser.add_argument('--data', metavar='PATH', help='the recording, where it was moved since')
    parser.add_argument('--env', help='where to play; default: where the run was judged')
    parser.add_argument('--episodes', type=int, default=10, help='of each seed, for films and Q; 0: play none')
    parser.add_argument('--json', action='store_true', help='print the path as JSON')
    args = parser.parse_args(argv)
    prepare()
    from stitchrl.report.run_page import Request, write
    from stitchrl.runs.directory import RunDir

    request = Request(args.out, args.baseline, args.data, args.env, args.episodes)
    path = write(RunDir.find(args.run), request)
    print(json.dumps({'report': str(path)}) if args.json else f'report: {path}')
    return 0

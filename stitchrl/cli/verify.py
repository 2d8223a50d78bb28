"""`stitch verify PATH`: is it whole, and can it be used?"""

import argparse
import json

from stitchrl.cli.device import prepare


def main(argv: list[str]) -> int:
    """Run the verb. Exit code 0, or 5 if a part is not good; raises StitchError where there is nothing to look at."""
    parser = argparse.ArgumentParser(
        'stitch verify',
        description='Look at every part of a run, a policy, an export, a checkpoint or a recording: hashes, versions, '
        'whether it can be used. Exit code 5 if a part is not good.',
        epilog='example: stitch verify runs/iql-0001',
    )
    parser.add_argument('path', metavar='PATH', help='what to look at')
    parser.add_argument('--run', help='of a recording: the run that should have learned from it')
    parser.add_argument('--json', action='store_true', help='as JSON')
    args = parser.parse_args(argv)
    prepare()
    from stitchrl.runs.verify import verify

    kind, parts = verify(args.path, args.run)
    good = all(part.good for part in parts)
    if args.json:
        told = {'path': args.path, 'kind': kind, 'good': good, 'parts': [part._asdict() for part in parts]}
        print(json.dumps(told, indent=1))
    else:
        print(f'{args.path}: a {kind}' if kind[0] not in 'aeiou' else f'{args.path}: an {kind}')
        width = max(len(part.part) for part in parts)
        for part in parts:
            print(f'{"ok " if part.good else "BAD"} {part.part:{width}s}  {part.told}')
    return 0 if good else 5

"""`stitch info`: versions, device and flags in a block to paste into a question."""

import argparse
import json
from typing import Any


def main(argv: list[str]) -> int:
    """Run the verb."""
    parser = argparse.ArgumentParser(
        'stitch info', description='Versions, machine and device.', epilog='example: stitch info'
    )
    parser.add_argument('--json', action='store_true', help='as JSON')
    args = parser.parse_args(argv)
    from stitchrl.cli.device import cache_folder
    from stitchrl.runs.directory import system

    told: dict[str, Any] = system() | {'compiled programs': str(cache_folder() or 'not kept: no folder to write in')}
    if args.json:
        print(json.dumps(told, indent=1))
        return 0
    packages = told.pop('packages')
    for name, value in (told | packages).items():
        print(f'{name:18s} {value}')
    return 0

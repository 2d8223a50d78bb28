"""`stitch export RUN OUT --to FORM`: take the policy away."""

import argparse
import json

from stitchrl.cli.device import prepare
from stitchrl.errors import StitchError

USES = {
    'numpy': 'from policy import Policy; action = Policy()(observation), in OUT; it needs NumPy alone',
    'stablehlo': 'stitchrl.load_policy(OUT)(observation), or jax.export.deserialize',
    'onnx': 'stitchrl.load_policy(OUT)(observation), or onnxruntime',
}


def main(argv: list[str]) -> int:
    """Run the verb; raises StitchError."""
    parser = argparse.ArgumentParser(
        'stitch export',
        description='Write the policy of a run as a folder that works without the run: compared with it, and sealed.',
        epilog='example: stitch export runs/iql-0001 hopper-policy --to numpy',
    )
    parser.add_argument('run', metavar='RUN', help="the run's folder, or a policy folder")
    parser.add_argument('out', metavar='OUT', help='folder to write; must not be there yet')
    parser.add_argument('--to', choices=list(USES), default='numpy', help='numpy (default), stablehlo, onnx')
    parser.add_argument('--seed', type=int, default=0, help='which agent of the run, from 0')
    parser.add_argument('--json', action='store_true', help='print the manifest as JSON')
    args = parser.parse_args(argv)
    prepare()
    from stitchrl.export.folder import export

    try:
        about = export(args.run, args.out, args.to, args.seed)
    except OSError as error:
        raise StitchError(f'{args.out}: could not be written ({error})') from None
    print(json.dumps({'export': args.out} | about) if args.json else told(args.out, about))
    return 0


def told(out: str, about: dict) -> str:
    """What was made, for a person."""
    compared = ', '.join(f'{name} {value}' for name, value in about['compared'].items())
    lines = [
        f'export: {out} ({about["kind"]}: {", ".join(about["files"])})',
        f'compared with the run: {compared}',
        f'use: {USES[about["kind"]].replace("OUT", out)}',
    ]
    if about['expires']:
        lines.append(f'expires: {about["expires"]}, after which JAX need not read it')
    return '\n'.join(lines)

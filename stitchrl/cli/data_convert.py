"""`stitch data convert SRC DST`: a recording in another format, the same to the last bit."""

import argparse
import json
from dataclasses import fields

from stitchrl.data.formats import FORMATS, Choice

ENDS = ('npz', 'hdf5', 'parquet', 'minari')
WORDS = {
    'obs': "patterns of the columns that make up an observation, such as 'q*,dq*'",
    'action': "likewise for the action, such as 'tau*'",
    'reward': 'the column of rewards',
    'episode': 'the column that is the same on all rows of an episode',
    'terminal': 'the column that is 1 where the task itself ended',
    'timeout': 'the column that is 1 where the recording stops for another reason',
    'time': 'the column of seconds',
}


def convert(args: argparse.Namespace) -> int:
    """Convert, and say what was decided; raises StitchError."""
    from stitchrl.data.check import fingerprint
    from stitchrl.data.episodes import episode_ends
    from stitchrl.data.formats.transfer import transfer

    columns = transfer(args.source, args.target, args.to, args.format, choice_of(args))
    steps, episodes, digest = len(columns), int(episode_ends(columns).sum()), fingerprint(columns)
    if args.json:
        told = {'path': args.target, 'steps': steps, 'episodes': episodes, 'fingerprint': digest}
        print(json.dumps(told | {'notes': list(columns.notes)}, indent=1))
    else:
        said = [f'{args.target}: {steps:,} steps, {episodes:,} episodes, sha256 {digest[:12]}, read back and the same']
        print('\n'.join([*(f'- {note}' for note in columns.notes), *said, f'next: stitch data check {args.target}']))
    return 0


def add_columns(verb: argparse.ArgumentParser) -> None:
    """The arguments that say which columns of a table mean what."""
    group = verb.add_argument_group('columns of CSV, Parquet, LeRobot and robomimic (* any text, ? one sign)')
    for field in fields(Choice):
        group.add_argument(
            f'--{field.name}',
            metavar='COLUMNS' if field.name in ('obs', 'action') else 'COLUMN',
            help=WORDS[field.name],
        )


def choice_of(args: argparse.Namespace) -> Choice:
    """What `add_columns` was given."""
    return Choice(**{field.name: getattr(args, field.name) for field in fields(Choice)})


def add(verbs: argparse._SubParsersAction) -> None:
    """The parser of `convert` among the verbs of `stitch data`."""
    verb = verbs.add_parser(
        'convert',
        help='a recording in another format, the same to the last bit',
        description='Write a recording in another format. It is read back and compared before it gets its name.',
        epilog="example: stitch data convert log.csv log.npz --obs 'q*,dq*' --action 'tau*' --reward r --episode id",
    )
    verb.add_argument('source', metavar='SRC', help='the recording, a file or the folder of a dataset')
    verb.add_argument('target', metavar='DST', help='a new .npz, .hdf5 or .parquet file, or a folder for Minari')
    verb.add_argument('--format', choices=list(FORMATS), help='what SRC is, where its name says something else')
    verb.add_argument('--to', choices=ENDS, help="what DST is; default: told by its name's ending")
    verb.add_argument('--json', action='store_true', help='the result as JSON')
    add_columns(verb)
    verb.set_defaults(run=convert)

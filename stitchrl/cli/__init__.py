"""`stitch`: verbs and nothing else. No JAX, no tyro and no rich is imported before a verb needs it."""

import os
import sys
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import NoReturn

from stitchrl.errors import StitchError, UsageError, meant
from stitchrl.runs.signals import AtOnce

VERBS = {
    'demo': ('stitchrl.cli.demo', 'see offline RL join segments that imitation cannot: under 3 minutes'),
    'train': ('stitchrl.cli.train', 'learn a policy from a recording, by acting, or both'),
    'resume': ('stitchrl.cli.resume', 'go on with a run that stopped'),
    'eval': ('stitchrl.cli.evaluate', 'judge the policies of a run: let them play, or by a recording alone'),
    'play': ('stitchrl.cli.play', 'an episode as a picture that moves, without a display; or a game against you'),
    'report': ('stitchrl.cli.report', 'a run as one page: verdict, curves, value health, films, data'),
    'plan': ('stitchrl.cli.plan', 'plan with the model of a run, and see how well it foresees'),
    'export': ('stitchrl.cli.export', 'take the policy away: NumPy, StableHLO or ONNX'),
    'verify': ('stitchrl.cli.verify', 'is a run, policy, export or recording whole, and can it be used?'),
    'compare': ('stitchrl.cli.compare', 'runs side by side: can these seeds tell them apart?'),
    'data': ('stitchrl.cli.data', 'look at a recording before anything is trained on it, or make one'),
    'env': ('stitchrl.cli.env', 'is this environment fit to learn in?'),
    'claims': ('stitchrl.cli.claims', "the course's statements, each put to the test"),
    'explain': ('stitchrl.cli.explain', 'which loss reaches which network, and who asks about unseen actions'),
    'list': ('stitchrl.cli.list', 'algorithms, environments, runs'),
    'info': ('stitchrl.cli.info', 'versions and devices, to paste into a question'),
}
EXAMPLES = (
    'stitch demo',
    'stitch data inspect recording.hdf5',
    'stitch train iql --data recording.hdf5 --eval-env Hopper-v5 --steps 100000',
)


def main(argv: list[str] | None = None) -> int:
    """Run one verb. Exit codes: 0 ok, 1 failed, 2 usage, 3 missing extra, 4 bad data, 5 corrupt, 128 + signal."""
    argv = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors='replace')  # a terminal without Unicode shows ?, not a traceback
    try:
        return run(argv)
    except StitchError as error:
        print(f'stitch: {error}', file=sys.stderr)
        return error.code
    except KeyboardInterrupt as error:
        print('stitch: stopped', file=sys.stderr)
        return leave(130) if isinstance(error, AtOnce) else 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        if not exhausted(error):
            raise
        print(f'stitch: {exhausted(error)}', file=sys.stderr)
        return 1


def leave(code: int) -> NoReturn:
    """End the process without Python's own end, which may crash while the threads of a broken save still write."""
    from multiprocessing import active_children

    for child in active_children():  # environments in processes of their own
        child.terminate()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def exhausted(error: Exception) -> str:
    """What to say of an error that is a lack of memory, NumPy's or XLA's; empty of any other."""
    reason = str(error).partition('\n')[0].rstrip('.')
    if not isinstance(error, MemoryError) and 'RESOURCE_EXHAUSTED' not in reason:
        return ''
    fix = 'take a smaller --capacity, --batch or fewer --seeds, or read the recording from the disk with --stream'
    return f'out of memory{": " * bool(reason)}{reason}; {fix}'


def run(argv: list[str]) -> int:
    """The verb that the first word names."""
    if not argv or argv[0] in ('-h', '--help', 'help'):
        print(overview())
        return 0
    if argv[0] == '--version':
        from stitchrl import __version__

        print(f'stitchrl {__version__}')
        return 0
    if argv[0] not in VERBS:
        raise UsageError(f'no verb {argv[0]!r}{meant(argv[0], VERBS)}')
    return import_module(VERBS[argv[0]][0]).main(argv[1:])


def overview() -> str:
    """The help of `stitch` itself."""
    verbs = '\n'.join(f'  {name:8s} {line}' for name, (_, line) in VERBS.items())
    examples = '\n'.join(f'  {line}' for line in EXAMPLES)
    return f'stitch: from experience to behaviour.\n\n{verbs}\n\nTry:\n{examples}\n\nEach verb: stitch VERB --help'

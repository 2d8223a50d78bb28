"""`stitch data collect`: episodes of a policy, what a run remembers, or a whole set of recordings, as files."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stitchrl.errors import UsageError

if TYPE_CHECKING:
    from stitchrl.data.columns import Columns

SEED = 2000  # not that of stitch train (0 on) nor of stitch eval (1000): what is learned from is not judged on
USUAL = {'episodes': 100, 'noise': 0.0, 'limit': None, 'seed': SEED}
SUFFIX = {'npz': '.npz', 'minari': '-v0'}
MODES = """modes:
  ENV --policy RUN|random   episodes of a run's saved policy, greedy but for --noise, or of random actions
  --replay RUN              what an online run remembers: the ring of its newest checkpoint, in time order
  ENV --suite --medium RUN --expert RUN
                            five recordings as in D4RL: random, medium, medium-replay, expert, medium-expert.
                            A run keeps its last policy only, so medium is a run of its own that was trained for
                            less long, best to a third of the expert's return; medium-replay is its ring

example: stitch data collect Pendulum-v1 --policy runs/sac-0001 --episodes 100 --noise 0.1 --out pendulum.npz"""


def collect(args: argparse.Namespace) -> int:
    """Play or read, write, and say what was written; raises StitchError."""
    mode = mode_of(args)
    from stitchrl.cli.device import prepare
    from stitchrl.data.formats.write import check_out

    out = Path(args.out or default(args, mode))
    check_out(out, 'minari' if args.suite else args.format)
    prepare()
    began = time.monotonic()
    made, more = {'policy': play, 'replay': replay, 'suite': suite}[mode](args, out)
    told = [row(name, columns) for name, columns in made.items()]
    seconds = round(time.monotonic() - began, 1)
    if args.json:
        print(json.dumps({'path': str(out), 'seconds': seconds} | more | {'recordings': told}, indent=1))
    else:
        show(out, told, seconds, more)
    return 0


def mode_of(args: argparse.Namespace) -> str:
    """policy, replay or suite; fills in defaults. UsageError for a request that cannot be meant."""
    asked = [name for name in ('policy', 'replay', 'suite') if getattr(args, name)]
    if len(asked) != 1:
        got = ' and '.join(f'--{name}' for name in asked) or 'none of them'
        raise UsageError(f'one of --policy, --replay and --suite says what to write, got {got}')
    mode = asked[0]
    if (args.env is None) != (mode == 'replay'):
        raise UsageError(f'--{mode} {"plays nothing: leave ENV out" if args.replay else "needs ENV, where to play"}')
    if {args.medium is not None, args.expert is not None} != {mode == 'suite'}:
        raise UsageError('--suite takes --medium RUN and --expert RUN, and nothing else does')
    for name, usual in USUAL.items():
        if args.replay and getattr(args, name) is not None:
            raise UsageError(f'--{name} goes with playing, and --replay plays nothing; leave it out')
        if getattr(args, name) is None:
            setattr(args, name, usual)
    return mode


def default(args: argparse.Namespace, mode: str) -> str:
    """A name for what is made."""
    if mode == 'suite':
        return plain(f'{args.env}-suite')
    name = f'{args.env}-{Path(args.policy).name}' if mode == 'policy' else f'{Path(args.replay).resolve().name}-replay'
    return plain(name) + SUFFIX[args.format]


def plain(name: str) -> str:
    """A name of an environment without what no file name should have."""
    return name.replace('/', '-').replace(':', '-')


def play(args: argparse.Namespace, out: Path) -> Any:
    """--policy: episodes."""
    from stitchrl import envs
    from stitchrl.data.formats.write import write
    from stitchrl.loops.cast import cast
    from stitchrl.loops.gather import gather

    env = envs.make(args.env)
    one = cast(args.policy, env.spec, args.env, args.noise, args.seed_index)
    columns = gather(*one, env, args.seed, args.episodes, args.limit)
    write(out, columns, env.spec, args.format, args.command)
    return {out.name: columns}, {}


def replay(args: argparse.Namespace, out: Path) -> Any:
    """--replay: a ring."""
    from stitchrl.data.check import check, refuse
    from stitchrl.data.formats.write import write
    from stitchrl.runs.directory import RunDir
    from stitchrl.runs.ring import recording

    columns, spec, step = recording(RunDir.find(args.replay), args.seed_index, warn)
    refuse(check(columns))
    write(out, columns, spec, args.format, args.command)
    return {out.name: columns}, {'step': step}


def suite(args: argparse.Namespace, out: Path) -> Any:
    """--suite: five recordings in a folder."""
    from stitchrl import envs
    from stitchrl.data.formats.write import whole, write
    from stitchrl.loops.suite import sets, share

    env, how = envs.make(args.env), (args.seed, args.episodes, args.noise, args.limit, args.seed_index)
    made = sets(env, args.env, args.medium, args.expert, *how)
    named = {name + SUFFIX[args.format]: columns for name, columns in made.items()}

    def fill(hidden: Path) -> None:
        for name, columns in named.items():
            write(hidden / name, columns, env.spec, args.format, args.command, out.name)

    whole(out, fill)
    return named, {'medium': share(made)}


def warn(text: str) -> None:
    """Beside the result, which may be JSON."""
    print(f'warning: {text}', file=sys.stderr)


def row(name: str, columns: 'Columns') -> dict[str, Any]:
    """What is said of a recording."""
    from stitchrl.data.episodes import episode_ends, lengths, returns

    ends = episode_ends(columns)
    total, length = returns(columns.reward, ends), lengths(ends)
    counts = {'name': name, 'episodes': len(total), 'steps': len(columns), 'ended': int(columns.terminal.sum())}
    return counts | {'return': float(total.mean()), 'std': float(total.std()), 'length': float(length.mean())}


def show(out: Path, told: list[dict[str, Any]], seconds: float, more: dict[str, Any]) -> None:
    """For a person."""
    width = max(len(row['name']) for row in told)
    print(f'{"":{width}}  episodes      steps    return        sd    length  task ended')
    for row in told:
        print(
            f'{row["name"]:{width}}  {row["episodes"]:8,}  {row["steps"]:9,}  {row["return"]:8.5g}  {row["std"]:8.4g}  '
            f'{row["length"]:8.5g}  {row["ended"]:10,}'
        )
    if 'medium' in more:
        print(f"medium's return lies at {more['medium']:.0%} of the way from random's to the expert's")
    if 'step' in more:
        print(f'the ring as it was at step {more["step"]:,}')
    print(f'{out}, in {seconds:.1f} s\nnext: stitch data inspect {out / told[0]["name"] if "medium" in more else out}')


def add(verbs: argparse._SubParsersAction) -> None:
    """The parser of `collect` among the verbs of `stitch data`."""
    verb = verbs.add_parser(
        'collect',
        help='episodes of a policy or of random actions, the memory of an online run, or a D4RL-style set',
        description='Write experience as recordings that stitch train --data and stitchrl.load read.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=MODES,
    )
    verb.add_argument('env', metavar='ENV', nargs='?', help='where to play, as in stitch list envs')
    verb.add_argument('--policy', metavar='RUN|random', help="a run's folder, a policy's folder, or the word random")
    verb.add_argument('--replay', metavar='RUN', help='an online run')
    verb.add_argument('--suite', action='store_true', help='five recordings, from bad to good')
    verb.add_argument('--medium', metavar='RUN', help='of --suite: the online run that was stopped early')
    verb.add_argument('--expert', metavar='RUN', help='of --suite: the run that was trained to the end')
    verb.add_argument('--episodes', type=int, help='whole episodes of each policy (100)')
    verb.add_argument(
        '--noise',
        type=float,
        help='on a policy: deviation of Gaussian noise on actions in [-1, 1], or where actions are choices the '
        'probability of a random one (0)',
    )
    verb.add_argument(
        '--limit', type=int, metavar='STEPS', help='cut episodes here, where ENV has no limit or a later one'
    )
    verb.add_argument('--seed', type=int, help=f'of all that is random in it ({SEED})')
    verb.add_argument('--seed-index', type=int, default=0, help='which agent of a run, from 0 (0)')
    verb.add_argument('--format', choices=list(SUFFIX), default='npz', help='a file, or the folder of a Minari dataset')
    verb.add_argument('--out', metavar='PATH', help='does not exist yet; default: a name made of the request, here')
    verb.add_argument('--json', action='store_true', help='the result as JSON')
    verb.set_defaults(run=collect)

"""`stitch train ALGO --data PATH --env ENV`: from a recording, an environment or both to a judged policy."""

import json
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from stitchrl.algos import ALGORITHMS, PLAYERS, algorithm
from stitchrl.cli.device import prepare
from stitchrl.core.config import from_json, to_json
from stitchrl.errors import UsageError

HELP = """usage: stitch train ALGO [--data PATH] [--env ENV] [--eval-env ENV] [--steps N] [--online-steps N] [--seeds N]
                         [--preset NAME] [--config FILE] [any field of the algorithm's Config]

Learn a policy from a recording (--data), by acting (--env), or from the one and then by the other: --steps updates on
the recording, then --online-steps in the environment. With --eval-env or --env it is judged by playing there.

examples: stitch train iql --data recording.hdf5 --eval-env Hopper-v5 --preset locomotion --steps 100000
          stitch train sac --env Pendulum-v1 --preset pendulum
          stitch train iql --data recording.hdf5 --env Hopper-v5 --steps 100000 --online-steps 20000
          stitch train iql --data larger-than-memory.hdf5 --stream
          stitch train alphazero --env connect_four

algorithms: {algos}
all options of one: stitch train ALGO --help"""


LIKE = ('--data recording.hdf5 --steps 100000', '--env connect_four')  # of most algorithms, of those that play games


@dataclass(frozen=True)
class Plain:
    """Settings of the command line alone."""

    preset: str = 'default'  # settings for a family of data; stitch list presets shows them
    config: str | None = None  # a config.json of an earlier run; options given here win over it
    json: bool = False  # print the result as JSON


def main(argv: list[str]) -> int:
    """Run the verb; raises StitchError."""
    if not argv or argv[0] in ('-h', '--help'):
        print(HELP.format(algos=', '.join((*ALGORITHMS, *PLAYERS))))
        return 0
    algo, rest = argv[0], argv[1:]
    if algo.startswith('-'):
        raise UsageError(f'the algorithm comes first: stitch train ALGO {" ".join(argv)}')
    plain, settings, cfg = parse(algo, rest)
    if algo in PLAYERS and (settings.data is not None or settings.env is None):
        raise UsageError(
            f'{algo} learns a game by playing itself, from no recording; name a game: '
            f'stitch train {algo} --env connect_four'
        )
    if settings.data is None and settings.env is None:
        raise UsageError(
            f'nothing to learn from; name a recording, an environment or both: '
            f'stitch train {algo} --data PATH, stitch train {algo} --env ENV'
        )
    return start(algo, plain, settings, cfg, ['train', *argv])


def parse(algo: str, argv: list[str]) -> tuple[Plain, Any, Any]:
    """Options -> (Plain, Settings, the algorithm's Config). Defaults: the class, then preset, then --config."""
    import tyro

    from stitchrl.loops.settings import Settings, configure, settings_of

    module = algorithm(algo)
    preset, file = peek(argv, '--preset') or 'default', peek(argv, '--config')
    settings, cfg = settings_of(algo, preset, {}), configure(algo, preset, {})
    if file is not None:
        tree = read_config(file, algo)
        settings = from_json(Settings, to_json(settings) | tree.get('settings', {}))
        cfg = from_json(module.Config, to_json(cfg) | tree.get('config', {}))
    fields = [('plain', Plain), ('settings', Settings), ('cfg', module.Config)]
    Request = make_dataclass('Request', [(name, Annotated[cls, tyro.conf.arg(name='')]) for name, cls in fields])
    request = tyro.cli(
        Request,
        prog=f'stitch train {algo}',
        description=f'{module.__doc__}\nexample: stitch train {algo} {LIKE[algo in PLAYERS]}',
        default=Request(Plain(preset, file), settings, cfg),
        args=argv,
        config=(tyro.conf.OmitArgPrefixes,),
    )
    return request.plain, request.settings, request.cfg


def peek(argv: list[str], option: str) -> str | None:
    """The value of an option that decides the defaults of the others."""
    for i, word in enumerate(argv):
        if word == option and i + 1 < len(argv):
            return argv[i + 1]
        if word.startswith(option + '='):
            return word.split('=', 1)[1]
    return None


def read_config(path: str, algo: str) -> dict[str, Any]:
    """A config.json: {algo, config, settings}. UsageError where it is none, or one of another algorithm."""
    try:
        tree = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f'--config {path}: cannot be read ({error})') from None
    if not isinstance(tree, dict) or not {'config', 'settings'} & tree.keys():
        raise UsageError(f'--config {path}: expected the config.json of a run, with "config" and "settings" in it')
    if tree.get('algo', algo) != algo:
        raise UsageError(f'--config {path} is of {tree["algo"]}, not {algo}')
    if unknown := tree.keys() - {'algo', 'config', 'settings'}:
        raise UsageError(f'--config {path}: unknown key {sorted(unknown)[0]!r}; known: algo, config, settings')
    return tree


def start(algo: str, plain: Plain, settings: Any, cfg: Any, command: list[str]) -> int:
    """Load, say what will be done, train, tell the result."""
    prepare()
    from stitchrl.loops.launch import begin
    from stitchrl.recordings import asked

    data, about = None, None
    if settings.data is not None:
        data, about = asked(settings)
        settings = replace(settings, data=about['path'])
    session = begin(algo, cfg, settings, data, about, command)
    del data  # the session has its own; nobody needs the recording twice in memory
    return follow(
        session, session.fresh(), 0, plain.json, f'{plain.preset}: {algorithm(algo).PRESETS[plain.preset][0]}'
    )


def follow(session: Any, agents: Any, step: int, as_json: bool, preset: str) -> int:
    """Show the training from update `step` on to its end, then the result and what to do next."""
    from stitchrl.api import Run
    from stitchrl.cli.screen import Screen, hints

    unit = 'updates' if session.work.stream is None else 'steps'
    screen = Screen(session.algo, session.work.total, session.settings.seeds, False if as_json else None, unit)
    if not as_json:
        screen.say(header(session, preset))
    with screen:
        for _ in session.go(agents, step, Quiet() if as_json else screen):
            pass
    run = Run(session.run.path)
    judged = bool(run.evaluations())
    field = 'success' if judged and 'success' in run.evaluations()[0] else 'return'
    score = run.score(field) if judged else None
    if as_json:
        print(json.dumps({'run': str(run.path), 'score': None if score is None else str(score)}))
        return 0
    screen.say(
        f'{field}, mean of the last 5 evaluations: {score}' if judged else 'not judged: no --eval-env and no --env'
    )
    screen.say(f'run: {run.path}')
    screen.say(f'next: {"   |   ".join(hints(session, run.path))}')
    return 0


def header(session: Any, preset: str) -> str:
    """What will be done, in a few lines."""
    import jax

    settings, cfg, work = session.settings, session.cfg, session.work
    seeds = f'{settings.seeds} seed{"s" * (settings.seeds > 1)} from {settings.seed}'
    about = session.run.read('data.json') if work.offline else {}
    lines = [f'{session.algo}, {seeds}, batches of {cfg.batch}; preset {preset}']
    if work.offline:
        lines += [
            f'data: {about["path"]}, {work.offline:,} updates',
            f'      {about["steps"]:,} steps, {about["episodes"]:,} episodes, mean return {about["return_mean"]:.4g}',
        ]
        lines += [reading(work.data)] if settings.stream else []
    if session.algo in PLAYERS:
        lines += work.told()
    elif work.stream is not None:
        plan, size = work.stream.plan, work.bytes / 1e6
        lines += [
            f'learns by acting in: {settings.env}, {work.online:,} steps of each seed in {plan.lanes} at a time, '
            f'{plan.ratio:g} updates a step, the first {plan.random_steps:,} steps at random',
            f'      remembers {work.stream.capacity:,} steps of each seed, {size:,.0f} MB in all'
            + (f'; {plan.mix:.0%} of each batch comes from the data' if plan.mix else ''),
        ]
    judged = settings.eval_env or settings.env or 'nothing (no --eval-env)'
    lines += [f'judged in: {judged}   device: {jax.devices()[0].platform}', f'run: {session.run.path}']
    return '\n'.join(lines + [f'warning: {text}' for text in about.get('warnings', [])])


def reading(data: Any) -> str:
    """How a recording is read that stays on the disk."""
    blocks, size = len(data.data.blocks), data.bytes / 1e6
    if data.whole:
        return f'      all of it fits into the buffer ({size:,.0f} MB), so it is read once; --stream is not needed'
    held = f'{data.slots:,} of its {blocks:,} blocks of {data.block:,} rows'
    return f'      stays on the disk; {held} are in memory at a time, {size:,.0f} MB'


def Quiet() -> Any:
    """A Watch that shows nothing."""
    from stitchrl.loops.watch import Nobody

    return Nobody()

"""`stitch train ALGO --data PATH --env ENV`: from a recording, an environment or both to a judged policy."""

import json
from contextlib import nullcontext
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from stitchrl.algos import ALGORITHMS, PLAYERS, algorithm
from stitchrl.cli.device import prepare
from stitchrl.cli.header import chosen, header
from stitchrl.cli.score import numbers
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

LAST = 5  # evaluations that a score is the mean of
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

    from stitchrl.loops.bounds import option
    from stitchrl.loops.settings import Settings, configure, settings_of

    module = algorithm(algo)
    preset, file = peek(argv, '--preset') or 'default', peek(argv, '--config')
    settings, cfg = settings_of(algo, preset, {}), configure(algo, preset, {})
    if file is not None:
        tree = read_config(file, algo)
        refuse_modules(file, tree.get('settings', {}), argv)
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
    asked, own = to_json(request.settings), to_json(request.cfg)
    return request.plain, settings_of(algo, preset, asked, option), configure(algo, preset, own, option)


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


def refuse_modules(path: str, settings: dict[str, Any], argv: list[str]) -> None:
    """UsageError where a file, and not the command line, names a module: to import that is to run its code."""
    for name, option in (('env', '--env'), ('eval_env', '--eval-env')):
        if ':' in str(settings.get(name)) and peek(argv, option) is None:
            word = settings[name]
            raise UsageError(
                f'--config {path} names {word!r}, whose code would be run; if you mean it: {option} {word}'
            )


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
    return follow(session, session.fresh(), 0, plain.json, chosen(algo, plain.preset, cfg, settings))


def follow(session: Any, agents: Any, step: int, as_json: bool, preset: str) -> int:
    """Show the training from update `step` on to its end, then the result and what to do next; as JSON the result
    alone."""
    from stitchrl.cli.screen import Screen, hints
    from stitchrl.loops.watch import Nobody

    unit = 'updates' if session.work.stream is None else 'steps'
    screen = None if as_json else Screen(session.algo, session.work.total, session.settings.seeds, unit=unit)
    if screen is not None:
        screen.say(header(session, preset))
    with screen or nullcontext():
        for _ in session.go(agents, step, screen or Nobody()):
            pass
    field, count, score = judgement(session.run.path)
    if screen is None:
        told = {'run': str(session.run.path), 'field': field, 'evaluations': count, 'score': numbers(score)}
        print(json.dumps(told))
        return 0
    which = 'the only evaluation' if count == 1 else f'{"the last" if count == LAST else "all"} {count} evaluations'
    screen.say('not judged: no --eval-env and no --env' if score is None else f'{field}, mean of {which}: {score}')
    screen.say(f'run: {session.run.path}')
    screen.say(f'next: {"   |   ".join(hints(session, session.run.path))}')
    return 0


def judgement(path: Path) -> tuple[str | None, int, Any]:
    """(what a run is scored by, the mean over how many evaluations, the Interval); (None, 0, None) if never judged."""
    from stitchrl.api import Run

    run = Run(path)
    rows = run.evaluations()
    if not rows:
        return None, 0, None
    field = 'success' if 'success' in rows[0] else 'return'
    return field, min(len({row['step'] for row in rows}), LAST), run.score(field)

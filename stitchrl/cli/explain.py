"""`stitch explain ALGO`: which loss reaches which network, what is detached, who asks about unseen actions."""

import json
from dataclasses import dataclass, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from stitchrl.algos import ALGORITHMS, PLAYERS, algorithm
from stitchrl.errors import UsageError

if TYPE_CHECKING:
    from stitchrl.report.explain import Explanation, Loss, Trace

HELP = """usage: stitch explain ALGO [--kind KIND] [--preset NAME] [--json] [any field of the algorithm's Config]

Which loss reaches which network, what is detached, which term asks about actions that the data does not hold, and
where the log-density of the policy's own actions enters. All of it is computed from one update of tiny networks.

example: stitch explain cql --entropy-backup

algorithms: {algos}"""
LEGEND = """learns      the gradient of this loss changes this network
through     the gradient leads through this network to the one that learns; its own weights stay
detached    the loss uses this network, but no gradient goes there: it comes in with the argument named"""


@dataclass(frozen=True)
class Plain:
    """Settings of the command line alone."""

    kind: Literal['continuous', 'discrete'] | None = None  # of actions; default: the first that fits
    preset: str = 'default'  # settings for a family of data; stitch list presets shows them
    json: bool = False  # as JSON


def main(argv: list[str]) -> int:
    """Run the verb; raises UsageError."""
    if not argv or argv[0] in ('-h', '--help'):
        print(HELP.format(algos=', '.join(ALGORITHMS)))
        return 0
    algo, rest = argv[0], argv[1:]
    if algo.startswith('-'):
        raise UsageError(f'the algorithm comes first: stitch explain ALGO {" ".join(argv)}')
    if algo in PLAYERS:
        raise UsageError(f'{algo} learns from its own games, not from steps; its equations are in {PLAYERS[algo][0]}')
    plain, cfg = parse(algo, rest)
    from stitchrl.report.explain import as_json, explain

    found = explain(algo, cfg, plain.kind)
    if plain.json:
        print(json.dumps(as_json(found), indent=1))
    else:
        show(found)
    return 0


def parse(algo: str, argv: list[str]) -> tuple[Plain, Any]:
    """Options -> (Plain, the algorithm's Config), held to its bounds. Defaults: the class, then the preset."""
    import tyro

    from stitchrl.cli.train import peek
    from stitchrl.core.config import to_json
    from stitchrl.loops.bounds import option
    from stitchrl.loops.settings import configure

    preset = peek(argv, '--preset') or 'default'
    fields = [('plain', Plain), ('cfg', algorithm(algo).Config)]
    Request = make_dataclass('Request', [(name, Annotated[cls, tyro.conf.arg(name='')]) for name, cls in fields])
    request = tyro.cli(
        Request,
        prog=f'stitch explain {algo}',
        description=f'example: stitch explain {algo} --json',
        default=Request(Plain(preset=preset), configure(algo, preset, {})),
        args=argv,
        config=(tyro.conf.OmitArgPrefixes,),
    )
    return request.plain, configure(algo, preset, to_json(request.cfg), option)


def show(found: 'Explanation') -> None:
    """For a person."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(
        f'{found.algo}, {found.actions} actions: its losses in the order of the update, and its networks\n',
        soft_wrap=True,
    )
    table = Table('loss', *found.networks, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style='bold')
    for loss in found.losses:
        table.add_row(loss.name, *(cell(loss, network) for network in found.networks))
    console.print(table)
    console.print(f'\n{LEGEND}\n', style='dim', soft_wrap=True)
    told(console, 'asks about actions that the data does not hold', 'asks', found, 'unseen')
    told(
        console, "uses the log-density of the policy's own actions (where entropy enters)", 'takes it of', found, 'own'
    )


def cell(loss: 'Loss', network: str) -> str:
    """What a loss is to a network, in a word or two."""
    words = ['learns'] if loss.learns and network == loss.learner else []
    if network in loss.through:
        words.append('through')
    elif network in loss.detached:
        words.append(f'detached: {", ".join(loss.detached[network])}')
    return '; '.join(words) or '-'


def told(console: Any, title: str, verb: str, found: 'Explanation', what: str) -> None:
    """The losses in which something was traced, one line each, or that there is none."""
    lines = [f'  {loss.name} {verb} {line(trace)}' for loss in found.losses for trace in getattr(loss, what)]
    console.print(f'{title}:' if lines else f'{title}: no loss', soft_wrap=True)
    for text in lines:
        console.print(text, markup=False, soft_wrap=True)


def line(trace: 'Trace') -> str:
    """One trace in words."""
    where = f'through {", ".join(trace.through)}' if trace.through else 'in the loss itself'
    spared = f', not into {", ".join(trace.spares)}' if trace.spares else ''
    return f'{trace.network} {where}: into {", ".join(trace.into)}{spared}'

"""`stitch demo`: offline RL joins segments that nobody walked in one piece; imitation cannot.

Short noisy walks between random cells of a maze cross its junctions in all directions; none leads from the start to
the goal. BC, filtered BC and IQL learn from them, five agents each; then the controls that must fail, and a set that
points along the way, where imitation is enough.
"""

import argparse
import json
import time
from dataclasses import dataclass, field
from typing import Any

from stitchrl.cli.device import prepare

NETS = {'hidden': (128, 128), 'lr': 1e-3, 'normalise': True}
IQL = NETS | {
    'gamma': 0.96,
    'expectile': 0.8,
    'beta': 50.0,
    'rate': 0.02,
    'actor_decay': False,
    'steps': 6000,
}
BC = NETS | {'head': 'deterministic', 'steps': 3000}
ROWS = 100_000


@dataclass(frozen=True)
class Part:
    """One trained row of the table."""

    name: str
    algo: str
    kind: str  # of segments: stitch, cut or along
    at_least: float = 0.0  # marks for the success rate
    at_most: float = 1.0
    settings: dict[str, Any] = field(default_factory=dict)

    def holds(self, rate: float) -> bool:
        return self.at_least <= rate <= self.at_most

    def mark(self) -> str:
        return (
            f'at least {self.at_least:g}'
            if self.at_least > 0
            else f'at most {self.at_most:g}'
            if self.at_most < 1
            else ''
        )


PARTS = (
    Part('BC', 'bc', 'stitch', at_most=0.2, settings=BC),
    Part('filtered BC', 'filtered_bc', 'stitch', settings=BC),
    Part('IQL', 'iql', 'stitch', at_least=0.8, settings=IQL),
    Part('IQL, rewards shuffled', 'iql', 'stitch', at_most=0.2, settings=IQL | {'shuffle_rewards': True}),
    Part('IQL, goal cut off', 'iql', 'cut', at_most=0.2, settings=IQL),
    Part('BC, all along the way', 'bc', 'along', at_least=0.8, settings=BC),
)


def main(argv: list[str]) -> int:
    """Run the verb. Exit code 1 if a mark is missed."""
    parser = argparse.ArgumentParser(
        'stitch demo',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='example: stitch demo',
    )
    parser.add_argument('--seed', type=int, default=0, help='of data and agents')
    parser.add_argument('--seeds', type=int, default=5, help='agents of each row')
    parser.add_argument('--episodes', type=int, default=50, help='episodes of each agent in an evaluation')
    parser.add_argument('--out', help='folder; default: the next free runs/demo-0001')
    parser.add_argument('--json', action='store_true', help='print the result as JSON')
    args = parser.parse_args(argv)
    prepare()
    return show(args)


def show(args: argparse.Namespace) -> int:
    """Collect, train all parts, tell."""
    from stitchrl.cli.screen import Screen
    from stitchrl.envs.pointmaze import PointMaze
    from stitchrl.runs.directory import RunDir

    began = time.monotonic()
    maze, run = PointMaze.create('junctions', horizon=100), RunDir.fresh('demo', args.out)
    sets = {kind: recording(maze, kind, args.seed) for kind in dict.fromkeys(part.kind for part in PARTS)}
    say = (lambda text: None) if args.json else Screen('demo', 0, 0).say
    say(f'{ROWS:,} steps of short walks collected in {time.monotonic() - began:.0f} s; runs in {run.path}')
    rows = []
    for number, part in enumerate(PARTS, 1):
        rows.append(row(part, maze, sets[part.kind], run, args, f'{number}/{len(PARTS)} {part.name}'))
    took = time.monotonic() - began
    from stitchrl.cli.demo_report import report

    path = report(run, maze, sets, rows, args, took)
    tell(rows, path, took, args.json)
    return 0 if all(row['holds'] for row in rows) else 1


def recording(maze: Any, kind: str, seed: int) -> Any:
    """The Columns of one kind of segments."""
    import jax.random as jr

    from stitchrl.data.collect import segments

    return segments(maze, jr.key(seed), ROWS, kind)


def row(part: Part, maze: Any, columns: Any, run: Any, args: argparse.Namespace, title: str) -> dict[str, Any]:
    """Train and judge one part."""
    import numpy as np

    from stitchrl.api import train
    from stitchrl.cli.screen import Screen
    from stitchrl.loops.evaluate import evaluate
    from stitchrl.recordings import checked
    from stitchrl.report.statistics import interval
    from stitchrl.runs.policy import load_all

    data, _ = checked(columns, None)
    settings = {
        'seeds': args.seeds,
        'seed': args.seed,
        'eval_episodes': args.episodes,
        'every': part.settings['steps'] // 3,
    }
    folder = str(run.path / title.split(' ', 1)[1].replace(',', '').replace(' ', '-'))
    screen = Screen(title, part.settings['steps'], args.seeds, live=False if args.json else None)
    if args.json:
        made = train(part.algo, data, env=maze, out=folder, **settings, **part.settings)
    else:
        with screen:
            made = train(part.algo, data, env=maze, watch=screen, out=folder, **settings, **part.settings)
    _, agents, boundary, _ = load_all(made.dir.policy)
    episodes = evaluate(agents, boundary, maze, args.seed + 1, args.episodes, trace=True)
    score = interval(np.asarray(episodes.success, float), rate=True)
    return {'part': part, 'run': made, 'score': score, 'episodes': episodes, 'holds': part.holds(score.mean)}


def tell(rows: list[dict[str, Any]], path: Any, took: float, as_json: bool) -> None:
    """The table at the end."""
    if as_json:
        told = [
            {
                'name': r['part'].name,
                'success': r['score'].mean,
                'interval': str(r['score']),
                'holds': r['holds'],
            }
            for r in rows
        ]
        print(json.dumps({'rows': told, 'seconds': round(took, 1), 'report': str(path)}, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table('algorithm', 'segments', 'success rate', 'mark', '', title='Who reaches the goal?')
    for r in rows:
        part, rate = r['part'], str(r['score']).partition(' (')[0]
        sign = '' if not part.mark() else '[green]holds[/]' if r['holds'] else '[red]missed[/]'
        table.add_row(part.name, part.kind, rate, part.mark(), sign)
    console = Console(highlight=False)
    console.print(table)
    made = sorted({str(r['score']).partition(' (')[2].rstrip(')') for r in rows})
    console.print('intervals at 95 %: ' + '; '.join(made), soft_wrap=True)
    console.print(f'report: {path}   ({took:.0f} s)', soft_wrap=True)

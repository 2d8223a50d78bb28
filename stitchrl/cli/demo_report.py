"""The demo's figure and page."""

import argparse
from pathlib import Path
from typing import Any

import jax
import numpy as np

from stitchrl.report import figures, page
from stitchrl.report.scores import curves
from stitchrl.runs.directory import RunDir, system
from stitchrl.runs.policy import load_all

SHOWN = 30  # paths in a panel


def report(
    run: RunDir, maze: Any, sets: dict[str, Any], rows: list[dict[str, Any]], args: argparse.Namespace, took: float
) -> Path:
    """Draw, write report.html and the pictures it holds; returns its path."""
    by_name = {row['part'].name: row for row in rows}
    plots = run.path / 'plots'
    plots.mkdir(exist_ok=True)
    pictures = draw(plots, maze, sets['stitch'], by_name)
    verdicts = [
        page.Verdict(
            f'{row["part"].name}: {row["score"].mean:.0%} reach the goal, mark {row["part"].mark()}', row['holds']
        )
        for row in rows
        if row['part'].mark()
    ]
    path = run.path / 'report.html'
    page.write(
        path,
        'Joining segments',
        verdicts,
        [table(rows)],
        pictures,
        notes(sets, rows, took),
        {'command': f'stitch demo --seed {args.seed} --seeds {args.seeds} --episodes {args.episodes}'} | flat(system()),
    )
    return path


def draw(plots: Path, maze: Any, walks: Any, rows: dict[str, dict[str, Any]]) -> list[page.Picture]:
    """The pictures, each with what it shows; they are kept as files too."""
    main = ('BC', 'filtered BC', 'IQL')
    data = figures.Panel('The data', 'short walks; none joins start and goal', data=figures.sample(walks, 100))
    panels = [data, *(panel(rows[name]) for name in main)]
    controls = [panel(row) for name, row in rows.items() if name not in main]
    shown = ('IQL', *(name for name, row in rows.items() if row['part'].kind == 'stitch' and name != 'IQL'))
    learning = {name: learned(rows[name]['run']) for name in shown}
    return [
        page.Picture(
            figures.maze(maze, panels, plots / 'maze.png'),
            'What was recorded, and what was learned from it.',
            'Four mazes: the recorded walks, and the paths of BC, filtered BC and IQL.',
        ),
        page.Picture(
            figures.value_map(maze, value(rows['IQL'], maze), plots / 'value.png'),
            'What IQL takes each place to be worth: reward flows back from the goal through walks nobody joined.',
            'A map of the maze coloured by learned value, highest at the goal.',
        ),
        page.Picture(
            figures.maze(maze, controls, plots / 'controls.png', columns=3),
            'The controls. Without the link from deeds to rewards, or without a chain of walks to the goal, the same '
            'algorithm fails; where all walks point along the way, imitation is enough.',
            'Three mazes with the paths of the control experiments.',
        ),
        page.Picture(
            figures.curves(learning, plots / 'learning.png', 'success rate', rate=True),
            'Success rate during training; each seed is a thin line.',
            'Learning curves of the four rows trained on the same walks.',
        ),
    ]


def panel(row: dict[str, Any]) -> figures.Panel:
    """Some of a row's paths, all agents alike."""
    episodes, part = row['episodes'], row['part']
    count = -(-SHOWN // episodes.paths.shape[0])
    chosen = [(s, e) for s in range(episodes.paths.shape[0]) for e in range(min(count, episodes.paths.shape[1]))]
    paths = [episodes.paths[s, e, : episodes.lengths[s, e] + 1] for s, e in chosen]
    return figures.Panel(
        part.name,
        f'{row["score"].mean:.0%} reach the goal',
        paths=paths,
        solved=[bool(episodes.success[s, e]) for s, e in chosen],
    )


def learned(run: Any) -> tuple[Any, Any]:
    """(steps [N], success rates [S, N]) of a run."""
    steps, success = curves(run.evaluations(), 'success')
    return steps, success.mean(2)


def value(row: dict[str, Any], maze: Any) -> np.ndarray:
    """V over the maze, mean over agents."""
    agents: Any
    _, agents, boundary, _ = load_all(row['run'].dir.policy)
    spots = figures.places(maze)
    return np.asarray(jax.vmap(lambda net: net(boundary.obs(spots.astype(np.float32))))(agents.value.net).mean(0))


def table(rows: list[dict[str, Any]]) -> page.Table:
    """The table at the end of the demo."""
    header = ('algorithm', 'segments', 'success rate', 'mark', 'holds')
    holds = lambda row: ('yes' if row['holds'] else 'no') if row['part'].mark() else ''
    told = [(r['part'].name, r['part'].kind, page.Whisker(r['score']), r['part'].mark(), holds(r)) for r in rows]
    return page.Table(
        'Share of episodes that reach the goal; the interval is over seeds where they differ.', header, told
    )


def notes(sets: dict[str, Any], rows: list[dict[str, Any]], took: float) -> list[str]:
    """What a reader should know."""
    steps = {row['part'].algo: row['run'].dir.read('config.json')['config']['steps'] for row in rows}
    return [
        f'Each set has {len(sets["stitch"]):,} steps or so: noisy walks of a few cells between random cells.',
        'stitch: walks cross the junctions in all directions. cut: the same, but no step enters the surroundings of '
        'the goal from outside. along: every walk points along the shortest way.',
        'Updates: '
        + ', '.join(f'{algo} {count:,}' for algo, count in steps.items())
        + f'. All of it took {took:.0f} s here.',
    ]


def flat(tree: dict[str, Any]) -> dict[str, str]:
    """system() as lines."""
    packages = ', '.join(f'{name} {number}' for name, number in tree['packages'].items())
    return {name: str(text) for name, text in tree.items() if name != 'packages' and text} | {'packages': packages}

"""The progress screen: a live panel in a terminal, plain lines elsewhere."""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from stitchrl.algos import PLAYERS
from stitchrl.loops.chunk import Chunk
from stitchrl.loops.evaluate import Episodes

PLAIN_EVERY = 10.0  # seconds between lines where there is no terminal


class Screen:
    """A Watch (see loops.watch) that shows bar, rate, time left, phase, losses, Q values and evaluations."""

    def __init__(self, title: str, steps: int, seeds: int, live: bool | None = None, unit: str = 'updates'):
        from rich.console import Console

        self.title, self.steps, self.seeds, self.unit = title, steps, seeds, unit
        self.console = Console(highlight=False)
        self.live = (self.console.is_terminal if live is None else live) and sys.stdout.isatty()
        self.started = self.said = time.monotonic()
        self.step, self.first, self.state = 0, None, 'starting'
        self.info: dict[str, float] = {}
        self.last: tuple[int, float] | None = None
        self.best: tuple[int, float] | None = None
        self.display: Any = None

    def __enter__(self) -> 'Screen':
        if self.live:
            from rich.live import Live

            self.display = Live(get_renderable=self.panel, console=self.console, refresh_per_second=4, transient=True)
            self.display.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self.display is not None:
            self.display.__exit__(*error)
        if error[0] is None:
            self.say(self.line())

    def phase(self, name: str) -> None:
        """compiling, training, evaluating or saving."""
        if name == 'compiling' and not self.live:
            self.say(f'{self.title}: compiling, usually 5 to 20 s')
        self.state = name

    def chunk(self, chunk: Chunk, steps: int) -> None:
        """A chunk is done."""
        now = time.monotonic()
        if self.first is None:
            self.first = (
                chunk.step,
                now,
            )  # the first chunk holds the compilation, so the rate is counted from its end
        self.step, self.steps, self.state = chunk.step, steps, 'training'
        self.info = {name: float(np.mean(values)) for name, values in chunk.info.items() if not name.endswith('/ran')}
        if not self.live and now - self.said > PLAIN_EVERY:
            self.said = now
            self.say(self.line())

    def judged(self, step: int, episodes: Episodes) -> None:
        """An evaluation is done: success rate where the environment tells, else mean return."""
        score = float(np.mean(episodes.returns if episodes.success is None else episodes.success))
        self.last = (step, score)
        if self.best is None or score > self.best[1]:
            self.best = (step, score)

    def say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)  # lines stay whole in files and pipes

    def rate(self) -> float:
        """Updates per second of all seeds together, since the first chunk."""
        if self.first is None or self.step <= self.first[0]:
            return 0.0
        return (self.step - self.first[0]) / max(time.monotonic() - self.first[1], 1e-9) * self.seeds

    def left(self) -> str:
        """Time left, in words."""
        rate = self.rate() / self.seeds
        if not rate:
            return 'time left unknown'
        seconds = int((self.steps - self.step) / rate)
        return f'{seconds // 60}:{seconds % 60:02d} left'

    def scores(self) -> str:
        """Last and best evaluation."""
        if self.last is None or self.best is None:
            return 'not judged yet'
        best = f'best {self.best[1]:.3g} (at {self.best[0]:,}, in hindsight)'
        return f'last {self.last[1]:.3g} (at {self.last[0]:,}), {best}'

    def line(self) -> str:
        """Everything in one plain line."""
        shown = lambda name: name.endswith('/loss') or name in ('q/data', 'q/policy')
        told = [f'{name} {value:.3g}' for name, value in self.info.items() if shown(name)]
        parts = [
            f'{self.title}: {self.step:,}/{self.steps:,} {self.unit}',
            f'{self.rate():.0f}/s',
            self.left(),
            *told,
            self.scores(),
        ]
        return ' | '.join(parts)

    def panel(self) -> Any:
        """The live panel."""
        from rich.console import Group
        from rich.panel import Panel
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        head = Text(f'{self.state:11s} {self.step:,} of {self.steps:,} {self.unit} x {self.seeds} seeds   ')
        head.append(f'{self.rate():,.0f} {self.unit}/s   {self.left()}')
        table = Table.grid(padding=(0, 3))
        for heading, names in self.groups():
            values = [f'{name} {self.info[name]:.4g}' for name in names]
            table.add_row(Text(heading, style='dim'), '   '.join(values))
        table.add_row(Text('judged', style='dim'), self.scores())
        return Panel(Group(head, ProgressBar(total=self.steps, completed=self.step), table), title=self.title)

    def groups(self) -> list[tuple[str, list[str]]]:
        """Metrics by what they tell; those of held-out data stand apart."""
        mine = [name for name in self.info if not name.startswith('held_out/')]
        groups = [
            ('losses', [name for name in mine if name.endswith('/loss')]),
            ('Q', [name for name in mine if name.startswith('q/')]),
            ('health', [name for name in mine if not name.endswith('/loss') and not name.startswith('q/')]),
            (
                'held out',
                [name for name in self.info if name.startswith('held_out/') and name.endswith('/loss')],
            ),
        ]
        return [(heading, names) for heading, names in groups if names]


def hints(session: Any, run: Path) -> list[str]:
    """What to do with a run that is done: only what can be done with its policies."""
    import jax

    if session.algo in PLAYERS:
        return [f'stitch {verb} {run}' for verb in ('play', 'eval', 'report')]
    agent = jax.eval_shape(session.work.new)
    remembers = jax.tree.leaves(jax.eval_shape(lambda: agent.remember(1)))
    alone = session.work.stream is None and not remembers
    found = [f'stitch eval {run} --offline' if alone else f'stitch eval {run}']
    found += [f'stitch plan {run}'] if hasattr(agent, 'model') else []
    found.append(f'stitch report {run}')
    return found + ([] if remembers else [f'stitch export {run} OUT'])

"""Runs beside one another: scores, differences to the first run, and what makes them not comparable."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stitchrl.data.references import Reference, find
from stitchrl.errors import UsageError
from stitchrl.report.contrast import difference, improvement
from stitchrl.report.scores import curves, last
from stitchrl.report.statistics import Interval, interval, normalised
from stitchrl.runs.directory import RunDir

LAST = 5  # evaluations that make a score
FEW = 3  # seeds under which an interval is hardly worth its name


@dataclass(frozen=True)
class Entry:
    """A run, as far as it is needed to be compared."""

    name: str
    path: str
    algo: str
    rows: list[dict[str, Any]]  # of eval.jsonl
    facts: dict[str, Any]  # what must be equal for scores to be comparable; None where the run does not say
    notes: tuple[str, ...] = ()  # what is odd about this run alone

    @property
    def label(self) -> str:
        """The name, and the algorithm where the name does not tell it."""
        return self.name if self.algo in self.name else f'{self.name} ({self.algo})'


@dataclass(frozen=True)
class Row:
    """A run's score, and how it stands to the first run (None in the first's own row)."""

    entry: Entry
    score: Interval
    normalised: Interval | None = None  # on D4RL's scale, where there is a reference
    difference: Interval | None = None  # this run - the first
    improvement: Interval | None = None  # probability that a seed of this run scores above one of the first


@dataclass(frozen=True)
class Comparison:
    """Of two runs or more."""

    field: str  # return or success
    rows: list[Row]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and words."""
        rows = []
        for row in self.rows:
            told = {name: getattr(row, name) for name in ('score', 'normalised', 'difference', 'improvement')}
            numbers = {name: None if one is None else asdict(one) for name, one in told.items()}
            rows.append({'name': row.entry.name, 'run': row.entry.path, 'algo': row.entry.algo} | numbers)
        return {'field': self.field, 'against': self.rows[0].entry.path, 'rows': rows, 'warnings': self.warnings}


def entry(path: str | Path) -> Entry:
    """The run that a path lies in. UsageError where there is none, or one that was never judged."""
    run = RunDir.find(path)
    rows, config = run.rows('eval.jsonl'), run.read('config.json')
    if not rows:
        raise UsageError(f'{run.path}: never judged, so there is nothing to compare; train with --eval-env ENV')
    settings, state = config['settings'], run.state()
    steps = curves(rows)[0]
    facts = {
        'data (fingerprint)': (run.data() or {'fingerprint': 'none, it learned by acting'})['fingerprint'],
        'environment': run.judged_in(),
        'episodes of an evaluation': settings['eval_episodes'],
        'last evaluation, at step': steps[-1],
        'evaluations that make the score': min(LAST, len(steps)),
        'version of stitchrl': run.read('system.json')['stitchrl'],
    }
    notes = [f'is {state}'] if state != 'finished' else []
    notes += ['learned from shuffled rewards, a negative control'] if settings['shuffle_rewards'] else []
    seeds = len({row['seed'] for row in rows})
    if seeds < FEW:
        notes.append(f'has {seeds} seed' + 's' * (seeds > 1) + '; three or more are needed to tell runs apart')
    name = run.path.resolve().name
    return Entry(name, str(run.path), config['algo'], rows, facts, tuple(notes))


def compare(runs: Sequence[str | Path], of: str | None = None) -> Comparison:
    """Each run beside the first. `of`: 'return', or 'success', the default where every run knows it.

    Raises UsageError on fewer than two runs, on one that was never judged and on a field that a run lacks.
    """
    if len(runs) < 2:
        raise UsageError(f'{len(runs)} run given; expected two or more: stitch compare RUN RUN')
    entries = named(list(map(entry, runs)))
    if of is None:
        of = 'success' if all('success' in one.rows[0] for one in entries) else 'return'
    rate = of == 'success'
    scores = [last(one.rows, LAST, of) for one in entries]
    rows = []
    for k, (one, own) in enumerate(zip(entries, scores, strict=True)):
        ruler = None if rate else reference(one)
        scaled = None if ruler is None else interval(normalised(own, ruler))
        against = (difference(own, scores[0], rate=rate), improvement(own, scores[0])) if k else ()
        rows.append(Row(one, interval(own, rate=rate), scaled, *against))
    return Comparison(of, rows, warnings(entries))


def reference(one: Entry) -> Reference | None:
    """D4RL's reference returns for the environment that a run was judged in."""
    name = one.facts['environment']
    return find(name) if name else None


def named(entries: list[Entry]) -> list[Entry]:
    """Runs in folders of the same name are called by their paths."""
    names = [one.name for one in entries]
    clash = {name for name in names if names.count(name) > 1}
    return [replace(one, name=one.path) if one.name in clash else one for one in entries]


def warnings(entries: Sequence[Entry]) -> list[str]:
    """What speaks against comparing these runs, one sentence each."""
    found = [f'{one.name} {note}' for one in entries for note in one.notes]
    for fact in entries[0].facts:
        values = {one.name: one.facts[fact] for one in entries}
        silent = [name for name, value in values.items() if value is None]
        if silent:
            found.append(f'{fact}: not known of {", ".join(silent)}, so nobody can tell whether it is the same')
        if len({value for value in values.values() if value is not None}) > 1:
            told = ', '.join(f'{name} {brief(value)}' for name, value in values.items() if value is not None)
            found.append(f'{fact} differs: {told}')
    return found


def brief(value: Any) -> str:
    """A value in a warning; a fingerprint by its first signs."""
    if isinstance(value, int):
        return f'{value:,}'
    return str(value)[:12] if len(str(value)) == 64 else str(value)


def learned(one: Entry, of: str) -> tuple[list[int], np.ndarray]:
    """(steps [N], mean scores [S, N]) of a run, for `figures.curves`."""
    steps, scores = curves(one.rows, of)
    return steps, scores.mean(2)

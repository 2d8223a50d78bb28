"""What a run's scores say: against the recording, against BC, against D4RL's references."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stitchrl.data.references import Reference, find
from stitchrl.report import page
from stitchrl.report.behaviour import Behaviour
from stitchrl.report.compare import LAST, Entry
from stitchrl.report.compare_page import number, scale
from stitchrl.report.contrast import apart, difference, improvement
from stitchrl.report.scores import curves, last
from stitchrl.report.statistics import Interval, best, interval, last_mean, normalised


@dataclass(frozen=True)
class Judged:
    """Scores of a run and of what it is held against."""

    field: str  # success where every return is one, else return
    own: np.ndarray  # [S, E] of the last evaluations
    rows: list[dict[str, Any]]
    recording: Behaviour | None  # None where it learned by acting alone
    bc: Entry | None
    ruler: Reference | None
    place: str | None  # name of the environment

    @property
    def rate(self) -> bool:
        return self.field == 'success'

    @property
    def label(self) -> str:
        """What is scored, in words."""
        return 'success rate' if self.rate else 'return'

    @property
    def score(self) -> Interval:
        """The run's."""
        return interval(self.own, rate=self.rate)


def judge(rows: list[dict[str, Any]], recording: Behaviour | None, bc: Entry | None, place: str | None) -> Judged:
    """Scores from the rows of eval.jsonl. Where the return is the success, it is treated as the rate it is."""
    rate = all(row.get('success') == row['return'] for row in rows)
    if bc is not None:
        rate = rate and all(row.get('success') == row['return'] for row in bc.rows)
    field = 'success' if rate else 'return'
    return Judged(field, last(rows, LAST, field), rows, recording, bc, find(place) if place else None, place)


def verdicts(judged: Judged) -> list[page.Verdict]:
    """A sentence for each thing the run is held against."""
    found = [against_beginning(judged) if judged.recording is None else against_recording(judged, judged.recording)]
    found += [] if judged.bc is None else [against_bc(judged, judged.bc)]
    return found + ([] if judged.ruler is None else [against_expert(judged, judged.ruler)])


def against_beginning(judged: Judged) -> page.Verdict:
    """An agent that learned by acting has no recording to beat; it is held against its own first evaluation."""
    steps, scores = curves(judged.rows, judged.field)
    gap = difference(judged.own, scores[:, 0], rate=judged.rate)
    words = {True: 'Better than', False: 'Worse than', None: 'Not told apart from'}[apart(gap)]
    text = (
        f'{words} itself at its first evaluation, step {steps[0]:,}: {judged.label} {number(judged.score)} now, '
        f'{number(interval(scores[:, 0], rate=judged.rate))} then.'
    )
    return page.Verdict(text, apart(gap))


def against_recording(judged: Judged, recording: Behaviour) -> page.Verdict:
    """The recording is what it is: its mean return is a number, not an estimate."""
    score, mean = judged.score, recording.mean
    gap = shifted(score, -mean)
    words = {True: 'Better than', False: 'Worse than', None: 'Not told apart from'}
    text = (
        f'{words[apart(gap)]} the recording: {judged.label} {number(score)} against a mean return of {short(mean)} '
        f'in its {recording.episodes:,} episodes, the best of which made {short(recording.most)}.'
    )
    return page.Verdict(text, apart(gap))


def against_bc(judged: Judged, bc: Entry) -> page.Verdict:
    """By the difference of the two scores."""
    theirs = last(bc.rows, LAST, judged.field)
    gap, chance = difference(judged.own, theirs, rate=judged.rate), improvement(judged.own, theirs)
    what = 'BC' if bc.algo == 'bc' else bc.algo
    words = {True: f'Better than {what}', False: f'Worse than {what}', None: f'Not told apart from {what}'}[apart(gap)]
    text = (
        f'{words} ({bc.name}): difference {number(gap)}; a seed of this run scores above one of {bc.name} with '
        f'probability {number(chance)}.'
    )
    return page.Verdict(text, apart(gap))


def against_expert(judged: Judged, ruler: Reference) -> page.Verdict:
    """On D4RL's scale, where the expert stands at 100."""
    scaled = interval(normalised(judged.own, ruler))
    state = apart(shifted(scaled, -100))
    words = {True: "Above D4RL's expert", False: "Below D4RL's expert", None: "Not told apart from D4RL's expert"}
    text = (
        f'{words[state]}: normalised {number(scaled)}, where 0 is a random policy and 100 the expert. Judged in '
        f'{judged.place}; the references were measured in the Gym environments of 2020.'
    )
    return page.Verdict(text, state)


def shifted(one: Interval, by: float) -> Interval:
    """A score less a known number, which has no error of its own."""
    ends = [None if x is None else x + by for x in (one.low, one.high)]
    return Interval(one.mean + by, ends[0], ends[1], one.method, one.seeds, one.episodes, one.level)


def headline(judged: Judged, algo: str) -> str:
    """The verdict in half a line."""
    place = f' in {judged.place}' if judged.place else ''
    return f'{algo}{place}: {judged.label} {number(judged.score)}'


def table(judged: Judged, algo: str) -> page.Table:
    """Last evaluations, the last one, the best in hindsight, BC and the recording, on one scale."""
    field, rate, known = judged.field, judged.rate, judged.recording
    rows = {
        f'{algo}, last {min(LAST, len(curves(judged.rows)[0]))} evaluations': judged.score,
        f'{algo}, last evaluation': last_mean(judged.rows, 1, field, rate=rate),
        f'{algo}, best evaluation of each seed': best(judged.rows, field, rate=rate),
    }
    if judged.bc is not None:
        rows[judged.bc.label] = interval(last(judged.bc.rows, LAST, field), rate=rate)
    if known is not None:
        rows['recording'] = Interval(known.mean, None, None, '', 1, None)
    how = {} if known is None else {'recording': f'mean of {known.episodes:,} episodes'}
    low, high = scale([*rows.values()], rate)
    header = ['', judged.label]
    shown = [[name, page.Whisker(one, low, high, how.get(name))] for name, one in rows.items()]
    if judged.ruler is not None:
        header.append('normalised')
        for row, one in zip(shown, rows.values(), strict=True):
            row.append(scaled(one, judged.ruler))
    return page.Table('Scores on one scale; intervals at 95 % are over seeds.', header, shown)


def scaled(one: Interval, ruler: Reference) -> str:
    """A score on D4RL's scale; it is linear, so the ends of its interval are too."""
    move = lambda x: None if x is None else float(normalised(x, ruler))
    return number(Interval(float(normalised(one.mean, ruler)), move(one.low), move(one.high), '', one.seeds, None))


def short(value: float) -> str:
    """A return in a sentence."""
    return f'{value:,.0f}' if abs(value) >= 100 else f'{value:.3g}'

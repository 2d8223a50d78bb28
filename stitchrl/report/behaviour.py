"""What a run learned from and what it is held against: the recording, and a run of BC on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stitchrl.data.check import check, fingerprint
from stitchrl.data.columns import Columns
from stitchrl.data.episodes import episode_ends, returns
from stitchrl.data.finding import Finding
from stitchrl.data.formats import read
from stitchrl.errors import StitchError, UsageError
from stitchrl.report.compare import Entry, entry
from stitchrl.runs.directory import RunDir


@dataclass(frozen=True)
class Behaviour:
    """The recording of a run. Without its file only what the run noted of it is known."""

    mean: float  # return of an episode
    most: float
    episodes: int
    columns: Columns | None
    findings: list[Finding]
    note: str  # where the numbers come from, or why the file was not used


def behaviour(run: RunDir, data: str | None = None) -> Behaviour | None:
    """The recording from `data`, else from where the run found it; None where it learned by acting alone. UsageError
    where `data` is another one."""
    noted, settings = run.data(), run.read('config.json')['settings']
    if noted is None:
        return None
    bare = noted['return_mean'], noted['return_max'], noted['episodes']
    path = data or noted['path']
    if path is None:
        return Behaviour(*bare, None, [], 'The run was trained on data from memory; --data PATH shows the recording.')
    if data is None and not Path(path).exists():
        return Behaviour(*bare, None, [], f'{path} is not there any more; --data PATH names another place.')
    if data is None and settings.get('stream'):
        note = (
            f'{path} was read in blocks while learning, so it is not shown; --data {path} takes all of it into memory.'
        )
        return Behaviour(*bare, None, [], note)
    try:
        columns = read(path, None if data else settings['format'])
    except StitchError as error:
        if data is not None:
            raise
        return Behaviour(*bare, None, [], f'The recording cannot be read any more: {error}')
    total = returns(columns.reward, episode_ends(columns))
    if not same(noted, columns, total):
        told = f'{path} is not the recording that {run.path} was trained on'
        if data is not None:
            raise UsageError(f'--data {told}; its fingerprint differs')
        return Behaviour(*bare, None, [], f'{told} any more, so it is not shown.')
    known = 'its fingerprint is the one the run noted' if noted['fingerprint'] else 'steps and returns agree'
    findings = check(columns)
    return Behaviour(float(total.mean()), float(total.max()), len(total), columns, findings, f'{path}; {known}.')


def same(noted: dict[str, Any], columns: Columns, total: np.ndarray) -> bool:
    """Whether columns are what the run learned from; without a fingerprint, by the counts it noted."""
    if noted['fingerprint'] is not None:
        return noted['fingerprint'] == fingerprint(columns)
    close = np.allclose([total.mean(), total.max()], [noted['return_mean'], noted['return_max']], rtol=1e-5)
    return noted['episodes'] == len(total) and bool(close)


def imitation(run: RunDir, baseline: str | None = None) -> Entry | None:
    """The run of BC to compare with: `baseline` if given, else the newest finished neighbour that learned by BC from
    the same recording and was judged in the same environment; None where there is none."""
    if baseline is not None:
        return entry(baseline)
    if run.read('config.json')['algo'] == 'bc':
        return None
    candidates = sorted(run.path.resolve().parent.glob('*/STATUS.json'), key=lambda path: path.stat().st_mtime)
    for status in reversed(candidates):
        other = RunDir(status.parent)
        if alike(run, other):
            return entry(other.path)
    return None


def alike(run: RunDir, other: RunDir) -> bool:
    """Whether another run is BC on the same recording, finished, and judged in the same place."""
    try:
        theirs = other.read('config.json')
        prints = [(one.data() or {}).get('fingerprint') for one in (run, other)]
        return (
            theirs['algo'] == 'bc'
            and prints[0] == prints[1] is not None
            and run.judged_in() == other.judged_in() is not None
            and not theirs['settings']['shuffle_rewards']
            and other.state() == 'finished'
            and bool(other.rows('eval.jsonl'))
        )
    except (UsageError, KeyError, TypeError):
        return False  # a folder that only looks like a run

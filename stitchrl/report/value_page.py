"""Value health as a section of a page."""

from typing import Any

import numpy as np

from stitchrl.report import figures, page
from stitchrl.report.plots import promises
from stitchrl.report.rollout import Played
from stitchrl.report.stage import Stage
from stitchrl.report.value import Health, curves, measure


def health(rows: list[dict[str, Any]], here: Stage | str, played: Played | None, algo: str) -> page.Section:
    """Q on data and on the policy's actions, and what Q promised against what followed."""
    found = curves(rows)
    if not found:
        return page.Section('Value health', [f'{algo} learns no Q of its actions: there is nothing to check.'])
    picture = figures.curves(found, ylabel='Q', inches=figures.NARROW_CHART)
    caption = (
        'Q on actions of the data, of the policy and, where they can be counted, on all others, on the same states. A '
        'policy that climbs far above the data lives on promises that no recorded action backs.'
    )
    pictures = [page.Picture(picture, caption, 'Curves of Q on data and on policy actions over updates.')]
    if played is None or isinstance(here, str):
        return page.Section('Value health', [f'Over-estimation is not measured: {here}.'], (), pictures)
    measured = measure(here, played)
    if isinstance(measured, str):
        return page.Section('Value health', [f'Over-estimation is not measured: {measured}.'], (), pictures)
    picture = promises(measured.promised, measured.delivered)
    caption = (
        f'Q at the start of {played.length.size} episodes against the discounted return that followed, a colour and a '
        'shape for each seed, its mean large. Above the line the critic promises too much.'
    )
    pictures.append(page.Picture(picture, caption, 'Dots of promise against delivery around the line of equality.'))
    return page.Section('Value health', told(measured, here), [per_seed(measured)], pictures, beside=True)


def told(measured: Health, here: Stage) -> list[str]:
    """The over-estimation in words, and in which units."""
    scale, shift = float(here.boundary.scale), float(here.boundary.shift)
    excess = measured.excess
    words = 'above' if excess.mean > 0 else 'below'
    text = f'Over-estimation at the start: {excess}. Q lies {words} what is delivered'
    sure = excess.low is not None and excess.high is not None and (excess.low > 0 or excess.high < 0)
    lines = [text + ('.' if sure else ', but the interval holds 0.')]
    if (scale, shift) != (1.0, 0.0):
        moved = f' after {shift:+g}' if shift else ''
        lines.append(f'Rewards were scaled by {scale:.4g}{moved} for training; Q and returns here are in those units.')
    return lines


def per_seed(measured: Health) -> page.Table:
    """Promise and delivery, mean over each seed's episodes."""
    pairs = zip(measured.promised.mean(1), measured.delivered.mean(1), strict=True)
    most = max(np.abs(measured.promised).max(), np.abs(measured.delivered).max(), 1e-9)
    digits = max(0, 2 - int(np.floor(np.log10(most))))  # three that count
    rows = [(f'seed {k}', *(f'{x:,.{digits}f}' for x in (p, d, p - d))) for k, (p, d) in enumerate(pairs)]
    header = ('', 'Q at the start', 'discounted return', 'over-estimation')
    return page.Table(f'Discounted with gamma {measured.gamma:g}.', header, rows)

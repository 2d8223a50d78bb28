"""What a judgement by a recording alone says, in words and as a section of a page. See `loops.appraise`."""

from typing import Any

import numpy as np

from stitchrl.loops.appraise import FILE
from stitchrl.loops.held_out import NEAR
from stitchrl.report import figures, page
from stitchrl.report.compare_page import scale
from stitchrl.report.statistics import Interval, interval
from stitchrl.report.verdict import short
from stitchrl.runs.directory import RunDir

TRUST = (
    'Fitted Q evaluation knows only what the recording shows: of actions that nobody took there it guesses, and the '
    'guess may be far too high. Trust it for policies that stay near the data, and to rank them; then try the best.'
)
FEW_BACKUPS = 3  # effective horizons that a fit should be able to look ahead
MOVED, CUT = 0.05, 0.01  # shares of the estimate, and of the weight, above which a warning is due


def section(run: RunDir) -> page.Section | None:
    """The judgement as a section; None where the run has none."""
    if not (run.path / FILE).is_file():
        return None
    result = run.read(FILE)
    late = run.read('policy/policy.json')['sha256'] != result['policy']
    stale = ['The run has learned on since: judge it again with stitch eval --offline.'] if late else []
    curve, known = result['fqe']['curve'], {'recording': result['recording']['value']}
    series = {result['algo']: (curve['steps'], np.array(curve['values']))}
    label = 'estimated value'
    draw = lambda inches: figures.curves(series, ylabel=label, xlabel='updates of the fit', inches=inches, levels=known)
    caption = (
        'The estimate along the fit: each policy thin, their mean thick, its 95 % interval shaded; the line is what '
        'the recorder earned. A curve that still climbs at its right end is not done.'
    )
    picture = page.Picture(draw(figures.WIDE_CHART), caption, 'Estimates over updates.', draw(figures.NARROW_CHART))
    text = [f'{about(result)} {TRUST}', *stale, *(f'Warning: {one}.' for one in warnings(result))]
    tables = [values(result), page.Table('On recorded steps.', ('', ''), stays(result))]
    return page.Section('Judged without a simulator', text, tables, [picture])


def verdict(run: RunDir) -> str:
    """The head of the page of a run that never played, in a sentence."""
    if not (run.path / FILE).is_file():
        return 'Never judged: trained without an environment.'
    result = run.read(FILE)
    theirs = short(result['recording']['value'])
    return f'Never played; by the recording alone worth {value(result)} where the recorder earned {theirs}.'


def about(result: dict[str, Any]) -> str:
    """What was done, in a sentence."""
    fitted = result['fqe']
    policies, fits = np.shape(fitted['values'])
    each = f', {fits} times for each' if fits > 1 else ''
    kind = {True: 'the recording it learned from', None: 'a recording', False: 'another recording than it learned from'}
    return (
        f'{policies} polic{"ies" if policies > 1 else "y"} judged by {kind[result["data"]["same"]]}, '
        f'{result["data"]["path"]}, with gamma {fitted["gamma"]:g}: a fit of {fitted["curve"]["steps"][-1]:,} '
        f'updates{each}.'
    )


def value(result: dict[str, Any]) -> Interval:
    """The estimate with its interval over policies; of a single policy over its fits."""
    values = np.array(result['fqe']['values'])
    return interval(values.mean(1) if len(values) > 1 else values[0])


def values(result: dict[str, Any]) -> page.Table:
    """The policies' value beside the recorder's, on one scale."""
    ours, theirs = value(result), Interval(result['recording']['value'], None, None, '', 1, None)
    low, high = scale([ours, theirs], False)
    over = 'its fits, which share the policy' if len(result['fqe']['values']) == 1 else 'policies'
    rows = [
        ['the policies, estimated', page.Whisker(ours, low, high)],
        ['the recorder, its own returns', page.Whisker(theirs, low, high, f'{result["data"]["episodes"]:,} episodes')],
    ]
    return page.Table(f'Discounted value of an episode; the interval is over {over}.', ('', 'value'), rows)


def stays(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Losses, actions and Q on recorded steps, a line each."""
    own, lines = result['own'], [('steps', which(result))]
    told = ', '.join(f'{name} {middle(found)}' for name, found in result['losses'].items() if name.endswith('/loss'))
    lines += [('losses', told), ('actions', actions(result['agreement']))]
    if 'q/data' in own and 'q/policy' in own:
        scale, shift = result['reward']['scale'], result['reward']['shift']
        size = 1 if shift else scale
        units = f', in units of its rewards, {scale:.4g} x (reward {shift:+g})' if shift else ''
        ours, theirs = (middle(np.array(own[name]) / size) for name in ('q/policy', 'q/data'))
        lines.append(('own Q', f"{theirs} on recorded actions, {ours} on the policy's{units}"))
    return lines


def which(result: dict[str, Any]) -> str:
    """Of which steps the lines below speak."""
    rows = result['rows']
    told = {
        True: 'that it never learned from',
        False: 'that it learned from: train with --holdout 0.1 for losses that say something of new ones',
        None: 'that it may have learned from',
    }
    return f'{rows["steps"]:,} in {rows["episodes"]:,} episodes {told[rows["unseen"]]}'


def actions(found: dict[str, Any]) -> str:
    """How near the policies' actions are to the recorded ones."""
    same = float(np.mean(found['same']))
    if 'distance' not in found:
        return f'the recorded one in {same:.0%} of the steps (always the commonest one: {found["usual"]:.0%})'
    distance = np.mean(found['distance'], 0)
    off = ' '.join(f'{one:.3g}' for one in distance[:8]) + (' ...' if len(distance) > 8 else '')
    return (
        f'within {NEAR:.0%} of the range of the recorded one, in every dimension, in {same:.0%} of the steps (always '
        f'the median one: {found["usual"]:.0%}); mean difference {off}'
    )


def warnings(result: dict[str, Any]) -> list[str]:
    """What stands against the numbers."""
    fitted, found, one = result['fqe'], [], value(result)
    gamma, cfg = fitted['gamma'], fitted['config']
    backups, wanted = cfg['steps'] // cfg['period'], FEW_BACKUPS / (1 - gamma)
    if result['data']['same'] is False:
        found.append('this is not the recording that the run learned from; every number here is about this one')
    if backups < wanted:
        found.append(
            f'the fit looks {backups} steps ahead, with gamma {gamma:g} it takes {wanted:.0f}: --steps '
            f'{round(wanted) * cfg["period"]}'
        )
    if fitted['drift'] > MOVED * max(abs(one.mean), abs(result['recording']['value'])):
        found.append(
            f'an estimate still moved by {fitted["drift"]:.3g} in the last fifth of its fit: take more --steps'
        )
    low, high = result['reachable']
    room = MOVED * (high - low)
    if low == high:
        found.append('no step of the recording was rewarded, so nothing in it tells policies apart')
    elif np.min(fitted['values']) < low - room or np.max(fitted['values']) > high + room:
        found.append(
            f'an estimate lies outside [{short(low)}, {short(high)}], where no policy can: the recording does not '
            'support it'
        )
    if (cut := result['recording']['cut']) > CUT:
        found.append(
            f'{cut:.0%} of the weight of the recorded returns lies behind the ends of episodes that were cut; the '
            "recorder's value leaves it out, the estimate does not"
        )
    return found


def middle(found: Any) -> str:
    """Mean over policies."""
    return short(float(np.mean(found)))

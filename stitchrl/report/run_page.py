"""The report of a run: verdict, curves, value health, films, data, and how to get the same again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stitchrl.errors import StitchError
from stitchrl.report import figures, ladder, page, recording, unplayed, value, video
from stitchrl.report.behaviour import behaviour, imitation
from stitchrl.report.compare import entry, learned, warnings
from stitchrl.report.rollout import Played, play
from stitchrl.report.scores import curves
from stitchrl.report.stage import Stage, stage
from stitchrl.report.value_page import health
from stitchrl.report.verdict import Judged, headline, judge, short, table, verdicts
from stitchrl.runs.directory import RunDir
from stitchrl.runs.files import TEXT


@dataclass(frozen=True)
class Request:
    """What is asked of a report."""

    out: str | None = None  # default: RUN/report.html
    baseline: str | None = None  # a run of BC; default: a finished neighbour on the same recording
    data: str | None = None  # where the recording lies now
    env: Any = None  # where to play, a name or an environment; default: where the run was judged
    episodes: int = 10  # of each seed, for films and value health; 0: none is played


def write(run: RunDir, request: Request) -> Path:
    """Write the page of a run, finished or not; returns its path. Raises StitchError for what was asked by name and
    is not there; what is only missing is said on the page."""
    config, status = run.read('config.json'), run.read('STATUS.json') | {'state': run.state()}
    algo, rows, metrics = config['algo'], run.rows('eval.jsonl'), run.rows('metrics.jsonl')
    known, bc = behaviour(run, request.data), imitation(run, request.baseline)
    place = request.env if isinstance(request.env, str) else run.judged_in()
    judged = judge(rows, known, bc, place) if rows else None
    here, played = games(run, request)
    sections = [learning(judged, algo)] if judged else []
    sections += [part for part in [unplayed.section(run)] if part is not None]
    if isinstance(here, Stage) and request.episodes > 0 and ladder.climbs(here):
        sections += ladder.sections(here, request.episodes)
    else:
        sections += [health(metrics, here, played, algo), films(here, played)]
    sections += [] if known is None else [data(judged, known)]
    return page.write(
        request.out or run.path / 'report.html',
        f'{run.path.resolve().name}',
        verdicts(judged) if judged else [page.Verdict(unplayed.verdict(run), None)],
        [table(judged, algo)] if judged else (),
        sections=[page.Section('', state(status, config, metrics)), *sections],
        notes=notes(run, judged),
        headline=headline(judged, algo) if judged else algo,
        reproduce=reproduce(run, config),
    )


def state(status: dict[str, Any], config: dict[str, Any], metrics: list[dict[str, Any]]) -> list[str]:
    """Where the run stands, where it does not go without saying."""
    lines = []
    settings = config['settings']
    more = settings.get('online_steps', 0) if settings.get('data') else 0
    done, planned = metrics[-1]['step'] if metrics else 0, config['config']['steps'] + more
    if status['state'] != 'finished':
        reason = f': {status["reason"]}' if status['reason'] else ''
        lines.append(f'The run is {status["state"]} after {done:,} of {planned:,} steps{reason}.')
    if config['settings']['shuffle_rewards']:
        lines.append('A negative control: the rewards were shuffled over all steps before training.')
    seeds = config['settings']['seeds']
    if seeds < 3:
        lines.append(f'{seeds} seed{"s" * (seeds > 1)} only: three or more are needed to tell luck from skill.')
    return lines


def games(run: RunDir, request: Request) -> tuple[Stage | str, Played | None]:
    """Episodes played for this page, and the stage; the reason in words where there are none."""
    if request.episodes < 1:
        return 'no episodes were asked for', None
    try:
        here = stage(run, request.env)
    except StitchError as error:
        if request.env is not None:
            raise
        return str(error), None
    if ladder.climbs(here):
        return here, None  # its games are of another kind
    return here, play(here.agents, here.boundary, here.env, 0, request.episodes, value.needed(here))


def learning(judged: Judged, algo: str) -> page.Section:
    """Curves of the run and of BC, with the recording's returns as lines."""
    steps, scores = curves(judged.rows, judged.field)
    series = {algo: (steps, scores.mean(2))}
    if judged.bc is not None:
        series[judged.bc.label] = learned(judged.bc, judged.field)
    known = judged.recording
    levels = {} if known is None else {'recording, mean': known.mean, 'recording, best': known.most}
    draw = lambda inches: figures.curves(series, ylabel=judged.label, rate=judged.rate, inches=inches, levels=levels)
    episodes = scores.shape[2]
    caption = (
        f'{judged.label.capitalize()} during training, over {episodes} episodes of each seed at each evaluation: seeds '
        'thin, their mean thick, its 95 % interval shaded.'
    )
    picture = page.Picture(draw(figures.WIDE_CHART), caption, 'Learning curves.', draw(figures.NARROW_CHART))
    return page.Section('Learning', pictures=[picture])


def films(here: Stage | str, played: Played | None) -> page.Section:
    """The best, the middle and the worst of the episodes."""
    if played is None or isinstance(here, str):
        return page.Section('Films', [f'None: {here}.'])
    limit = here.env.spec.horizon
    total = played.returns(limit)
    count = total.shape[1]
    order = total.ravel().argsort(kind='stable')
    chosen = {'Best': order[-1], 'Median': order[len(order) // 2], 'Worst': order[0]}
    pictures = []
    try:
        for name, k in chosen.items():
            agent, episode = divmod(int(k), count)
            length = min(int(played.length[agent, episode]), limit or played.length.max())
            caption = f'{name}: return {short(total[agent, episode])} in {length:,} steps, seed {agent}.'
            film = video.film(here.env, played, agent, episode, limit)
            pictures.append(page.Picture(film, caption, f'{name} episode, moving.'))
    except StitchError as error:
        return page.Section('Films', [f'None: {error}.'])
    text = f'Of {order.size} fresh episodes in {here.name}, none of which is in the scores above.'
    return page.Section('Films', [text], (), pictures, beside=True)


def data(judged: Judged | None, known: Any) -> page.Section:
    """The recording, as far as its file can be found."""
    if known.columns is None:
        text = f'{known.episodes:,} episodes, mean return {short(known.mean)}, best {short(known.most)}. {known.note}'
        return page.Section('Data', [text])
    from stitchrl.data.summary import summary

    marks = {} if judged is None or judged.rate else {'this run': judged.score.mean}
    numbers = summary(known.columns)
    part = recording.episodes(known.columns, numbers, marks)[0]
    text = [f'{numbers["steps"]:,} steps in {known.episodes:,} episodes: {known.note}']
    text += [f'{finding.severity.capitalize()}: {finding}' for finding in known.findings] or ['Every check passed.']
    return page.Section('Data', text, part.tables, part.pictures, beside=True)


def notes(run: RunDir, judged: Judged | None) -> list[str]:
    """What a reader should know: a batch that broke, and what makes the comparison with BC unfair."""
    broken = run.path / 'broken_batch.npz'
    found = [f'A value of the training was not finite; the batch is in {broken}.'] if broken.is_file() else []
    if judged is not None and judged.recording is not None:
        found.append('Recorded episodes may begin elsewhere, and be cut earlier or later, than those that were played.')
    if judged is None or judged.bc is None:
        return found
    return found + [f'Compared with {judged.bc.name}: {text}.' for text in warnings([entry(run.path), judged.bc])]


def reproduce(run: RunDir, config: dict[str, Any]) -> dict[str, Any]:
    """Command, settings, versions, machine, fingerprint."""
    system, noted = run.read('system.json'), run.data()
    settings = {name: setting for name, setting in config['settings'].items() if setting is not None}
    versions = {'stitchrl': system['stitchrl'], 'python': system['python']} | system['packages']
    return {
        'command': (run.path / 'command.txt').read_text(**TEXT).strip(),
        'algorithm': config['algo'],
        'run': line(settings),
        'config': line(config['config']),
        'data': 'none: it learned by acting' if noted is None else noted['path'] or 'from memory',
        'fingerprint': 'none' if noted is None else noted['fingerprint'] or 'none: data from memory',
        'versions': line(versions),
        'machine': f'{system["machine"]}; {system["device"]}',
        'flags': system['flags'] or 'none',
    }


def line(tree: dict[str, Any]) -> str:
    """Names and values in a line."""
    told = lambda value: ' '.join(map(str, value)) if isinstance(value, list) else f'{value}'
    return ', '.join(f'{name} {told(value)}' for name, value in tree.items())

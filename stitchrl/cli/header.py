"""What is said before a training: what will be done, on what, and with which settings."""

from dataclasses import fields
from typing import Any

from stitchrl.algos import PLAYERS, algorithm


def chosen(algo: str, preset: str, cfg: Any, settings: Any) -> str:
    """The preset and what it is, or what differs from it: of the Config all, of Settings what the preset speaks of."""
    from stitchrl.loops.settings import RUN, configure, preset_of, settings_of

    said = preset_of(algo, preset)
    pairs = [(configure(algo, preset, {}), cfg, [field.name for field in fields(cfg)])]
    pairs += [(settings_of(algo, preset, {}), settings, [name for name in said if name in RUN])]
    changes = [
        f'{name}={getattr(now, name)}'
        for before, now, names in pairs
        for name in names
        if getattr(now, name) != getattr(before, name)
    ]
    return f'{preset}, with {", ".join(changes)}' if changes else f'{preset}: {algorithm(algo).PRESETS[preset][0]}'


def header(session: Any, preset: str) -> str:
    """What will be done, in a few lines."""
    import jax

    settings, cfg, work = session.settings, session.cfg, session.work
    seeds = f'{settings.seeds} seed{"s" * (settings.seeds > 1)} from {settings.seed}'
    about = session.run.read('data.json') if work.offline else {}
    lines = [f'{session.algo}, {seeds}, batches of {cfg.batch}; preset {preset}']
    if work.offline:
        lines += [
            f'data: {about["path"]}, {work.offline:,} updates',
            f'      {about["steps"]:,} steps, {about["episodes"]:,} episodes, mean return {about["return_mean"]:.4g}',
        ]
        lines += [reading(work.data)] if settings.stream else []
    if session.algo in PLAYERS:
        lines += work.told()
    elif work.stream is not None:
        plan, size = work.stream.plan, work.bytes / 1e6
        lines += [
            f'learns by acting in: {settings.env}, {work.online:,} steps of each seed in {plan.lanes} at a time, '
            f'{plan.ratio:g} updates a step, the first {plan.random_steps:,} steps at random',
            f'      remembers {work.stream.capacity:,} steps of each seed, {size:,.0f} MB in all'
            + (f'; {plan.mix:.0%} of each batch comes from the data' if plan.mix else ''),
        ]
    judged = settings.eval_env or settings.env or 'nothing (no --eval-env)'
    lines += [f'judged in: {judged}   device: {jax.devices()[0].platform}', f'run: {session.run.path}']
    return '\n'.join(lines + [f'warning: {text}' for text in about.get('warnings', [])])


def reading(data: Any) -> str:
    """How a recording is read that stays on the disk."""
    blocks, size = len(data.data.blocks), data.bytes / 1e6
    if data.whole:
        return f'      all of it fits into the buffer ({size:,.0f} MB), so it is read once; --stream is not needed'
    held = f'{data.slots:,} of its {blocks:,} blocks of {data.block:,} rows'
    return f'      stays on the disk; {held} are in memory at a time, {size:,.0f} MB'

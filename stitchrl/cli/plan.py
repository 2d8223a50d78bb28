"""`stitch plan RUN`: plan with what a run knows of the world, and see how well it foresees it."""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from stitchrl.cli.device import prepare
from stitchrl.errors import UsageError
from stitchrl.planners import PLANNERS

ABOUT = """Play with the model of a run: plan in it, act, plan again. Says what that returns, and draws what the model
foresaw against what came: along an episode, by steps ahead, and whether it knows how sure it is. Any run that holds a
model will do; settings that are not given are the run's own, or the defaults of mpc."""
NUMBERS = {
    'horizon': 'steps of a plan, and of a look ahead',
    'replan': 'steps that are taken of a plan before the next',
    'samples': 'candidates in an iteration',
    'iterations': 'of the planner',
    'particles': 'roll-outs of each candidate',
}


def main(argv: list[str]) -> int:
    """Run the verb; raises StitchError."""
    parser = argparse.ArgumentParser(
        'stitch plan',
        description=ABOUT,
        epilog='example: stitch plan runs/mpc-0001 --planner cem --horizon 15 --replan 1',
    )
    parser.add_argument('run', metavar='RUN', help="the run's folder")
    parser.add_argument('--env', help='where to play; default: where the run was judged')
    parser.add_argument('--planner', choices=list(PLANNERS), help="default: the run's, else cem or shooting")
    for name, text in NUMBERS.items():
        parser.add_argument(f'--{name}', type=int, metavar='N', help=text)
    parser.add_argument('--episodes', type=int, default=5, metavar='N', help='of each seed; default 5')
    parser.add_argument('--seed', type=int, default=0, help='of the episodes')
    parser.add_argument('--out', metavar='FILE.png', help='default: RUN/plots/plan.png')
    parser.add_argument('--json', action='store_true', help='print the result as JSON')
    args = parser.parse_args(argv)
    if args.episodes < 1:
        raise UsageError(f'--episodes {args.episodes}: expected at least 1')
    if args.out is not None and Path(args.out).suffix != '.png':
        raise UsageError(f'--out {args.out}: the picture is a PNG; name it {Path(args.out).with_suffix(".png")}')
    prepare()
    told = plan(args)
    print(json.dumps(told, indent=1) if args.json else said(told))
    return 0


def plan(args: argparse.Namespace) -> dict[str, Any]:
    """Play, look ahead, draw; what came of it."""
    from stitchrl.report import foresight, foresight_picture, rollout
    from stitchrl.report.stage import stage
    from stitchrl.report.statistics import interval
    from stitchrl.runs.directory import RunDir

    run = RunDir.find(args.run)
    place = stage(run, args.env)
    agents, path = planning(place, args), target(run, args.out)
    played = rollout.play(agents, place.boundary, place.env, args.seed, args.episodes)
    found = foresight.look(agents.model, place.boundary, played, agents.cfg.horizon, args.seed)
    scores, steps = played.returns(), found.seen.shape[2]
    told = {
        'run': str(run.path),
        'env': place.name,
        'planner': described(agents),
        'return': str(interval(scores)),
        'returns': scores.tolist(),
        'steps_ahead': steps,
        'error': found.error.mean(0).tolist(),
        'error_if_nothing_moved': found.still.mean(0).tolist(),
        'covered_by_90_percent': covered(found),
        'picture': str(path),
    }
    title = f'{run.path.resolve().name} in {place.name}: return {told["return"]}'
    foresight_picture.draw(title, '; '.join(lines(told)[:2]), found, played, told['picture'])
    return told


def planning(place: Any, args: argparse.Namespace) -> Any:
    """The agents of a run as agents that plan in its models. UsageError for a run without one."""
    from stitchrl.algos.modelled.mpc import MPC, Config, chosen, planner
    from stitchrl.models.model import WorldModel

    model, own = getattr(place.agents, 'world', getattr(place.agents, 'model', None)), place.agents.cfg
    if not isinstance(model, WorldModel):
        name = type(place.agents).__name__
        raise UsageError(f'{args.run} holds no model of the world ({name} learns none); train one: stitch train mpc')
    cfg = own if isinstance(own, Config) else Config(gamma=getattr(own, 'gamma', 1.0))
    if args.planner not in (None, chosen(place.env.spec, cfg)):  # its numbers are those of another planner
        cfg = replace(cfg, planner=args.planner, samples=None, iterations=None)
    cfg = replace(cfg, **{name: getattr(args, name) for name in NUMBERS if getattr(args, name) is not None})
    return MPC.of(model, planner(place.env.spec, cfg), cfg)


def described(agents: Any) -> dict[str, Any]:
    """How is planned; None for a number that the planner does not have."""
    numbers = {name: getattr(agents.planner, name, None) for name in ('samples', 'iterations', 'particles')}
    name = type(agents.planner).__name__.lower()
    return {'name': name, 'horizon': agents.cfg.horizon, 'replan': agents.cfg.replan} | numbers


def covered(found: Any) -> list[float] | None:
    """How much of what came 1 step on, and with the last, lay in the middle 90 %; None where a model draws nothing."""
    if not found.draws:
        return None
    return [float(found.coverage(step)[:, -2].mean()) for step in (1, found.seen.shape[2])]


def target(run: Any, out: str | None) -> Path:
    """Where the picture goes. UsageError where none can be written."""
    path = run.path / 'plots' / 'plan.png' if out is None else Path(out)
    try:
        if out is None:
            path.parent.mkdir(exist_ok=True)
        place = path if path.exists() else path.parent
        able = not path.is_dir() and path.parent.is_dir() and os.access(place, os.W_OK)
    except OSError:
        able = False
    if not able:
        raise UsageError(f'{path}: cannot be written; name a file in a folder that is there: --out FILE.png')
    return path


def lines(told: dict[str, Any]) -> list[str]:
    """The findings in words."""
    how, last = told['planner'], told['steps_ahead']
    loop = 'a new plan at every step' if how['replan'] == 1 else f'a new plan every {how["replan"]} steps'
    error, still, inside = told['error'], told['error_if_nothing_moved'], told['covered_by_90_percent']
    sizes = ''.join(f', {how[name]} {name}' for name in ('samples', 'iterations') if how[name])
    sure = 'it draws nothing, and so says nothing of how sure it is'
    if inside is not None:
        sure = f'90 % intervals held {100 * inside[0]:.0f} % of what came 1 step on, {100 * inside[1]:.0f} % {last} on'
    percent = lambda x: f'{100 * x:.{0 if x > 0.1 else 1}f} %'
    return [
        f'{how["name"]}, {how["horizon"]} steps ahead{sizes}, {loop}',
        f'off by {percent(error[0])} of a deviation after 1 step, by {percent(error[-1])} after {last}',
        f'if nothing moved it would be {percent(still[0])} and {percent(still[-1])}',
        sure,
    ]


def said(told: dict[str, Any]) -> str:
    """For a person."""
    how, *rest = lines(told)
    rows = [('planner', how), ('return', f'{told["return"]} in {told["env"]}'), ('model', rest[0]), ('', rest[1])]
    rows += [('', rest[2]), ('picture', told['picture'])]
    return '\n'.join(f'{name:9s} {text}' for name, text in rows)

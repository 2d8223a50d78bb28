"""IQL's critic never hears of its policy, so the policy may be extracted once the critic is done.

Prediction. Critics trained with beta 5 and beta 50 are equal in every bit (21), and with another expectile they are
not. Extracted late, from V and Q at rest, the policy reaches the goal as often as trained beside them, within a tenth
(21); with beta 0, which imitates, it does not. Without an actor in the critic's loss an update costs less than half of
one of CQL, which asks its own actor in every loss (22); an update of SARSA, decoupled as well, does not cost less than
half of one of IQL.
"""

import time

import jax
import jax.random as jr
import numpy as np

from stitchrl.algos import algorithm
from stitchrl.data.collect import segments
from stitchrl.data.dataset import Dataset
from stitchrl.envs.pointmaze import PointMaze
from stitchrl.loops.lab import trained
from stitchrl.loops.offline import create, updates
from stitchrl.report import canvas
from stitchrl.report.claim import Check, Claim, exact, paired
from stitchrl.report.panels import board, dots
from stitchrl.report.statistics import interval

STATEMENTS = (21, 22)
STEPS, EPISODES = 3000, 50
IQL = {
    'hidden': (64, 64),
    'lr': 1e-3,
    'normalise': True,
    'gamma': 0.96,
    'expectile': 0.8,
    'rate': 0.02,
    'actor_decay': False,
}
LATE = {'extract': 'late', 'steps': 2 * STEPS}


def apart(one, other):
    """Largest difference between any two numbers of the critics and values."""
    pair = zip(
        jax.tree.leaves((one.critic.net, one.value.net)),
        jax.tree.leaves((other.critic.net, other.value.net)),
        strict=True,
    )
    return max(float(abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pair)


def costs(data, names, rounds=15, count=100):
    """{name: [rounds]} seconds of an update, each algorithm in turn so that a busy machine is shared fairly."""
    ready, told = {}, {name: [] for name in names}
    for name in names:
        module = algorithm(name)
        cfg = module.Config(hidden=(64, 64), batch=256, steps=10_000)
        chosen = jax.device_put(module.ALGO.select(data, cfg))
        ready[name] = updates(create(module.ALGO, data.spec, cfg, 0, 1), chosen, 0, cfg.steps, count)
        next(ready[name])  # compiles
    for _ in range(rounds):
        for name in names:
            began = time.monotonic()
            next(ready[name])
            told[name].append((time.monotonic() - began) / count)
    return {name: np.array(seconds) for name, seconds in told.items()}


def run() -> Claim:
    """Five trainings of five agents, then the clock."""
    maze = PointMaze.create('junctions')
    data = Dataset.from_columns(segments(maze, jr.key(0), 40_000, 'stitch'))
    settings = {
        'joint': {'beta': 50.0, 'steps': STEPS},
        'beta 5': {'beta': 5.0, 'steps': STEPS},
        'other tau': {'beta': 50.0, 'steps': STEPS, 'expectile': 0.7},
        'late': LATE | {'beta': 50.0},
        'late, beta 0': LATE | {'beta': 0.0},
    }
    made = {name: trained('iql', data, **IQL | own) for name, own in settings.items()}
    success = {name: one.play(maze, EPISODES).success.astype(float) for name, one in made.items()}
    cost = costs(data, ('iql', 'sarsa', 'cql'))
    off = lambda name: exact(apart(made['joint'].agents, made[name].agents))
    late = lambda name: paired(success[name], success['joint'], rate=True)
    checks = (
        Check(
            (21,),
            'largest difference between critics trained with beta 5 and 50',
            off('beta 5'),
            below=1e-300,
            control=off('other tau'),
            without='another expectile',
        ),
        Check(
            (21,),
            'success extracted late less success extracted beside the critic',
            late('late'),
            -0.1,
            0.1,
            control=late('late, beta 0'),
            without='beta 0',
        ),
        Check(
            (22,),
            'time of an update of IQL over that of CQL',
            interval(cost['iql'] / cost['cql']),
            below=0.5,
            control=interval(cost['sarsa'] / cost['iql']),
            without='SARSA over IQL',
            unit='timing round',
        ),
    )
    rates = ', '.join(f'{name} {1 / seconds.mean():.0f}' for name, seconds in cost.items())
    return Claim(
        checks, draw(success, cost), CAPTION, ALT, (f'Updates a second, 64 x 64, batch 256, one seed: {rates}.',)
    )


def draw(success, cost) -> bytes:
    """Success by way of extraction, time by algorithm."""
    panels = [
        ('Success of the extracted policy', '', 'episodes that reach the goal'),
        ('Time of an update', '', 'milliseconds'),
    ]
    figure, (left, right) = board('IQL’s policy can wait for its critic, which never hears of it', panels)
    names = ['joint', 'beta 5', 'late', 'late, beta 0']
    for k, name in enumerate(names):
        dots(left, 0, [k], [interval(success[name], rate=True)], '', control=name.endswith(' 0'))
    left.set_xticks(
        range(4), ['beside, beta 50', 'beside, beta 5', 'late, beta 50', 'control: late, beta 0'], rotation=12, size=7.5
    )
    left.set(xlim=(-0.5, 3.5), ylim=(-0.03, 1.05))
    for k, (name, seconds) in enumerate(cost.items()):
        dots(right, 0, [k], [interval(1e3 * seconds)], '', control=name == 'sarsa')
    right.set_xticks(range(3), ['IQL', 'control: SARSA', 'CQL'])
    right.set(xlim=(-0.5, 2.5))
    right.set_ylim(bottom=0)
    return canvas.png(figure, None)


CAPTION = 'Left: means of five agents. Right: fifteen rounds in turn on one machine. Bars are 95 % intervals.'
ALT = 'Success of policies extracted beside the critic and late; milliseconds of an update of IQL, SARSA and CQL.'

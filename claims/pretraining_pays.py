"""Learning offline first pays off for what is learned online after it.

IQL in a maze with one reward at the goal. Offline: 3,000 updates on short walks of which none joins start and goal.
Then 4,000 steps online, one update for each; half of every batch still comes from the recording. The score is the area
under the curve of success: the share of greedy episodes that reach the goal, over nine evaluations from before the
first step to after the last.

Prediction. The area is more than 0.3 larger than that of an agent that learns online from scratch (5), and more than
0.1 larger than that of one which has the same recording for half of its batches and forgot what it learned from it
(5). Pre-trained on the same recording with its rewards shuffled, it is not 0.3 larger.
"""

import jax.random as jr
import numpy as np

from stitchrl.data.collect import segments
from stitchrl.data.controls import shuffled
from stitchrl.data.dataset import Dataset
from stitchrl.envs.pointmaze import PointMaze
from stitchrl.loops.lab import trained
from stitchrl.loops.plan import Plan
from stitchrl.report import canvas
from stitchrl.report.claim import Check, Claim, paired, words
from stitchrl.report.panels import board, dots, legend
from stitchrl.report.statistics import interval

STATEMENTS = (5,)
SEEDS, ROWS, EPISODES, OFFLINE, STEPS, EVERY = 5, 40_000, 50, 3000, 4000, 500
IQL = {
    'hidden': (64, 64),
    'lr': 1e-3,
    'normalise': True,
    'gamma': 0.96,
    'expectile': 0.8,
    'beta': 50.0,
    'rate': 0.02,
    'actor_decay': False,
}


def curve(maze, data, updates, mix):
    """[S, points, E] success before and after every EVERY steps online, after so many updates offline."""
    made, scores = trained('iql', data, SEEDS, steps=updates, **IQL), []

    def judge(agents):
        scores.append(made._replace(agents=agents).play(maze, EPISODES).success.astype(float))

    judge(made.agents)
    plan = Plan(random_steps=0, mix=mix)
    made.online(maze, STEPS, plan=plan, every=EVERY, watch=lambda part: judge(part.agents))
    return np.stack(scores, 1)


def run() -> Claim:
    """The same learner four times; all see the maze in the same units."""
    maze = PointMaze.create('junctions')
    data = Dataset.from_columns(segments(maze, jr.key(0), ROWS, 'stitch'))
    blind = data.relabel(lambda data: shuffled(data, 0))
    curves = {
        'pre-trained': curve(maze, data, OFFLINE, 0.5),
        'forgotten, data kept': curve(maze, data, 0, 0.5),
        'from scratch': curve(maze, data, 0, 0.0),
        'rewards shuffled': curve(maze, blind, OFFLINE, 0.5),
    }
    area = {name: x.reshape(len(x), -1) for name, x in curves.items()}  # its mean over the second axis
    more = lambda name, than: paired(area[name], area[than], rate=True)
    checks = (
        Check(
            (5,),
            'area under the curve of success, pre-trained less from scratch',
            more('pre-trained', 'from scratch'),
            above=0.3,
            control=more('rewards shuffled', 'from scratch'),
            without='pre-trained on shuffled rewards',
        ),
        Check(
            (5,),
            'area under the curve of success, pre-trained less forgotten with the data kept',
            more('pre-trained', 'forgotten, data kept'),
            above=0.1,
            control=more('rewards shuffled', 'forgotten, data kept'),
            without='pre-trained on shuffled rewards',
        ),
    )
    ends = ', '.join(f'{name} {words(interval(x[:, -1], rate=True))}' for name, x in curves.items())
    return Claim(checks, draw(curves), CAPTION, ALT, (f'Success in the end: {ends}.',))


def draw(curves) -> bytes:
    """Success by steps online."""
    figure, (ax,) = board(
        'What was learned offline pays off online',
        [('IQL in a maze, half of each batch from the recording', 'steps online', 'episodes that reach the goal')],
    )
    for k, (name, scores) in enumerate(curves.items()):
        control = name == 'rewards shuffled'
        at = EVERY * np.arange(scores.shape[1]) + 20 * k
        dots(
            ax,
            k,
            at,
            [interval(x, rate=True) for x in scores.swapaxes(0, 1)],
            'control: ' * control + name,
            control=control,
        )
    ax.set_ylim(-0.03, 1.05)
    legend(ax)
    return canvas.png(figure, None)


CAPTION = (
    'Means of five agents with 95 % intervals. From scratch: nothing of the recording but the units of its states.'
)
ALT = 'Success over steps online of a pre-trained agent, one that forgot, one from scratch, and a control.'

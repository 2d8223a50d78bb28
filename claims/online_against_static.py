"""The same learner over-estimates more on a static set than online, where its mistakes are put to the test.

SAC on a pendulum with two critics that each learn from their own copy and an actor that follows their mean, so nothing
in it is pessimistic. Online it takes 4,000 steps, the first 200 at random, with an update for every other; the static
set holds 4,000 steps of random actions and gets as many updates.

Prediction. At 256 states where episodes begin, Q of the policy's own actions less their true discounted return is more
than 1 reward larger after the static set than online (3). Where the actor does not climb Q, it is not.
"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.data.dataset import Dataset
from stitchrl.data.rollouts import random_transitions
from stitchrl.envs.pendulum import Pendulum
from stitchrl.loops.lab import learned, trained, worth
from stitchrl.loops.plan import Plan
from stitchrl.report import canvas
from stitchrl.report.claim import Check, Claim, paired, words
from stitchrl.report.panels import board, dots, legend, mark
from stitchrl.report.statistics import interval

STATEMENTS = (3,)
SEEDS, STEPS, RANDOM, STARTS, LONG = 5, 4000, 200, 256, 200  # the return's rest after LONG steps is under 0.02
SAC = {
    'hidden': (64, 64),
    'lr': 1e-3,
    'actor_lr': 1e-3,
    'batch': 64,
    'gamma': 0.95,
    'temperature': 0.1,
    'entropy_backup': False,
    'actor_q': 'mean',
    'backup': 'own',
    'rate': 0.02,
}
WAYS = {'climbs Q': 'reparametrize', 'does not': 'none'}
ENV = Pendulum.create()


def told(made) -> np.ndarray:
    """[S, 2]: bias at the starts, and the true worth there, of each agent."""

    def one(agent, key):
        k_start, k_act, k_true = jr.split(key, 3)
        start = jax.vmap(ENV.reset)(jr.split(k_start, STARTS))
        action, _ = agent.act((), start.obs, k_act, jnp.int32(0))
        true = worth(agent, made.boundary, ENV, start, action, k_true, SAC['gamma'], LONG, explores=True)
        q = agent.critic.net(start.obs, action).mean(0)
        return jnp.stack([(q - true).mean(), true.mean()])

    count = jax.tree.leaves(made.agents)[0].shape[0]
    return np.asarray(jax.jit(jax.vmap(one))(made.agents, jr.split(jr.key(3), count)))


def online(way) -> np.ndarray:
    """[S, 2] of agents that learn as they act."""
    plan = Plan(random_steps=RANDOM)
    return told(learned('sac', ENV, SEEDS, plan=plan, actor_gradient=WAYS[way], steps=STEPS, **SAC))


def static(way) -> np.ndarray:
    """[S, 2] of agents that each learn from a recording of random actions of their own."""
    every = []
    for seed in range(SEEDS):
        data = Dataset.from_columns(random_transitions(ENV, jr.key(seed), STEPS))
        every.append(told(trained('sac', data, 1, seed, actor_gradient=WAYS[way], steps=STEPS - RANDOM, **SAC)))
    return np.concatenate(every)


def run() -> Claim:
    """Two ways to learn, an actor that climbs Q and one that does not."""
    found = {(name, way): learn(way) for way in WAYS for name, learn in (('online', online), ('static', static))}
    more = lambda way: paired(found['static', way][:, 0], found['online', way][:, 0])
    check = Check(
        (3,),
        'bias of Q after the static set less that online, in reward',
        more('climbs Q'),
        above=1.0,
        control=more('does not'),
        without='an actor that does not climb Q',
    )
    true = {name: words(interval(found[name, 'climbs Q'][:, 1])) for name in ('online', 'static')}
    note = f'True discounted return from the starts: online {true["online"]}, static {true["static"]}.'
    return Claim((check,), draw(found), CAPTION, ALT, (note,))


def draw(found) -> bytes:
    """Bias and worth, online and static."""
    panels = [
        ('What Q says beyond the truth', '', 'bias, in reward'),
        ('What the policy is worth', '', 'true discounted return'),
    ]
    figure, axes = board('What Q over-estimates online and on a static set', panels)
    for part, ax in enumerate(axes):
        for k, way in enumerate(WAYS):
            label = 'control: the actor does not climb Q' if k else 'the actor climbs Q'
            both = [interval(found[name, way][:, part]) for name in ('online', 'static')]
            dots(ax, 4 * k, [0.08 * k, 1 + 0.08 * k], both, label, control=k > 0, linestyle='')
        ax.set_xticks((0, 1), ('online', 'static set'))
        ax.set_xlim(-0.5, 1.5)
    mark(axes[0], 0.0, 'no bias')
    legend(axes[0])
    return canvas.png(figure, None)


CAPTION = (
    'Means of five agents with 95 % intervals, at states where episodes begin; as many steps and updates either way.'
)
ALT = 'Bias of Q and true return of a learner online and on a static set, beside a control whose actor ignores Q.'

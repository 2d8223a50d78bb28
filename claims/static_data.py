"""The smaller a static set, the more its values are over-estimated.

A point in a box of three dimensions is paid for being near the middle; the recording is of random actions. The plain
learner is TD3+BC with its imitation term off (alpha a million).

Prediction. What it takes its own policy to be worth, less the discounted return that policy really gets, is more than
0.3 larger with 100 recorded steps than with 6,400 (4). Held to the data (alpha 0: imitation only, the same critic), the
difference is not.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.spec import Continuous, Observation, Spec
from stitchrl.data.dataset import Dataset
from stitchrl.data.rollouts import random_transitions
from stitchrl.envs.env import Env, State
from stitchrl.loops.lab import trained
from stitchrl.report import canvas
from stitchrl.report.claim import Check, Claim, paired, words
from stitchrl.report.panels import board, dots, legend, mark
from stitchrl.report.statistics import interval

STATEMENTS = (4,)
SIZES, SEEDS, GAMMA, LONG = (100, 400, 1600, 6400), 5, 0.9, 100  # the return's rest after LONG steps is under 0.0003
FREE, HELD = 1e6, 0.0  # alpha of TD3+BC
AXES = 3


class Box(Env):
    """p' = clip(p + 0.3 a, -1, 1), r = 1 - |p'| / sqrt(3). Never ends but by its time limit."""

    spec: Spec = eqx.field(static=True)

    @classmethod
    def create(cls) -> 'Box':
        bounds = (-1.0,) * AXES, (1.0,) * AXES
        return cls(Spec(Observation((AXES,)), Continuous(AXES, *bounds), 25))

    def reset(self, key: jax.Array) -> State:
        no = jnp.zeros((), bool)
        return State(jr.uniform(key, (AXES,), minval=-1, maxval=1), jnp.zeros(()), no, no, jnp.zeros((), jnp.int32))

    def step(self, state: State, action: jax.Array, key: jax.Array) -> State:
        t, after = state.inner + 1, move(state.obs, action)
        return State(after, pay(after), jnp.zeros((), bool), t >= self.spec.horizon, t)


def move(place, action):
    """The next place [..., 3]."""
    return jnp.clip(place + 0.3 * jnp.clip(action, -1, 1), -1, 1)


def pay(place):
    """The reward of being there, [...]."""
    return 1 - jnp.linalg.norm(place, axis=-1) / AXES**0.5


def bias(size, alpha, seed):
    """Q(s, pi(s)) less the true discounted return of pi, mean over the recorded states."""
    data = Dataset.from_columns(random_transitions(Box.create(), jr.key(seed), size))
    made = trained('td3_bc', data, 1, seed, alpha=alpha, gamma=GAMMA, hidden=(64, 64), lr=1e-3, steps=3000, rate=0.02)
    agent = jax.tree.map(lambda x: x[0], made.agents)
    return float(over(agent, made.boundary, jnp.asarray(data.obs)[jnp.asarray(data.starts)][:100]))


@jax.jit
def over(agent, boundary, places):
    """The bias at places [n, 3], in reward."""
    act = lambda places: agent.actor.net(boundary.obs(places))

    def step(places, _):
        places = move(places, act(places))
        return places, pay(places)

    paid = jax.lax.scan(step, places, None, LONG)[1]
    true = (GAMMA ** jnp.arange(LONG)) @ paid
    return (agent.critic.net(boundary.obs(places), act(places)).min(0) - true).mean()


def run() -> Claim:
    """A recording and an agent for every seed, size and alpha."""
    table = {
        alpha: np.array([[bias(n, alpha, seed) for n in SIZES] for seed in range(SEEDS)]) for alpha in (FREE, HELD)
    }
    gap = lambda alpha: paired(table[alpha][:, 0], table[alpha][:, -1])
    checks = (
        Check(
            (4,),
            'over-estimation with 100 recorded steps less that with 6,400, in reward',
            gap(FREE),
            above=0.3,
            control=gap(HELD),
            without='held to the data',
        ),
    )
    rest = interval(table[FREE][:, 1:].mean(1))
    note = f'From 400 steps on there is none left: the bias is {words(rest)}; the smaller of two critics counts.'
    return Claim(checks, draw(table), CAPTION, ALT, (note,))


def draw(table) -> bytes:
    """Bias by the size of the set."""
    figure, (ax,) = board(
        'The smaller a static set, the larger the over-estimation',
        [('TD3+BC, random actions in a box', 'recorded steps', 'Q less true return, in reward')],
    )
    dots(ax, 0, SIZES, [interval(x) for x in table[FREE].T], 'free: no imitation')
    dots(ax, 4, SIZES, [interval(x) for x in table[HELD].T], 'control: held to the data', control=True)
    ax.set_xscale('log')
    ax.set_xticks(SIZES, [f'{n:,}' for n in SIZES])
    ax.minorticks_off()
    mark(ax, 0.0, 'no bias')
    legend(ax)
    return canvas.png(figure, None)


CAPTION = (
    'What the critic takes the policy to be worth, less what it gets, by the size of the recording it learned from.'
)
ALT = (
    'Two curves over the number of recorded steps: over-estimation of the free learner and of the one held to the data.'
)

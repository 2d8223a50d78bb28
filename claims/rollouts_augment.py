"""Roll-outs of a learned model augment data: as long as the model is good for, and no longer.

A pendulum and recordings of random actions. An ensemble is fitted once to 200 of the steps or to all 4,000, so that its
error is fixed by the size of the data. SAC then learns from nothing but branches of its own policy in the model, k
steps long, which begin in recorded states; with k = 0 it learns from the recorded steps. It never meets the world.

Prediction. From 200 steps, branches of 4 steps get more than 50 reward an episode more than the recorded steps alone
(26); in a model whose targets were shuffled they do not. Then the crossing: with 4,000 steps 16 long gets more than 1
(26), with 200 it does not; and with 200 steps 1 long gets more than 16 (26), with 4,000 it does not.
"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.algos.online.sac import SAC, Config
from stitchrl.core.boundary import Boundary
from stitchrl.data.dataset import Dataset
from stitchrl.data.pool import Pool
from stitchrl.data.rollouts import random_transitions
from stitchrl.envs.pendulum import Pendulum
from stitchrl.loops.evaluate import evaluate
from stitchrl.models.branch import branched
from stitchrl.models.ensemble import Dynamics
from stitchrl.models.fit import Fit, fit, rows_of
from stitchrl.report import canvas
from stitchrl.report.claim import Check, Claim, paired
from stitchrl.report.panels import board, dots, legend
from stitchrl.report.statistics import interval

STATEMENTS = (26,)
SEEDS, EPISODES = 12, 4
FEW, MANY, SHUFFLED = 200, 4000, 0  # steps a model learned from; SHUFFLED: from 200 whose targets were shuffled
LENGTHS = (0, 1, 4, 16)
REFRESHES, UPDATES = 60, 100  # new branches so often, updates between
BRANCHES, POOL = 128, 8192  # branches begun each time, imagined steps that are kept
CFG = Config(
    hidden=(32, 32), lr=1e-3, actor_lr=1e-3, batch=64, gamma=0.95, rate=0.02, temperature=0.1, entropy_backup=False
)
ENV = Pendulum.create()
BOUNDARY, GAMMA = Boundary.blank(ENV.spec), CFG.gamma


@jax.jit
def fitted(rows, count, key):
    """An ensemble of three from the first `count` rows."""
    k_model, k_fit = jr.split(key)
    fresh = Dynamics.create(ENV.spec, k_model, (32, 32), 3, 3, 'ts1', lr=3e-3)
    return fit(fresh, rows, count, k_fit, Fit(batch=32, epochs=60, patience=10))[0]


def recorded(seed):
    """MANY random steps, in the agent's units."""
    rows = rows_of(BOUNDARY.inward(Dataset.from_columns(random_transitions(ENV, jr.key(260 + seed), MANY))))
    return jax.tree.map(lambda x: x[:MANY], rows)


def shuffled(rows, key):
    """What followed each of the first FEW rows stands at another of them."""
    order = jnp.arange(MANY).at[:FEW].set(jr.permutation(key, FEW))
    return rows._replace(next_obs=rows.next_obs[order], reward=rows.reward[order])


def learned(model, rows, count, length, key):
    """SAC after all its updates in branches of `length` [] steps, or on the first `count` rows where that is 0."""
    k_agent, k_loop = jr.split(key)
    seen = lambda key, n: jax.tree.map(lambda x: x[jr.randint(key, (n,), 0, count)], rows)

    def refresh(i, carry):
        agent, pool = carry
        k_roll, k_updates = jr.split(jr.fold_in(k_loop, i))
        policy = lambda obs, key: agent.act((), obs, key, i)[0]
        pool, _ = branched(model, policy, lambda key: seen(key, BRANCHES).obs, pool, k_roll, length, GAMMA)

        def update(j, agent):
            k_real, k_pool, k_update = jr.split(jr.fold_in(k_updates, j), 3)
            real, dreamt = seen(k_real, CFG.batch), pool.sample(k_pool, CFG.batch, jnp.int32(POOL))
            real = real._replace(discount=GAMMA * real.mask)
            batch = jax.tree.map(lambda x, y: jnp.where(length > 0, y, x), real, dreamt)
            return agent.update(batch, k_update, i * UPDATES + j)[0]

        return jax.lax.fori_loop(0, UPDATES, update, agent), pool

    begin = SAC.create(ENV.spec, CFG, k_agent), Pool.create(ENV.spec, POOL)
    return jax.lax.fori_loop(0, REFRESHES, refresh, begin)[0]


def judged():
    """{(steps learned from, length): returns [SEEDS, EPISODES]}, all learned side by side."""
    recordings, sizes = [recorded(seed) for seed in range(SEEDS)], (FEW, MANY, SHUFFLED)
    cases, parts = [], []
    for size in sizes:
        for seed, rows in enumerate(recordings):
            rows, count = (shuffled(rows, jr.key(seed)), FEW) if size == SHUFFLED else (rows, size)
            model = fitted(rows, jnp.int32(count), jr.key(seed))
            cases += [(size, length) for length in LENGTHS]
            parts += [(model, recordings[seed], count, length, seed) for length in LENGTHS]
    stack = lambda pick: jax.tree.map(lambda *x: jnp.stack(x), *[pick(part) for part in parts])
    models, rows = stack(lambda part: part[0]), stack(lambda part: part[1])
    count, length, seed = (jnp.array([part[i] for part in parts]) for i in (2, 3, 4))
    keys = jax.vmap(jr.key)(seed)
    agents = jax.jit(jax.vmap(learned))(models, rows, count, length, keys)
    returns = evaluate(agents, jax.device_put(BOUNDARY), ENV, 26, EPISODES).returns
    return {case: returns[[i for i, other in enumerate(cases) if other == case]] for case in dict.fromkeys(cases)}


def run() -> Claim:
    """Two sizes and a shuffled model, four lengths, five seeds."""
    table = judged()
    gain = lambda size, one, other: paired(table[size, one], table[size, other])
    checks = (
        Check(
            (26,),
            'return with branches of 4 steps less that with the 200 recorded steps alone',
            gain(FEW, 4, 0),
            above=50.0,
            control=gain(SHUFFLED, 4, 0),
            without='a model of shuffled targets',
        ),
        Check(
            (26,),
            'return with branches of 16 steps less that with 1, model of 4,000 steps',
            gain(MANY, 16, 1),
            above=0.0,
            control=gain(FEW, 16, 1),
            without='a model of 200 steps',
        ),
        Check(
            (26,),
            'return with branches of 1 step less that with 16, model of 200 steps',
            gain(FEW, 1, 16),
            above=0.0,
            control=gain(MANY, 1, 16),
            without='a model of 4,000 steps',
        ),
    )
    return Claim(checks, draw(table), CAPTION, ALT, (NOTE,))


def draw(table) -> bytes:
    """Return by length."""
    figure, (ax,) = board(
        'Roll-outs by their length, and by what the model has seen',
        [('Pendulum, SAC in a learned model', 'steps of a branch', 'return of an episode')],
    )
    places = np.arange(len(LENGTHS))
    for k, (size, name) in enumerate(((MANY, 'model of 4,000 steps'), (FEW, 'model of 200 steps'))):
        dots(ax, k, places + 0.04 * k, [interval(table[size, n]) for n in LENGTHS], name)
    dots(ax, 4, places, [interval(table[SHUFFLED, n]) for n in LENGTHS], 'control: shuffled targets', control=True)
    ax.set_xticks(places, ['none: recorded\nsteps alone', *map(str, LENGTHS[1:])])
    ax.set_ylim(-2000, 50)
    legend(ax, loc='lower left')
    return canvas.png(figure, None)


CAPTION = (
    'Interquartile means of twelve seeds with 95 % intervals, four greedy episodes of each '
    'in the world, 6,000 updates everywhere.'
)
ALT = 'Return over the length of branches, for a model of many steps, one of few, and one of shuffled targets.'
NOTE = (
    'A first run was worth nothing: the model had learned from torques of -2 to 2 what it was asked of -1 to 1. Only '
    'the newest branches were kept in it, for half as many updates. A second told nothing apart with five seeds.'
)

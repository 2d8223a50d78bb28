"""Every constraint is a dial between improving the policy and leaving the data, and no setting suits all data.

A maze, recorded at three levels: random actions, a controller under heavy noise, one under little. The score is the
share of the time limit that is left when the goal is reached.

Prediction. From TD3+BC's alpha 0.25 to 25 the policy moves away from the data's actions (6), and the critic's error at
the start grows (7); IQL's policy, at beta 0.5 and 50, stays with its critic's error where it was, within 0.05. CQL's
policy moves away as its alpha falls from 10 to 0.1 (6). On the noisy controller IQL scores more than the data by at
least 0.05 (2); BC does not. At its default alpha 2.5 TD3+BC is too cautious on random data, where 25 scores 0.05 more,
and too free on good data, where 0.25 scores 0.05 more (8): each the other's control.
"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.data.dataset import Dataset
from stitchrl.data.rollouts import policy_transitions, random_transitions
from stitchrl.data.scripted import Steered
from stitchrl.envs.pointmaze import PointMaze
from stitchrl.loops.lab import trained
from stitchrl.report import canvas
from stitchrl.report.claim import Check, Claim, paired
from stitchrl.report.panels import board, dots, legend, mark
from stitchrl.report.statistics import interval

STATEMENTS = (2, 6, 7, 8)
SEEDS, ROWS, EPISODES, GAMMA, HORIZON = 10, 20_000, 30, 0.96, 100
ALPHAS, BETAS, TOPS, WEIGHTS = (0.25, 2.5, 25.0), (0.5, 5.0, 50.0), (0.05, 0.5), (10.0, 1.0, 0.1)
NOISES = {'random': None, 'noisy': 1.5, 'good': 0.4}
NETS = {'hidden': (64, 64), 'lr': 1e-3, 'normalise': True, 'batch': 128, 'steps': 2500}
TD3 = NETS | {'gamma': GAMMA, 'rate': 0.02}
IQL = TD3 | {'expectile': 0.8, 'actor_decay': False}
CQL, PAID = TD3 | {'actor_lr': 1e-3, 'samples': 4}, 10.0  # rewards times that, or its entropy counts for more than they
BC = NETS | {'head': 'deterministic'}


def recording(maze, noise):
    """(Dataset, score of the behaviour itself)."""
    key = jr.key(11)
    columns = (
        random_transitions(maze, key, ROWS)
        if noise is None
        else policy_transitions(maze, Steered.to(maze, maze.goal, noise), key, ROWS)
    )
    data = Dataset.from_columns(columns)
    first, last = data.episodes().T
    return data, float((data.returns() * (1 - (last - first) / HORIZON)).mean())


def judged(algo, data, maze, off=False, unit=1.0, **settings):
    """{score, distance, error} [S] of ten agents; with `off` also how much worse Q is off the data. unit: a reward."""
    made = trained(algo, data, SEEDS, **settings)
    played = made.play(maze, EPISODES, trace=True)
    solved = played.success.astype(float)
    batch = made.data.sample(jr.key(1), 2000)
    ours = jax.vmap(lambda agent: agent.act((), batch.obs, jr.key(0))[0])(made.agents)
    told = {'score': (solved * (1 - played.lengths / HORIZON)).mean(1)}
    told['distance'] = ((np.asarray(ours) - np.asarray(batch.action)) ** 2).mean((1, 2))
    if 'gamma' in settings:
        true = solved * GAMMA ** (played.lengths - 1.0)
        told['error'] = np.abs(worth(made, played.paths[:, :, 0]) / unit - true).mean(1)
    if off:
        rows = np.asarray(data.starts)[:: len(data) // 300]
        errors = misjudged(made.agents, made.boundary, maze, *(jnp.asarray(x[rows]) for x in (data.obs, data.action)))
        told['off'] = np.asarray(errors[:, 1] - errors[:, 0])
    return told


def worth(made, starts):
    """Q of each agent's own action at its starts [S, E, 2], [S, E]."""

    def one(agent, starts):
        obs = made.boundary.obs(starts)
        return agent.critic.net(obs, agent.act((), obs, jr.key(0))[0]).min(0)

    return np.asarray(jax.jit(jax.vmap(one))(made.agents, starts))


@jax.jit
def misjudged(agents, boundary, maze, obs, action):
    """[S, 2]: mean |Q(s, a) - true return of a and then the policy| for recorded steps, and for them with another a."""
    other = jr.uniform(jr.key(2), action.shape, minval=-1, maxval=1)

    def true(agent, place, action):
        def step(carry, _):
            state, action, worth, going = carry
            state = maze.step(state, action, jr.key(0))
            mine = agent.act((), boundary.obs(state.obs[None]), jr.key(0))[0][0]
            return (state, mine, worth + going * state.reward, going * GAMMA * ~state.terminated), None

        begin = maze.begin(place), action, jnp.zeros(()), jnp.ones(())
        return jax.lax.scan(step, begin, None, HORIZON)[0][2]

    def error(agent, action):
        q = agent.critic.net(boundary.obs(obs), action).min(0)
        return jnp.abs(q - jax.vmap(lambda place, a: true(agent, place, a))(obs, action)).mean()

    return jax.vmap(lambda agent: jnp.stack([error(agent, action), error(agent, other)]))(agents)


def run() -> Claim:
    """Three recordings, nine settings of TD3+BC, and IQL, CQL, BC and filtered BC on the noisy one."""
    maze = PointMaze.create('umaze', HORIZON)
    sets = {name: recording(maze, noise) for name, noise in NOISES.items()}
    td3 = {
        (name, alpha): judged('td3_bc', data, maze, alpha == ALPHAS[0], alpha=alpha, **TD3)
        for name, (data, _) in sets.items()
        for alpha in ALPHAS
    }
    noisy, own = sets['noisy']
    iql = {beta: judged('iql', noisy, maze, beta=beta, **IQL) for beta in BETAS}
    paid = noisy.relabel(lambda data: PAID * data.reward)
    cql = {weight: judged('cql', paid, maze, unit=PAID, alpha=weight, **CQL) for weight in WEIGHTS}
    tops = {1.0: judged('bc', noisy, maze, **BC)} | {
        best: judged('filtered_bc', noisy, maze, best=best, **BC) for best in TOPS
    }
    return Claim(
        checks(td3, iql, cql, tops, own),
        draw(td3, iql, cql, tops, {name: score for name, (_, score) in sets.items()}),
        CAPTION,
        ALT,
        (NOTE,),
    )


def checks(td3, iql, cql, tops, own) -> list[Check]:
    """What was predicted, on the noisy controller unless it says otherwise."""
    far, near = td3['noisy', ALPHAS[-1]], td3['noisy', ALPHAS[0]]
    change = lambda what: paired(far[what], near[what])
    dial = lambda what: paired(iql[BETAS[-1]][what], iql[BETAS[0]][what])
    free, held = cql[WEIGHTS[-1]]['distance'], cql[WEIGHTS[0]]['distance']
    gain = lambda name, ours, theirs: paired(td3[name, ours]['score'], td3[name, theirs]['score'], rate=True)
    return [
        Check((6,), 'squared distance to the data, alpha 25 less alpha 0.25', change('distance'), above=0.0),
        Check((6,), 'squared distance to the data, CQL, alpha 0.1 less alpha 10', paired(free, held), above=0.0),
        Check(
            (7,),
            'error of Q at the start, alpha 25 less alpha 0.25',
            change('error'),
            above=0.05,
            control=dial('error'),
            without='IQL, beta 50 less beta 0.5',
        ),
        Check(
            (7,),
            'good data: error of Q for any action less that for the recorded one, mean over states',
            interval(td3['good', ALPHAS[0]]['off']),
            above=0.05,
            control=interval(td3['random', ALPHAS[0]]['off']),
            without='random data, which holds any action',
        ),
        Check(
            (2,),
            'score of IQL less that of the data',
            interval(iql[BETAS[-1]]['score'] - own),
            above=0.05,
            control=interval(tops[1.0]['score'] - own),
            without='BC',
        ),
        Check(
            (8,),
            'random data: score of alpha 25 less that of 2.5',
            gain('random', 25.0, 2.5),
            above=0.05,
            control=gain('good', 25.0, 2.5),
            without='good data',
        ),
        Check(
            (8,),
            'good data: score of alpha 0.25 less that of 2.5',
            gain('good', 0.25, 2.5),
            above=0.05,
            control=gain('random', 0.25, 2.5),
            without='random data',
        ),
    ]


def draw(td3, iql, cql, tops, own) -> bytes:
    """Score against distance along each dial, error against distance, score by alpha on each set."""
    panels = [
        ('Four dials on the noisy controller', 'squared distance to the data', 'score'),
        ('Error of Q off the data', 'squared distance to the data', 'error of Q at the start'),
        ('TD3+BC on three recordings', 'alpha', 'score'),
    ]
    figure, (left, middle, right) = board('Dials that keep a policy near the data', panels)
    noisy = {a: td3['noisy', a] for a in ALPHAS}
    dials = {'TD3+BC, alpha': noisy, 'IQL, beta': iql, 'CQL, alpha': cql, 'BC, top share': tops}
    for k, (name, dial) in enumerate(dials.items()):
        far = {setting: one['distance'].mean() for setting, one in dial.items()}
        order = sorted(far, key=far.get)
        x, label = [far[setting] for setting in order], f'{name} {", ".join(f"{setting:g}" for setting in order)}'
        dots(left, k, x, [interval(dial[setting]['score'], rate=True) for setting in order], label)
        if 'error' in dial[order[0]]:
            dots(middle, k, x, [interval(dial[setting]['error']) for setting in order], name, control=k == 1)
    mark(left, own['noisy'], 'the data')
    for k, name in enumerate(NOISES):
        dots(
            right,
            k,
            ALPHAS,
            [interval(td3[name, alpha]['score'], rate=True) for alpha in ALPHAS],
            f'{name} (data: {own[name]:.2f})',
        )
    right.set_xscale('log')
    right.set_xticks(ALPHAS, [f'{alpha:g}' for alpha in ALPHAS])
    right.minorticks_off()
    left.set_ylim(0.7, 1.1)
    middle.set_yscale('log')
    for ax, place in ((left, 'upper left'), (middle, 'upper left'), (right, 'center left')):
        legend(ax, loc=place)
    return canvas.png(figure, None)


CAPTION = (
    'Ten agents each with 95 % intervals. Left: score against distance from the data along four dials, settings from '
    'left to right. Middle: error of Q; IQL is the control. Right: the best alpha depends on the recording.'
)
NOTE = (
    'The second check of 7 came after the first run: the error at the start mixes what Q has not yet learned with '
    'what it cannot know. That run had five agents, 1,500 updates and no CQL, and left the first check of 8 undecided. '
    'CQL’s alpha turns the values and hardly the policy: at 10 Q is far off, and what it ranks first is the same.'
)
ALT = 'Score and error of Q against distance for TD3+BC, IQL, CQL and filtered BC; score of TD3+BC by alpha.'

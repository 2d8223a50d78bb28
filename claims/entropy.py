"""The entropy of actions: it climbs to the uniform's and stops, and it is not the entropy of states.

Prediction. An actor that is asked for entropy alone, by a fresh reparametrised sample, starts narrow (-1.6 a dimension)
and ends between 0.66 and log 2 = 0.693 a dimension, by quadrature (72; no squashed normal gets beyond 0.684): as random
as a uniform over 0.967 to all of the range. Where the sample is a constant to the gradient it does not climb. What it
estimates of itself lies below log 2 (72); estimated before the tanh, without the slope term, it goes beyond.
In a corridor of 41 cells, actions drawn anew at every step have the highest entropy there is, yet the same uniform
actions drawn once an episode and held reach a state entropy more than 1 nat higher (55); drawn from the same range at
every step, they do not.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.algos.online import sac
from stitchrl.core.learner import Learner, adam
from stitchrl.core.spec import Continuous, Observation, Spec
from stitchrl.envs.pointmaze import PointMaze
from stitchrl.maths.dists import Normal, log_slope
from stitchrl.nets.heads import SquashedGaussian
from stitchrl.report import canvas
from stitchrl.report.claim import Check, Claim, paired
from stitchrl.report.panels import board, dots, legend, look, mark
from stitchrl.report.statistics import interval

STATEMENTS = (55, 72)
SEEDS, STEPS, STATES, DIMS, NARROW = 5, 2000, 256, 2, -3.0
SPEC = Spec(Observation((3,)), Continuous(DIMS, (-1.0,) * DIMS, (1.0,) * DIMS))
CFG = sac.Config(hidden=(64, 64), actor_lr=3e-3, actor_gradient='none', temperature=0.1)
CELLS, EPISODES, LENGTH = 41, 64, 100
WAYS = ('fresh', 'constant', 'before the tanh')


def loss(actor, obs, key, way):
    """(- entropy, the estimate): SAC's own without Q; of a constant sample; or of the normal before the tanh."""
    if way == 'fresh':
        value, info = sac.actor_loss(actor, obs, None, 1.0, key, CFG)
        return value, info['actor/entropy']
    dist = actor(obs)
    if way == 'constant':
        found = -dist.scored_samples(key, 1)[1].mean()
    else:
        normal = Normal(dist.mean, dist.std)
        found = -normal.log_prob(normal.sample(key)).mean()
    return -found, found


def climb(way, key):
    """(true entropy, its estimate), both per dimension and [STEPS], of one narrow actor that learns."""
    k_actor, k_obs, k_steps = jr.split(key, 3)
    actor, obs = SquashedGaussian(SPEC, CFG.hidden, 'uniform', key=k_actor), jr.normal(k_obs, (STATES, 3))
    last = lambda actor: actor.torso.layers[-1].bias
    actor = eqx.tree_at(last, actor, last(actor).at[DIMS:].set(NARROW))

    def one(learner, key):
        told = true_entropy(learner.net(obs)).mean()
        learner, estimate = learner.step(loss, obs, key, way)
        return learner, (told, estimate / DIMS)

    return jax.lax.scan(one, Learner.create(actor, adam(CFG.actor_lr)), jr.split(k_steps, STEPS))[1]


def true_entropy(dist):
    """Of each dimension of a squashed normal, by quadrature: the normal's entropy and the mean log slope of tanh."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    nodes, weights = jnp.float32(nodes), jnp.float32(weights / weights.sum())
    pre = dist.mean[..., None] + dist.std[..., None] * nodes.reshape((1,) * dist.mean.ndim + (-1,))
    return 0.5 * jnp.log(2 * jnp.pi * jnp.e) + jnp.log(dist.std) + log_slope(pre) @ weights


def corridor(held, key):
    """x [EPISODES, LENGTH] of uniform actions from the middle, drawn once an episode or once a step."""
    maze = PointMaze.from_text('#' * (CELLS + 2) + '\n#S' + '.' * (CELLS - 2) + 'G#\n' + '#' * (CELLS + 2))
    draw = lambda key: jr.uniform(key, (EPISODES, 2), minval=-1, maxval=1)
    k_held, k_steps = jr.split(key)
    start = jax.vmap(maze.begin)(jnp.tile(jnp.array([1 + CELLS / 2, 1.5]), (EPISODES, 1)))

    def one(state, key):
        action = draw(k_held if held else key)
        after = jax.vmap(maze.step, in_axes=(0, 0, None))(state, action, key)
        return after, after.obs[:, 0]

    return jax.lax.scan(one, start, jr.split(k_steps, LENGTH))[1].T


def spread(places):
    """Entropy in nats of the cells [...] that were visited."""
    counts = np.bincount(np.floor(np.ravel(places)).astype(int))
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def run() -> Claim:
    """Three actors of five seeds, and three kinds of walk."""
    keys = jr.split(jr.key(0), SEEDS)
    climbed = {way: jax.device_get(jax.jit(jax.vmap(lambda key, way=way: climb(way, key)))(keys)) for way in WAYS}
    walk = jax.jit(corridor, static_argnums=0)
    walks = {
        name: [np.asarray(walk(held, key)) for key in jr.split(jr.key(seed), SEEDS)]
        for seed, (name, held) in enumerate({'each step': False, 'held': True, 'each step, again': False}.items())
    }
    states = {name: np.array([spread(x) for x in places]) for name, places in walks.items()}
    width = lambda way: interval(np.exp(climbed[way][0][:, -1]) / 2)
    over = lambda way: interval(climbed[way][1][:, -200:].mean(1) - np.log(2))
    gain = lambda name: paired(states[name], states['each step'])
    checks = (
        Check(
            (72,),
            'the range of which the actor has the entropy in the end, exp(H) / 2',
            width('fresh'),
            above=0.967,
            below=1.0,
            control=width('constant'),
            without='the sample a constant to the gradient',
        ),
        Check(
            (72,),
            'its own estimate of it in the last 200 updates, less log 2',
            over('fresh'),
            below=0.0,
            control=over('before the tanh'),
            without='no slope term',
        ),
        Check(
            (55,),
            'state entropy of uniform actions held for an episode less that of ones drawn at every step',
            gain('held'),
            above=1.0,
            control=gain('each step, again'),
            without='drawn at every step too',
        ),
    )
    return Claim(checks, draw(climbed, walks), CAPTION, ALT, (told(climbed), NOTE))


def told(climbed) -> str:
    """What became of the actor that is fooled."""
    true, estimate = (x[:, -1].mean() for x in climbed['before the tanh'])
    return f'Estimated before the tanh, the actor ends at {estimate:.2f} nats by its own account; in truth {true:.2f}.'


def draw(climbed, walks) -> bytes:
    """Entropy while learning, estimates, and where the walks go."""
    panels = [
        ('Entropy of the actor, by quadrature', 'updates', 'nats a dimension'),
        ('What it estimates', 'updates', 'nats a dimension'),
        ('Where uniform actions lead', 'cell of the corridor', 'share of the steps'),
    ]
    figure, axes = board('Action entropy ends at the uniform’s, and says nothing of states', panels)
    at = np.linspace(0, STEPS - 1, 9).astype(int)
    for ax, part, ways in ((axes[0], 0, WAYS[:2]), (axes[1], 1, (WAYS[0], WAYS[2]))):
        for k, way in enumerate(ways):
            label = f'control: {way}' if k else f'{way} sample'
            dots(ax, 4 * k, at, [interval(x) for x in climbed[way][part].T[at]], label, control=k > 0)
        mark(ax, float(np.log(2)), 'log 2')
        legend(ax)
    for k, (name, label) in enumerate({'each step': 'drawn at every step', 'held': 'held for an episode'}.items()):
        places = np.floor(np.ravel(walks[name])).astype(int)
        shares = np.bincount(places, minlength=CELLS + 1) / len(places)
        axes[2].plot(np.arange(1, CELLS + 1), shares[1:], color=look(k)['color'], label=label)
    legend(axes[2])
    return canvas.png(figure, None)


CAPTION = (
    'Left and middle: means of five actors with 95 % intervals. Right: the same uniform actions, drawn at every step '
    'or once an episode.'
)
NOTE = (
    'A first run at reduced size compared nats; of a control that runs away they have no bound, so the range that a '
    'uniform of the same entropy covers is compared now.'
)
ALT = 'Entropy over updates of an actor that climbs to log 2 and of two controls; visits along a corridor of two walks.'

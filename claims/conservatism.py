"""CQL pushes Q down: everywhere without its data term, only on average under the policy with it.

Small random worlds whose true values are computed exactly; Q-hat is the fixed point of the tabular update on a few
hundred recorded steps, for one policy pi = mu that keeps to recorded actions.

Prediction. Without the data term and with alpha 30, Q-hat lies below Q at every recorded (s, a) (10); at alpha 0 it
does not, noise alone lifts it somewhere. With the data term it lies above Q somewhere (11), which it does not without,
but its expectation under pi lies below V at every state; at alpha 0 it does not. That protection is for pi = mu:
with CQL's usual backup, greedy over actions, and mu = exp Q, max Q-hat at alpha 30 lies above V* somewhere. Actions
nobody took are never the best ones by Q-hat at alpha 1 (9); at alpha 0, where their values stay what the network
happened to begin with, they often are. Alpha 30 costs the greedy policy more than a twentieth of the way from random to
best, against alpha 0.1, which it does not where the behaviour was nearly the best already.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.report import canvas
from stitchrl.report.claim import Check, Claim
from stitchrl.report.panels import board, dots, legend, mark
from stitchrl.report.statistics import interval

STATEMENTS = (9, 10, 11)
SEEDS, STATES, ACTIONS, GAMMA = 40, 12, 4, 0.9
STEPS, NOISE = 400, 0.5  # recorded transitions, deviation of their rewards
ALPHAS = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
SWEEPS = 10_000
NEAR = 0.1  # share of pi in the policy near the behaviour


class World(NamedTuple):
    """A world, and what a recording of it says."""

    p: jax.Array  # [S, A, S] true transitions
    r: jax.Array  # [S, A] true mean rewards
    seen_p: jax.Array  # [S, A, S] recorded frequencies, 0 where not recorded
    seen_r: jax.Array  # [S, A] recorded mean rewards
    behaviour: jax.Array  # [S, A] recorded frequencies of actions
    pi: jax.Array  # [S, A] the policy whose values are sought, on recorded actions
    start: jax.Array  # [S, A] where Q-hat begins, as arbitrary as a network off its data


def world(key, good=False) -> World:
    """A random world and its recording. Two of the four actions are never taken; `good`: mostly the best of them."""
    k_p, k_r, k_taken, k_share, k_data, k_noise, k_start = jr.split(key, 7)
    p = jr.dirichlet(k_p, jnp.full(STATES, 0.2), (STATES, ACTIONS))
    r = jr.uniform(k_r, (STATES, ACTIONS))
    best = optimum(p, r, jnp.ones((STATES, ACTIONS), bool))
    first = jax.nn.one_hot(best.argmax(1), ACTIONS)  # the best action of each state
    liking = jr.uniform(k_taken, (STATES, ACTIONS)) + good * first
    chance = jnp.where(good, 1.0 + 7.0 * first, 0.2 + jr.exponential(k_share, (STATES, ACTIONS)))
    counts = record(k_data, p, jnp.where(liking.argsort(1).argsort(1) < ACTIONS - 2, 0.0, chance))
    n = counts.sum(2)
    noise = NOISE * jr.normal(k_noise, n.shape) / jnp.sqrt(jnp.maximum(n, 1))
    pi = jax.nn.softmax(jnp.where(n > 0, 2 * best, -jnp.inf), axis=1)
    seen_p, share = counts / jnp.maximum(n, 1)[..., None], n / n.sum(1, keepdims=True)
    return World(p, r, seen_p, jnp.where(n > 0, r + noise, 0), share, pi, 5 * jr.normal(k_start, r.shape))


def record(key, p, chance):
    """[S, A, S] counts of STEPS recorded steps, all states equally often; `chance` [S, A] need not sum to 1."""
    k_action, k_next = jr.split(key)
    state = jnp.arange(STEPS) % STATES
    action = jr.categorical(k_action, jnp.log(chance)[state])
    after = jr.categorical(k_next, jnp.log(p)[state, action])
    return jnp.zeros(p.shape).at[state, action, after].add(1.0)


def iterate(step, q, sweeps=1000):
    """`step` applied to q again and again."""
    return jax.lax.fori_loop(0, sweeps, lambda _, q: step(q), q)


def optimum(p, r, allowed):
    """Q* [S, A] of the best policy that takes only allowed actions."""
    return iterate(lambda q: r + GAMMA * p @ jnp.where(allowed, q, -jnp.inf).max(1), jnp.zeros_like(r))


def values(p, r, pi):
    """Q of a policy [S, A]."""
    return iterate(lambda q: r + GAMMA * p @ (pi * q).sum(1), jnp.zeros_like(r))


def fixed_point(w, alpha, data_term):
    """Q-hat [S, A] for pi = mu: Q <- r + gamma P pi Q - alpha (mu - [data term] behaviour) / behaviour."""
    push = (w.pi - data_term * w.behaviour) / jnp.where(w.behaviour > 0, w.behaviour, 1.0)
    return values(w.seen_p, w.seen_r - alpha * jnp.where(w.behaviour > 0, push, 0.0), w.pi)


def greedy(w, alpha):
    """Q-hat [S, A] of CQL(H): max over actions in the backup, mu = softmax Q, by steps along the loss's gradient."""
    rate = 1.0 / (1 + alpha)

    def step(q):
        y = w.seen_r + GAMMA * w.seen_p @ q.max(1)
        return q - rate * (w.behaviour * (q - y) + alpha * (jax.nn.softmax(q) - w.behaviour))

    return iterate(step, w.start, SWEEPS)


def score(w, q):
    """Mean value of the greedy policy of q, 0 for random actions and 1 for the best."""
    worth = lambda pi: (pi * values(w.p, w.r, pi)).sum(1).mean()
    best = optimum(w.p, w.r, jnp.ones_like(w.r, bool)).max(1).mean()
    floor = worth(jnp.full_like(w.r, 1 / ACTIONS))
    return (worth(jax.nn.one_hot(q.argmax(1), ACTIONS)) - floor) / (best - floor)


@jax.jit
def measure(key, good):
    """{name: [alphas]} of one world, and {'off': [alphas, S]}."""
    w, alphas = world(key, good), jnp.array(ALPHAS)
    near = w._replace(pi=NEAR * w.pi + (1 - NEAR) * w.behaviour)
    hat = lambda w, data_term: jax.vmap(lambda alpha: fixed_point(w, alpha, data_term))(alphas)
    over = lambda w, hat: jnp.where(w.behaviour > 0, hat - values(w.p, w.r, w.pi), -jnp.inf).max((1, 2))
    both, usual = hat(w, 1.0), jax.vmap(lambda alpha: greedy(w, alpha))(alphas)
    own = jax.vmap(lambda q: values(w.p, w.r, jax.nn.one_hot(q.argmax(1), ACTIONS)))(usual)
    pick = lambda x: jnp.take_along_axis(x, usual.argmax(2, keepdims=True), 2)[..., 0]
    return {
        'bare': over(w, hat(w, 0.0)),
        'both': over(w, both),
        'near': over(near, hat(near, 1.0)),
        'mean': (w.pi * (both - values(w.p, w.r, w.pi))).sum(2).max(1),
        'greedy': pick(usual - own).max(1),
        'against_best': (usual - optimum(w.p, w.r, jnp.ones_like(w.r, bool)).max(1)[:, None]).max((1, 2)),
        'off': pick(jnp.broadcast_to(w.behaviour == 0, usual.shape)),
        'score': jax.vmap(partial(score, w))(usual),
    }


def run() -> Claim:
    """Forty worlds, all alphas at once."""
    keys = jr.split(jr.key(0), SEEDS)
    found, good = (
        {name: np.asarray(x) for name, x in jax.vmap(measure, in_axes=(0, None))(keys, flag).items()}
        for flag in (False, True)
    )
    at = lambda name, alpha: interval(found[name][:, ALPHAS.index(alpha)], rate=name == 'off')
    cost = lambda t: interval(t['score'][:, ALPHAS.index(0.1)] - t['score'][:, ALPHAS.index(30.0)])
    checks = (
        Check(
            (10,),
            'no data term: largest Q-hat - Q over recorded (s, a)',
            at('bare', 30.0),
            below=0.0,
            control=at('bare', 0.0),
            without='alpha 0',
        ),
        Check(
            (11,),
            'data term: largest Q-hat - Q over recorded (s, a)',
            at('both', 30.0),
            above=0.0,
            control=at('bare', 30.0),
            without='no data term',
        ),
        Check(
            (11,),
            'the same for a policy nine tenths of which is the behaviour, alpha 30',
            at('near', 30.0),
            above=0.0,
            control=at('bare', 30.0),
            without='no data term',
        ),
        Check(
            (11,),
            'data term: largest E_pi Q-hat - V over states',
            at('mean', 30.0),
            below=0.0,
            control=at('mean', 0.0),
            without='alpha 0',
        ),
        Check(
            (11,),
            'greedy backup, mu = exp Q: largest max Q-hat - V* over states',
            at('against_best', 30.0),
            above=0.0,
            control=at('mean', 30.0),
            without='pi = mu',
        ),
        Check(
            (11,),
            'greedy backup, mu = exp Q: largest max Q-hat - V of that greedy policy',
            at('greedy', 30.0),
            above=0.0,
            control=at('mean', 30.0),
            without='pi = mu',
        ),
        Check(
            (9,),
            'share of states whose best action by Q-hat nobody took, alpha 1',
            at('off', 1.0),
            below=0.02,
            control=at('off', 0.0),
            without='alpha 0',
        ),
        Check(
            (10,),
            'what alpha 30 costs the greedy policy against alpha 0.1, of the way from random to best',
            cost(found),
            above=0.05,
            control=cost(good),
            without='behaviour nearly the best',
        ),
    )
    return Claim(checks, draw(found, good), CAPTION, ALT, (NOTE,))


def draw(found, good) -> bytes:
    """Over-estimation by alpha, actions off the data, and what the policy is worth."""
    panels = [
        ('How far Q-hat lies above the truth', 'alpha', 'largest difference, in reward'),
        ('Actions nobody took', 'alpha', 'share of states, one ranks first'),
        ('The greedy policy', 'alpha', 'value, 0 random, 1 best'),
    ]
    figure, (left, middle, right) = board('How far CQL pushes Q down, with its data term and without', panels)
    column = lambda table, name: [interval(x) for x in table[name].T]
    names = {
        'bare': 'no data term, any (s, a)',
        'both': 'data term, any (s, a)',
        'near': 'the same, pi near behaviour',
        'mean': 'data term, E under pi',
        'greedy': 'greedy backup, max',
    }
    for k, (name, label) in enumerate(names.items()):
        dots(left, k, ALPHAS, column(found, name), label, linestyle=':' if name == 'near' else '-')
    off = [interval(x, rate=True) for x in found['off'].swapaxes(0, 1)]
    dots(middle, 0, ALPHAS, off, 'CQL(H)')
    dots(right, 0, ALPHAS, column(found, 'score'), 'random behaviour')
    dots(right, 4, ALPHAS, column(good, 'score'), 'control: nearly the best behaviour', control=True)
    mark(left, 0.0)
    left.set_yscale('symlog', linthresh=3)
    for ax in (left, middle, right):
        ax.set_xscale('symlog', linthresh=0.03)
        ax.set_xlim(-0.01, 50)
        ax.set_xticks(ALPHAS, [f'{alpha:g}' for alpha in ALPHAS])
        ax.minorticks_off()
        legend(ax)
    return canvas.png(figure, None)


CAPTION = (
    'Left: how far Q-hat lies above the true value where it does so most; under 0 it lies below everywhere. Alpha 0 is '
    'the control. Middle: at alpha 0 actions off the data win. Right: too large an alpha only imitates.'
)
NOTE = (
    'The checks of a policy near the behaviour and of the greedy policy against its own value, and 40 worlds in place '
    'of 10, came after the first run: far from the behaviour the push on later states outweighs what the data term '
    'gives back, and V* is more than a policy from little data reaches.'
)
ALT = 'Three panels over alpha: over-estimation, share of states where an untaken action wins, value of the policy.'

"""Q over-estimates what it maximises; double DQN does less, and so do several critics.

A world of ten states and eight actions whose rewards are noisy, DQN with a ring that holds less than the time between
two copies of Q, so that Q and Q' have seen different luck. Then SAC on a pendulum, its target without entropy, the mean
of the critics in the actor's loss, and the five ways to teach them. Bias is Q less the true discounted return, rolled
out over at least 10 / (1 - gamma) steps or solved for.

Prediction. DQN's bias is more than 0.5 reward above double DQN's (70); without noise it is not. One critic's bias is
more than 0.5 reward above that of two that learn each from its own copy, from their mean and from each other's (71):
where the actor does not climb Q it is not. All three stand above two that learn from the smaller copy
(71).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Discrete, Observation, Spec
from stitchrl.envs.env import Env, State
from stitchrl.envs.pendulum import Pendulum
from stitchrl.loops.lab import learned, worth
from stitchrl.loops.plan import Plan
from stitchrl.report import canvas
from stitchrl.report.claim import Check, Claim, paired
from stitchrl.report.panels import board, dots, legend, mark
from stitchrl.report.statistics import interval

STATEMENTS = (70, 71)
SEEDS, PLACES, ACTIONS, POINTS = 5, 10, 8, 128
DQN = {'hidden': (32,), 'batch': 64, 'gamma': 0.9, 'steps': 12_000, 'period': 400, 'final_epsilon': 1.0}
SAC = {'hidden': (64, 64), 'lr': 1e-3, 'actor_lr': 1e-3, 'batch': 64, 'gamma': 0.95, 'temperature': 0.1}
SAC |= {'entropy_backup': False, 'actor_q': 'mean', 'steps': 4000, 'rate': 0.02}
WAYS = {'one critic': ('own', 1), 'own': ('own', 2), 'mean': ('mean', 2), 'doubleq': ('doubleq', 2), 'min': ('min', 2)}
LONG = 200  # steps of a roll-out


class Noisy(Env):
    """r = mean[s, a] + noise N(0, 1), then the state of a table. Sees which state it is. Ends by its limit only."""

    mean: jax.Array  # [PLACES, ACTIONS]
    after: jax.Array  # [PLACES, ACTIONS] int32
    noise: jax.Array  # []
    spec: Spec = eqx.field(static=True, default=Spec(Observation((PLACES,)), Discrete(ACTIONS), 50))

    @classmethod
    def create(cls, noise=1.0):
        k_mean, k_after = jr.split(jr.key(70))
        after = jr.randint(k_after, (PLACES, ACTIONS), 0, PLACES)
        return cls(0.1 * jr.normal(k_mean, after.shape), after, jnp.float32(noise))

    def reset(self, key):
        return self.show(jr.randint(key, (), 0, PLACES), jnp.zeros(()), jnp.zeros((), jnp.int32))

    def show(self, place, reward, t):
        obs = jax.nn.one_hot(place, PLACES)
        return State(obs, reward, jnp.zeros((), bool), t >= self.spec.horizon, (place, t))

    def step(self, state, action, key):
        place, t = state.inner
        reward = self.mean[place, action] + self.noise * jr.normal(key)
        return self.show(self.after[place, action], reward, t + 1)


def greedy_bias(q, env, gamma):
    """max Q less what the greedy policy of q [PLACES, ACTIONS] is worth, mean over states."""
    best = q.argmax(-1)
    pay, after = (jnp.take_along_axis(x, best[:, None], 1)[:, 0] for x in (env.mean, env.after))
    true = jax.lax.fori_loop(0, 300, lambda _, v: pay + gamma * v[after], jnp.zeros(PLACES))
    return (q.max(-1) - true).mean()


def noisy(algo, noise):
    """[S] bias of agents that act at random, mean over the second half."""
    env, seen = Noisy.create(noise), []
    one = jax.jit(lambda net: greedy_bias(net.all(jnp.eye(PLACES)), env, DQN['gamma']))
    watch = lambda part: seen.append(np.asarray(jax.vmap(one)(part.agents.critic.net)))
    learned(algo, env, SEEDS, plan=Plan(random_steps=200), capacity=300, every=DQN['steps'] // 20, watch=watch, **DQN)
    return np.mean(seen[10:], 0)


def swung(way, gradient='reparametrize'):
    """[S] bias of SAC at states it met and actions it takes, mean over the second half."""
    backup, critics = WAYS[way]
    env, boundary, seen = Pendulum.create(), Boundary.blank(Pendulum.create().spec), []

    def bias(agent, boundary, ring, key):
        k_rows, k_act, k_true = jr.split(key, 3)
        obs = ring.sample(k_rows, POINTS).obs
        action, _ = agent.act((), obs, k_act, jnp.int32(0))
        true = worth(agent, boundary, env, jax.vmap(env.at)(obs), action, k_true, SAC['gamma'], LONG, explores=True)
        return (agent.critic.net(obs, action).mean(0) - true).mean()

    def watch(part):
        keys = jr.split(jr.key(part.step), SEEDS)
        seen.append(np.asarray(every(part.agents, boundary, part.state.replay, keys)))

    every, settings = jax.jit(jax.vmap(bias, in_axes=(0, None, 0, 0))), {'backup': backup, 'critics': critics}
    plan, pause = Plan(random_steps=200), SAC['steps'] // 8
    learned('sac', env, SEEDS, plan=plan, every=pause, watch=watch, actor_gradient=gradient, **SAC | settings)
    return np.mean(seen[4:], 0)


def run() -> Claim:
    """Four DQNs and seven SACs of five seeds each."""
    wide = {(algo, noise): noisy(algo, noise) for noise in (1.0, 0.0) for algo in ('dqn', 'double_dqn')}
    sac = {way: swung(way) for way in WAYS}
    flat = {way: swung(way, 'none') for way in ('one critic', 'mean')}
    less = lambda noise: paired(wide['dqn', noise], wide['double_dqn', noise])
    calm = 'a policy that does not climb Q'
    several = [
        Check(
            (71,),
            f'bias of one critic less that of two taught by {way}, in reward',
            paired(sac['one critic'], sac[way]),
            above=0.5,
            control=paired(flat['one critic'], flat['mean']) if way == 'mean' else None,
            without=calm if way == 'mean' else '',
        )
        for way in ('own', 'mean', 'doubleq')
    ]
    smaller = [
        Check(
            (71,), f'bias of two taught by {way} less that by min, in reward', paired(sac[way], sac['min']), above=0.0
        )
        for way in ('own', 'mean', 'doubleq')
    ]
    checks = (
        Check(
            (70,),
            'bias of DQN less that of double DQN, in reward',
            less(1.0),
            above=0.5,
            control=less(0.0),
            without='rewards without noise',
        ),
        *several,
        *smaller,
    )
    return Claim(checks, draw(wide, sac), CAPTION, ALT, ())


def draw(wide, sac) -> bytes:
    """Bias of both DQNs and of the five ways."""
    panels = [
        ('70: ten states, noisy rewards', '', 'bias, in reward'),
        ('71: SAC on a pendulum', '', 'bias, in reward'),
    ]
    figure, (left, right) = board('Q over-estimates what it maximises; several critics less', panels)
    for k, noise in enumerate((1.0, 0.0)):
        for x, algo in enumerate(('dqn', 'double_dqn')):
            label = 'control: no noise' if k and not x else None
            dots(left, 4 * k, [x + 0.1 * k], [interval(wide[algo, noise])], label, control=k > 0)
    left.set_xticks((0, 1), ('DQN', 'double DQN'))
    for k, way in enumerate(sac):
        dots(right, k, [k], [interval(sac[way])], None)
    right.set_xticks(range(len(sac)), list(sac), size=7.5)
    for ax in (left, right):
        mark(ax, 0.0, 'no bias')
    legend(left)
    return canvas.png(figure, None)


CAPTION = 'Means of five agents with 95 % intervals. Bias: Q less the true discounted return.'
ALT = 'Bias of DQN and double DQN with noisy rewards and without; bias of SAC with five ways to teach its critics.'

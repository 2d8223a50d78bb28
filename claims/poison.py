"""Who asks about unseen actions is found by poisoning their values; who does not can still improve by many steps.

Every critic is wrapped so that Q of an action that is not in the data is NaN.

Prediction. After twenty updates BC, filtered BC, AWR, SARSA and IQL are finite in every seed (16, 17); TD3+BC, CQL and
discrete CQL are not, and are with clean critics. Of CQL's terms the log-sum-exp, the backup and the policy's ask, the
data term does not (78). A chain: stop for 0.5, or go on to where the behaviour takes the action worth 1 once in ten
times and else gets 0. One step of improvement on the behaviour's value says stop: AWR (16) and SARSA go on with
probability below a half, IQL at tau 0.99 above (17). Where the behaviour is good at the end, AWR and SARSA go on too.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.algos.offline import cql, discrete_cql, td3_bc
from stitchrl.data.dataset import Dataset
from stitchrl.loops.lab import trained
from stitchrl.maths.backups import greedy_target, smoothed_target
from stitchrl.nets.heads import Critic
from stitchrl.report import canvas
from stitchrl.report.claim import Check, Claim, exact
from stitchrl.report.panels import board, dots, legend, mark
from stitchrl.report.statistics import interval

STATEMENTS = (16, 17, 78)
SEEDS = 5
SEEN = {True: (0.0, 1.0), False: (-0.5, 0.5)}  # the actions of the data: discrete, of three; continuous
SAFE, ASKING = ('bc', 'filtered_bc', 'awr', 'sarsa', 'iql'), ('td3_bc', 'cql', 'discrete_cql')
TINY = {'hidden': (16,), 'batch': 32, 'steps': 20, 'normalise': False}


class Poisoned(eqx.Module):
    """A critic whose value of an unseen action is NaN. Where the task is over every action is as good as seen."""

    critic: Critic

    def all(self, obs: jax.Array) -> jax.Array:
        return jnp.stack([self(obs, jnp.full(obs.shape[:-1], a)) for a in range(3)], -1)

    def __call__(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        discrete = self.critic.discrete
        number = action if discrete else action[..., 0]
        known = jnp.stack([jnp.abs(number - a) < 1e-3 for a in SEEN[discrete]]).any(0)
        return jnp.where(known | (obs[..., -1] > 0.5), self.critic(obs, action), jnp.nan)


def poison(agents: Any) -> Any:
    """The same agents with every critic wrapped; their optimisers follow, as they have the critics' shape."""
    is_critic = lambda node: isinstance(node, Critic)
    return jax.tree.map(lambda node: Poisoned(node) if is_critic(node) else node, agents, is_leaf=is_critic)


def walks(discrete: bool) -> Dataset:
    """200 episodes of three steps through four places, with two actions; the second pays 1."""
    rng = np.random.default_rng(0)
    which = rng.integers(2, size=600)
    obs = np.tile(np.eye(4)[:3], (200, 1))
    after = np.tile(np.eye(4)[1:], (200, 1))
    end = np.tile([False, False, True], 200)
    action = np.array(SEEN[discrete])[which]
    limits = {} if discrete else {'low': -1.0, 'high': 1.0}
    action = action.astype(np.int32) if discrete else action[:, None]
    if discrete:  # a third action that nobody takes: in one episode that is left out of what is learned from
        action = np.append(action, 2).astype(np.int32)
        obs, after, end, which = (np.concatenate([x, x[-1:]]) for x in (obs, after, end, which))
    return without_last(Dataset.from_arrays(obs, action, which, end, next_obs=after, **limits), discrete)


def without_last(data: Dataset, discrete: bool) -> Dataset:
    """Without the last episode; the spec still knows its action."""
    return data.keep(np.arange(len(data.episodes()) - 1)) if discrete else data


def broken(algo: str, alter: Any) -> np.ndarray:
    """[S] 1 where an agent has a number that is not finite."""
    made = trained(algo, walks(algo == 'discrete_cql'), SEEDS, alter=alter, **TINY)
    leaves = [np.asarray(x).reshape(SEEDS, -1) for x in jax.tree.leaves(made.agents)]
    return np.logical_or.reduce([~np.isfinite(x).all(1) for x in leaves]).astype(float)


def terms() -> dict[str, bool]:
    """For each term of a loss: does it ask about unseen actions? One poisoned agent, one batch."""
    found = {}
    agent, batch = first('cql')
    y = jnp.zeros(len(batch.obs))
    _, info = cql.critic_loss(agent.critic.net, batch, y, agent.asked(batch, jr.key(1)), 1.0, agent.cfg)
    found['cql: backup'] = agent.q_target(batch, jnp.ones(()), jr.key(1))
    found['cql: log-sum-exp'] = info['critic/gap']
    found['cql: data term'] = agent.critic.net(batch.obs, batch.action)
    found['cql: policy'] = cql.actor_loss(
        agent.actor.net, batch, agent.critic.net, jnp.ones(()), jnp.array(False), jr.key(1)
    )[0]
    agent, batch = first('discrete_cql')
    _, info = discrete_cql.critic_loss(agent.critic.net, batch, y, 1.0, 1.0)
    found['discrete_cql: backup'] = greedy_target(
        batch, agent.target.all(batch.next_obs), agent.critic.net.all(batch.next_obs)
    )
    found['discrete_cql: log-sum-exp'] = info['critic/gap']
    found['discrete_cql: data term'] = agent.critic.net(batch.obs, batch.action)
    agent, batch = first('td3_bc')
    eps = 0.2 * jr.normal(jr.key(1), batch.action.shape)
    one = jax.tree.map(lambda x: x[0], agent.critic.net.members)
    found['td3_bc: backup'] = smoothed_target(agent.actor_target, agent.critic_target, batch, eps, 0.5)
    found['td3_bc: policy'] = td3_bc.actor_loss(agent.actor.net, batch, one, 2.5)[0]
    agent, batch = first('iql', actor_decay=False)
    found['iql: V and policy'] = agent.target(batch.obs, batch.action)
    found['iql: backup'] = batch.reward + batch.discount * agent.value.net(batch.next_obs)
    agent, batch = first('sarsa')
    found['sarsa: backup'] = batch.reward + batch.discount * agent.target(batch.next_obs, batch.next_action).min(0)
    return {name: bool(~jnp.isfinite(value).all()) for name, value in found.items()}


def first(algo: str, **settings: Any) -> tuple[Any, Any]:
    """A fresh poisoned agent, clean but for its critics, and a batch."""
    made = trained(algo, walks(algo == 'discrete_cql'), 1, **TINY | {'steps': 0} | settings)
    agent = poison(jax.tree.map(lambda x: x[0], made.agents))
    return agent, agent.draw(made.data, jr.key(0))


def chain(good: bool) -> Dataset:
    """Stop for 0.5 or go on; at the end an action worth 1 or 0. The behaviour's end is `good` nine times in ten."""
    end = np.arange(1000) < (900 if good else 100)
    stop = np.tile(np.eye(3)[:1], (1000, 1))
    on = np.tile(np.eye(3)[:2], (1000, 1))
    obs = np.concatenate([stop, on])
    after = np.concatenate([np.tile(np.eye(3)[2:], (1000, 1)), np.tile(np.eye(3)[1:], (1000, 1))])
    action = np.concatenate([np.zeros(1000), np.stack([np.ones(1000), end], 1).ravel()]).astype(np.int32)
    reward = np.concatenate([np.full(1000, 0.5), np.stack([np.zeros(1000), end], 1).ravel()])
    terminal = np.concatenate([np.ones(1000, bool), np.tile([False, True], 1000)])
    return Dataset.from_arrays(obs, action, reward, terminal, next_obs=after)


def goes_on(algo: str, good: bool) -> np.ndarray:
    """[S] probability of going on from the chain's first place."""
    own = {
        'iql': {'expectile': 0.99, 'beta': 10.0, 'rate': 0.05, 'actor_decay': False},
        'sarsa': {'beta': 10.0, 'rate': 0.05},
    }
    made = trained(
        algo, chain(good), SEEDS, hidden=(32,), lr=3e-3, batch=256, steps=3000, **own.get(algo, {'refresh': 250})
    )
    start, on = jnp.eye(3)[:1], jnp.ones(1, jnp.int32)
    return np.asarray(jax.vmap(lambda agent: jnp.exp(agent.actor.net(start).log_prob(on)))(made.agents))[:, 0]


def run() -> Claim:
    """Poisoned and clean trainings, terms one by one, the chain."""
    sick = {algo: broken(algo, poison) for algo in SAFE + ASKING}
    clean = {algo: broken(algo, lambda agents: agents) for algo in ASKING}
    asked = terms()
    on = {(algo, good): goes_on(algo, good) for algo in ('awr', 'sarsa', 'iql') for good in (False, True)}
    share = lambda table, names: exact(np.mean([table[name] for name in names]))
    of = lambda word: exact(np.mean([asked[name] for name in asked if 'cql' in name and word in name]))
    keep = {(17,): ('bc', 'filtered_bc', 'sarsa', 'iql'), (16,): ('awr',)}
    checks = [
        Check(
            numbers,
            f'poisoned agents of {", ".join(names)} with a number that is not finite, share',
            share(sick, names),
            below=0.5,
            control=share(sick, ASKING),
            without='td3_bc, cql, discrete_cql instead',
        )
        for numbers, names in keep.items()
    ]
    checks += [
        Check(
            (78,),
            'poisoned agents of td3_bc, cql, discrete_cql with a number that is not finite, share',
            share(sick, ASKING),
            above=0.5,
            control=share(clean, ASKING),
            without='clean critics',
        ),
        Check(
            (78,),
            'the log-sum-exps of both CQLs that ask about unseen actions, share',
            of('log-sum-exp'),
            above=0.5,
            control=of('data term'),
            without='the data terms instead',
        ),
        Check(
            (17,),
            'probability that IQL goes on where the behaviour errs at the end',
            interval(on['iql', False]),
            above=0.5,
            control=interval(on['sarsa', False]),
            without='SARSA: the mean in place of the expectile',
        ),
        Check(
            (16,),
            'probability that AWR goes on there',
            interval(on['awr', False]),
            below=0.5,
            control=interval(on['awr', True]),
            without='a behaviour good at the end',
        ),
        Check(
            (16,),
            'probability that SARSA goes on there',
            interval(on['sarsa', False]),
            below=0.5,
            control=interval(on['sarsa', True]),
            without='a behaviour good at the end',
        ),
    ]
    told = 'Terms that ask: ' + ', '.join(name for name, asks in asked.items() if asks)
    return Claim(checks, draw(sick, clean, asked, on), CAPTION, ALT, (told + '.',))


def draw(sick, clean, asked, on) -> bytes:
    """Who breaks, which terms ask, who goes on."""
    panels = [
        ('Agents broken by NaN of unseen actions', 'share of agents', ''),
        ('Terms that ask about unseen actions', '', ''),
        ('The chain: going on is best in support', '', 'probability of going on'),
    ]
    figure, (left, middle, right) = board(
        'AWR, SARSA and IQL ask only about the data; CQL’s log-sum-exp asks beyond it', panels
    )
    names = list(sick)[::-1]
    left.barh(names, [sick[name].mean() for name in names], 0.6, color='#C65102', label='poisoned')
    left.plot(
        [clean[name].mean() for name in ASKING],
        ASKING,
        'X',
        color='#6B7280',
        label='control: clean critics',
        clip_on=False,
    )
    left.plot(
        [sick[name].mean() for name in SAFE], SAFE, 'o', color='#1A6FBA', label='poisoned and finite', clip_on=False
    )
    legend(left, loc='center right')
    rows = list(asked)[::-1]
    for flag, marker, colour, label in ((True, 's', '#C65102', 'asks'), (False, 'o', '#1A6FBA', 'does not')):
        chosen = [name for name in rows if asked[name] == flag]
        middle.plot(
            [float(flag)] * len(chosen), [rows.index(name) for name in chosen], marker, color=colour, label=label
        )
    middle.set_yticks(range(len(rows)), rows)
    middle.set_xticks([0, 1], ['does not ask', 'asks'])
    middle.set_xlim(-0.5, 1.5)
    for good in (False, True):
        found = [interval(on[algo, good]) for algo in ('awr', 'sarsa', 'iql')]
        label = 'control: behaviour good at the end' if good else 'behaviour errs at the end'
        dots(right, 0, np.arange(3) + 0.1 * good, found, label, control=good, linestyle='')
    right.set_xticks(range(3), ['AWR', 'SARSA', 'IQL'])
    right.set(xlim=(-0.4, 2.5), ylim=(-0.03, 1.3))
    mark(right, 0.5)
    legend(right, loc='upper left')
    return canvas.png(figure, None)


CAPTION = (
    'Left: with Q of every unseen action NaN, who still has finite weights after twenty updates. Middle: term by term. '
    'Right: one step of improvement on the behaviour stops; IQL goes on to the best that the data supports.'
)
ALT = 'Three panels: share of broken agents by algorithm, terms that ask about unseen actions, probability of going on.'

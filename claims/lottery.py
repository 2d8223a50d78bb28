"""IQL's expectile belongs on V over actions; on the TD target it takes luck for skill, and gambles.

Prediction. A safe action pays 1; a lottery pays 10 with probability 0.05, so 0.5 on average. The tau-expectile of the
lottery's own target is 1.09, 3.21 and 8.39 at tau 0.7, 0.9, 0.99 (77): with the expectile on the TD target every one of
them beats the safe 1, and the policy gambles. With the expectile on V, Q stays the mean 0.5, and the policy plays safe
whatever tau. Expectile regression lands on the expectile, the upper part of the targets, and not on the quantile of the
same number (18). A prediction above its target has the small loss and stays, one below the large loss and rises: after
equally many steps the one from below has come at least three times as near (19); at tau 0.5 both move alike.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import expectile as reference

from stitchrl.algos.offline import iql
from stitchrl.core.learner import polyak
from stitchrl.data.dataset import Dataset
from stitchrl.loops.offline import create, updates
from stitchrl.maths.losses import expectile
from stitchrl.report import canvas
from stitchrl.report.claim import Check, Claim, exact
from stitchrl.report.panels import board, dots, legend, look, mark
from stitchrl.report.statistics import interval

STATEMENTS = (18, 19, 77)
TAUS, SEEDS = (0.7, 0.9, 0.99), 5
SAFE, LOTTERY = 0, 1
PRIZE, CHANCE, EACH = 10.0, 0.05, 1000  # rows of each action
READS = (1.09, 3.21, 8.39)  # what the lottery is said to be worth on the TD target


def recording() -> Dataset:
    """One state, both actions equally often, exactly one ticket in twenty wins; every step ends the task."""
    action = np.repeat([SAFE, LOTTERY], EACH)
    reward = np.concatenate([np.ones(EACH), PRIZE * (np.arange(EACH) < CHANCE * EACH)])
    return Dataset.from_arrays(np.ones((2 * EACH, 1)), action, reward, np.ones(2 * EACH, bool))


class Misplaced(iql.IQL):
    """IQL with the expectile on the TD target: Q reads the upper part of luck, V is the mean of Q."""

    def update(self, batch, key, t):
        q = self.target(batch.obs, batch.action).min(0)
        value, _ = self.value.step(iql.value_loss, batch, q, 0.5)
        agent, pi_info = replace(self, value=value).update_actor(batch, q)
        y = batch.reward + batch.discount * value.net(batch.next_obs)
        critic, q_info = self.critic.step(lucky_loss, batch, y, self.cfg.expectile)
        target = polyak(critic.net, self.target, self.cfg.rate)
        return replace(agent, critic=critic, target=target), q_info | pi_info


def lucky_loss(critic, batch, y, tau):
    """The critics' loss with an expectile where the mean belongs."""
    loss = expectile(y[None] - critic(batch.obs, batch.action), tau).mean(1).sum()
    return loss, {'critic/loss': loss}


def learned(algo, tau):
    """(Q of both actions [S, 2], probability of the lottery [S])."""
    data = jax.device_put(recording())
    cfg = iql.Config(
        hidden=(32,), lr=3e-3, batch=512, steps=3000, expectile=tau, beta=3.0, rate=0.05, actor_decay=False
    )
    agents = create(algo, data.spec, cfg, 0, SEEDS)
    for chunk in updates(agents, data, 0, cfg.steps, cfg.steps):
        agents = chunk.agents
    obs, both = jnp.ones((2, 1)), jnp.array([SAFE, LOTTERY])
    q = jax.vmap(lambda agent: agent.target(obs, both).min(0))(agents)
    odds = jax.vmap(lambda agent: jnp.exp(agent.actor.net(obs[:1]).log_prob(both[1:])))(agents)
    return np.asarray(q), np.asarray(odds)[:, 0]


def fitted(targets, tau, start=0.0, steps=4000, lr=0.2):
    """[steps] what a single number predicts while it descends the expectile loss of `targets`."""
    slope = jax.grad(lambda v: expectile(targets - v, tau).mean())
    move = lambda v, _: (v - lr * slope(v), v - lr * slope(v))
    return jax.lax.scan(move, jnp.float32(start), None, steps)[1]


def run() -> Claim:
    """Exact expectiles, then the library's IQL and the misplaced one."""
    right, wrong = ({tau: learned(algo, tau) for tau in TAUS} for algo in (iql.IQL, Misplaced))
    tickets = np.asarray(recording().reward)[np.asarray(recording().starts)][EACH:]
    checks = [*fits(tickets), *sides(), *readings(wrong), stays(right, wrong), *gambles(right, wrong)]
    return Claim(checks, draw(right, wrong), CAPTION, ALT, ())


def fits(tickets):
    """18: the regression finds the expectile of the lottery, not its quantile."""
    off = [abs(float(fitted(tickets, tau)[-1]) - reference(tickets, tau)) for tau in TAUS]
    far = [abs(float(np.quantile(tickets, tau)) - reference(tickets, tau)) for tau in TAUS]
    yield Check(
        (18,),
        'expectile regression lands on the expectile (largest difference over tau)',
        exact(max(off)),
        below=0.01,
        control=exact(min(far)),
        without='the quantile of the same number',
    )


def sides():
    """19: how far a prediction moves in ten steps from one below its target, against one above."""
    moved = lambda tau, start: abs(float(fitted(jnp.zeros(1), tau, start, steps=10, lr=0.05)[-1]) - start)
    faster = lambda tau: exact(moved(tau, -1.0) / moved(tau, 1.0))
    yield Check(
        (19,),
        'a prediction below its target moves more than three times as far as one above, tau 0.9',
        faster(0.9),
        above=3.0,
        control=faster(0.5),
        without='tau 0.5',
    )


def readings(wrong):
    """77: what the misplaced critic takes the lottery to be worth."""
    for tau, reads in zip(TAUS, READS, strict=True):
        found = interval(wrong[tau][0][:, LOTTERY])
        low, high = 0.9 * reads, 1.1 * reads
        yield Check((77,), f'on the TD target the lottery reads {reads} at tau {tau}, within a tenth', found, low, high)


def stays(right, wrong):
    """77: with the expectile on V what it is worth does not depend on tau."""
    worth = lambda found: interval(found[TAUS[-1]][0][:, LOTTERY])
    mean = PRIZE * CHANCE
    return Check(
        (77,),
        'on V the lottery reads its mean at tau 0.99, within a fifth',
        worth(right),
        0.8 * mean,
        1.2 * mean,
        control=worth(wrong),
        without='expectile on the TD target',
    )


def gambles(right, wrong):
    """77: who gambles."""
    for tau in TAUS:
        yield Check(
            (77,),
            f'probability of the lottery, expectile on V, tau {tau}',
            interval(right[tau][1]),
            below=0.5,
            control=interval(wrong[tau][1]),
            without='expectile on the TD target',
        )


def draw(right, wrong) -> bytes:
    """What the lottery is taken to be worth, and how often it is played."""
    panels = [
        ('What Q takes the lottery to be worth', 'expectile tau', 'Q(lottery), in reward'),
        ('How often the policy plays it', 'expectile tau', 'probability of the lottery'),
    ]
    figure, (left, middle) = board('The expectile belongs on V: on the TD target, IQL gambles', panels)
    for number, ax in enumerate((left, middle)):
        pick = (lambda pair: pair[0][:, LOTTERY]) if number == 0 else (lambda pair: pair[1])
        places = np.arange(len(TAUS))
        dots(ax, 0, places - 0.05, [interval(pick(right[tau])) for tau in TAUS], 'expectile on V')
        dots(
            ax,
            4,
            places + 0.05,
            [interval(pick(wrong[tau])) for tau in TAUS],
            'control: on the TD target',
            control=True,
        )
        ax.set(xticks=places, xticklabels=TAUS, xlim=(-0.4, len(TAUS) - 0.6))
    left.plot(
        np.arange(len(TAUS)),
        READS,
        'd',
        mfc='none',
        color=look(1)['color'],
        markersize=9,
        label='predicted',
        linestyle='',
    )
    mark(left, 1.0, 'the safe action pays 1')
    middle.set_ylim(-0.04, 1.04)
    legend(left, loc='upper left', bbox_to_anchor=(0, 0.95))
    legend(middle, loc='center right')
    return canvas.png(figure, None)


CAPTION = (
    'A safe action pays 1, a lottery 10 in one of twenty cases. With the expectile on V, Q(lottery) stays at its mean '
    'of 0.5 and is not played; with the expectile on the TD target Q reads luck as worth, and the policy gambles.'
)
ALT = (
    'Two panels over tau: worth of the lottery and how often it is played, low with the expectile on V, high otherwise.'
)

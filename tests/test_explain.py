"""What is said of each algorithm is what its equations say; and it is said because the program does it."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from stitchrl.algos import ALGORITHMS
from stitchrl.algos.offline import cql, iql, td3_bc
from stitchrl.core.learner import Learner
from stitchrl.errors import UsageError
from stitchrl.report.explain import as_json, explain
from stitchrl.report.spy import run

# loss -> (who learns, {network: arguments}, networks the gradient leads through)
LOSSES = {
    'bc': {'likelihood': ('actor', {}, [])},
    'awr': {
        'value_loss': ('value', {'labeller': ['batch.target']}, []),
        'actor_loss': ('actor', {'labeller': ['batch.weight']}, []),
    },
    'sarsa': {
        'value_loss': ('value', {'target': ['q']}, []),
        'actor_loss': ('actor', {'value': ['advantage'], 'target': ['advantage']}, []),
        'critic_loss': ('critic', {'target': ['y']}, []),
    },
    'iql': {
        'value_loss': ('value', {'target': ['q']}, []),
        'actor_loss': ('actor', {'value': ['advantage'], 'target': ['advantage']}, []),
        'critic_loss': ('critic', {'value': ['y']}, []),
    },
    'td3_bc': {
        'critic_loss': ('critic', {'actor_target': ['y'], 'critic_target': ['y']}, []),
        'actor_loss': ('actor', {'critic': ['critic']}, ['critic']),
    },
    'cql': {
        'critic_loss': ('critic', {'actor': ['asked[0]', 'asked[1]', 'y'], 'target': ['y']}, []),
        'actor_loss': ('actor', {'critic': ['critic'], 'temperature': ['temperature']}, ['critic']),
        'temperature_loss': ('temperature', {'actor': ['entropy']}, []),
    },
    'discrete_cql': {'critic_loss': ('critic', {'critic': ['y'], 'target': ['y']}, [])},
    'dqn': {'critic_loss': ('critic', {'target': ['y']}, [])},
    'double_dqn': {'critic_loss': ('critic', {'critic': ['y'], 'target': ['y']}, [])},
    'td3': {
        'critic_loss': ('critic', {'actor_target': ['y'], 'critic_target': ['y']}, []),
        'actor_loss': ('actor', {'critic': ['critic']}, ['critic']),
    },
    'sac': {
        'critic_loss': ('critic', {'actor': ['y'], 'temperature': ['y'], 'target': ['y']}, []),
        'actor_loss': ('actor', {'critic': ['critic'], 'temperature': ['heat']}, ['critic']),
        'temperature_loss': ('temperature', {'actor': ['entropy']}, []),
    },
}
LOSSES['filtered_bc'] = LOSSES['bc']
LOSSES['mpc'] = {'objective': ('model.members', {'model.scale': ['model']}, [])}


def of_inner(losses):
    """The same losses in an agent that holds another."""
    name = lambda part: f'inner.{part}'
    return {
        loss: (name(learner), {name(part): args for part, args in detached.items()}, [name(part) for part in through])
        for loss, (learner, detached, through) in losses.items()
    }


LOSSES['mbpo'] = of_inner(LOSSES['sac'])
LOSSES['dyna'] = of_inner(LOSSES['dqn']) | LOSSES['mpc']
# (loss, critic, arguments, metrics that it spares); the others ask nobody.
UNSEEN = {
    'td3_bc': [('critic_loss', 'critic_target', ['y'], []), ('actor_loss', 'critic', [], ['actor/distance'])],
    'cql': [
        ('critic_loss', 'critic', [], ['critic/error']),
        ('critic_loss', 'target', ['y'], ['critic/excess', 'critic/gap']),
        ('actor_loss', 'critic', [], ['actor/entropy']),
    ],
    'discrete_cql': [
        ('critic_loss', 'critic', [], ['critic/error']),
        ('critic_loss', 'target', ['y'], ['critic/gap']),
    ],
    'dqn': [('critic_loss', 'target', ['y'], [])],
    'double_dqn': [('critic_loss', 'target', ['y'], [])],
    'td3': [('critic_loss', 'critic_target', ['y'], []), ('actor_loss', 'critic', [], [])],
    'sac': [
        ('critic_loss', 'target', ['y'], []),
        ('actor_loss', 'critic', [], ['actor/entropy']),
    ],
}
for outer, inner in (('mbpo', 'sac'), ('dyna', 'dqn')):
    UNSEEN[outer] = [(loss, f'inner.{critic}', *rest) for loss, critic, *rest in UNSEEN[inner]]
OWN = {
    'cql': [('critic_loss', ['asked[1]']), ('actor_loss', []), ('temperature_loss', ['entropy'])],
    'sac': [('critic_loss', ['y']), ('actor_loss', []), ('temperature_loss', ['entropy'])],
}
OWN['mbpo'] = OWN['sac']


def unseen(found):
    return [(loss.name, trace.network, trace.through, trace.spares) for loss in found.losses for trace in loss.unseen]


@pytest.fixture
def fresh():
    """Programs compiled from a broken algorithm are forgotten."""
    run.clear_cache()
    yield
    run.clear_cache()


def test_every_algorithm_is_here():
    assert set(LOSSES) == set(ALGORITHMS)


@pytest.mark.parametrize('algo', LOSSES)
def test_what_the_equations_say(algo):
    found = explain(algo)
    assert all(loss.learns for loss in found.losses)
    assert {loss.name: (loss.learner, loss.detached, loss.through) for loss in found.losses} == LOSSES[algo]
    assert [loss.name for loss in found.losses] == list(LOSSES[algo])
    assert unseen(found) == UNSEEN.get(algo, [])
    own = [(loss.name, trace.through) for loss in found.losses for trace in loss.own]
    assert own == OWN.get(algo, [])


def test_discrete_actions_ask_nobody_in_iql_either():
    found = explain('iql', actions='discrete')
    assert found.actions == 'discrete'
    assert {loss.name: (loss.learner, loss.detached, loss.through) for loss in found.losses} == LOSSES['iql']
    assert unseen(found) == []


def test_late_extraction_has_the_same_losses_in_another_order():
    found = explain('iql', iql.Config(extract='late'))
    assert [loss.name for loss in found.losses] == ['value_loss', 'critic_loss', 'actor_loss']
    assert {loss.name: (loss.learner, loss.detached, loss.through) for loss in found.losses} == LOSSES['iql']


@pytest.mark.parametrize(('algo', 'cfg'), [('cql', cql.Config(warmup=9)), ('td3_bc', td3_bc.Config(delay=9))])
def test_what_comes_later_is_told_too(algo, cfg):
    """The policy's loss behind a warm-up, and one that waits longer than is looked at."""
    found = explain(algo, cfg)
    assert {loss.name: (loss.learner, loss.detached, loss.through) for loss in found.losses} == LOSSES[algo]
    assert unseen(found) == UNSEEN[algo]


def test_a_target_with_the_policys_action_is_noticed(monkeypatch, fresh):
    """IQL made to bootstrap from Q' of its own action, as it must not."""

    def greedy(agent, batch):
        action = agent.actor.net(batch.next_obs).mode()
        y = batch.reward + batch.discount * agent.target(batch.next_obs, action).min(0)
        critic, info = agent.critic.step(iql.critic_loss, batch, y)
        return replace(agent, critic=critic), info

    monkeypatch.setattr(iql.IQL, 'update_critic', greedy)
    found = explain('iql')
    assert unseen(found) == [('critic_loss', 'target', ['y'], [])]
    assert found.losses[2].detached == {'actor': ['y'], 'target': ['y']}


def test_a_gradient_that_is_cut_is_noticed(monkeypatch, fresh):
    """TD3+BC whose policy climbs a constant: it still learns, by imitation, but no longer through Q."""

    def cut(actor, batch, critic, alpha):
        action = actor(batch.obs)
        distance = ((action - batch.action) ** 2).mean()
        return distance - jax.lax.stop_gradient(critic(batch.obs, action).mean()), {'actor/loss': distance}

    monkeypatch.setattr(td3_bc, 'actor_loss', cut)
    loss = explain('td3_bc').losses[1]
    assert (loss.learns, loss.through, loss.detached) == (True, [], {'critic': ['critic']})


def test_a_loss_that_teaches_nothing_is_noticed(monkeypatch, fresh):
    frozen = lambda value, batch, q, tau: (0.0 * value(batch.obs).sum() + q.mean(), {'value/loss': q.mean()})
    monkeypatch.setattr(iql, 'value_loss', frozen)
    loss = explain('iql').losses[0]
    assert (loss.learner, loss.learns, loss.detached) == ('value', False, {'target': ['q']})


def test_nothing_of_it_changes_how_learners_step():
    """The control: outside, a Learner still learns."""
    learner = Learner.create(jnp.float32(1.0), td3_bc.adam(0.1))
    assert learner.step(lambda net: (net**2, {}))[0].net < 1


def test_actions_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match='cql needs continuous actions'):
        explain('cql', actions='discrete')


def test_as_json_is_plain():
    tree = as_json(explain('bc'))
    assert tree == {
        'algo': 'bc',
        'actions': 'continuous',
        'networks': ['actor'],
        'losses': [
            {
                'name': 'likelihood',
                'learner': 'actor',
                'learns': True,
                'detached': {},
                'through': [],
                'unseen': [],
                'own': [],
            }
        ],
    }

"""Broken variants of the package, and the test that must notice each.

A mutant replaces one function, wherever the package or a test holds it. `caught_by` is a test of this suite or a
probe: it passes on the source as it is and must fail on the mutant.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest
import test_alphago
import test_alphazero
import test_awr
import test_backups
import test_bc
import test_boundary
import test_cql
import test_dataset
import test_discrete_cql
import test_dists
import test_dqn
import test_duel
import test_dyna
import test_dynamics
import test_foresight
import test_fqe
import test_games
import test_golden
import test_iql
import test_learner
import test_losses
import test_mbpo
import test_mcts
import test_offline
import test_planner
import test_planners
import test_returns
import test_sac
import test_sarsa
import test_td3
import test_td3_bc

from stitchrl.algos.online import double_dqn
from stitchrl.maths.backups import bootstrap, combined
from stitchrl.models.model import Rewarded
from stitchrl.planners.select import ucb1

NAMES = ('bc', 'iql', 'td3_bc', 'awr', 'cql', 'discrete_cql', 'sarsa')
BC, IQL, TD3BC, AWR, CQL, DISCRETE_CQL, SARSA = (f'stitchrl.algos.offline.{name}' for name in NAMES)
DATASET, BOUNDARY, LEARNER = 'stitchrl.data.dataset', 'stitchrl.core.boundary', 'stitchrl.core.learner'
DQN, SAC, TD3 = (f'stitchrl.algos.online.{name}' for name in ('dqn', 'sac', 'td3'))
FQE = 'stitchrl.algos.offline.fqe'
DYNA, MBPO = (f'stitchrl.algos.modelled.{name}' for name in ('dyna', 'mbpo'))
CEM, PLANNER, FIT = 'stitchrl.planners.cem', 'stitchrl.planners.planner', 'stitchrl.models.fit'
ALPHAGO, RULES = 'stitchrl.algos.search.alphago', 'stitchrl.models.rules'
ALPHAZERO, GAMES, GAME = 'stitchrl.algos.search.alphazero', 'stitchrl.data.games', 'stitchrl.envs.game'
MCTS, TREE, SELECT = (f'stitchrl.planners.{name}' for name in ('mcts', 'tree', 'select'))
LOOP, LOSSES = 'stitchrl.loops.offline', 'stitchrl.maths.losses'
RETURNS, DISTS, BACKUPS = 'stitchrl.maths.returns', 'stitchrl.maths.dists', 'stitchrl.maths.backups'


class Mutant(NamedTuple):
    """`module.name` becomes broken(original)."""

    module: str
    name: str  # of a function, or Class.method
    broken: Callable[[Any], Any]
    caught_by: Callable[[], None]


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """The source with the mutant in it."""
    owner, name = import_module(mutant.module), mutant.name
    with pytest.MonkeyPatch.context() as patch:
        if '.' in name:
            cls, name = name.split('.')
            patch.setattr(getattr(owner, cls), name, mutant.broken(getattr(getattr(owner, cls), name)))
        else:
            original = getattr(owner, name)
            changed = mutant.broken(original)
            for module in holders(original):
                patch.setattr(module, name, changed)
        yield


def holders(function: Any) -> list[Any]:
    """Modules that know a function by its name: its own and those that imported it."""
    mine = [module for name, module in sys.modules.items() if name.startswith(('stitchrl', 'test_', 'probes'))]
    return [module for module in mine if vars(module).get(function.__name__) is function]


def probe(row: str, world: str) -> Callable[[], None]:
    """A probe, compiled anew so that it meets the mutant."""
    return partial(probes.check, row, world, again=True)


def is_probe(mutant: Mutant) -> bool:
    return getattr(mutant.caught_by, 'func', None) is probes.check


def after(change: Callable[..., Any]) -> Callable[[Any], Any]:
    """The original, its result passed through `change(result, *args)`."""
    return lambda original: lambda *args: change(original(*args), *args)


def before(change: Callable[..., tuple[Any, ...]]) -> Callable[[Any], Any]:
    """The original on the arguments that `change(*args)` makes of its own."""
    return lambda original: lambda *args: original(*change(*args))


def limit_is_terminal(from_columns: Any) -> Any:
    def broken(columns, *bounds, **stated):
        ended = columns.terminal if columns.timeout is None else columns.terminal | columns.timeout
        return from_columns(replace(columns, terminal=ended), *bounds, **stated)

    return broken


def never_masked(batch, data, key, n, steps=1, gamma=0.99):
    return batch._replace(mask=jnp.ones(n), discount=jnp.full(n, gamma**steps))


def across(sample):
    """Only the last end of the recording is seen."""
    last = lambda data: data.with_columns(ends=np.arange(len(data.obs)) == len(data.obs) - 1.0)
    return lambda data, *args: sample(last(data), *args)


def from_any_row(sample):
    return lambda data, *args: sample(replace(data, starts=np.arange(len(data.obs) - 1, dtype=np.int32)), *args)


def rewarded_ends(inward):
    scaled = lambda border, data: border.scale * (data.reward + border.shift)
    return lambda border, data: inward(border, data).with_columns(reward=scaled(border, data))


def live_target(loss):
    """The bootstrap keeps its value but follows the weights that are being learned."""

    def broken(critic, batch, y):
        bootstrap = batch.discount * critic(batch.next_obs, batch.action).min(0)
        return loss(critic, batch, y + bootstrap - jax.lax.stop_gradient(bootstrap))

    return broken


def live_lambda(loss):
    """The weight of Q keeps its value but follows the policy."""

    def broken(actor, batch, critic, alpha):
        q = critic(batch.obs, actor(batch.obs))
        same = jnp.abs(q).mean() / jax.lax.stop_gradient(jnp.abs(q).mean())
        value, info = loss(actor, batch, critic, alpha)
        flat = loss(actor, batch, critic, 0.0)[0]
        return flat + (value - flat) / same, info

    return broken


def upside_down(critic):
    return lambda obs, action: -critic(obs, action)


def optimistic(target):
    """The larger of the two critics: r + d max = 2 r - (r + d min of the critics upside down)."""
    return lambda actor, critic, batch, *noise: 2 * batch.reward - target(actor, upside_down(critic), batch, *noise)


def without_clip(_):
    def broken(actor, critic, batch, eps, clip):
        action = actor(batch.next_obs) + jnp.clip(eps, -clip, clip)
        return batch.reward + batch.discount * critic(batch.next_obs, action).min(0)

    return broken


def policy_first(_):
    """The advantage from V as it was before this update."""

    def broken(agent, batch, key, t):
        q = agent.target(batch.obs, batch.action).min(0)
        agent, pi_info = agent.update_actor(batch, q)
        agent, rest = agent.update_values(batch, q)
        return agent, pi_info | rest

    return broken


def own_choice(_):
    """Plain DQN: the copy chooses the action that it values."""
    return lambda batch, values, by: batch.reward + batch.discount * values.max(-1)


def live_maximum(loss):
    """DQN whose bootstrap keeps its value but follows the weights that are being learned."""

    def broken(critic, batch, y, kind):
        best = batch.discount * critic.all(batch.next_obs).max(-1)
        return loss(critic, batch, y + best - jax.lax.stop_gradient(best), kind)

    return broken


def live_values(loss):
    """The same in SAC, of the data's next action."""

    def broken(critic, batch, y):
        after = batch.discount[None] * critic(batch.next_obs, batch.action)
        return loss(critic, batch, y + after - jax.lax.stop_gradient(after))

    return broken


def without_swap(_):
    return lambda q, backup: q if backup == 'doubleq' else combined(q, backup)


def one_sample(_):
    """The entropy of a' itself."""

    def broken(target, after, batch, heat, key, cfg):
        action, log_prob = after.sample_and_log_prob(jax.random.split(key)[0])
        value = combined(target(batch.next_obs, action), cfg.backup)
        return bootstrap(batch, value - heat * log_prob[None] if cfg.entropy_backup else value)

    return broken


def followed_samples(_):
    """REINFORCE whose gradient also leads through the action."""
    return lambda dist, key, n: dist.samples_and_log_prob(key, n)


def never_over(batch, value):
    return batch._replace(discount=jnp.full_like(batch.discount, probes.GAMMA)), value


def asked_afterwards(step):
    """The labels follow the value at every update, not at every refresh."""

    def broken(agent, batch, key, t):
        agent, info = step(agent, batch, key, t)
        return replace(agent, labeller=agent.value.net), info

    return broken


def without_densities(asked):
    return lambda *args: (asked(*args)[0], jnp.zeros_like(asked(*args)[1]))


def forgetful(step):
    """The new state of the optimiser is dropped."""
    return lambda learner, *args: (replace(step(learner, *args)[0], opt=learner.opt), step(learner, *args)[1])


def awr_resumed():
    jax.clear_caches()  # the loop's programs are kept by class, mutant or not
    test_awr.test_resuming_between_two_refreshes_changes_nothing(7)


def double_dqn_golden():
    test_golden.test_dqn_and_double_dqn(double_dqn, test_golden.transitions())


def asked_where_it_stands(draw: Any) -> Any:
    """What the policy would do at s in the place of s'."""

    def changed(self: Any, data: Any, key: jax.Array) -> Any:
        action = data.labels['action'][data.rows(key, self.cfg.batch)]
        return draw(self, data, key)._replace(next_action=jnp.moveaxis(action, 1, 0))

    return changed


def last_value(back_up: Any) -> Any:
    """Each visit writes its value over those of earlier visits."""

    def changed(tree: Any, path: Any, value: jax.Array) -> Any:
        new = back_up(tree, path, value)
        seen = new.visits > tree.visits
        return new._replace(totals=jnp.where(seen, (new.totals - tree.totals) * new.visits, tree.totals))

    return changed


def lost_and_won(positions: Any) -> Any:
    return positions._replace(outcome=jnp.abs(positions.outcome))


def always_noisy(search: Any) -> Any:
    return lambda self, *args: search(replace(self, noise=(0.3, 0.25)), *args)


class Endless(Rewarded):
    """A model in which nothing ends."""

    def step(self, latent: Any, action: jax.Array, key: jax.Array) -> Any:
        after, reward, mask = self.model.step(latent, action, key)
        return after, reward, jnp.ones_like(mask)


def no_number_loses():
    with jax.debug_nans(False):
        test_planner.test_what_is_no_number_loses()


MUTANTS = {
    # What is learned from.
    'a time limit taken for a terminal': Mutant(
        DATASET, 'Dataset.from_columns', limit_is_terminal, partial(test_dataset.test_rows, 'timeout')
    ),
    'bootstrap at a terminal': Mutant(
        DATASET, 'Dataset.sample', after(never_masked), partial(test_dataset.test_transitions, 'terminal', 1)
    ),
    'bootstrap at a terminal, in a world of reward 1': Mutant(
        DATASET, 'Dataset.sample', after(never_masked), probe('iql, discrete', 'constant')
    ),
    'next_obs shifted by one': Mutant(
        DATASET,
        'Dataset.sample',
        after(lambda batch, *_: batch._replace(next_obs=batch.obs)),
        partial(test_dataset.test_transitions, 'timeout', 1),
    ),
    'next_obs shifted by one, in a world of late reward': Mutant(
        DATASET,
        'Dataset.sample',
        after(lambda batch, *_: batch._replace(next_obs=batch.obs)),
        probe('iql, discrete', 'delayed'),
    ),
    'no discount': Mutant(
        DATASET,
        'Dataset.sample',
        after(lambda batch, *_: batch._replace(discount=batch.mask)),
        partial(test_dataset.test_transitions, 'timeout', 2),
    ),
    'steps across an end': Mutant(
        DATASET, 'Dataset.sample', across, partial(test_dataset.test_transitions, 'timeout', 3)
    ),
    'steps from a final row': Mutant(
        DATASET, 'Dataset.sample', from_any_row, partial(test_dataset.test_transitions, 'timeout', 1)
    ),
    'windows across an end': Mutant(
        DATASET, 'Dataset.windows', across, partial(test_dataset.test_windows, 'one-step episodes')
    ),
    'a reward for the final row': Mutant(
        BOUNDARY,
        'Boundary.inward',
        rewarded_ends,
        partial(test_boundary.test_final_rows_keep_no_action_and_no_reward, 'minus_one'),
    ),
    # Losses.
    'flipped expectile': Mutant(
        LOSSES, 'expectile', before(lambda u, tau: (u, 1 - tau)), test_iql.test_value_loss_by_hand
    ),
    'flipped expectile, for the best constant': Mutant(
        LOSSES,
        'expectile',
        before(lambda u, tau: (-u, tau)),
        partial(test_losses.test_descending_the_loss_arrives_at_the_expectile, 0.9),
    ),
    'wrong sign of the likelihood': Mutant(
        BC, 'likelihood', after(lambda out, *_: (-out[0], out[1])), test_bc.test_likelihood_of_a_normal_by_hand
    ),
    'wrong sign of the advantage': Mutant(
        IQL,
        'actor_loss',
        before(lambda actor, batch, advantage, cfg: (actor, batch, -advantage, cfg)),
        test_iql.test_actor_loss_by_hand,
    ),
    'wrong sign of the advantage, in a world of actions': Mutant(
        IQL,
        'actor_loss',
        before(lambda actor, batch, advantage, cfg: (actor, batch, -advantage, cfg)),
        probe('iql, discrete', 'action'),
    ),
    'wrong sign of Q in the policy': Mutant(
        TD3BC,
        'actor_loss',
        before(lambda actor, batch, critic, alpha: (actor, batch, upside_down(critic), alpha)),
        test_td3_bc.test_actor_loss_by_hand,
    ),
    'a lambda that is learned': Mutant(
        TD3BC, 'actor_loss', live_lambda, test_td3_bc.test_lambda_is_a_constant_to_the_gradient
    ),
    'smoothing noise without a bound': Mutant(
        BACKUPS,
        'smoothed_target',
        before(lambda *args: (*args[:4], jnp.inf)),
        test_backups.test_smoothing_noise_by_hand,
    ),
    'smoothed actions outside the space': Mutant(
        BACKUPS, 'smoothed_target', without_clip, test_backups.test_smoothing_noise_by_hand
    ),
    'the larger critic': Mutant(BACKUPS, 'smoothed_target', optimistic, test_backups.test_target_without_noise_by_hand),
    # Who learns, from whom, when.
    'gradient through the target, IQL': Mutant(
        IQL, 'critic_loss', live_target, test_iql.test_one_step_of_plain_descent_by_hand
    ),
    'gradient through the target, TD3+BC': Mutant(
        TD3BC, 'critic_loss', live_target, test_td3_bc.test_one_step_of_plain_descent_by_hand
    ),
    'the target is the network, IQL': Mutant(
        LEARNER, 'polyak', lambda _: lambda net, target, rate: net, test_iql.test_one_update_by_hand
    ),
    'the target is the network, TD3+BC': Mutant(
        LEARNER, 'polyak', lambda _: lambda net, target, rate: net, test_td3_bc.test_one_step_of_plain_descent_by_hand
    ),
    'a target that hardly stays': Mutant(
        LEARNER, 'polyak', before(lambda net, target, rate: (net, target, 1 - rate)), test_learner.test_polyak_by_hand
    ),
    'a target in the same buffer': Mutant(
        LEARNER, 'copy', lambda _: lambda net: net, test_learner.test_a_copy_has_buffers_of_its_own
    ),
    'the policy from the old V': Mutant(IQL, 'IQL.update', policy_first, test_iql.test_one_update_by_hand),
    'the policy in every update': Mutant(
        LEARNER,
        'when',
        before(lambda go, *rest: (jnp.bool_(True), *rest)),
        test_td3_bc.test_who_moves_over_six_updates,
    ),
    'late extraction that does not wait': Mutant(
        LEARNER,
        'when',
        before(lambda go, *rest: (jnp.bool_(True), *rest)),
        test_iql.test_late_extraction_learns_values_first_and_the_policy_after,
    ),
    'stale optimiser': Mutant(LEARNER, 'Learner.step', forgetful, test_learner.test_the_optimiser_remembers),
    # AWR, SARSA, both CQLs.
    'returns that run on past a true end': Mutant(
        RETURNS,
        'lambda_returns',
        before(lambda reward, mask, *rest: (reward, jnp.ones_like(mask), *rest)),
        test_returns.test_by_hand,
    ),
    'returns that stop at a cut': Mutant(
        RETURNS,
        'lambda_returns',
        before(lambda reward, mask, ends, value, *rest: (reward, mask, ends, value * (1 - ends), *rest)),
        test_returns.test_by_hand,
    ),
    'labels that never rest': Mutant(AWR, 'AWR.update', asked_afterwards, awr_resumed),
    'weights of raw advantages': Mutant(
        AWR,
        'weights',
        lambda _: lambda advantage, starts, cfg: jnp.minimum(jnp.exp(cfg.beta * advantage), cfg.max_weight),
        test_awr.test_weights_by_hand,
    ),
    'sarsa that asks at cuts': Mutant(
        SARSA,
        'SARSA.select',
        lambda _: classmethod(lambda cls, data, cfg: data),
        test_sarsa.test_steps_without_a_next_action_are_left_out,
    ),
    'plain dqn under discrete cql': Mutant(
        BACKUPS, 'greedy_target', own_choice, test_discrete_cql.test_the_target_is_that_of_double_dqn
    ),
    'a conservative term upside down': Mutant(
        DISCRETE_CQL,
        'critic_loss',
        before(lambda critic, batch, y, alpha, temperature: (critic, batch, y, -alpha, temperature)),
        test_discrete_cql.test_the_conservative_slope_is_softmax_less_onehot,
    ),
    'cql that leaves the data where it is': Mutant(
        CQL,
        'critic_loss',
        before(lambda *args: (*args[:-1], replace(args[-1], data_term=False))),
        partial(test_cql.test_critic_loss_by_hand, True),
    ),
    'cql without the densities': Mutant(
        CQL, 'CQL.asked', without_densities, test_cql.test_which_actions_are_asked_about_and_with_which_density
    ),
    'a temperature that runs the wrong way': Mutant(
        LOSSES,
        'temperature_loss',
        before(lambda temperature, entropy, wanted: (temperature, wanted, entropy)),
        test_losses.test_the_temperature_falls_while_the_policy_is_too_random,
    ),
    'a squashed density without its slope': Mutant(
        DISTS, 'log_slope', lambda _: jnp.zeros_like, test_dists.test_a_squashed_density_integrates_to_one
    ),
    # DQN, TD3, SAC.
    'double dqn that is dqn': Mutant(BACKUPS, 'greedy_target', own_choice, double_dqn_golden),
    'gradient through the target, DQN': Mutant(
        DQN, 'critic_loss', live_maximum, test_dqn.test_one_step_of_plain_descent_by_hand
    ),
    'epsilon that never falls': Mutant(
        DQN,
        'epsilon',
        before(lambda t, cfg: (0 * t, cfg)),
        test_dqn.test_it_explores_less_as_environment_steps_go_by,
    ),
    'epsilon over all steps': Mutant(
        DQN,
        'epsilon',
        before(lambda t, cfg: (t, replace(cfg, explore=1.0))),
        partial(test_dqn.test_epsilon_by_hand, 200, 0.1),
    ),
    'a hard target one update early': Mutant(
        LEARNER,
        'follow',
        before(lambda net, target, t, *rest: (net, target, t + 1, *rest)),
        test_dqn.test_the_copy_becomes_the_network_every_period,
    ),
    'bootstrap at a terminal, in the target': Mutant(
        BACKUPS, 'bootstrap', before(never_over), test_backups.test_bootstrap_by_hand
    ),
    'bootstrap at a terminal, in a world of reward 1, DQN': Mutant(
        BACKUPS, 'bootstrap', before(never_over), probe('dqn', 'constant')
    ),
    'td3 that does not wait': Mutant(
        LEARNER, 'when', before(lambda go, *rest: (jnp.bool_(True), *rest)), test_td3.test_who_moves_over_six_updates
    ),
    'td3 that runs from its Q': Mutant(
        TD3,
        'actor_loss',
        before(lambda actor, batch, critic: (actor, batch, upside_down(critic))),
        test_td3.test_actor_loss_by_hand,
    ),
    'doubleq without the swap': Mutant(
        BACKUPS, 'combined', without_swap, partial(test_sac.test_target_by_hand, 'doubleq', (2, 1))
    ),
    'sac with the larger critic': Mutant(
        BACKUPS,
        'combined',
        lambda _: lambda q, backup: jnp.broadcast_to(q.max(0), q.shape),
        partial(test_sac.test_target_by_hand, 'min', (1, 1)),
    ),
    'entropy of the action itself': Mutant(
        SAC, 'q_target', one_sample, partial(test_sac.test_target_by_hand, 'own', (1, 2))
    ),
    'entropy with the wrong sign': Mutant(
        SAC, 'entropy', after(lambda out, *_: -out), partial(test_sac.test_actor_loss_by_hand, 'mean', 1.5)
    ),
    'gradient through the target, SAC': Mutant(
        SAC, 'critic_loss', live_values, test_sac.test_one_step_of_plain_descent_by_hand
    ),
    'reinforce through the action': Mutant(
        DISTS,
        'Squashed.scored_samples',
        followed_samples,
        test_dists.test_scored_samples_have_the_density_and_the_score,
    ),
    'sac that runs from its Q': Mutant(
        SAC, 'reward_of', after(lambda out, *_: -out), partial(test_sac.test_actor_loss_by_hand, 'mean', 1.5)
    ),
    'sac that runs from its Q, in a world of actions': Mutant(
        SAC, 'reward_of', after(lambda out, *_: -out), probe('sac', 'action')
    ),
    # Fitted Q evaluation.
    'fqe that asks where it stands': Mutant(
        FQE, 'FQE.draw', asked_where_it_stands, test_fqe.test_next_actions_are_the_policy_s_at_the_true_successor
    ),
    'fqe that goes on behind the end': Mutant(
        BACKUPS,
        'bootstrap',
        before(never_over),
        test_fqe.test_the_target_asks_the_copy_and_stops_where_the_task_ended,
    ),
    'fqe of one action of many': Mutant(
        FQE,
        'mean_over_actions',
        before(lambda critic, obs, action: (critic, obs, action[:1])),
        test_fqe.test_the_value_of_a_state_is_the_mean_over_the_policy_s_actions,
    ),
    'fqe whose copy never moves': Mutant(
        LEARNER,
        'follow',
        lambda _: lambda net, target, *rest: target,
        test_fqe.test_the_copy_becomes_q_every_period,
    ),
    # Tree search.
    'a search that forgets whose turn it is': Mutant(
        TREE,
        'back_up',
        before(lambda tree, path, value: (tree, path._replace(factor=jnp.abs(path.factor)), value)),
        test_mcts.test_six_simulations_on_paper,
    ),
    'nodes behind the end of the game': Mutant(
        TREE,
        'grow',
        before(lambda tree, place, new, prior: (tree, place, jnp.ones_like(new), prior)),
        test_mcts.test_six_simulations_on_paper,
    ),
    'a value that writes over another': Mutant(TREE, 'back_up', last_value, test_mcts.test_six_simulations_on_paper),
    'illegal moves in the tree': Mutant(
        MCTS,
        'first_of_ties',
        before(lambda scores, *rest: (jnp.where(scores == -jnp.inf, jnp.inf, scores), *rest)),
        partial(test_mcts.test_what_holds_in_every_tree, ucb1(1.0)),
    ),
    'noise at the root of a search that plays to win': Mutant(
        MCTS, 'MCTS.search', always_noisy, test_mcts.test_noise_is_at_the_root_only_and_only_when_asked_for
    ),
    'one key for all games': Mutant(
        MCTS,
        'each_split',
        before(lambda keys, n: (jnp.broadcast_to(keys[:1], keys.shape), n)),
        test_mcts.test_keys_decide_and_nothing_else,
    ),
    'the first of several best moves': Mutant(
        MCTS,
        'first_of_ties',
        lambda _: lambda scores, *rest: scores.argmax(-1).astype(jnp.int32),
        test_mcts.test_unvisited_moves_come_first_in_an_order_of_chance,
    ),
    'a subtree of the wrong move': Mutant(
        TREE,
        'descend',
        before(lambda tree, action: (tree, (action + 1) % tree.children.shape[2])),
        test_mcts.test_a_kept_tree_goes_on_where_it_was,
    ),
    'a prior that counts only after a visit': Mutant(
        SELECT,
        'puct',
        lambda original: (
            lambda *args: lambda node: jnp.where(node.visits.sum(-1, keepdims=True) > 0, original(*args)(node), 0.0)
        ),
        test_mcts.test_six_simulations_on_paper,
    ),
    'a policy gradient that counts moves of games it should not': Mutant(
        ALPHAGO,
        'gradient_loss',
        before(lambda net, batch: (net, batch._replace(weight=jnp.ones_like(batch.weight)))),
        test_alphago.test_policy_gradient_by_hand,
    ),
    'roll-outs that forget whose return it is': Mutant(
        RULES,
        'rolled_out',
        lambda original: lambda *args: jnp.abs(original(*args)),
        test_alphago.test_a_leaf_is_worth_the_mixture,
    ),
    'moves of the other side that teach the policy gradient': Mutant(
        'stitchrl.loops.apprentice',
        'games',
        after(lambda rows, *_: rows._replace(weight=jnp.ones_like(rows.weight))),
        test_alphago.test_only_the_moves_of_rho_count,
    ),
    'a past that nobody joins': Mutant(
        'stitchrl.loops.apprentice',
        'joined',
        lambda _: lambda pool, agent, i: pool,
        test_alphago.test_its_past_is_joined_now_and_then,
    ),
    'games whose losers are told that they won': Mutant(
        'stitchrl.loops.duel',
        'duel',
        after(lambda games, *_: games._replace(positions=lost_and_won(games.positions))),
        test_duel.test_games_by_hand,
    ),
    # Self-play.
    'an outcome that is the same for both players': Mutant(
        GAMES,
        'Games.add',
        before(lambda ring, position, player, *rest: (ring, position, jnp.zeros_like(player), *rest)),
        test_games.test_an_outcome_reaches_all_positions_of_its_game_with_the_mover_s_sign,
    ),
    'games that are not over count as drawn': Mutant(
        GAMES,
        'Games.sample',
        before(lambda ring, *rest: (replace(ring, known=ring.row), *rest)),
        test_games.test_what_still_goes_on_is_not_drawn,
    ),
    'noise when it is judged': Mutant(
        ALPHAZERO,
        'AlphaZero.planner',
        before(lambda agent, simulations, noisy: (agent, simulations, True)),
        test_alphazero.test_there_is_noise_while_it_trains_and_none_when_it_is_judged,
    ),
    'a network that hopes for illegal moves': Mutant(
        ALPHAZERO,
        'among',
        lambda _: lambda logits, legal: logits,
        test_alphazero.test_what_it_says_of_a_leaf_is_for_the_mover_and_of_legal_moves,
    ),
    'a board that is turned and a policy that is not': Mutant(
        GAME,
        'Symmetries.of',
        lambda original: (
            lambda turns, which, obs, *rest: (
                original(turns, which, obs)[0],
                original(turns, which, obs, rest[0])[1],
                *rest[1:],
            )
        ),
        test_alphazero.test_a_symmetry_turns_the_board_its_moves_and_their_visits_alike,
    ),
    'quick searches that teach': Mutant(
        ALPHAZERO,
        'loss',
        before(lambda net, batch, *rest: (net, batch._replace(weight=jnp.ones_like(batch.weight)), *rest)),
        test_alphazero.test_the_loss_by_hand,
    ),
    # The loop.
    'a clock that begins again in every chunk': Mutant(
        LOOP,
        'many',
        before(lambda agents, data, root, start, chunk: (agents, data, root, start * 0, chunk)),
        test_offline.test_the_clock_counts_updates_from_0_also_after_a_break,
    ),
    'resting parts counted in the mean': Mutant(
        LOOP,
        'means',
        lambda _: lambda each: {name: values.mean(0) for name, values in each.items()},
        test_offline.test_means_by_hand,
    ),
    # Models and planning.
    'the best sample in the place of the mean': Mutant(
        CEM,
        'moved',
        after(lambda out, mean, std, plans, values, *_: (plans[values.argmax()], out[1])),
        test_planners.test_cem_moves_to_the_mean_of_the_elites_by_hand,
    ),
    'no number wins': Mutant(
        PLANNER, 'worth', lambda _: lambda values: jnp.where(jnp.isnan(values), jnp.inf, values), no_number_loses
    ),
    'no number is nothing': Mutant(PLANNER, 'worth', lambda _: jnp.nan_to_num, no_number_loses),
    'planning past the end': Mutant(
        PLANNER,
        'imagine',
        lambda original: lambda model, *args, **more: original(Endless(model, None), *args, **more),
        test_planner.test_nothing_counts_after_the_end,
    ),
    'scales of the last batch alone': Mutant(
        FIT,
        'followed',
        before(lambda model, rows: (eqx.tree_at(lambda m: m.members.opt.count, model, jnp.int32(0)), rows)),
        test_dynamics.test_scales_follow_what_is_seen_update_by_update,
    ),
    'coverage of the wrong step': Mutant(
        'stitchrl.report.foresight',
        'Foresight.coverage',
        before(lambda found, step: (found, 1)),
        test_foresight.test_doubt_grows_with_the_steps_ahead,
    ),
    'elites by the rows they learned from': Mutant(
        FIT,
        'split',
        after(lambda out, *_: (out[0], jax.tree.map(lambda x: x[: len(out[1].reward)], out[0]), out[2], out[3])),
        test_dynamics.test_elites_are_those_of_the_held_out_rows,
    ),
    'branches that go on behind the end': Mutant(
        'stitchrl.models.branch',
        'branched',
        before(lambda model, *rest: (Endless(model, None), *rest)),
        test_mbpo.test_a_branch_by_hand,
    ),
    'batches without a step that was taken': Mutant(
        MBPO,
        'MBPO.draw',
        lambda draw: lambda agent, *args: draw(replace(agent, cfg=replace(agent.cfg, real=0.0)), *args),
        partial(test_mbpo.test_the_real_share_of_a_batch, 0.25, 2),
    ),
    'roll-outs that are never too old': Mutant(
        'stitchrl.data.pool',
        'Pool.sample',
        before(lambda pool, key, n, newest: (pool, key, n, jnp.int32(pool.size))),
        test_mbpo.test_the_newest_rows_are_drawn_and_the_oldest_written_over,
    ),
    'a model of what happened that forgets where the task ended': Mutant(
        'stitchrl.models.last_seen',
        'LastSeen.update',
        before(lambda model, batch, key: (model, batch._replace(mask=jnp.ones_like(batch.mask)), key)),
        test_dyna.test_what_happened_last_by_hand,
    ),
    'dyna that only repeats what it saw': Mutant(
        DYNA, 'imagined', lambda _: lambda model, inner, batch, *rest: batch, test_dyna.test_an_update_by_hand
    ),
}

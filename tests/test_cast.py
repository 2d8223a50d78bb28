"""Who plays: the agent that was asked for, as much disturbed as was asked for."""

import fakes
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import tiny
from scipy import stats

from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.envs.pointmaze import PointMaze
from stitchrl.errors import UsageError
from stitchrl.loops.cast import Player, cast
from stitchrl.runs import policy

N = 4000
WIDE = Spec(Observation((3,)), Continuous(2, (-1.0, -1.0), (1.0, 1.0)))
CHOICE = Spec(Observation((3,)), Discrete(4))
OBS = jnp.zeros((N, 3))


def acts(algo, spec, noise):
    """(what the agent would do, what the player does), [N, ...], in one state."""
    agent = None if algo is None else jax.tree.map(lambda x: x[0] * 0.1, tiny.agents(algo, spec, 1))
    action, _ = Player.create(agent, noise, spec).act((), OBS, jr.key(0))
    greedy = None if agent is None else np.asarray(agent.act((), OBS, jr.key(1))[0])
    return greedy, np.asarray(action)


def test_without_noise_it_is_the_agent():
    for algo, spec in (('bc', WIDE), ('discrete_cql', CHOICE)):
        np.testing.assert_array_equal(*acts(algo, spec, 0.0))


def test_noise_on_continuous_actions_is_gaussian_of_that_deviation():
    greedy, action = acts('bc', WIDE, 0.2)
    for d in range(2):
        assert stats.kstest((action - greedy)[:, d] / 0.2, 'norm').pvalue > 0.001
    assert abs(np.corrcoef(action.T)[0, 1]) < 5 / np.sqrt(N)


def test_large_noise_stays_within_the_bounds():
    assert np.abs(acts('bc', WIDE, 10.0)[1]).max() == 1


def test_noise_on_choices_is_the_chance_of_a_random_one():
    greedy, action = acts('discrete_cql', CHOICE, 0.4)
    other = (action != greedy).mean()
    assert abs(other - 0.4 * 3 / 4) < 5 * np.sqrt(0.3 * 0.7 / N)  # a random action may be the agent's own
    counts = np.bincount(acts('discrete_cql', CHOICE, 1.0)[1], minlength=4)
    assert stats.chisquare(counts).pvalue > 0.001


def test_random_actions_are_uniform():
    counts = np.bincount(acts(None, CHOICE, 0.0)[1], minlength=4)
    assert stats.chisquare(counts).pvalue > 0.001
    action = acts(None, WIDE, 0.0)[1]
    for d in range(2):
        assert stats.kstest(action[:, d], 'uniform', (-1, 2)).pvalue > 0.001


@pytest.mark.parametrize(('spec', 'noise'), [(WIDE, -0.1), (WIDE, np.inf), (WIDE, np.nan), (CHOICE, 1.1)])
def test_noise_that_cannot_be_meant(spec, noise):
    with pytest.raises(UsageError, match='--noise'):
        Player.create(None, noise, spec)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """Three agents for a maze."""
    return fakes.run(tmp_path_factory.mktemp('runs') / 'bc', 'bc')


def test_the_agent_that_was_asked_for(run):
    spec = PointMaze.create('umaze').spec
    obs = np.random.default_rng(0).uniform(1, 3, (5, 2)).astype(np.float32)
    for seed, who in ((0, run.path), (2, run.path), (2, run.policy)):
        player, boundary = cast(str(who), spec, 'here', seed=seed)
        action, _ = player.act(player.remember(5), boundary.obs(obs), jr.key(0))
        expected = policy.load(run.path, seed)(obs)
        np.testing.assert_allclose(boundary.action_out(action), expected, rtol=1e-6, atol=1e-7)


def test_what_does_not_fit_is_refused(run, tmp_path):
    spec = PointMaze.create('umaze').spec
    with pytest.raises(UsageError, match='--seed-index 3: this run trained 3'):
        cast(str(run.path), spec, 'here', seed=3)
    with pytest.raises(UsageError, match=r'observations are \(2,\) in .* but \(3,\) in there'):
        cast(str(run.path), WIDE, 'there')
    with pytest.raises(UsageError, match='no run here'):
        cast(str(tmp_path), spec, 'here')
    with pytest.raises(UsageError, match='no policy that noise could disturb'):
        cast('random', spec, 'here', noise=0.1)

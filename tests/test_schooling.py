"""Runs that learn a game in stages: what they leave, that they go on bit for bit, what they refuse."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stitchrl import api, envs
from stitchrl.algos.search.alphago import AlphaGo, Config
from stitchrl.cli import main
from stitchrl.errors import UsageError
from stitchrl.loops import schooling
from stitchrl.loops.apprentice import STAGES
from stitchrl.loops.launch import begin, resume
from stitchrl.loops.schooling import Schooling
from stitchrl.loops.settings import Settings, configure, settings_of
from stitchrl.runs import checkpoint, policy
from stitchrl.runs.directory import RunDir

pytestmark = [pytest.mark.nans, pytest.mark.usefixtures('quick_compiles')]
SMALL = {'filters': 2, 'side': 3, 'hidden': [4], 'fast': 2, 'batch': 8, 'judged': 3, 'steps': 16, 'parts': [2, 1, 1]}
SMALL |= {'teacher': 3, 'games': 6, 'rivals': 4, 'keep': 2, 'positions': 10, 'latest': 6}
RUN = {'env': 'tictactoe', 'eval_env': 'tictactoe/random', 'eval_episodes': 3, 'every': 5, 'seeds': 2, 'seed': 1}


def started(out, **settings):
    cfg = configure('alphago', 'tictactoe', SMALL)
    return begin('alphago', cfg, Settings(**(RUN | settings), out=str(out)), None, None, ['train', 'alphago'])


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """A run of 8, 4 and 4 updates of each of two seeds, and every state that it was in."""
    session, states = started(tmp_path_factory.mktemp('runs') / 'whole'), {}
    for part in session.go(session.fresh()):
        states[part.step] = jax.device_get(part.state)
    return session, states


def different(one, other):
    """Leaves of agents or of what they learn from that differ in a bit."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return [a for a, b in pairs if np.asarray(a).tobytes() != np.asarray(b).tobytes()]


def test_the_stage_follows_from_the_step(whole):
    session, _ = whole
    work = session.work
    assert work.ends == (8, 12, 16)
    assert [work.at(step)[0] for step in (1, 8, 9, 12, 13, 16)] == [0, 0, 1, 1, 2, 2]
    assert [step for step in range(1, 17) if work.due(step)] == [5, 8, 10, 12, 15, 16]


def test_a_run_leaves_what_every_run_leaves(whole):
    run = api.Run(whole[0].run.path)
    named = {row['step']: set(row) - {'step', 'seed', 'seconds'} for row in run.metrics()}
    assert named[8] == {'policy/loss', 'policy/hits', 'fast/policy/loss', 'fast/policy/hits'}
    assert named[12] == {'gradient/loss', 'gradient/outcome'}
    assert named[16] == {'value/loss'}
    assert {row['step'] for row in run.evaluations()} == {5, 8, 10, 12, 15, 16}
    assert json.loads((run.path / 'config.json').read_text())['config']['game'] == 'tictactoe'
    assert RunDir(run.path).state() == 'finished'
    assert checkpoint.verify(checkpoint.steps(run.dir.checkpoints)[-1]) == 16


def test_each_stage_changes_its_own_networks(whole):
    _, states = whole
    moved = lambda name, a, b: bool(different(getattr(states[a].agents, name), getattr(states[b].agents, name)))
    names = ('sigma', 'fast', 'rho', 'value')
    assert [moved(name, 5, 8) for name in names] == [True, True, False, False]
    assert [moved(name, 8, 12) for name in names] == [False, False, True, False]
    assert [moved(name, 12, 16) for name in names] == [False, False, False, True]
    assert not different(jax.tree.map(lambda x: x[:, 0], states[10].material), states[8].agents.sigma.net)


@pytest.mark.parametrize('stop', [5, 8, 10, 15], ids=['imitating', 'between stages', 'improving', 'appraising'])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(whole, tmp_path, stop):
    _, states = whole
    session = started(tmp_path / 'stopped')
    for part in session.go(session.fresh()):
        if part.step == stop:
            break
    del part
    again, state, step = resume(RunDir(session.run.path), pytest.fail, pytest.fail)
    assert step == stop
    for part in again.go(state, step):
        last = jax.device_get(part.state)
    assert not different(last._replace(tally=()), states[16]._replace(tally=()))


OTHER = {5: lambda x: x[::-1], 10: lambda x: -30 * x, 15: lambda x: x[::-1]}  # the other seed's; another past


@pytest.mark.parametrize('stop', OTHER)
def test_it_differs_where_something_is_lost_on_the_way(whole, stop):
    """The control of the test above: what it learns from is something else."""
    session, states = whole
    one = jax.tree.map(jnp.asarray, states[stop])
    *_, last = session.work.chunks(one._replace(material=jax.tree.map(OTHER[stop], one.material)), stop)
    assert different(last.agents, states[16].agents)


def test_an_agent_is_what_it_would_be_alone(whole):
    """The second of seeds 1 and 2, and the one of seed 2, up to rounding."""
    session, states = whole
    alone = Schooling('alphago', session.cfg, Settings(**(RUN | {'seeds': 1, 'seed': 2})), envs.make('tictactoe'))
    for part in alone.chunks(alone.fresh(), 0):
        if part.step == 5:
            break
    theirs = jax.tree.map(lambda x: x[1:], states[5].agents)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), part.agents, theirs)
    assert different(part.agents.sigma, jax.tree.map(lambda x: x[:1], states[5].agents.sigma)), 'seeds differ'


def test_its_policy_is_there_and_plays_by_the_rules(whole):
    session, states = whole
    algo, agents, _, _ = policy.load_all(session.run.policy)
    assert algo == 'alphago'
    assert not different(agents.value.net, states[16].agents.value.net)
    lengths = [row['length'] for row in api.Run(session.run.path).evaluations()]
    assert min(lengths) > 1  # a move that the rules forbid ends a game at once


def test_the_batch_that_broke_can_be_had_again(whole):
    session, states = whole
    part = schooling.Chunk(15, [states[15]], {}, None, 0)
    batch = session.work.batch(part, 1, 14)
    assert batch.obs.shape == (8, 2, 3, 3)
    assert np.asarray(batch.weight).all()
    other = session.work.batch(part, 1, 13)
    assert different(batch, other)


def test_an_export_without_the_rules_is_refused(whole, tmp_path):
    with pytest.raises(UsageError, match='searches by the rules of its game'):
        api.Run(whole[0].run.path).export(tmp_path / 'exported')


def test_presets_share_the_steps():
    assert settings_of('alphago', 'default', {}).seeds == 1
    assert AlphaGo.course(configure('alphago', 'default', {})) == (4000, 200, 4000)
    assert AlphaGo.course(configure('alphago', 'tictactoe', {})) == (1000, 100, 1000)
    assert len(STAGES) == 3


@pytest.mark.parametrize(
    ('changes', 'settings', 'world', 'said'),
    [
        ({}, {'data': 'x.npz'}, 'tictactoe', 'without --data'),
        ({}, {'seeds': 0}, 'tictactoe', 'seeds 0'),
        ({}, {'lanes': 8, 'random_steps': 0}, 'tictactoe', 'no use for --lanes, --random-steps'),
        ({}, {}, 'pointmass/easy', '--env connect_four'),
        ({'games': 0}, {}, 'tictactoe', 'games is 0'),
        ({'steps': 3}, {}, 'tictactoe', '3 steps in parts'),
        ({'parts': (1, 0, 1)}, {}, 'tictactoe', 'at least 1 for each'),
        ({'latest': 8}, {}, 'tictactoe', 'expected 1 to 7: a game has 9 moves'),
    ],
)
def test_requests_that_cannot_be_meant(changes, settings, world, said):
    with pytest.raises(UsageError, match=said):
        Schooling('alphago', Config(**changes), Settings(**(RUN | settings)), envs.make(world))


def test_what_does_not_fit_is_refused_before_it_starts(monkeypatch):
    monkeypatch.setattr(schooling, 'free', lambda: 1000)
    with pytest.raises(UsageError, match='fewer --games'):
        Schooling('alphago', configure('alphago', 'tictactoe', SMALL), Settings(**RUN), envs.make('tictactoe'))


@pytest.mark.parametrize(
    ('argv', 'said'),
    [
        (['alphago'], 'stitch train alphago --env connect_four'),
        (['alphago', '--env', 'connect_for'], 'did you mean connect_four'),
        (['alphago', '--env', 'pendulum/swingup'], 'alphago needs discrete actions'),
        (['alphago', '--env', 'tictactoe', '--data', 'x.npz'], 'from no recording'),
    ],
)
def test_the_command_line_says_what_is_missing(argv, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(['train', *argv]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.glob('runs/*')), 'what was refused leaves nothing behind'

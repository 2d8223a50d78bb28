"""The loop of self-play with a player whose every move is known, and the runs around it."""

import json

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl import api, envs
from stitchrl.algos.search.alphazero import Config
from stitchrl.core.player import Decision, Player
from stitchrl.errors import UsageError
from stitchrl.loops import contest
from stitchrl.loops.contest import Contest
from stitchrl.loops.evaluate import evaluate, rows
from stitchrl.loops.launch import begin, resume
from stitchrl.loops.plan import Plan
from stitchrl.loops.selfplay import Keys, open_hall, ticks
from stitchrl.loops.settings import Settings, configure, settings_of
from stitchrl.runs import checkpoint, policy
from stitchrl.runs.directory import RunDir

GAME = envs.rules('tictactoe')
pytestmark = [pytest.mark.nans, pytest.mark.usefixtures('quick_compiles')]


class Clerk(Player):
    """Takes the first free field, adds up what it is shown, and notes when it was asked."""

    total: jax.Array  # [3]: outcomes, updates, the last update's number
    cfg: tuple = ()

    @classmethod
    def create(cls, spec, cfg, key):
        return cls(jnp.zeros(3), cfg)

    def act(self, memory, obs, key, t=None):
        raise NotImplementedError

    def play(self, boards, keys, age, t):
        legal, n = jax.vmap(GAME.legal)(boards), len(age)
        policy = jnp.tile(jax.nn.one_hot(t % 9, 9)[None], (n, 1))
        noise = jax.vmap(jr.uniform)(keys)
        return Decision(legal.argmax(-1).astype(jnp.int32), policy, noise, age.astype(jnp.float32))

    def draw(self, data, key):
        return data.sample(key, 16)

    def update(self, batch, key, t):
        seen = jnp.stack([batch.outcome.sum(), jnp.float32(1), t - self.total[2]])
        return Clerk(self.total + seen, self.cfg), {'clerk/updates': self.total[1]}


KEYS = Keys(jr.split(jr.key(0), 2), jr.split(jr.key(1), 2))
PLAN = Plan(3, 1 / 3, 30)


def after(first, n, hall=None):
    if hall is None:
        agents = jax.vmap(lambda key: Clerk.create(GAME.spec, (), key))(jr.split(jr.key(0), 2))
        hall = open_hall(agents, GAME, 120, 3)
    return ticks(hall, GAME, KEYS, jnp.int32(first), n, PLAN)


@pytest.fixture(scope='module')
def played():
    """Two agents, three games each, 16 ticks. Of first free fields the one who began holds 0, 2, 4, 6 after move 7."""
    return jax.device_get(after(0, 16))


def test_games_are_played_by_the_rules_and_begin_anew(played):
    assert (played.age == 2).all()
    np.testing.assert_array_equal(played.boards.mine, np.full((2, 3, 1), 1))
    np.testing.assert_array_equal(played.boards.theirs, np.full((2, 3, 1), 2))
    assert played.tally.episodes.tolist() == [6, 6]
    assert played.tally.returns.tolist() == [6, 6]
    assert played.tally.lengths.tolist() == [42, 42]


def test_positions_are_kept_with_the_outcome_of_their_mover(played):
    rows, player = played.games.rows, played.games.player
    assert (player[..., :16] == np.array([0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1])).all()
    assert (rows.outcome[..., :14] == np.where(player[..., :14] == 0, 1, -1)).all()
    assert (played.games.known == 14).all()
    stones = rows.obs[0, 0, :16].reshape(16, 2, 9)
    assert stones.sum((1, 2)).tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 0, 1]
    assert (stones[4].astype(int) == [[1, 0, 1, 0, 0, 0, 0, 0, 0], [0, 1, 0, 1, 0, 0, 0, 0, 0]]).all()
    assert (rows.legal[0, 0, 4] == ~stones[4].any(0)).all()


def test_what_a_player_says_stands_beside_its_position(played):
    rows = played.games.rows
    assert (rows.policy[..., :16, :].argmax(-1) == np.arange(16) % 9).all()
    assert (rows.weight[..., :16] == np.array([*range(7), *range(7), 0, 1])).all()
    values = rows.value[..., :16]
    assert len(np.unique(values)) == values.size  # a key for each game, move and agent


def test_updates_follow_the_plan(played):
    """None for ten ticks, then one after each."""
    assert (played.agents.total[:, 1] == 6).all()
    assert (played.agents.total[:, 2] == 5).all()  # the last was number 5
    assert played.tally.updates.tolist() == [6, 6]


def test_a_run_in_two_parts_is_the_same_run(played):
    parts = jax.device_get(after(7, 9, after(0, 7)))
    parts = parts._replace(tally=played.tally)
    jax.tree.map(np.testing.assert_array_equal, parts, played)
    other = jax.device_get(after(8, 9, after(0, 7)))  # control: a clock that slipped
    assert (other.games.rows.value[..., 7:16] != played.games.rows.value[..., 7:16]).all()


SMALL = {'simulations': 3, 'judged': 3, 'filters': 2, 'side': 3, 'hidden': [4], 'batch': 8, 'steps': 96}
RUN = {
    'env': 'tictactoe',
    'eval_env': 'tictactoe/random',
    'lanes': 4,
    'ratio': 0.25,
    'capacity': 100,
    'random_steps': 0,
}
RUN |= {'eval_episodes': 3, 'every': 48, 'seeds': 2, 'seed': 1}


def started(out, **settings):
    cfg = configure('alphazero', 'tictactoe', SMALL)
    return begin('alphazero', cfg, Settings(**(RUN | settings), out=str(out)), None, None, ['train', 'alphazero'])


def newest(session):
    return checkpoint.latest(session.run.checkpoints, session.work.like, pytest.fail)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """A run of 96 moves of each of two seeds."""
    session = started(tmp_path_factory.mktemp('runs') / 'whole')
    for _ in session.go(session.fresh()):
        pass
    return session


def test_a_run_leaves_what_every_run_leaves(whole):
    metrics, judged = api.Run(whole.run.path).metrics(), api.Run(whole.run.path).evaluations()
    assert {row['step'] for row in metrics} == {48, 96}
    assert {'policy/loss', 'value/loss', 'train/episodes', 'search/error', 'search/entropy'} <= set(metrics[-1])
    assert [len([row for row in judged if row['step'] == step]) for step in (48, 96)] == [6, 6]
    assert set(judged[0]) == {'step', 'seed', 'episode', 'return', 'length', 'success'}
    config = json.loads((whole.run.path / 'config.json').read_text())
    assert (config['config']['game'], config['config']['updates']) == ('tictactoe', 14)  # 24 ticks, 10 of them quiet
    assert newest(whole)[0] == 96


def test_its_policy_plays_as_it_was_judged(whole):
    _, agents, boundary, _ = policy.load_all(whole.run.policy)
    episodes = evaluate(agents, boundary, whole.env, RUN['seed'], RUN['eval_episodes'])
    said = [row for row in api.Run(whole.run.path).evaluations() if row['step'] == 96]
    told = json.loads(json.dumps(rows(episodes, 96, RUN['seed'])))
    assert [{name: row[name] for name in told[0]} for row in said] == told
    assert episodes.lengths.min() > 1  # a move that the rules forbid ends a game at once


def test_an_export_without_the_rules_is_refused(whole, tmp_path):
    with pytest.raises(UsageError, match='searches by the rules of its game'):
        api.Run(whole.run.path).export(tmp_path / 'exported')


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(whole, tmp_path):
    session = started(tmp_path / 'stopped')
    for part in session.go(session.fresh()):
        if part.step == 48:
            break
    del part
    again, state, step = resume(RunDir(session.run.path), pytest.fail, pytest.fail)
    assert step == 48
    for _ in again.go(state, step):
        pass
    one, other = newest(whole)[1], newest(again)[1]
    jax.tree.map(np.testing.assert_array_equal, one._replace(tally=None), other._replace(tally=None))


def test_it_differs_where_something_is_lost_on_the_way(whole):
    """The control of the test above: the outcomes of the games before are turned round."""
    leaves = checkpoint.restore(checkpoint.steps(whole.run.checkpoints)[0])
    leaves['.games.rows.outcome'] = -leaves['.games.rows.outcome']
    state = checkpoint.unflatten(whole.work.like(48), leaves, 'step 48')
    *_, last = whole.work.chunks(jax.tree.map(jnp.asarray, state), 48)
    pairs = zip(jax.tree.leaves(newest(whole)[1].agents), jax.tree.leaves(last.agents), strict=True)
    assert any((np.asarray(one) != np.asarray(other)).any() for one, other in pairs)


def test_presets_say_how_many_games_are_played():
    settings = settings_of('alphazero', 'default', {})
    assert (settings.lanes, settings.seeds) == (256, 1)
    assert configure('alphazero', 'tictactoe', {}).side == 3


def contest_of(world='tictactoe', **settings):
    return Contest('alphazero', Config(), Settings(**(RUN | settings)), envs.make(world))


def test_learning_waits_for_games_that_are_over():
    assert contest_of(random_steps=0).plan.random_steps == 4 * 10
    assert contest_of(random_steps=1000).plan.random_steps == 1000
    assert contest_of().total == Config().steps
    assert contest_of(lanes=7, capacity=200).total == -(-Config().steps // 7) * 7


def test_chunks_are_whole_rounds(monkeypatch):
    monkeypatch.setattr(contest, 'MOVES', 50)
    work = contest_of(lanes=8, every=150, capacity=200)
    chunk, every = work.beat
    assert (chunk % 8, every % chunk, every >= 150) == (0, 0, True)
    assert work.due(every)
    assert not work.due(every + chunk)
    assert work.due(work.total)


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        ({'data': 'x.npz'}, 'without --data'),
        ({'lanes': 0}, 'lanes 0'),
        ({'ratio': 0.0}, 'ratio above 0'),
        ({'capacity': 70}, 'expected at least 72: two games'),
    ],
)
def test_requests_that_cannot_be_meant(settings, said):
    with pytest.raises(UsageError, match=said):
        contest_of(**settings)


def test_what_does_not_fit_is_refused_before_it_starts(monkeypatch):
    monkeypatch.setattr(contest, 'free', lambda: 1000)
    with pytest.raises(UsageError, match='smaller --capacity'):
        contest_of()


def test_a_world_without_a_game_is_refused():
    with pytest.raises(UsageError, match='--env connect_four'):
        contest_of('pointmass/easy')

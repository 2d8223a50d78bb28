"""The Python interface, end to end on a recording of a few steps."""

import shlex
import subprocess
import sys
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import tiny

import stitchrl
from stitchrl import api
from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.data.check import fingerprint
from stitchrl.envs.env import Env, State
from stitchrl.errors import BadData, Corrupt, UsageError
from stitchrl.loops.launch import resume
from stitchrl.loops.session import Nobody
from stitchrl.recordings import asked
from stitchrl.runs.directory import RunDir

SPEC = Spec(Observation((3,)), Continuous(2, tiny.LOW, tiny.HIGH), 3)
FILES = {'STATUS.json', 'config.json', 'command.txt', 'system.json', 'data.json', 'metrics.jsonl', 'log.txt'}


class World(Env):
    """Three steps; the reward is the first number of the action."""

    spec: Spec = eqx.field(static=True, default=SPEC)

    def reset(self, key):
        no = jnp.zeros((), bool)
        return State(jr.normal(key, (3,)), jnp.zeros(()), no, no, jnp.zeros((), jnp.int32))

    def step(self, state, action, key):
        t = state.inner + 1
        return State(state.obs, action[0], t >= 3, jnp.zeros((), bool), t)


class Doors(World):
    """The same with three doors to choose from; the last one pays."""

    spec: Spec = eqx.field(static=True, default=Spec(Observation((3,)), Discrete(3), 3))

    def step(self, state, action, key):
        return super().step(state, jnp.array([action == 2, 0], jnp.float32), key)


class Diary(Nobody):
    """A Watch that writes down what it sees."""

    def __init__(self):
        self.seen = []

    def phase(self, name):
        self.seen.append(name)

    def chunk(self, chunk, steps):
        self.seen.append(chunk.step)

    def judged(self, step, episodes):
        self.seen.append(episodes.returns.shape)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A run that was judged, and what its watch saw."""
    diary = Diary()
    out = tmp_path_factory.mktemp('run')
    settings = {**tiny.CONFIG, **tiny.RUN, 'eval_episodes': 2, 'out': str(out)}
    return stitchrl.train('bc', tiny.dataset(), env=World(), watch=diary, **settings), diary


def test_a_run_is_a_folder_of_plain_files(trained):
    run, _ = trained
    assert {path.name for path in run.path.iterdir() if path.is_file()} == FILES | {'eval.jsonl', '.lock'}
    assert run.dir.read('STATUS.json')['state'] == 'finished'
    config = run.dir.read('config.json')
    assert config['algo'] == 'bc'
    assert config['config'] | tiny.CONFIG | {'hidden': [8]} == config['config']
    assert config['settings'] | tiny.RUN | {'eval_episodes': 2, 'out': None} == config['settings']
    assert (run.path / 'command.txt').read_text() == '(from Python)\n'


@pytest.mark.parametrize('given', ['path', 'loaded', 'chosen'])
def test_a_command_goes_on_with_what_python_began(tmp_path, given):
    """With a recording that was named or read by `load`; not with one that was made of another, and that is said."""
    tiny.write(tmp_path / 'tiny.npz')
    loaded = stitchrl.load(tmp_path / 'tiny.npz')
    data = {'path': tmp_path / 'tiny.npz', 'loaded': loaded, 'chosen': loaded.best(0.5)}[given]
    begun = api.session('bc', data, out=str(tmp_path / 'run'), **tiny.CONFIG, **tiny.RUN)
    next(begun.go(begun.fresh()))
    begun.lock = None
    status = begun.run.read('STATUS.json')
    if given == 'chosen':
        assert status['resume'] is None
        with pytest.raises(UsageError, match=r"from memory.*begin with a recording's path"):
            resume(begun.run, asked, pytest.fail)
        return
    assert shlex.split(status['resume']) == ['stitch', 'resume', str(tmp_path / 'run')]
    session, state, step = resume(RunDir(tmp_path / 'run'), asked, pytest.fail)
    assert [part.step for part in session.go(state, step)] == [8, 12]


def test_an_action_that_nobody_took_is_one_where_the_environment_has_it(tmp_path):
    """The recording knows two doors; its policy may choose among three, and is judged by the recording too."""
    arrays = np.zeros((60, 3)), np.arange(60) % 2, np.ones(60), np.arange(60) % 3 == 2
    np.savez(
        tmp_path / 'doors.npz',
        observations=arrays[0],
        actions=arrays[1],
        rewards=arrays[2],
        terminals=arrays[3],
        timeouts=arrays[3] & False,
    )
    settings = tiny.CONFIG | tiny.RUN | {'eval_episodes': 2, 'out': str(tmp_path / 'run')}
    run = stitchrl.train('bc', tmp_path / 'doors.npz', env=None, eval_env=None, **settings)
    assert run.policy().spec.action == Discrete(2)
    run = stitchrl.train('bc', tmp_path / 'doors.npz', env=Doors(), **settings | {'out': str(tmp_path / 'more')})
    assert run.policy().spec.action == Discrete(3)
    assert run.judge(steps=10, fits=1)['rows']['steps'] == 60


def test_the_data_is_described(trained):
    data, about = tiny.dataset(), trained[0].dir.read('data.json')
    assert (about['steps'], about['episodes']) == (len(data), 12)
    assert about['return_mean'] == pytest.approx(data.reward.sum() / 12)
    assert Spec.from_json(about['spec']) == data.spec


def test_an_evaluation_has_a_row_per_episode(trained):
    run, _ = trained
    rows = run.evaluations()
    assert [(row['step'], row['seed'], row['episode']) for row in rows] == [
        (step, seed, episode) for step in (4, 8, 12) for seed in (3, 4) for episode in (0, 1)
    ]
    for row in rows:
        assert list(row) == ['step', 'seed', 'episode', 'return', 'length', 'success']
        assert row['length'] == 3
        assert 3 * tiny.LOW[0] <= row['return'] <= 3 * tiny.HIGH[0]
        assert type(row['success']) is bool


def test_metrics_have_a_row_per_chunk_and_seed(trained):
    rows = trained[0].metrics()
    assert [(row['step'], row['seed']) for row in rows] == [(s, seed) for s in (4, 8, 12) for seed in (3, 4)]
    assert all(np.isfinite(row['actor/loss']) for row in rows)


def test_the_score_is_over_seeds(trained):
    run, _ = trained
    returns = [row['return'] for row in run.evaluations()]
    assert run.score().mean == pytest.approx(np.mean(returns))
    assert (run.score().seeds, run.score('success').seeds) == (2, 2)
    assert 0 <= run.score('success').mean <= 1


def test_the_watch_sees_it_all_in_order(trained):
    chunk = lambda step: ['evaluating', (2, 2), 'saving', 'training'] if step else []
    assert trained[1].seen == ['compiling', *(x for step in (4, 8, 12) for x in (step, *chunk(step)))]


def test_the_policy_is_the_one_that_was_judged(trained):
    """Played by hand in the environment, it earns what the last evaluation says."""
    run, _ = trained
    for seed in (0, 1):
        rows = [row for row in run.evaluations() if (row['step'], row['seed']) == (12, 3 + seed)]
        starts = jax.vmap(World().reset)(jr.split(jr.split(jr.fold_in(jr.key(3), 100))[0], 2)).obs
        actions = run.policy(seed)(starts)
        np.testing.assert_allclose(3 * actions[:, 0], [row['return'] for row in rows], rtol=1e-5)
        np.testing.assert_array_equal(stitchrl.load_policy(run.path, seed)(starts), actions)


def test_what_was_never_judged_has_no_score(tmp_path):
    run = api.Run(tmp_path)
    assert run.evaluations() == run.metrics() == []
    with pytest.raises(UsageError, match='no evaluation rows'):
        run.score()


def test_no_policy_is_corrupt(tmp_path):
    with pytest.raises(Corrupt, match='no usable policy'):
        stitchrl.load_policy(tmp_path)


def test_who_owns_the_loop_gets_a_chunk_at_a_time_and_may_leave(tmp_path):
    steps = []
    chunks = stitchrl.training('bc', tiny.dataset(), out=str(tmp_path / 'run'), **tiny.CONFIG, **tiny.RUN)
    for chunk in chunks:
        steps.append(chunk.step)
        assert chunk.info['actor/loss'].shape == (2,)
        assert jax.tree.leaves(chunk.agents)[0].shape[0] == 2
        if chunk.step == 8:
            break
    chunks.close()
    run = RunDir(tmp_path / 'run')
    assert steps == [4, 8]
    assert (run.read('STATUS.json')['state'], run.rows('metrics.jsonl')[-1]['step']) == ('interrupted', 8)
    assert stitchrl.load_policy(run.path)(np.zeros(3)).shape == (2,)


def test_observations_in_other_units_lead_to_the_same_actions(trained, tmp_path):
    """The whole way from recording to policy: o' = (o - mean) / std takes the units out, once. What remains is the
    thousandth that is added to the deviation."""
    columns, change = tiny.columns(), lambda obs: (4 * obs + 8).astype(np.float32)
    other = replace(columns, obs=change(columns.obs), next_obs=change(columns.next_obs))
    settings = {**tiny.CONFIG, **tiny.RUN, 'out': str(tmp_path / 'run')}
    mine = trained[0].policy()(columns.obs)
    policy = stitchrl.train('bc', stitchrl.Dataset.from_columns(other), **settings).policy()
    np.testing.assert_allclose(policy(other.obs), mine, atol=0.01)
    assert abs(policy(columns.obs) - mine).max() > 1


def test_a_folder_that_is_not_empty_is_refused_before_anything_is_done(tmp_path):
    (tmp_path / 'mine').write_text('')
    with pytest.raises(UsageError, match='not an empty folder'):
        stitchrl.train('bc', tiny.dataset(), out=str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ['mine']


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'obs': Observation((4,))}, r'observations are \(3,\) in the data but \(4,\) in World'),
        ({'action': Continuous(1, (-1.0,), (1.0,))}, r'actions are .* in the data but .*dim=1.* in World'),
    ],
)
def test_an_environment_of_another_shape_is_refused_before_training(tmp_path, changes, words):
    env = World(Spec(**{**vars(SPEC), **changes}))
    with pytest.raises(UsageError, match=words):
        stitchrl.train('bc', tiny.dataset(), env=env, out=str(tmp_path / 'run'), **tiny.CONFIG)
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    ('settings', 'words'),
    [
        ({'eval_episode': 3}, r"no setting 'eval_episode' in bc; did you mean eval_episodes\?"),
        ({'hiden': (8,)}, r"no setting 'hiden' in bc; did you mean hidden\?"),
        ({'expectile': 0.7}, "no setting 'expectile' in bc; known: batch, best, "),
        ({'seeds': 2.5}, r'setting seeds is 2\.5; expected int'),
        ({'lr': 'fast'}, "setting lr is 'fast'; expected float"),
        ({'preset': 'fast'}, "bc has no preset 'fast'; known: default, corl"),
    ],
)
def test_settings_of_run_and_algorithm_go_in_together_and_neither_takes_what_it_does_not_know(settings, words):
    with pytest.raises(UsageError, match=words):
        stitchrl.train('bc', tiny.dataset(), **settings)


def test_an_unknown_algorithm_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match=r"unknown algorithm 'ilq'; did you mean iql\?"):
        stitchrl.train('ilq', tiny.dataset())


def test_a_recording_is_loaded_in_its_own_units(tmp_path, monkeypatch):
    path, columns = tiny.write(tmp_path / 'recording.npz'), tiny.columns()
    data = stitchrl.load(path)
    assert data.spec.action == Continuous(2, tiny.LOW, tiny.HIGH)
    np.testing.assert_array_equal(data.action[data.starts], columns.action)
    assert stitchrl.load(path, low=-9.0, high=11.0).spec.action == Continuous(2, (-9.0,) * 2, (11.0,) * 2)
    monkeypatch.chdir(tmp_path)
    data, about = api.load_checked('recording.npz')
    assert (about['path'], about['steps'], about['episodes']) == (str(path), len(data), 12)
    assert about['fingerprint'] == fingerprint(columns)


def test_a_recording_that_must_not_be_trained_on_is_refused_by_field_and_row(tmp_path):
    path = tiny.write(tmp_path / 'recording.npz')
    columns = dict(np.load(path))
    columns['rewards'][7] = np.nan
    np.savez(path, **columns)
    with pytest.raises(BadData, match=r'rewards.*row 7'):
        stitchrl.load(path)


def test_importing_the_package_costs_nothing_and_every_public_name_is_there():
    program = 'import stitchrl, sys; print(*dir(stitchrl)); print({"jax", "numpy", "equinox"} & set(sys.modules))'
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
    names, loaded = done.stdout.splitlines()
    assert loaded == 'set()'
    assert {'__version__', *stitchrl.__all__} <= set(names.split()), 'a prompt offers what was not loaded yet'
    assert all(callable(getattr(stitchrl, name)) for name in stitchrl.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        stitchrl.nothing  # noqa: B018 - looking is the test

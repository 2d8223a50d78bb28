"""What an online run remembers comes out as what went in, in the order of time and in the user's units."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from stitchrl.core.boundary import Boundary
from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.core.types import Step
from stitchrl.data.check import check
from stitchrl.data.dataset import Dataset
from stitchrl.data.replay import Replay
from stitchrl.errors import Corrupt, UsageError
from stitchrl.loops.online import start
from stitchrl.loops.plan import Plan
from stitchrl.runs import checkpoint, policy
from stitchrl.runs import ring as module
from stitchrl.runs.directory import RunDir
from stitchrl.runs.ring import columns_of, recording

COUNTED = Spec(Observation((1,)), Discrete(3))
SPEC = Spec(Observation((3,)), Continuous(2, tiny.LOW, tiny.HIGH), 5)
LANES, SIZE = 2, 12
add = jax.jit(Replay.add)


def step(spec, obs, action, reward, after, ends):
    """One step of every lane; `ends` has a letter for each: t the task ends, c it is cut."""
    flag = lambda letter: jnp.asarray([e == letter for e in ends])
    kind = jnp.int32 if spec.discrete else jnp.float32
    arrays = (jnp.asarray(x, spec.obs.dtype) for x in (obs, after))
    before, behind = arrays
    return Step(before, jnp.asarray(action, kind), jnp.float32(reward), behind, flag('t'), flag('c'), ~flag('x'))


def filled(script):
    """(a ring of two lanes, the steps that it still holds in the order of time: (obs, end)). Observations count on from
    1000 and 2000, an episode begins with a number of its own; a row that is overwritten takes its step along."""
    ring, now, row = Replay.create(COUNTED, LANES * SIZE, LANES), [1000, 2000], [0, 0]
    told, begun = [], [0, 0]
    for t, ends in enumerate(script):
        obs = np.array(now, np.float32)[:, None]
        ring = add(ring, step(COUNTED, obs, obs[:, 0] % 3, obs[:, 0] / 2, obs + 1, ends))
        for lane, end in enumerate(ends):
            told.append((begun[lane], lane, t, row[lane], now[lane], end))
            newest, over = row[lane] + 1, end in 'tc'
            told = [x for x in told if x[1] != lane or x[3] > newest - SIZE]
            row[lane], now[lane] = row[lane] + 1 + over, now[lane] + 1 + over
            begun[lane] = t + 1 if over else begun[lane]
    oldest = {}
    for began, lane, t, *_ in told:
        oldest.setdefault((began, lane), t)
    return ring, sorted((oldest[began, lane], lane, t, obs, end) for began, lane, t, _, obs, end in told)


@settings(max_examples=30)
@given(st.lists(st.text('tc---', min_size=LANES, max_size=LANES), min_size=1, max_size=40))
def test_what_comes_out_is_what_was_added_and_still_fits(script):
    ring, told = filled(script)
    columns = columns_of(ring, Boundary.blank(COUNTED))
    obs, ends = np.array([x[3] for x in told], np.float32), [x[4] for x in told]
    np.testing.assert_array_equal(columns.obs[:, 0], obs)
    np.testing.assert_array_equal(columns.next_obs[:, 0], obs + 1)
    np.testing.assert_array_equal(columns.action, obs % 3)
    np.testing.assert_array_equal(columns.reward, obs / 2)
    np.testing.assert_array_equal(columns.terminal, [e == 't' for e in ends])
    last = {}
    for i, (_, lane, *_) in enumerate(told):
        last[lane] = i if told[i][2] >= told[last.get(lane, i)][2] else last[lane]
    going = [e != 't' and (e == 'c' or i in last.values()) for i, e in enumerate(ends)]
    np.testing.assert_array_equal(columns.timeout, going)  # a stream that is still going was cut at the present


def test_it_reads_as_the_ring_does():
    """Every start of the one is a start of the other, also after host environments began anew."""
    ring, _ = filled(['--', '-t', 'c-', '--', '--'])
    ring, _ = add(ring.cut(), step(COUNTED, [[5.0], [6.0]], [0, 1], [0, 0], [[6.0], [7.0]], '--')), None
    data = Dataset.from_columns(columns_of(ring, Boundary.blank(COUNTED)))
    assert len(data) == len(ring) == 12
    ours, theirs = (jax.device_get(x.sample(jax.random.key(0), 2000, 3, 0.5)) for x in (jax.device_put(data), ring))
    known = lambda batch: set(zip(*(x.reshape(len(x)).tolist() for x in batch[:5]), strict=True))
    assert known(ours) == known(theirs)


def test_units_are_the_users(tmp_path):
    """Observations, actions and rewards that a boundary changed on their way in."""
    rng = np.random.default_rng(0)
    data = tiny.dataset()
    boundary = replace(Boundary.fit(data, True, 'range'), shift=np.float32(-1))
    obs, after = rng.normal(size=(2, 6, 1, 3)).astype(np.float32)
    action = rng.uniform(tiny.LOW, tiny.HIGH, (6, 1, 2)).astype(np.float32)
    reward = rng.normal(size=(6, 1)).astype(np.float32)
    ring = Replay.create(SPEC, 40)
    for i in range(6):
        inward = boundary.obs(obs[i]), boundary.action_in(action[i]), boundary.reward(reward[i]), boundary.obs(after[i])
        ring = add(ring, step(SPEC, *inward, 'c'))
    columns = columns_of(ring, boundary)
    for ours, theirs in ((columns.obs, obs), (columns.next_obs, after), (columns.action, action)):
        np.testing.assert_allclose(ours, theirs[:, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(columns.reward, reward[:, 0], rtol=1e-4, atol=1e-5)
    assert (columns.low, columns.high) == (tiny.LOW, tiny.HIGH)
    assert {x.dtype for x in (columns.obs, columns.action, columns.reward)} == {np.dtype(np.float32)}
    assert not [finding for finding in check(columns) if finding.severity == 'error']


def test_stacks_of_images_come_out_as_they_were_seen():
    spec = Spec(Observation((2, 1, 1), 'uint8', 2), Discrete(2))
    ring, told, stack = Replay.create(spec, 40), [], [0, 0]
    for end in '--c--t-':
        after = [stack[1], stack[1] + 1]
        image = lambda x: np.array(x, np.uint8)[None, :, None, None]
        ring = add(ring, step(spec, image(stack), [0], [0.0], image(after), end))
        told.append((stack, after))
        stack = after if end == '-' else [after[1] + 1] * 2
    columns = columns_of(ring, Boundary.blank(spec))
    assert (columns.obs.dtype, columns.obs.shape) == (np.uint8, (7, 2, 1, 1))
    assert [
        [o, s] for o, s in zip(columns.obs[..., 0, 0].tolist(), columns.next_obs[..., 0, 0].tolist(), strict=True)
    ] == [list(x) for x in told]


def online(folder, steps=3, seeds=2, capacity=40):
    """The folder of an online run whose agent s took `steps` steps with reward s."""
    run = RunDir(folder)
    folder.mkdir()
    agents = tiny.agents('sac', SPEC, seeds)
    live = start(agents, SPEC, jnp.zeros((seeds, 1, 3)), capacity, Plan())
    numbers = jnp.arange(float(seeds))[:, None]
    one = step(SPEC, jnp.zeros((1, 3)), jnp.zeros((1, 2)), [0.0], jnp.ones((1, 3)), '-')
    for _ in range(steps):
        adding = lambda ring, reward: ring.add(one._replace(reward=reward))
        live = live._replace(replay=jax.vmap(adding)(live.replay, numbers))
    policy.save(run.policy, 'sac', agents, Boundary.blank(SPEC), SPEC)
    checkpoint.save(run.checkpoints, 4, live)
    run.write('config.json', {})
    run.status('finished')
    return run, live


def test_a_run_is_read_without_its_environment(tmp_path):
    run, _ = online(tmp_path / 'run')
    for seed in (0, 1):
        columns, spec, at = recording(run, seed)
        assert (spec, at) == (SPEC, 4)
        np.testing.assert_array_equal(columns.reward, np.full(3, seed))
        np.testing.assert_array_equal(columns.timeout, [0, 0, 1])
        np.testing.assert_array_equal(columns.action, np.tile([0.0, 5.0], (3, 1)))  # the middle of the bounds


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    run, live = online(tmp_path / 'run')
    newest = checkpoint.save(run.checkpoints, 8, live)
    (newest / checkpoint.MANIFEST).write_text('{')
    told = []
    assert recording(run, 0, told.append)[2] == 4
    assert 'trying the one before' in told[0]
    (newest.parent / checkpoint.name(4) / checkpoint.MANIFEST).unlink()
    with pytest.raises(Corrupt, match='no whole checkpoint'):
        recording(run, 0, told.append)


def test_what_has_no_ring_is_refused(tmp_path):
    run, live = online(tmp_path / 'run', steps=0)
    with pytest.raises(UsageError, match='the ring is empty'):
        recording(run)
    with pytest.raises(UsageError, match='--seed-index 2: this run trained 2'):
        recording(run, 2)
    checkpoint.save(run.checkpoints, 8, live.agents)
    with pytest.raises(UsageError, match='no ring in its newest checkpoint'):
        recording(run)


def test_a_checkpoint_of_another_version_is_named(tmp_path, monkeypatch):
    run, live = online(tmp_path / 'run')
    leaves = {name: leaf for name, leaf in checkpoint.flatten(live).items() if name != '.replay.starts'}
    monkeypatch.setattr(module, 'newest', lambda *_: (4, leaves))
    with pytest.raises(Corrupt, match=r'has no \.replay\.starts; another version wrote it'):
        recording(run)

"""The ring against a plain list of steps."""

from collections import deque
from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.core.types import Step
from stitchrl.data.blend import Blend
from stitchrl.data.dataset import Dataset
from stitchrl.data.replay import Replay, memory
from stitchrl.errors import UsageError

SPEC = Spec(Observation((1,)), Discrete(3))
add, sample = jax.jit(Replay.add), jax.jit(Replay.sample, static_argnums=(2, 3, 4))


class Counter:
    """A stream whose observation counts all steps ever taken, so that every transition is known by its first number."""

    def __init__(self, lane):
        self.now = 1000 * (lane + 1)

    def step(self, end):
        """end: '' goes on, 't' the task ends, 'c' it is cut. -> obs, action, reward, next obs."""
        before = self.now
        after, self.now = before + 1, before + (2 if end else 1)
        return before, before % 3, before / 2, after


def feed(ring, lanes, ends, valid=None):
    """One step of every lane; ends is a string with one letter per lane, '-' for none."""
    valid = [True] * len(lanes) if valid is None else valid
    steps = [
        lane.step(e if e != '-' else '') if v else (-1, 0, 0, -1) for lane, e, v in zip(lanes, ends, valid, strict=True)
    ]
    obs, action, reward, after = (np.array(column) for column in zip(*steps, strict=True))
    step = Step(
        jnp.asarray(obs[:, None], jnp.float32),
        jnp.asarray(action, jnp.int32),
        jnp.asarray(reward, jnp.float32),
        jnp.asarray(after[:, None], jnp.float32),
        jnp.asarray([e == 't' for e in ends]),
        jnp.asarray([e == 'c' for e in ends]),
        jnp.asarray(valid),
    )
    return add(ring, step), [(s, e) for s, e, v in zip(steps, ends, valid, strict=True) if v]


def known(ring, n=2000, steps=1, gamma=0.5):
    """Everything that can be sampled: {obs: (action, reward, next obs, mask, discount)}."""
    batch = jax.device_get(sample(ring, jr.key(0), n, steps, gamma))
    rows = zip(
        batch.obs[:, 0], batch.action, batch.reward, batch.next_obs[:, 0], batch.mask, batch.discount, strict=True
    )
    return {float(o): (int(a), float(r), float(s), float(m), float(d)) for o, a, r, s, m, d in rows}


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text('tc---', min_size=2, max_size=2), min_size=1, max_size=40))
def test_what_is_sampled_is_what_was_added_and_still_fits(script):
    ring, lanes, size = Replay.create(SPEC, 24, lanes=2), [Counter(0), Counter(1)], 12
    told = [deque(), deque()]  # per lane: (row number, step, end)
    row = [0, 0]
    for ends in script:
        ring, _ = feed(ring, lanes, ends)
        for lane, end in enumerate(ends):
            before = lanes[lane].now - (1 if end == '-' else 2)
            told[lane].append((row[lane], before, end))
            newest = row[lane] + 1
            row[lane] += 1 if end == '-' else 2
            while told[lane][0][0] <= newest - size:
                told[lane].popleft()
    expected = {
        float(o): (o % 3, o / 2, float(o + 1), float(end != 't'), 0.5 * (end != 't'))
        for lane in told
        for _, o, end in lane
    }
    assert len(ring) == len(expected)
    assert known(ring) == expected


def test_every_step_is_as_likely_as_any_other():
    """One-step episodes in one lane, one long episode in the other, both grown past the size of the ring."""
    ring, lanes = Replay.create(SPEC, 32, lanes=2), [Counter(0), Counter(1)]
    for _ in range(40):
        ring, _ = feed(ring, lanes, 't-')
    batch = ring.sample(jr.key(1), 46_000)
    values, counts = np.unique(np.asarray(batch.obs[:, 0]), return_counts=True)
    assert len(values) == len(ring) == 8 + 15
    assert abs(counts / 2000 - 1).max() < 5 / np.sqrt(2000)  # five standard deviations


def test_several_steps_stop_at_ends_and_at_the_present():
    ring, lanes = Replay.create(SPEC, 64), [Counter(0)]
    for ends in '--t--c--':
        ring, _ = feed(ring, lanes, ends)
    found = known(ring, steps=3, gamma=0.5)
    r = lambda o: o / 2
    assert found[1000.0] == (1, r(1000) + r(1001) / 2 + r(1002) / 4, 1003.0, 0.0, 0.0)
    assert found[1001.0] == (2, r(1001) + r(1002) / 2, 1003.0, 0.0, 0.0)
    assert found[1005.0] == (0, r(1005) + r(1006) / 2, 1007.0, 1.0, 0.25)  # cut: it bootstraps
    assert found[1008.0] == (0, r(1008) + r(1009) / 2, 1010.0, 1.0, 0.25)  # the stream is still going
    assert found[1009.0] == (1, r(1009), 1010.0, 1.0, 0.5)


def test_windows_are_those_of_a_recording():
    ring, lanes, rows = Replay.create(SPEC, 64), [Counter(0)], []
    for ends in '--t--c----':
        ring, told = feed(ring, lanes, ends)
        rows += told
    obs, action, reward, after = (np.array(x) for x in zip(*(s for s, _ in rows), strict=True))
    ends = [e for _, e in rows]
    data = Dataset.from_arrays(
        obs[:, None],
        action.astype(np.int32),
        reward,
        [e == 't' for e in ends],
        [e == 'c' for e in ends],
        after[:, None],
    )
    theirs = jax.device_put(data).windows(jr.key(3), 200, 4)
    ours = ring.windows(jr.key(3), 200, 4)
    for name in ours._fields:
        if name != 'action':  # of the last row, which a recording leaves at zero as we do
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), name)


def test_lanes_that_reset_write_nothing():
    ring, lanes = Replay.create(SPEC, 64, lanes=2), [Counter(0), Counter(1)]
    ring, _ = feed(ring, lanes, 't-')
    before = ring
    ring, _ = feed(ring, lanes, '--', valid=[False, True])
    assert len(ring) == len(before) + 1
    assert known(ring).keys() == {1000.0, 2000.0, 2001.0}


def test_after_a_cut_the_next_step_is_no_successor():
    ring, lanes = Replay.create(SPEC, 64), [Counter(0)]
    ring, _ = feed(ring, lanes, '-')
    lanes[0].now = 1500  # a new episode
    joined, _ = feed(ring, [Counter(0)], '-')
    cut, _ = feed(ring.cut(), lanes, '-')
    assert known(cut)[1000.0][2] == 1001.0
    assert set(known(cut)) == {1000.0, 1500.0}
    assert known(cut.cut().cut()) == known(cut)  # nothing goes on: nothing to cut twice
    assert joined.row[0] == 2


@pytest.mark.parametrize('frames', [2, 3])
def test_stacks_are_cut_when_sampled_and_begin_with_their_first_frame(frames):
    """Each frame is one number, kept once; a stack never reaches back over the start of its episode."""
    spec = Spec(Observation((frames, 1, 1), 'uint8', frames), Discrete(2))
    ring, now, expected, stack = Replay.create(spec, 40), 0, {}, [0] * frames
    assert ring.obs.shape == (40, 1, 1)
    for end in [0, 0, 1, 0, 0, 0, 1, 1, 0]:
        after = [*stack[1:], now + 1]
        image = lambda x: jnp.asarray(x, jnp.uint8)[None, :, None, None]
        flag = lambda x: jnp.asarray([bool(x)])
        ring = add(
            ring,
            Step(image(stack), jnp.zeros(1, jnp.int32), jnp.zeros(1), image(after), flag(end), flag(0), flag(1)),
        )
        expected[now], now = (stack, after), now + (2 if end else 1)
        stack = [now] * frames if end else after
    batch = ring.sample(jr.key(0), 500)
    assert batch.obs.dtype == jnp.uint8
    found = {
        int(o[-1]): (o.tolist(), s.tolist())
        for o, s in zip(batch.obs[..., 0, 0], batch.next_obs[..., 0, 0], strict=True)
    }
    assert found == expected


@pytest.mark.nans  # JAX gives up donation while it hunts for NaNs
def test_a_full_ring_counts_right_and_is_written_in_place():
    ring, lanes = Replay.create(SPEC, 16), [Counter(0)]
    for _ in range(50):
        ring, _ = feed(ring, lanes, '-')
    assert len(ring) == 15  # the newest row holds what is seen now
    donated = jax.jit(Replay.add, donate_argnums=0)
    flags = jnp.zeros(1, bool)
    step = Step(jnp.zeros((1, 1)), jnp.zeros(1, jnp.int32), jnp.zeros(1), jnp.zeros((1, 1)), flags, flags, ~flags)
    where = ring.obs.unsafe_buffer_pointer()
    assert donated(ring, step).obs.unsafe_buffer_pointer() == where


def test_agents_have_rings_of_their_own():
    ring = jax.vmap(lambda _: Replay.create(SPEC, 16))(jnp.arange(3))
    flags = jnp.zeros((3, 1), bool)
    number = jnp.arange(3.0)[:, None]
    step = Step(number[..., None], jnp.zeros((3, 1), jnp.int32), number, number[..., None], flags, flags, ~flags)
    ring = jax.vmap(Replay.add)(ring, step)
    batch = jax.vmap(partial(Replay.sample, key=jr.key(0), n=4))(ring)
    np.testing.assert_array_equal(batch.reward, np.tile(np.arange(3.0)[:, None], 4))


def test_memory_is_counted_without_making_it():
    spec = Spec(Observation((11,)), Continuous(3, (-1.0,) * 3, (1.0,) * 3))
    assert memory(spec, 1_000_000) == 1_000_000 * 4 * (11 + 3 + 1 + 1 + 1 + 1) + 3 * 4 + 1


def test_too_small_a_ring_is_refused():
    with pytest.raises(UsageError, match='a ring of 10 rows for 3 environments; each needs at least 4'):
        Replay.create(SPEC, 10, lanes=3)


def test_the_history_is_every_step_in_the_order_it_was_taken():
    """Two lanes, one of which waited once; then until the oldest are written over."""
    ring, lanes, told = Replay.create(SPEC, 24, lanes=2), [Counter(0), Counter(1)], [[], []]
    history = jax.jit(Replay.history)
    for tick, ends in enumerate(('--', 't-', '-c', '--', '-t', 'c-', '--', '--', 't-', '--', '--', '--')):
        valid = [True, tick != 3]
        ring, steps = feed(ring, lanes, ends, valid)
        for (obs, *_, after), _end in steps:
            told[obs // 1000 - 1].append((obs, after))
        rows, count = jax.device_get(history(ring))
        kept = [lane[-n:] for lane, n in zip(told, ring.counts().tolist(), strict=True)]
        expected = [step for both in zip(*kept, strict=False) for step in both]
        found = np.stack([rows.obs[:count, 0], rows.next_obs[:count, 0]], 1)
        np.testing.assert_array_equal(found, expected)
    assert len(told[0]) > len(kept[0]), 'some are gone'


def test_a_recording_and_a_ring_have_one_history():
    data = Dataset.from_arrays(np.arange(4.0)[:, None], np.zeros(4, int), np.ones(4), np.arange(4) == 3)
    ring, _ = feed(Replay.create(SPEC, 8), [Counter(0)], '-')
    rows, count = Blend(data, ring, 0.5).history()
    assert rows.obs[: int(count), 0].tolist() == [0, 1, 2, 3, 1000]

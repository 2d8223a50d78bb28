import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from recordings import columns_of, recorded
from test_blocks import Held

from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.data.blocks import Blocks
from stitchrl.data.dataset import Dataset
from stitchrl.data.shuffle import Shuffle, padded, put
from stitchrl.errors import UsageError

SPEC = Spec(Observation((3,)), Continuous(2, (-1.0, -1.0), (1.0, 1.0)), 12)
LENGTHS = [(3, True), (7, False), (1, True), (5, True), (2, False)]  # 18 rows


def filled(size=5, slots=None, lengths=LENGTHS):
    """A buffer with the blocks of a recording in its slots, and the blocks."""
    held = Held(columns_of(recorded(lengths)), size)
    total = sum(steps for steps, _ in lengths)
    blocks = [Blocks.__getitem__(held, i) for i in range(-(-total // size))]
    most = max(len(rows.obs) for rows in blocks)
    buffer = Shuffle.create(SPEC, slots or len(blocks), most)
    for i, rows in enumerate(blocks):
        buffer = put(buffer, *padded(rows, most), np.int32(i % len(buffer.counts)))
    return buffer, blocks


def test_with_every_block_in_it_the_buffer_draws_the_steps_of_the_recording_alike():
    buffer, _ = filled()
    whole = Dataset.from_columns(columns_of(recorded(LENGTHS)))
    rows = np.asarray(buffer.rows(jr.key(0), 18_000))
    found, counts = np.unique(np.asarray(buffer.obs)[rows], axis=0, return_counts=True)
    wanted = np.unique(np.asarray(whole.obs)[whole.starts], axis=0)
    np.testing.assert_array_equal(found, wanted)
    assert counts.min() > 1000 - 5 * np.sqrt(1000)  # five deviations of a count of 1000
    assert counts.max() < 1000 + 5 * np.sqrt(1000)


def test_a_batch_is_what_the_recording_gives_for_the_same_steps():
    """One step: all fields. The rows of a buffer lie elsewhere, so they are found by their observation."""
    buffer, _ = filled()
    whole = Dataset.from_columns(columns_of(recorded(LENGTHS)))
    batch = buffer.sample(jr.key(1), 64, gamma=0.9)
    at = [int(np.flatnonzero((np.asarray(whole.obs) == obs).all(1))[0]) for obs in np.asarray(batch.obs)]
    np.testing.assert_array_equal(batch.action, np.asarray(whole.action)[at])
    np.testing.assert_array_equal(batch.reward, np.asarray(whole.reward)[at])
    np.testing.assert_array_equal(batch.mask, np.asarray(whole.mask)[at])
    np.testing.assert_array_equal(batch.next_obs, np.asarray(whole.obs)[np.array(at) + 1])
    np.testing.assert_allclose(batch.discount, 0.9 * np.asarray(batch.mask), rtol=1e-6)


def test_several_steps_and_windows_stay_within_their_trajectory():
    buffer, blocks = filled()
    of = {tuple(rows.obs[row].tolist()): (rows, row) for rows in blocks for row in rows.starts}
    window = buffer.windows(jr.key(2), 64, 4)
    for obs, inside in zip(np.asarray(window.obs), np.asarray(window.inside), strict=True):
        rows, row = of[tuple(obs[0].tolist())]
        left = int(np.flatnonzero(rows.ends[row:])[0])  # rows to the end of the trajectory or the border
        assert inside.tolist() == [k <= left for k in range(4)]
        np.testing.assert_array_equal(obs[: left + 1], rows.obs[row : row + 4][: left + 1])
    three = buffer.sample(jr.key(3), 64, steps=3, gamma=0.5)
    assert set(np.asarray(three.discount).tolist()) <= {0.0, 0.5, 0.25, 0.125}


def test_a_block_that_comes_in_takes_the_place_of_all_of_another():
    buffer, blocks = filled(slots=2)  # four blocks: 2 and 3 are left
    seen = np.asarray(buffer.obs)[np.asarray(buffer.rows(jr.key(0), 2000))]
    wanted = np.concatenate([rows.obs[rows.starts] for rows in blocks[2:]])
    np.testing.assert_array_equal(np.unique(seen, axis=0), np.unique(wanted, axis=0))
    assert np.asarray(buffer.counts).tolist() == [len(rows.starts) for rows in blocks[2:]]


@pytest.mark.nans  # looking for them keeps what was donated
def test_the_buffer_is_changed_in_place():
    buffer, blocks = filled(slots=7)  # a shape for which nothing is compiled yet
    before = buffer.obs.unsafe_buffer_pointer()
    after = put(buffer, *padded(blocks[0], len(buffer.reward) // len(buffer.counts)), np.int32(2))
    assert after.obs.unsafe_buffer_pointer() == before


def test_a_block_without_any_step_is_never_drawn():
    buffer, blocks = filled()
    empty = blocks[0]._replace(starts=blocks[0].starts[:0])
    buffer = put(buffer, *padded(empty, len(buffer.reward) // len(buffer.counts)), np.int32(1))
    slot = np.asarray(buffer.rows(jr.key(0), 1000)) // (len(buffer.reward) // len(buffer.counts))
    assert set(slot.tolist()) == {0, 2, 3}


def test_choices_and_images_keep_their_types():
    buffer = Shuffle.create(Spec(Observation((2, 4, 4), 'uint8'), Discrete(5)), 3, 7)
    assert (buffer.obs.shape, buffer.obs.dtype) == ((21, 2, 4, 4), jnp.uint8)
    assert (buffer.action.shape, buffer.action.dtype) == ((21,), jnp.int32)


def test_a_buffer_beyond_row_numbers_is_refused():
    with pytest.raises(UsageError, match=r'2,147,483,648 rows: expected fewer than 2,147,483,648.*--buffer-rows'):
        jax.eval_shape(lambda: Shuffle.create(SPEC, 2**19, 4096))

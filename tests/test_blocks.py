import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import columns_of, episodes, recorded, saved

from stitchrl.data import blocks as module
from stitchrl.data.blocks import Blocks, bordered, part
from stitchrl.data.dataset import Dataset
from stitchrl.data.formats.slices import slices
from stitchrl.data.layout import Rows


def steps_of(rows: Rows) -> set[tuple[float, ...]]:
    """(obs, action, reward, mask, next_obs) of every step, as numbers."""
    i = np.asarray(rows.starts)
    each = (rows.obs[i], rows.action[i], rows.reward[i, None], rows.mask[i, None], rows.obs[i + 1])
    return set(map(tuple, np.concatenate(each, 1).tolist()))


def cut_up(arrays, size):
    columns = columns_of(arrays)
    return [bordered(part(columns, i, i + size + 1), size) for i in range(0, len(columns), size)]


@settings(deadline=None, max_examples=150)
@given(episodes, st.booleans(), st.integers(1, 9))
def test_the_blocks_hold_the_steps_of_the_whole_each_once(tmp_path_factory, lengths, successors, size):
    arrays = recorded(lengths, successors)
    if not successors and all(steps == 1 and not ended for steps, ended in lengths):
        return  # no step has a successor
    whole = Dataset.from_columns(columns_of(arrays))
    path = saved(tmp_path_factory.mktemp('blocks') / 'r.npz', arrays)
    blocks = Blocks(slices(path), size)
    found = [blocks[i] for i in range(len(blocks))]
    assert sum(len(rows.starts) for rows in found) == len(whole)
    assert set().union(*map(steps_of, found)) == steps_of(whole)
    for rows in found:
        assert len(rows.starts) == 0 or rows.ends[-1] == 1  # nothing runs on into the next block
        assert (rows.ends[rows.starts] == 0).all()


@settings(deadline=None, max_examples=60)
@given(episodes, st.booleans(), st.integers(2, 9))
def test_sums_over_several_steps_stop_at_a_border_and_nowhere_else(lengths, successors, size):
    """A step's distance to the end of its rows is that in the whole recording, or to the border."""
    arrays = recorded(lengths, successors)
    total = len(arrays['rewards'])
    last = np.cumsum([steps for steps, _ in lengths])
    for i, columns in enumerate(cut_up(arrays, size)):
        border = min((i + 1) * size, total)
        rows = Blocks.__getitem__(Held(columns_of(arrays), size), i)
        ends = np.flatnonzero(rows.ends)
        left = sorted(int(ends[ends > row][0] - row) for row in rows.starts)
        wanted = []
        for at in range(i * size, border):
            stop = int(last[last > at][0])
            ended = arrays['terminals'][stop - 1]
            reach = stop - at if successors or ended else stop - at - 1  # the last step was dropped
            wanted += [min(reach, border - at)] if reach > 0 else []
        assert left == sorted(wanted)
        assert len(columns) <= size + 1


class Held:
    """Blocks of columns in memory."""

    def __init__(self, columns, size):
        self.size = size
        self.slices = type('Slices', (), {'read': lambda _, start, stop, extras: part(columns, start, stop)})()


def test_a_border_bootstraps_from_the_row_behind_it():
    arrays = recorded([(6, True)], successors=False)
    one, two = (Blocks.__getitem__(Held(columns_of(arrays), 4), i) for i in (0, 1))
    np.testing.assert_array_equal(one.obs, arrays['observations'][:5])
    assert one.ends.tolist() == [0, 0, 0, 0, 1]
    assert one.mask.tolist() == [1, 1, 1, 1, 1]  # a border is no end of the task
    assert two.mask.tolist()[:2] == [1, 0]


def test_a_terminal_row_behind_the_border_is_not_learned_from_twice():
    arrays = recorded([(5, True)], successors=False)
    one, two = (Blocks.__getitem__(Held(columns_of(arrays), 4), i) for i in (0, 1))
    assert len(one.starts) == 4
    assert len(two.starts) == 1


def test_an_end_at_the_border_needs_no_row_behind_it():
    arrays = recorded([(4, True), (3, False)], successors=False)
    one = Blocks.__getitem__(Held(columns_of(arrays), 4), 0)
    assert one.mask.tolist()[3] == 0
    assert len(one.starts) == 4


def test_a_successor_over_the_border_is_the_one_that_the_whole_has():
    arrays = recorded([(6, False)])
    arrays['next_observations'] = arrays['next_observations'] + np.float32(2e-7)  # of lower precision
    whole = Dataset.from_columns(columns_of(arrays))
    one = Blocks.__getitem__(Held(columns_of(arrays), 4), 0)
    np.testing.assert_array_equal(one.obs[4], np.asarray(whole.obs)[4])
    assert (arrays['next_observations'][3] != arrays['observations'][4]).any()


@pytest.mark.parametrize('rows', [1, 15 * 3, 16 * 3, 16 * 3 + 1, 33 * 3])
def test_stretches_and_values_go_through_every_row_once(tmp_path, rows):
    arrays = recorded([(rows, True)])
    blocks = Blocks(slices(saved(tmp_path / 'r.npz', arrays)), 3)
    found, at = [], 0
    for start, count, columns in blocks.stretches():
        assert start == at
        assert len(columns) == count + (start + count < rows)
        found.append(columns.reward[:count])
        at += count
    np.testing.assert_array_equal(np.concatenate(found), arrays['rewards'])
    np.testing.assert_array_equal(np.concatenate(list(blocks.values('reward'))), arrays['rewards'])


@pytest.mark.parametrize(('chunk', 'size', 'stride'), [(None, 4096, 2**16), (10, 4096, 2**16), (9000, 9000, 144_000)])
def test_blocks_of_a_file_in_chunks_have_the_rows_of_a_chunk(tmp_path, chunk, size, stride):
    path = saved(tmp_path / 'r.hdf5', recorded([(10_000, True)]))
    with h5py.File(path, 'a') as file:
        obs = file['observations'][()]
        del file['observations']
        file.create_dataset('observations', data=obs, chunks=chunk and (chunk, 3))
    blocks = Blocks(slices(path))
    assert (blocks.size, blocks.stride) == (size, stride)
    np.testing.assert_array_equal(np.concatenate(list(blocks.values('obs'))), obs)


def test_blocks_have_no_more_rows_than_their_most(tmp_path):
    found = slices(saved(tmp_path / 'r.npz', recorded([(10, True)])))
    found.together = 10**6
    assert Blocks(found).size == 2**16


def test_a_pass_reads_as_many_blocks_as_fit_into_its_bytes(tmp_path, monkeypatch):
    found = slices(saved(tmp_path / 'r.npz', recorded([(10, True)])))
    assert Blocks(found, 2).bytes == 2 * (3 * 4 + 2 * 4 + 4 + 1 + 1 + 3 * 4)
    for limit, blocks in ((10**9, 16), (200, 2), (1, 1)):
        monkeypatch.setattr(module, 'AT_ONCE', (16, limit))
        assert Blocks(found, 2).stride == 2 * blocks

"""Worked by hand: three episodes of five, two and one step; the blocks are two rows long."""

import numpy as np
import pytest
from recordings import columns_of

from stitchrl.data.blocks import part
from stitchrl.data.tally import Tally

N = 8
ENDS = np.array([0, 0, 0, 0, 1, 0, 1, 1], bool)


def arrays(terminal, successors):
    obs = np.arange(1, N + 1, dtype=np.float32)[:, None] * np.float32([1, 10])
    found = {
        'observations': obs,
        'actions': np.linspace(-0.5, 0.5, N, dtype=np.float32)[:, None],
        'rewards': np.float32([1, 2, 3, 4, 5, 60, 70, 800]),
        'terminals': ENDS & terminal,
        'timeouts': ENDS & ~np.asarray(terminal),
    }
    return found | ({'next_observations': obs + np.float32([1, 10])} if successors else {})


def counted(terminal, successors, size=2, step=4):
    columns, found = columns_of(arrays(terminal, successors)), Tally(size)
    for start in range(0, N, step):
        found.add(part(columns, start, start + step + 1), min(step, N - start))
    return found


@pytest.mark.parametrize('step', [2, 4, 6, 8])
def test_episodes_that_go_on_from_part_to_part(step):
    found = counted(True, True, step=step)
    assert (found.steps, found.episodes, found.longest, found.marked) == (8, 3, 5, 3)
    assert (found.lowest, found.total, found.highest) == (15, 945, 800)
    assert found.mean.tolist() == [4.5, 45]
    np.testing.assert_allclose(found.squares, [42, 4200])  # of 8 numbers 1 .. 8: 8 x 5.25


@pytest.mark.parametrize('step', [2, 4, 6, 8])
def test_a_step_without_a_successor_counts_nowhere(step):
    """All three are cut: of the last one nothing is left, and the others lose their last step."""
    found = counted(False, False, step=step)
    assert (found.steps, found.episodes, found.longest, found.marked) == (5, 2, 4, 3)
    assert (found.lowest, found.total, found.highest) == (10, 70, 60)
    np.testing.assert_allclose(found.mean, [(1 + 2 + 3 + 4 + 6) / 5, 32])


def test_the_most_rows_of_a_block():
    """Blocks of two rows: steps 0 1, 2 3, 4 5, 6 7, each with a final row behind every end and at the border."""
    assert counted(True, True, step=8).rows == 4  # rows 4 5 and 6 7: an end, and a border or another end
    assert counted(True, True, size=8, step=8).rows == 11


def test_bounds_are_those_of_all_parts():
    spec = counted(True, True).spec(None, None)
    assert (spec.action.low, spec.action.high, spec.horizon) == ((-1.0,), (1.0,), 5)
    wide = arrays(True, True)
    wide['actions'] = wide['actions'] * 4
    found = Tally(2)
    for start in (0, 4):
        found.add(part(columns_of(wide), start, start + 5), 4)
    assert (found.spec(None, None).action.low, found.spec(None, None).action.high) == ((-2.0,), (2.0,))


def test_the_last_row_is_no_end_that_anybody_marked():
    columns = columns_of(arrays(True, False))
    columns.terminal[-1] = False
    found = Tally(2)
    found.add(columns, N)
    assert found.marked == 2

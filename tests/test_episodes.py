"""Where trajectories stop: a row per case, and the blocks do not change the answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stitchrl.data import episodes
from stitchrl.data.columns import Columns
from stitchrl.data.episodes import episode_ends, gaps


def walk(terminal, timeout=None, next_obs=None):
    """A recording whose observation is the row number; without `next_obs` every row leads to the next one."""
    n = len(terminal)
    obs = np.arange(n, dtype=np.float32)[:, None]
    flags = None if timeout is None else np.array(timeout, bool)
    after = None if next_obs is None else np.array(next_obs, np.float32)[:, None]
    return Columns(obs, np.zeros((n, 1), np.float32), np.zeros(n, np.float32), np.array(terminal, bool), flags, after)


CASES = {
    'terminal': (walk([0, 1, 0, 1]), [0, 1, 0, 1]),
    'timeout': (walk([0, 0, 0, 0], [0, 1, 0, 1]), [0, 1, 0, 1]),
    'both on one row': (walk([0, 1, 0, 0], [0, 1, 0, 1]), [0, 1, 0, 1]),
    'neither: the recording stops in the middle': (walk([0, 1, 0, 0], [0, 0, 0, 0]), [0, 1, 0, 1]),
    'one-step episodes': (walk([1, 1, 1]), [1, 1, 1]),
    'one row': (walk([0]), [1]),
    'no rows': (walk([]), []),
    'a gap': (walk([0, 0, 0], next_obs=[1, 9, 3]), [0, 1, 1]),
    'zeros after a terminal are no gap': (walk([0, 1, 0], next_obs=[1, 0, 3]), [0, 1, 1]),
    'rounding is no gap': (walk([0, 0, 0], next_obs=[1 + 1e-6, 2 - 1e-6, 3]), [0, 0, 1]),
    'nan is a gap': (walk([0, 0, 0], next_obs=[np.nan, 2, 3]), [1, 0, 1]),
}


@pytest.mark.parametrize('name', CASES)
def test_episode_ends(name):
    columns, expected = CASES[name]
    assert episode_ends(columns).tolist() == [bool(x) for x in expected]


def test_gaps_are_only_the_unflagged_breaks():
    columns = walk([0, 1, 0, 0, 0], [0, 0, 1, 0, 0], next_obs=[1, 50, 50, 50, 5])
    assert gaps(columns).tolist() == [False, False, False, True, False]


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=30),
    st.integers(1, 64),
)
def test_blocks_do_not_change_the_answer(flags, block):
    terminal, timeout, broken = (np.array(x) for x in zip(*flags, strict=True))
    columns = walk(terminal, timeout, next_obs=np.arange(1, len(flags) + 1) + 7 * broken)
    by_hand = [bool(t or o or b) for t, o, b in flags[:-1]] + [True]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(episodes, 'BLOCK_BYTES', block)
        assert episode_ends(columns).tolist() == by_hand


def test_images_are_compared_exactly():
    obs = np.zeros((3, 4, 4, 3), np.uint8)
    after = obs.copy()
    after[0, 1, 2, 0] = 1
    columns = Columns(obs, np.zeros(3, np.int32), np.zeros(3, np.float32), np.zeros(3, bool), next_obs=after)
    assert episode_ends(columns).tolist() == [True, False, True]

"""What the negative controls take away."""

import numpy as np
import tiny

from stitchrl.data.controls import shuffled


def test_shuffled_rewards_are_the_same_rewards_elsewhere():
    data = tiny.dataset()
    once, again, other = (shuffled(data, seed) for seed in (0, 0, 1))
    starts, final = data.starts, data.ends > 0
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()
    assert (once[starts] != data.reward[starts]).mean() > 0.9
    np.testing.assert_array_equal(np.sort(once[starts]), np.sort(data.reward[starts]))
    assert not once[final].any()

from stitchrl.loops.space import free


def test_memory_that_is_free_is_a_number_of_bytes():
    assert 1e6 < free() < 1e14

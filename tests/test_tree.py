"""Trees as arrays: backups and moves of the root on paper."""

import jax
import jax.numpy as jnp
import numpy as np

from stitchrl.planners.tree import NONE, Path, Tree, back_up, descend, grow, look, plant, root

jgrow, jback_up, jdescend = jax.jit(grow), jax.jit(back_up), jax.jit(descend)


def path(places, rewards, factors, length):
    return Path(jnp.array(places, jnp.int32), jnp.array(rewards, float), jnp.array(factors, float), jnp.int32(length))


def test_a_backup_on_paper():
    """Two trees of room 3 and 2 actions. The first walk takes (node 0, a 1), (node 1, a 0) and finds a leaf worth 0.5
    to whoever is to move; both turns pass. The second takes (node 0, a 0), which wins and ends."""
    tree = plant(2, 3, 2, priors=False)
    walked = path([[1, 6], [2, 12]], [[0, 1], [0, 0]], [[-1, 0], [-1, 0]], 2)
    tree = jback_up(tree, walked, jnp.array([0.5, 9.0]))
    assert tree.visits.tolist() == [[[0, 1], [1, 0], [0, 0]], [[1, 0], [0, 0], [0, 0]]]
    assert tree.totals.tolist() == [[[0, 0.5], [-0.5, 0], [0, 0]], [[1, 0], [0, 0], [0, 0]]]


def test_discounts_and_rewards_on_the_way():
    """One player: G = 2 + 0.5 (4 + 0.5 x 8) = 6."""
    tree = jback_up(plant(1, 2, 1, priors=False), path([[0], [1]], [[2], [4]], [[0.5], [0.5]], 2), jnp.array([8.0]))
    assert tree.totals.tolist() == [[[6], [8]]]


def test_a_second_value_is_averaged():
    tree = plant(1, 2, 2, priors=False)
    for value in (1.0, 0.0, 0.5):
        tree = jback_up(tree, path([[1]], [[0]], [[1]], 1), jnp.array([value]))
    assert root(tree).values.tolist() == [[0, 0.5]]
    assert root(tree).visits.tolist() == [[0, 3]]


def test_rows_beyond_the_longest_walk_do_not_count():
    tree = jback_up(plant(1, 2, 1, priors=False), path([[0], [1]], [[1], [1]], [[1], [1]], 1), jnp.zeros(1))
    assert tree.visits.tolist() == [[[1], [0]]]


def test_nodes_grow_where_there_is_room():
    tree = plant(3, 2, 2, priors=True)
    prior = jnp.array([[0.1, 0.9]] * 3)
    tree = jgrow(tree, jnp.array([1, 4, 8], jnp.int32), jnp.array([True, False, True]), prior)
    assert tree.children.tolist() == [[[-1, 1], [-1, -1]], [[-1, -1], [-1, -1]], [[1, -1], [-1, -1]]]
    assert tree.size.tolist() == [2, 1, 2]
    assert np.allclose(tree.prior[:, 1], [[0.1, 0.9], [0, 0], [0.1, 0.9]])
    again = jgrow(tree, jnp.array([0, 4, 11], jnp.int32), jnp.array([True, True, True]), prior)
    assert again.size.tolist() == [2, 2, 2], 'two trees are full'
    assert again.children.tolist() == [[[-1, 1], [-1, -1]], [[1, -1], [-1, -1]], [[1, -1], [-1, -1]]]


def test_looking_gives_means():
    tree = plant(1, 1, 3, priors=False)._replace(visits=jnp.array([[[2.0, 0, 4]]]), totals=jnp.array([[[1.0, 0, -4]]]))
    node = look(tree, jnp.zeros(1, jnp.int32))
    assert node.values.tolist() == [[0.5, 0, -1]]
    assert node.prior.shape == (1, 0)


def grown():
    """Root 0 with nodes 1 (a 0) and 2 (a 1); 3 and 5 below 2, 4 below 1. Statistics name their node."""
    children = np.full((1, 8, 2), NONE)
    for parent, action, child in ((0, 0, 1), (0, 1, 2), (2, 0, 3), (1, 1, 4), (3, 1, 5)):
        children[0, parent, action] = child
    count = jnp.where(jnp.arange(8)[None, :, None] < 6, jnp.arange(8.0)[None, :, None] + jnp.array([[[0.0, 0.5]]]), 0.0)
    return Tree(jnp.asarray(children, jnp.int32), count, -count, count, jnp.array([6], jnp.int32))


def test_the_root_moves_and_takes_its_subtree_along():
    tree = jdescend(grown(), jnp.array([1]))
    assert tree.size.tolist() == [3]
    expected = np.full((1, 8, 2), NONE)
    expected[0, 0, 0], expected[0, 1, 1] = 1, 2  # 2, 3, 5 are now 0, 1, 2
    assert (tree.children == expected).all()
    assert tree.visits[0, :4, 0].tolist() == [2, 3, 5, 0]
    assert (tree.totals == -tree.visits).all()
    assert (tree.prior == tree.visits).all()
    assert (tree.visits[:, 3:] == 0).all()


def test_an_action_without_a_node_leaves_an_empty_tree():
    tree = jdescend(jdescend(grown(), jnp.array([0])), jnp.array([0]))
    empty = plant(1, 8, 2, priors=True)
    assert all((a == b).all() for a, b in zip(tree, empty, strict=True))


def test_each_tree_moves_by_itself():
    two = jax.tree.map(lambda x: jnp.concatenate([x, x]), grown())
    both = jdescend(two, jnp.array([1, 0]))
    for i in (0, 1):
        alone = jdescend(grown(), jnp.array([1 - i]))
        assert all((a[i : i + 1] == b).all() for a, b in zip(both, alone, strict=True))

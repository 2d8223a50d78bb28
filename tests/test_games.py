"""The ring of positions, against games whose outcomes are told by hand."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from stitchrl.core.types import Position
from stitchrl.data.games import Games
from stitchrl.errors import UsageError

LANES, LONGEST = 2, 4
pytestmark = pytest.mark.usefixtures('quick_compiles')
sample = jax.jit(Games.sample, static_argnums=2)


def position(number: float) -> Position:
    """One that carries a number, the same in every lane but for a half."""
    n = jnp.array([number, number + 0.5])
    policy = jnp.stack([n, -n], 1)
    legal = jnp.ones((LANES, 2), bool)
    return Position(jnp.ones((LANES, 1, 2, 2), bool), legal, policy, n, jnp.full(LANES, 9.0), jnp.ones(LANES))


def played(*games: tuple[int, float], capacity: int = 40) -> Games:
    """Lane 0 plays games of (moves, reward of the last mover); lane 1 never comes to an end."""
    ring, number = Games.create((1, 2, 2), 2, capacity, LANES, LONGEST), 0
    add = jax.jit(lambda *given: Games.add(*given))  # anew, so that it meets a mutant
    for moves, reward in games:
        for i in range(moves):
            last = i == moves - 1
            player = jnp.array([i % 2, 0])
            ring = add(ring, position(number), player, jnp.array([reward * last, 0.0]), jnp.array([last, False]))
            number += 1
    return ring


def going_on(ring: Games, *numbers: float) -> Games:
    """With positions of games that are not over."""
    for number in numbers:
        ring = ring.add(position(number), jnp.zeros(LANES, jnp.int32), jnp.zeros(LANES), jnp.zeros(LANES, bool))
    return ring


def test_an_outcome_reaches_all_positions_of_its_game_with_the_mover_s_sign():
    """Three moves, the first player wins; four, the second loses by the last; two, drawn."""
    ring = played((3, 1.0), (4, -1.0), (2, 0.0))
    assert ring.rows.outcome[0, :9].tolist() == [1, -1, 1, 1, -1, 1, -1, 0, 0]
    assert ring.known.tolist() == [9, 0]
    assert ring.counts().tolist() == [9, 0]


def test_what_still_goes_on_is_not_drawn():
    ring = going_on(played((2, 1.0)), 2, 3)
    drawn = Games.sample(ring, jr.key(0), 200)
    assert set(np.asarray(drawn.value).tolist()) == {0.0, 1.0}
    assert drawn.obs.dtype == jnp.float32


def test_rows_stay_together_and_are_drawn_evenly():
    ring = played((3, 1.0), (4, -1.0), (2, 0.0))
    drawn = jax.tree.map(np.asarray, sample(ring, jr.key(1), 9000))
    np.testing.assert_array_equal(drawn.policy[:, 0], drawn.value)
    np.testing.assert_array_equal(drawn.outcome, np.array([1, -1, 1, 1, -1, 1, -1, 0, 0])[drawn.value.astype(int)])
    assert np.abs(np.bincount(drawn.value.astype(int)) - 1000).max() < 5 * np.sqrt(1000)


def test_the_oldest_are_forgotten():
    """Room for eight positions; eleven came, the last two of a game that goes on."""
    ring = going_on(played((3, 1.0), (4, -1.0), (2, 1.0), capacity=16), 9, 10)
    drawn = sample(ring, jr.key(0), 300)
    assert set(np.asarray(drawn.value).astype(int).tolist()) == {3, 4, 5, 6, 7, 8}
    assert set(np.asarray(drawn.outcome)[np.asarray(drawn.value) > 6].tolist()) == {-1, 1}


def test_lanes_of_different_lengths_are_drawn_evenly():
    ring = played((3, 1.0), (4, -1.0))
    ring = replace(ring, known=jnp.array([6, 2]))
    drawn = np.asarray(sample(ring, jr.key(2), 8000).value)
    halves = drawn % 1 > 0
    assert abs(halves.sum() - 2000) < 5 * np.sqrt(1500)
    assert set(drawn[halves].tolist()) == {0.5, 1.5}


def test_room_for_less_than_two_games_is_refused():
    with pytest.raises(UsageError, match='expected at least 16'):
        Games.create((1, 2, 2), 2, 15, LANES, LONGEST)

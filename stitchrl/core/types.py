"""The batches that losses see. Named tuples, so a misspelt field is an error."""

from typing import NamedTuple

import jax


class Transition(NamedTuple):
    """One step, or several summed into one, for each of B rows.

    `discount` is gamma^k x mask, with k the number of steps really taken: losses bootstrap with it, so
    n-step targets need no further code. `mask` is 0 only where the task itself ended.
    """

    obs: jax.Array  # [B, ...]
    action: jax.Array  # [B, A] in [-1, 1], or [B] int32
    reward: jax.Array  # [B], sum of gamma^j r over the k steps
    next_obs: jax.Array  # [B, ...], the observation k steps later
    mask: jax.Array  # [B], 0 where the task ended within the k steps
    discount: jax.Array  # [B]
    next_action: jax.Array  # like action; the one recorded at next_obs, zero where none was


class Step(NamedTuple):
    """What one step of n environments gave."""

    obs: jax.Array  # [n, ...], what was seen before it
    action: jax.Array  # [n, A] in [-1, 1], or [n] int32
    reward: jax.Array  # [n]
    next_obs: jax.Array  # [n, ...], the true successor, also where the episode ended
    terminated: jax.Array  # [n] bool, the task itself ended
    truncated: jax.Array  # [n] bool, a time limit stopped it
    valid: jax.Array  # [n] bool; 0 where a vector environment took the step to reset


class Weighted(NamedTuple):
    """Steps with what an agent wrote beside them."""

    obs: jax.Array  # [B, ...]
    action: jax.Array  # [B, A] in [-1, 1], or [B] int32
    target: jax.Array  # [B], of the value
    weight: jax.Array  # [B], of the action in the imitation


class Window(NamedTuple):
    """L rows in a row, for each of B starts. Past the recording's end the last row is repeated and `inside` is 0."""

    obs: jax.Array  # [B, L, ...]
    action: jax.Array  # [B, L, A] or [B, L] int32
    reward: jax.Array  # [B, L]
    mask: jax.Array  # [B, L]
    ends: jax.Array  # [B, L], 1 on the row that holds only a final observation
    inside: jax.Array  # [B, L], 1 on rows of the recording; every sequence loss uses it


class Position(NamedTuple):
    """Positions of B games, what a player made of them and how the games ended."""

    obs: jax.Array  # [B, C, H, W], seen by the player to move
    legal: jax.Array  # [B, A] bool
    policy: jax.Array  # [B, A], how a search divided its visits, or 1 for the move of a record
    value: jax.Array  # [B], what the search found the position worth
    outcome: jax.Array  # [B], 1 won, 0 drawn, -1 lost, for the player to move
    weight: jax.Array  # [B], of the policy in the loss

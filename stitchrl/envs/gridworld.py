"""A small world whose every answer can be computed: learning tests compare with it.

    s' = the cell beside s that the action names, or s where that is a wall
    r = 1 and the task ends where s' is the goal, else r = 0

With probability `slip` a uniformly random action takes the place of the chosen one. State s is y W + x, with
the map's arrays as in `maps`.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.spec import Discrete, Observation, Spec
from stitchrl.envs.env import Env, State
from stitchrl.envs.maps import read_map
from stitchrl.errors import UsageError

ACTIONS = ('stay', 'north', 'east', 'south', 'west')
MOVES = np.array([(0, 0), (1, 0), (0, 1), (-1, 0), (0, -1)], np.int32)  # [5, 2], (y, x)

GRIDS = {
    'corridor': """
        #######
        #S...G#
        #######
    """,
    'rooms': """
        #########
        #S..#...#
        #...#...#
        #.......#
        #...#...#
        ##.###.##
        #...#...#
        #...#..G#
        #########
    """,
}


class Inner(NamedTuple):
    """Where the walker is."""

    cell: jax.Array  # [], int32, s = y W + x
    t: jax.Array  # [], int32, steps since reset


class GridWorld(Env):
    """The task. Observation: the state one-hot [H W], or its (x, y) [2]. Action: an index into `ACTIONS`."""

    walls: jax.Array  # [H, W] bool
    start: jax.Array  # [], int32
    goal: jax.Array  # [], int32
    spec: Spec = eqx.field(static=True)
    slip: float = eqx.field(static=True)
    anywhere: bool = eqx.field(static=True)  # begin in any floor cell instead of the start

    @classmethod
    def create(cls, name: str = 'rooms', **options) -> 'GridWorld':
        """A world of the table `GRIDS`, options as in `from_text`. UsageError for a name not in it."""
        if name not in GRIDS:
            raise UsageError(f'no grid {name!r}; choose one of {", ".join(GRIDS)}, or use `from_text`')
        return cls.from_text(GRIDS[name], **options)

    @classmethod
    def from_text(
        cls,
        text: str,
        slip: float = 0.0,
        observe: str = 'onehot',
        horizon: int = 100,
        anywhere: bool = False,
    ) -> 'GridWorld':
        """A world drawn as `read_map` says; `horizon` is the time limit. UsageError for a bad option."""
        if not 0 <= slip <= 1:
            raise UsageError(f'slip is {slip}; a probability lies between 0 and 1')
        if horizon < 1:
            raise UsageError(f'horizon is {horizon}; an episode needs at least 1 step')
        walls, *ends = read_map(text)
        shapes = {'onehot': (walls.size,), 'xy': (2,)}
        if observe not in shapes:
            raise UsageError(f'no observation {observe!r}; choose one of {", ".join(shapes)}')
        spec = Spec(Observation(shapes[observe]), Discrete(len(ACTIONS)), horizon)
        start, goal = (jnp.int32(y * walls.shape[1] + x) for y, x in ends)
        return cls(spec=spec, walls=jnp.asarray(walls), start=start, goal=goal, slip=slip, anywhere=anywhere)

    def observe(self, cell: jax.Array) -> jax.Array:
        """What is seen in state `cell` [], float32."""
        if self.spec.obs.shape == (2,):
            return jnp.stack([cell % self.walls.shape[1], cell // self.walls.shape[1]]).astype(jnp.float32)
        return jax.nn.one_hot(cell, self.walls.size)

    def place(self, obs: jax.Array) -> jax.Array:
        """The state s [...] int32 of observations [..., *obs]: the inverse of `observe`."""
        if self.spec.obs.shape == (2,):
            return (obs[..., 1] * self.walls.shape[1] + obs[..., 0]).astype(jnp.int32)
        return obs.argmax(-1).astype(jnp.int32)

    def reset(self, key: jax.Array) -> State:
        """Begin in the start cell, or with `anywhere` in any cell of floor but the goal."""
        floor = ~self.walls.ravel() & (jnp.arange(self.walls.size) != self.goal)
        cell = self.start
        if self.anywhere:
            cell = jr.categorical(key, jnp.where(floor, 0.0, -jnp.inf)).astype(jnp.int32)
        no = jnp.zeros((), bool)
        return State(self.observe(cell), jnp.zeros(()), no, no, Inner(cell, jnp.zeros((), jnp.int32)))

    def step(self, state: State, action: jax.Array, key: jax.Array) -> State:
        """One move, `action` [] an index into `ACTIONS`."""
        k_slip, k_move = jr.split(key)
        slipped = jr.bernoulli(k_slip, self.slip)
        action = jnp.where(slipped, jr.randint(k_move, (), 0, len(ACTIONS)), action)
        width = self.walls.shape[1]
        after = state.inner.cell + (jnp.asarray(MOVES) @ jnp.array([width, 1]))[action]
        cell = jnp.where(self.walls.ravel()[after], state.inner.cell, after)
        reached, t = cell == self.goal, state.inner.t + 1
        truncated = t >= self.spec.horizon
        return State(self.observe(cell), reached.astype(jnp.float32), reached, truncated, Inner(cell, t))

    def transition_matrix(self) -> np.ndarray:
        """P(s' | s, a), [S, A, S]. The goal and the walls only lead to themselves."""
        walls = np.asarray(self.walls)
        floor, states = np.argwhere(~walls), np.arange(walls.size)
        p = np.zeros((walls.size, len(ACTIONS), walls.size))
        p[states, :, states] = 1
        for y, x in floor:
            s = y * walls.shape[1] + x
            if s == int(self.goal):
                continue
            to = [s if walls[y + dy, x + dx] else s + dy * walls.shape[1] + dx for dy, dx in MOVES]
            sure = np.eye(walls.size)[to]  # [A, S], without slipping
            p[s] = (1 - self.slip) * sure + self.slip * sure.mean(0)
        return p

    def reward_matrix(self) -> np.ndarray:
        """Expected reward of a step, [S, A]; 0 in the goal itself, where the task is over."""
        reward = self.transition_matrix()[:, :, int(self.goal)].copy()
        reward[int(self.goal)] = 0
        return reward

    def optimal_values(self, gamma: float, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Exact V [S] and Q [S, A] of the best policy, without a time limit, by value iteration.

        With `allowed` [S, A] bool the policy takes only those actions: the best that data with this support
        permits. A state without any is worth 0; Q is given for the other actions too.
        """
        p, r = self.transition_matrix(), self.reward_matrix()
        allowed = np.ones(r.shape, bool) if allowed is None else allowed
        v, change = np.zeros(len(r)), np.inf
        while change > 1e-12:
            q = r + gamma * p @ v
            best = np.where(allowed.any(1), np.where(allowed, q, -np.inf).max(1, initial=-np.inf), 0)
            v, change = best, np.abs(best - v).max()
        return v, r + gamma * p @ v

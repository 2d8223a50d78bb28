"""OGBench's sets, collected on the spot by the oracles that its wheel ships; nothing is downloaded.

A set is kept in OGBench's own layout, with the states of the simulator that the rewards of its tasks follow from. It
is made like the published one and is not a copy of it: the oracles draw other numbers.
Park et al., 2025. Needs the extra `ogbench`.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from stitchrl.errors import MissingExtra, UsageError

LENGTH = 1000  # steps of a trajectory
MAZE_NOISE = 0.5  # standard deviation of the noise on the direction, as in the published point mazes
PLAN_NOISE = {'noise': 0.1, 'noise_smoothing': 0.5}  # of the arm's plan, as published
TASK = re.compile(r'(?P<plain>.+?)-singletask(-task(?P<task>[1-5]))?$')


class Row(NamedTuple):
    """What is recorded before a step and of it."""

    observations: np.ndarray
    actions: np.ndarray
    qpos: np.ndarray  # the simulator's state, which tasks are told apart by
    qvel: np.ndarray


class Source(NamedTuple):
    """A set: the environment it is collected in, and a trajectory of it without an end."""

    env: str
    options: dict[str, Any]
    play: Callable[[Any, np.random.Generator], Iterator[Row]]


def navigate(env: Any, rng: np.random.Generator) -> Iterator[Row]:
    """From a random cell to corner after corner of the maze, along shortest ways, with noise on every action."""
    cells = [tuple(map(int, cell)) for cell in np.argwhere(env.maze_map == 0)]
    turns = [cell for cell in cells if not straight(env.maze_map, *cell)]
    task = {'init_ij': cells[rng.integers(len(cells))], 'goal_ij': turns[rng.integers(len(turns))]}
    obs, _ = env.reset(options={'task_info': task})
    while True:
        place = env.get_xy()
        way = env.get_oracle_subgoal(place, env.cur_goal_xy)[0] - place
        action = np.clip(way / (np.linalg.norm(way) + 1e-6) + MAZE_NOISE * rng.normal(size=2), -1, 1)
        after, _, _, _, info = env.step(action)
        yield Row(obs, action, info['prev_qpos'], info['prev_qvel'])
        if info['success']:
            env.set_goal(goal_xy=env.add_noise(env.ij_to_xy(turns[rng.integers(len(turns))])))
        obs = after


def straight(walls: np.ndarray, i: int, j: int) -> bool:
    """Whether a cell only leads on between two walls."""
    beside = [bool(walls[i + di, j + dj]) for di, dj in ((-1, 0), (1, 0), (0, -1), (0, 1))]
    return beside in ([False, False, True, True], [True, True, False, False])


def pick_and_place(env: Any, rng: np.random.Generator) -> Iterator[Row]:
    """Carry the cube to random place after random place, by noisy plans."""
    from ogbench.manipspace.oracles.plan.cube_plan import CubePlanOracle

    del rng  # the oracle draws from NumPy's global generator, see `seeded`
    oracle = CubePlanOracle(env=env, **PLAN_NOISE)
    obs, info = env.reset()
    oracle.reset(obs, info)
    while True:
        action = np.clip(oracle.select_action(obs, info), -1, 1)
        after, _, _, _, info = env.step(action)
        yield Row(obs, action, info['prev_qpos'], info['prev_qvel'])
        if oracle.done:
            _, info = env.set_new_target()
            oracle.reset(after, info)
        obs = after


SOURCES = {
    'pointmaze-medium-navigate': Source('pointmaze-medium', {}, navigate),
    'cube-single-play': Source('cube-single', {'mode': 'data_collection'}, pick_and_place),
}


def collect(name: str, steps: int, seed: int) -> dict[str, np.ndarray]:
    """The arrays of a set in OGBench's layout: `steps` steps in trajectories of LENGTH, the last one may be shorter.

    T + 1 rows for T steps; `terminals` is 1 on the last. `NAME-singletask` and `NAME-singletask-task3` also have that
    task's rewards and masks. Raises UsageError for a name that is not known, MissingExtra.
    """
    plain, task = split(name)
    source, rng = SOURCES[plain], np.random.default_rng(seed)
    lengths = [LENGTH] * (steps // LENGTH) + [steps % LENGTH] * (steps % LENGTH > 0)
    with seeded(seed):
        env = make(f'{source.env}-v0', terminate_at_goal=False, **source.options)
        env.reset(seed=seed)
        rows = [row for length in lengths for row in islice(source.play(env, rng), length + 1)]
    arrays = {field: np.asarray([getattr(row, field) for row in rows], np.float32) for field in Row._fields}
    last = np.cumsum(np.asarray(lengths) + 1) - 1
    width = arrays['actions'].shape[1]
    arrays |= {'terminals': np.isin(np.arange(len(rows)), last)}
    arrays |= {'action_low': -np.ones(width, np.float32), 'action_high': np.ones(width, np.float32)}
    return arrays if task is None else arrays | rewards(plain, task, arrays)


def split(name: str) -> tuple[str, str | None]:
    """(set, task) of a name; task '' is the set's default one, None no task. UsageError for an unknown name."""
    match = TASK.match(name)
    plain, task = (match['plain'], match['task'] or '') if match else (name, None)
    if plain not in SOURCES:
        raise UsageError(
            f'no OGBench set {name!r}; choose {" or ".join(SOURCES)}, with -singletask or -singletask-taskN'
        )
    return plain, task


def rewards(plain: str, task: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """rewards and masks [N] of a task of the set `plain`, from the states of the simulator, by OGBench's own rule."""
    suffix = f'-task{task}' if task else ''
    env = make(f'{SOURCES[plain].env}-singletask{suffix}-v0')
    from ogbench.relabel_utils import relabel_dataset

    found = dict(arrays)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of a cast inside a space of the wheel
        relabel_dataset(SOURCES[plain].env, env, found)
    return {name: found[name] for name in ('rewards', 'masks')}


def make(name: str, **options: Any) -> Any:
    """An OGBench environment without Gymnasium's wrappers. MissingExtra where the wheel is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of parts that miss a display, which nothing here needs
        try:
            import ogbench  # noqa: F401  (registers the environments)
        except ImportError:
            how = 'pip install "stitchrl[ogbench]" (Python 3.11 or 3.12; a part of it has no wheel for later ones)'
            raise MissingExtra(f'{name} needs OGBench: {how}') from None
        import gymnasium as gym

        return gym.make(name, disable_env_checker=True, **options).unwrapped


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """NumPy's global generator seeded, and as before after the block: the wheel's oracles know no other."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002

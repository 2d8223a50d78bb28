"""What can be wrong with a Gymnasium environment: its own checker, and what that does not look at."""

import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import check_env

from stitchrl.envs.episode import At, Episode, Plan, ends, limits, numbers, pace, repeated
from stitchrl.envs.finding import Finding, found, ok
from stitchrl.envs.play import Broken, five, guarded, play, stepping, values

JUMP = 3  # times the largest step of an episode: no step of it, but a new beginning
SAME = {  # what its checker and this one both look for
    'non-deterministic': 'not_repeatable',
    'Deterministic step': 'not_repeatable',
    'The observations returned by': 'buffer_reused',
}
TOLD_HERE = ('infinity', 'normalized space', 'unwrapped version', 'render modes')  # or of no matter for learning


def findings(make: Callable[[], Any], refused: str | None, plan: Plan, at: At) -> Iterator[Finding]:
    """Everything found, as it is found. `make` builds one copy; `refused` is why it cannot be used here, if so.

    `at(episode, step)` is called before each call of the environment; episode 0 is no episode.
    """
    place: list[int | None] = [None, None]

    def here(episode: int, step: int) -> None:
        place[:] = (episode, step) if episode else (None, None)
        at(episode, step)

    try:
        env = guarded(make)
    except Broken as error:
        yield found('not_made', str(error))
        return
    try:
        yield from spaces(env, refused)
        if isinstance(env.observation_space, gym.spaces.Box):
            yield from played(make, env, plan, here)
        here(0, 0)
        yield from interface(env)
        guarded(env.close)
    except Broken as error:
        yield found('raises', str(error), *place)


def spaces(env: Any, refused: str | None) -> Iterator[Finding]:
    """Whether something here can act in it."""
    actions = env.action_space
    if isinstance(actions, gym.spaces.Box) and not actions.is_bounded():
        low, high = float(actions.low.min()), float(actions.high.max())
        yield found('unbounded_action', f'actions reach from {low:g} to {high:g}')
    elif refused is not None:
        yield found('refused', refused)
    box = env.observation_space
    what = f'observations {described(box)}, actions {described(env.action_space)}'
    if isinstance(box, gym.spaces.Box) and not box.is_bounded():
        free = int((~(box.bounded_below & box.bounded_above)).sum())
        what += f'; {free} of {box.low.size} observed numbers are without bounds, which is fine'
    yield ok('spaces', what)


def described(space: Any) -> str:
    """In a few words."""
    if isinstance(space, gym.spaces.Box):
        return f'Box {space.shape} {space.dtype}'
    return plain(space)


def played(make: Callable[[], Any], env: Any, plan: Plan, at: At) -> Iterator[Finding]:
    """What random play shows."""
    horizon = env.spec.max_episode_steps if env.spec else None
    episodes = []
    for i in range(plan.episodes):
        episode = play(env, plan, at, i + 1, plan.seed + i, plan.seed + i)
        yield from numbers(episode)
        yield from values(episode, env.observation_space)
        episodes.append(episode.outline())
        if episode.ended and sum(e.ended for e in episodes) == 1:
            yield from afterwards(env, episode, at)
    yield ok('numbers', 'finite')
    yield ok('observations', 'in the stated space')
    yield ok('rewards', f'numbers; returns {spread([float(np.sum(e.rewards)) for e in episodes])}')
    yield ok('buffers', 'each observation is an array of its own')
    yield from ends(episodes, horizon, plan.steps)
    yield from limits(episodes, horizon)
    yield from pace(episodes, plan.slow)
    told = list(seeds(env, episodes[0], plan, at))
    yield from told
    if all(finding.name != 'not_repeatable' for finding in told):
        yield from copies(make, episodes[0], plan, at)


def afterwards(env: Any, episode: Episode, at: At) -> Iterator[Finding]:
    """One step more after the end of `episode`, which `env` has just played."""
    if episode.hidden is not None:
        yield found('final_hidden', f'info holds {episode.hidden!r}', episode.number, episode.length)
    at(episode.number, episode.length + 1)
    try:
        obs, _, terminated, truncated, _ = guarded(lambda: five(env.step(env.action_space.sample())))
    except Broken as error:
        yield ok('after the end', f'a further step is refused ({error})')
        return
    if terminated or truncated:
        yield ok('after the end', 'a further step says again that it is over')
        return
    moved = [distance(x, y) for x, y in pairwise(episode.obs)]
    again = distance(obs, episode.obs[0]) == 0 < distance(obs, episode.obs[-1])
    if again or distance(obs, episode.obs[-1]) > JUMP * max(moved) > 0:
        what = 'a step after the end begins another episode'
        yield found('resets_itself', what, episode.number, episode.length + 1)
    yield ok('after the end', 'a further step goes on as if it were not over; nothing here takes one')


def distance(x: np.ndarray, y: np.ndarray) -> float:
    """Between two observations."""
    return float(np.linalg.norm(np.subtract(x, y, dtype=np.float64).ravel()))


def seeds(env: Any, first: Episode, plan: Plan, at: At) -> Iterator[Finding]:
    """The same seed twice, and another seed with the same actions."""
    if env.spec is not None and env.spec.nondeterministic:
        yield ok('seeds', 'said to be without: registered as nondeterministic')
        return
    again = play(env, plan, at, 1, plan.seed, plan.seed)
    yield from repeated(first, again, 'not_repeatable', f'reset(seed={plan.seed}) and the same actions twice')
    other = play(env, plan, at, 1, plan.seed + 1, plan.seed)
    if other.prints == first.prints:
        what = f'reset(seed={plan.seed}) and reset(seed={plan.seed + 1}) give the same episode for the same actions'
        yield found('seed_ignored', what)
    yield ok('seeds', 'the same seed gives the same episode, another seed another')


def copies(make: Callable[[], Any], first: Episode, plan: Plan, at: At) -> Iterator[Finding]:
    """The first episode once more in a copy, while a second copy plays another between its steps."""
    ours, theirs = guarded(make), guarded(make)
    if ours.spec is not None and ours.spec.nondeterministic:
        return
    one = stepping(ours, at, 1, plan.seed, plan.seed)
    other = stepping(theirs, at, 2, plan.seed + 1, plan.seed + 1)
    episode, beside = next(one), next(other)
    while not episode.ended and episode.length < plan.steps:
        next(one)
        if beside.ended:
            other = stepping(theirs, at, 2, plan.seed + 1, plan.seed + 1)
        beside = next(other)
    yield from repeated(first, episode, 'copies_share', 'another copy is stepped between and the seed is the same')
    yield ok('copies', 'two side by side do not disturb each other')
    guarded(ours.close)
    guarded(theirs.close)


def interface(env: Any) -> Iterator[Finding]:
    """Gymnasium's own checker, without drawing."""
    told = [(name, words) for name, words in asked(env) if not any(known in words for known in TOLD_HERE)]
    for name, words in told:
        yield found(name, f"Gymnasium's checker says: {words}")
    if not told:
        yield ok('interface', "Gymnasium's own checker has nothing to say")


def asked(env: Any) -> list[tuple[str, str]]:
    """What its checker raises and warns of: names of findings, and its words."""
    raised = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        try:
            check_env(env, skip_render_check=True)
        except Exception as error:  # noqa: BLE001  whatever it raises is what it has to say
            words = plain(error)
            raised = [(next((name for part, name in SAME.items() if part in words), 'gymnasium_error'), words)]
    return raised + [('gymnasium_warning', words) for words in dict.fromkeys(plain(w.message) for w in said)]


def plain(said: Any) -> str:
    """Its words without colours and line ends."""
    words = str(said).replace('\x1b[33m', '').replace('\x1b[0m', '').removeprefix('WARN: ')
    return ' '.join(words.split()).rstrip('.')


def spread(x: list[float]) -> str:
    """From the least to the largest."""
    return f'{min(x):.4g} to {max(x):.4g}'


def builder(name: str, made: Any = None) -> Callable[[], Any] | None:
    """`made`, or Gymnasium's own for the name, if that builds an environment; else None."""
    make = made if made is not None else lambda: gym.make(name)
    try:
        env = guarded(make)
    except Broken:
        return None
    return make if isinstance(env, gym.Env) else None

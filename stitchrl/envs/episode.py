"""Episodes of a check, and what can be said of them whatever kind of environment they come from. Imports no JAX."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import numpy as np

from stitchrl.envs.finding import Finding, found, ok

FEW = 3  # episodes that must end alike before their lengths say something
SHORT = 50  # steps; of shorter episodes some are equally long by chance
At = Callable[[int, int], None]  # told the episode and the step before each call of the environment


@dataclass(frozen=True)
class Plan:
    """How a check plays: random actions, a seed per episode."""

    episodes: int = 5
    steps: int = 1000  # most of one episode
    seed: int = 0  # of the first episode; the others count on
    slow: float = 1.0  # seconds that a step may take before it is named
    timeout: float = 30.0  # seconds after which a reset or a step counts as hanging


@dataclass
class Episode:
    """One episode as it came, T steps. `prints` are digests of each moment, so that images need not be kept."""

    number: int  # from 1
    obs: list[np.ndarray] = field(default_factory=list)  # [T + 1], copies
    rewards: list[Any] = field(default_factory=list)  # [T], as returned
    flags: list[tuple[Any, Any]] = field(default_factory=list)  # [T], terminated and truncated, as returned
    prints: list[bytes] = field(default_factory=list)  # [T + 1]
    slowest: tuple[float, int] = (0.0, 0)  # seconds, step
    seconds: float = 0.0  # of all steps
    reused: int | None = None  # the step that changed the observation before it
    changed: int | None = None  # the step that changed its action
    hidden: str | None = None  # the key of the last info that holds another final observation

    @property
    def length(self) -> int:
        return len(self.flags)

    @property
    def ended(self) -> bool:
        return bool(self.flags) and any(map(bool, self.flags[-1]))

    @property
    def terminated(self) -> bool:
        return bool(self.flags) and bool(self.flags[-1][0])

    def add(self, obs: Any, reward: Any = None, flags: tuple[Any, Any] | None = None) -> None:
        """One moment: the reset's (obs alone) or a step's."""
        obs = np.array(obs)
        self.obs.append(obs)
        if flags is not None:
            self.rewards.append(reward)
            self.flags.append(flags)
        told = f'{obs.dtype.str} {obs.shape} {np.asarray(reward).tolist()} {flags and tuple(map(bool, flags))}'
        self.prints.append(blake2b(told.encode() + np.ascontiguousarray(obs).tobytes(), digest_size=16).digest())

    def timed(self, seconds: float) -> None:
        """How long the step that comes next took."""
        self.seconds += seconds
        self.slowest = max(self.slowest, (seconds, self.length + 1), key=lambda pair: pair[0])

    def outline(self) -> 'Episode':
        """Without the observations, to keep many of them."""
        return replace(self, obs=[])


def numbers(episode: Episode) -> Iterator[Finding]:
    """NaN and infinity."""
    for t, obs in enumerate(episode.obs):
        if obs.dtype.kind == 'f' and not np.isfinite(obs).all():
            where = np.argwhere(~np.isfinite(obs))[0].tolist()
            yield found('not_finite', f'observation{where} is {obs[tuple(where)]}', episode.number, t)
            break
    for t, reward in enumerate(episode.rewards, 1):
        if np.asarray(reward).dtype.kind == 'f' and not np.isfinite(reward).all():
            yield found('not_finite', f'the reward is {reward}', episode.number, t)
            break


def ends(episodes: Sequence[Episode], horizon: int | None, steps: int) -> Iterator[Finding]:
    """Whether episodes end at all, and by the stated limit `horizon` at the latest."""
    longest = max(episodes, key=lambda episode: episode.length)
    beyond = longest.length if longest.ended else longest.length + 1  # the step that comes at least
    if horizon is not None and beyond > horizon:
        what = f'goes on after its time limit of {horizon:,} steps'
        yield found('past_limit', what, longest.number, horizon)
    if horizon is None and not any(episode.ended for episode in episodes):
        what = f'no end within {longest.length:,} steps, and no time limit is stated'
        yield found('endless', what, longest.number, longest.length)
    lengths = [episode.length for episode in episodes if episode.ended]
    if not lengths:
        yield ok('ends', f'none within {steps:,} steps; the stated limit is {horizon} (see it with --steps)')
        return
    spread = f'{min(lengths):,}' if min(lengths) == max(lengths) else f'{min(lengths):,} to {max(lengths):,}'
    count = sum(episode.terminated for episode in episodes)
    yield ok(
        'ends',
        f'{len(lengths)} of {len(episodes)} episodes end, after {spread} steps: '
        f'{count} by the task, {len(lengths) - count} by a limit',
    )


def limits(episodes: Sequence[Episode], horizon: int | None) -> Iterator[Finding]:
    """Time limits told as ends of the task, and the reverse."""
    over = [episode.length for episode in episodes if episode.terminated]
    cut = [episode.length for episode in episodes if episode.ended and not episode.terminated]
    longest = max(over, default=0)
    alike = over.count(longest)
    telling = len(episodes) if longest < SHORT and longest != horizon else len(episodes) / 2
    if longest > 1 and alike >= max(FEW, telling) and longest >= max(cut, default=0):
        what = f'{alike} of {len(episodes)} random episodes end as `terminated` after exactly {longest:,} steps'
        if longest == horizon:
            yield found('limit_as_end', f'{what}, the stated time limit')
        else:
            yield found('constant_length', what)
    early = sorted({length for length in cut if horizon is None or length < horizon})
    if len(early) > 1:
        what = f'`truncated` after {early[0]:,}, after {early[1]:,} steps; a time limit strikes after one number'
        yield found('end_as_limit', what)
    unseen = horizon is not None and not cut
    yield ok('time limits', f'{horizon:,} stated, not reached by random play' if unseen else 'told apart from ends')


def repeated(first: Episode, again: Episode, name: str, how: str) -> Iterator[Finding]:
    """A finding where two episodes that should be the same are not."""
    for t, (x, y) in enumerate(zip(first.prints, again.prints, strict=False)):
        if x != y:
            yield found(name, f'{how}, but they part', first.number, t)
            return
    if len(first.prints) != len(again.prints):
        yield found(name, f'{how}, but one is longer', first.number, min(first.length, again.length) + 1)


def pace(episodes: Sequence[Episode], slow: float) -> Iterator[Finding]:
    """The slowest step, and the rate."""
    worst = max(episodes, key=lambda episode: episode.slowest)
    seconds, step = worst.slowest
    if seconds > slow:
        yield found('slow', f'took {seconds:.2g} s, more than {slow:g} s', worst.number, step)
    steps = sum(episode.length for episode in episodes)
    rate = steps / max(sum(episode.seconds for episode in episodes), 1e-9)
    yield ok('steps', f'{steps:,} with random actions, {rate:,.0f} a second')

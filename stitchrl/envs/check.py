"""Is this environment fit to learn in? It is played with random actions, and every value it returns is looked at.

It plays in a process of its own: an environment that hangs is stopped and one that crashes is survived, and both are
told with the episode and the step.
"""

import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from stitchrl import envs
from stitchrl.envs.episode import At, Plan
from stitchrl.envs.finding import ORDER, Finding, found, once
from stitchrl.errors import StitchError, UsageError

MAKING = 60.0  # seconds that imports, construction, compilation and Gymnasium's checker may take at least


def check(name: str, plan: Plan | None = None) -> list[Finding]:
    """All findings, errors first, parts in which there was nothing to find last. `name` as for `envs.make`.

    UsageError for a name that leads nowhere and a plan that makes no sense; MissingExtra for a part not installed.
    """
    plan = plan or Plan()
    if min(plan.episodes, plan.steps) < 1 or plan.seed < 0 or min(plan.slow, plan.timeout) <= 0:
        raise UsageError(f'{plan} cannot be played; everything has to be positive, and the seed at least 0')
    return sorted(once(watched(name, plan)), key=lambda finding: ORDER.index(finding.severity))


def watched(name: str, plan: Plan) -> Iterator[Finding]:
    """The findings of a process that is ended where it says nothing for `plan.timeout` seconds."""
    context = get_context('spawn')  # a fork would copy JAX's threads
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(name, plan, theirs), daemon=True)
    process.start()
    theirs.close()
    place = (0, 0)
    try:
        while ours.poll(patience(place, plan)):
            said = ours.recv()
            if isinstance(said, Finding):
                yield said
            elif isinstance(said, StitchError):
                raise said
            elif said is None:
                return
            else:
                place = said
        what = f'no answer for {patience(place, plan):g} s{doing(place)}'
        yield found('hangs', what, *moment(place))
    except EOFError:
        process.join()
        yield found('dies', f'its process ended with {ended(process.exitcode)}{doing(place)}', *moment(place))
    finally:
        process.kill()
        process.join()


def patience(place: tuple[int, int], plan: Plan) -> float:
    """Seconds that it may be silent."""
    return plan.timeout if place[0] else max(plan.timeout, MAKING)


def moment(place: tuple[int, int]) -> tuple[int | None, int | None]:
    """Episode and step, where it was in one."""
    return place if place[0] else (None, None)


def doing(place: tuple[int, int]) -> str:
    """What it was at outside of an episode."""
    return '' if place[0] else " while it was made, compiled or looked at by Gymnasium's checker"


def ended(code: int | None) -> str:
    """An exit code in words."""
    return f'signal {signal.Signals(-code).name}' if code is not None and code < 0 else f'exit code {code}'


def child(name: str, plan: Plan, say: Connection) -> None:
    """The process that plays. Tells `say` each moment it comes to, each finding, and None at the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    os.dup2(2, 1)  # what the environment prints is no part of the answer
    sys.stdout = sys.stderr
    try:
        for finding in findings(name, plan, lambda episode, step: say.send((episode, step))):
            say.send(finding)
        say.send(None)
    except StitchError as error:
        say.send(error)


def findings(name: str, plan: Plan, at: At) -> Iterator[Finding]:
    """What is found in the environment of that name, in this process."""
    refused: str | None = None
    try:
        made: Any = envs.make(name)
        make = getattr(made, 'make', None)  # a device environment has none
    except UsageError as error:
        refused, make = str(error), maker(name)
        if make is None:
            raise
    except StitchError:
        raise
    except Exception as error:  # noqa: BLE001  whatever its construction raises is the finding
        yield found('not_made', f'{type(error).__name__}: {error}')
        return
    if make is None:
        from stitchrl.envs import device_check

        yield from device_check.findings(made, plan, at)
        return
    from stitchrl.envs import gymnasium_check

    yield from gymnasium_check.findings(make, refused, plan, at)


def maker(name: str) -> Any:
    """What builds the Gymnasium environment of that name, also one that nothing here can act in; None if none."""
    from stitchrl.envs.gymnasium_check import builder

    module, _, attribute = name.partition(':')
    return builder(name, getattr(sys.modules.get(module), attribute, None) if attribute else None)

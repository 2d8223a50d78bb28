"""What a check of an environment found, in words for a person. Imports no JAX and no Gymnasium."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stitchrl.envs.faults import FAULTS

ORDER = ('error', 'warning', 'ok')


@dataclass(frozen=True)
class Finding:
    """`name` is a key of FAULTS, or 'ok' for a part in which nothing was found. Episodes count from 1; step 0
    is the reset."""

    severity: str  # 'error', 'warning' or 'ok'
    part: str
    name: str
    what: str
    means: str = ''
    fix: str = ''
    episode: int | None = None
    step: int | None = None

    def __str__(self) -> str:
        if self.name == 'ok':
            return f'{self.part}: {self.what}'
        return f'{self.part}{self.where}: {self.what}. It means: {self.means}. Do: {self.fix}'

    @property
    def where(self) -> str:
        """The moment, in words; empty where it is not about one."""
        if self.episode is None:
            return ''
        return f', episode {self.episode}, ' + ('reset' if self.step == 0 else f'step {self.step:,}')


def found(name: str, what: str, episode: int | None = None, step: int | None = None) -> Finding:
    """A finding of the table."""
    part, severity, means, fix = FAULTS[name]
    return Finding(severity, part, name, what, means, fix, episode, step)


def ok(part: str, what: str) -> Finding:
    """A part that was looked at, with nothing to say against it."""
    return Finding('ok', part, 'ok', what)


def once(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Each name once, the first; and no part is 'ok' in which something was found."""
    names: set[str] = set()
    parts: set[str] = set()
    for finding in findings:
        if finding.name == 'ok' and finding.part in parts:
            continue
        if finding.name not in names or finding.name in ('ok', 'gymnasium_warning'):
            yield finding
        names.add(finding.name)
        parts.add(finding.part)

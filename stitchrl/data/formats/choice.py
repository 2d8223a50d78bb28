"""Which columns mean what, where a format leaves that open. Imports no JAX."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from stitchrl.errors import UsageError

MANY = ('obs', 'action')  # the fields that several columns may make up
SHOWN = 12  # names in a message


@dataclass(frozen=True)
class Choice:
    """Columns by name. In patterns `*` stands for any text and `?` for one sign; all else, brackets too, for itself.

    The columns of one pattern come in the order that they have in the file, those of the next pattern behind them.
    """

    obs: str | None = None  # patterns with commas between, such as 'q*,dq*'
    action: str | None = None  # likewise
    reward: str | None = None
    episode: str | None = None  # a number or a name that is the same on all rows of an episode
    terminal: str | None = None  # 1 where the task itself ended
    timeout: str | None = None  # 1 where the recording's episode stops for another reason
    time: str | None = None  # seconds

    def given(self) -> dict[str, str]:
        """Field -> what was asked for."""
        return {field: said for field, said in asdict(self).items() if said is not None}


def check(path: Path, choice: Choice, format: str, able: Sequence[str]) -> None:
    """UsageError where something is chosen that the format has under a fixed name; `able`: what may be chosen."""
    for field in choice.given():
        if field not in able:
            may = f'there only {", ".join(able)} can be chosen' if able else 'its columns have fixed names'
            raise UsageError(f'{path}: {field} was chosen, but it is read as {format}; {may}. Fix: leave {field} out')


def pick(path: Path, field: str, said: str, names: Sequence[str]) -> list[str]:
    """The columns among `names` that `said` stands for: one, or for obs and action any number of patterns.

    UsageError where a pattern stands for none, or a single column was expected and there are more.
    """
    found: list[str] = []
    for pattern in [part.strip() for part in said.split(',')] if field in MANY else [said]:
        fits = [pattern] if pattern in names else matching(pattern, names)
        if not fits:
            near = difflib.get_close_matches(pattern.strip('*?'), names, n=3, cutoff=0.4)
            hint = f'did you mean {" or ".join(near)}?' if near else f'there are {listing(names)}'
            raise UsageError(f'{path}: no column {pattern!r} for {field}; {hint}')
        found += [name for name in fits if name not in found]
    if field not in MANY and len(found) > 1:
        raise UsageError(f'{path}: {said!r} for {field} stands for {listing(found)}; name one column')
    if twice := [name for name in found if names.count(name) > 1]:
        raise UsageError(f'{path}: two columns are called {twice[0]!r}. Fix: rename one of them')
    return found


def matching(pattern: str, names: Sequence[str]) -> list[str]:
    """The names that a pattern stands for, in their order."""
    parts = (re.escape(part) for part in re.split(r'([*?])', pattern))
    rule = re.compile(''.join({r'\*': '.*', r'\?': '.'}.get(part, part) for part in parts), re.DOTALL)
    return [name for name in names if rule.fullmatch(name)]


def listing(names: Sequence[str], most: int = SHOWN) -> str:
    """The first names, for a message."""
    shown = (name if name.isprintable() else repr(name) for name in names[:most])
    return ', '.join(shown) + (f', ... ({len(names):,} in all)' if len(names) > most else '') or 'none'

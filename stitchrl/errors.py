"""Errors for people. Each says what was wrong, where, what was expected and what to do.

The command line prints the message in one line and leaves with the class's `code`; no traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches


def meant(name: str, known: Iterable[str]) -> str:
    """What to put behind a name that is not known: the nearest one that is, or all of them if they are not too many."""
    known = list(known)
    if near := get_close_matches(name, known, n=1):
        return f'; did you mean {near[0]}?'
    return f'; known: {", ".join(known[:30])}' + (f' and {len(known) - 30} more' if len(known) > 30 else '')


class StitchError(Exception):
    """Base of every error this package raises on purpose. Exit code 1: the run failed."""

    code = 1


class UsageError(StitchError, ValueError):
    """The request cannot be meant like this: unknown name, wrong option, algorithm and space that do not fit."""

    code = 2


class MissingExtra(StitchError, ImportError):
    """An optional part is not installed; the message holds the exact pip command."""

    code = 3


class BadData(StitchError, ValueError):
    """A dataset that must not be trained on: names field, row, count and a fix."""

    code = 4


class Corrupt(StitchError):
    """A file of ours (checkpoint, policy) is damaged or of another kind than it says."""

    code = 5

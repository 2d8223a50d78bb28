"""A score for a program."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stitchrl.report.statistics import Interval


def numbers(score: 'Interval | None') -> dict[str, Any] | None:
    """mean, low, high, method, seeds, episodes, level, and all of it in words; None for no score."""
    return None if score is None else asdict(score) | {'words': str(score)}

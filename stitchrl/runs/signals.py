"""Ctrl-C and a polite kill: finish the chunk, save, say how to go on. A second one ends at once."""

import signal
import threading
from types import FrameType
from typing import Any

from stitchrl.errors import StitchError


class Interrupted(StitchError):
    """Stopped by a signal after saving; `code` is the shell's 128 + signal."""

    def __init__(self, text: str, code: int):
        super().__init__(text)
        self.code = code


class AtOnce(KeyboardInterrupt):
    """A second signal, which may have come while other threads were saving."""


class Stop:
    """While entered, SIGINT and SIGTERM set `asked` instead of ending the program (in the main thread only)."""

    def __init__(self) -> None:
        self.asked = 0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> 'Stop':
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self.hear)
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise AtOnce
        self.asked = number

    @property
    def name(self) -> str:
        return signal.Signals(self.asked).name

    def error(self, text: str) -> Interrupted:
        return Interrupted(f'{self.name}: {text}', 128 + self.asked)

"""What a run says of itself: JSONL for machines and students, TensorBoard events for curves."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from stitchrl.errors import StitchError
from stitchrl.loops.chunk import Chunk
from stitchrl.runs.directory import RunDir
from stitchrl.runs.files import reason


class Events:
    """Writes metrics.jsonl, eval.jsonl and events/; a context manager."""

    def __init__(self, run: RunDir):
        self.run, self.board, self.start = run, Board(run), time.monotonic()

    def __enter__(self) -> 'Events':
        return self

    def __exit__(self, *_: Any) -> None:
        self.board.close()

    def metrics(self, chunk: Chunk, seed: int) -> None:
        """A row per seed, each metric the mean over the chunk; the events hold the mean over seeds."""
        seconds = round(time.monotonic() - self.start, 3)
        count = len(next(iter(chunk.info.values())))
        self.run.append(
            'metrics.jsonl',
            [
                {'step': chunk.step, 'seed': seed + s}
                | {k: number(v[s]) for k, v in chunk.info.items()}
                | {'seconds': seconds}
                for s in range(count)
            ],
        )
        self.board.write({name: float(values.mean()) for name, values in chunk.info.items()}, chunk.step)

    def episodes(self, rows: list[dict[str, Any]], step: int) -> None:
        """A row per episode; the events hold the means."""
        self.run.append('eval.jsonl', rows)
        names = [name for name in ('return', 'length', 'success') if name in rows[0]]
        self.board.write({f'eval/{name}': float(np.mean([row[name] for row in rows])) for name in names}, step)


class Board:
    """Scalars for TensorBoard. They are written a second time in plain files, so their loss stops no run.

    Written at once: the queue of tensorboardX's own SummaryWriter blocks for ever once its thread met a full disk.
    """

    def __init__(self, run: RunDir):
        # here, because they take longer to import than to write
        from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboardX.record_writer import RecordWriter
        from tensorboardX.summary import scalar

        self.run, self.scalar, self.event = run, scalar, Event
        self.file: Any = None
        with self.careful():
            (run.path / 'events').mkdir(exist_ok=True)
            self.file = RecordWriter(str(run.path / 'events' / f'events.out.tfevents.{time.time_ns()}.{os.getpid()}'))
            self.file.write(Event(wall_time=time.time(), file_version='brain.Event:2').SerializeToString())

    def write(self, values: dict[str, float], step: int) -> None:
        """One value per name, to be seen at `step`."""
        if self.file is None:
            return
        with self.careful():
            for name, value in values.items():
                event = self.event(wall_time=time.time(), step=step, summary=self.scalar(name, value))
                self.file.write(event.SerializeToString())
            self.file.flush()

    def close(self) -> None:
        """Nothing is written any more."""
        if self.file is not None:
            with self.careful():
                self.file.close()

    @contextmanager
    def careful(self) -> Iterator[None]:
        """After a failure nothing more is written; a line of the log says why."""
        try:
            yield
        except OSError as error:
            broken, self.file = self.file, None
            with suppress(StitchError):
                self.run.note(f'TensorBoard events: {reason(error)}; metrics.jsonl and eval.jsonl go on')
            with suppress(OSError):  # what it could not write it tries once more
                if broken is not None:
                    broken.close()


def number(value: Any) -> float | str:
    """JSON has no NaN and no infinity; they are written as words."""
    return float(value) if np.isfinite(value) else str(float(value))

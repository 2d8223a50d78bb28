"""What a run says of itself: JSONL for machines and students, TensorBoard events for curves."""

import time
from typing import Any

import numpy as np

from stitchrl.loops.offline import Chunk
from stitchrl.runs.directory import RunDir


class Events:
    """Writes metrics.jsonl, eval.jsonl and events/; a context manager."""

    def __init__(self, run: RunDir):
        from tensorboardX import SummaryWriter  # here, because it takes longer to import than to write

        self.run, self.board, self.start = run, SummaryWriter(str(run.path / 'events')), time.monotonic()

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
        for name, values in chunk.info.items():
            self.board.add_scalar(name, float(values.mean()), chunk.step)

    def episodes(self, rows: list[dict[str, Any]], step: int) -> None:
        """A row per episode; the events hold the means."""
        self.run.append('eval.jsonl', rows)
        for name in ('return', 'length', 'success'):
            if name in rows[0]:
                self.board.add_scalar(f'eval/{name}', float(np.mean([row[name] for row in rows])), step)


def number(value: Any) -> float | str:
    """JSON has no NaN and no infinity; they are written as words."""
    return float(value) if np.isfinite(value) else str(float(value))

"""What training reads from a recording that stays on the disk: blocks, shuffled and read ahead by Grain's threads.

What is in the buffer at update t follows from the seed and t alone. A run that is resumed reads the same blocks again,
so no checkpoint holds any of them.
"""

from typing import Any

import jax
import numpy as np

from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.data.dataset import Dataset
from stitchrl.data.layout import Rows
from stitchrl.data.shuffle import Shuffle, padded, put
from stitchrl.data.survey import OnDisk
from stitchrl.errors import MissingExtra, UsageError
from stitchrl.loops.settings import Settings

THREADS = 2  # that read
AHEAD = 32, 2**27  # blocks, and bytes, that they may be ahead; at least as many blocks as threads
TURNOVER = 8  # at least so many stretches of updates until the whole buffer is another one


class Inward:
    """The source that Grain asks: block i in the agent's units, filled up to one size for all."""

    def __init__(self, data: OnDisk, boundary: Boundary):
        self.data, self.boundary = data, boundary

    def __len__(self) -> int:
        return len(self.data.blocks)

    def __getitem__(self, index: int) -> tuple[Rows, Any]:
        found = self.boundary.inward(Dataset(*self.data.blocks[index], spec=self.data.spec))
        rows = Rows(found.obs, found.action, found.reward, found.mask, found.ends, found.starts)
        return padded(rows, self.data.rows)


class Reading:
    """The shuffle buffer of a run as it is at any update."""

    def __init__(self, data: OnDisk, boundary: Boundary, batch: int, buffer_rows: int, seed: int, chunk: int):
        """`batch`: rows that an agent draws for an update; `chunk`: updates in a row that nothing may come between.
        MissingExtra without Grain."""
        self.data, self.batch, self.block = data, batch, data.blocks.size
        self.slots = min(-(-buffer_rows // self.block), len(data.blocks))
        self.whole = self.slots == len(data.blocks)  # the buffer holds all of it, nothing is read again
        most = max(self.slots * self.block // (TURNOVER * batch), 1)
        self.every = chunk if self.whole else max(n for n in range(1, min(chunk, most) + 1) if chunk % n == 0)
        self.order = shuffled(Inward(data, boundary), seed)
        self.source: Any = None
        self.buffer: Any = None  # a Shuffle, made when it is asked for
        self.taken = 0

    @property
    def bytes(self) -> int:
        """That the buffer takes."""
        buffer = jax.eval_shape(lambda: Shuffle.create(self.data.spec, self.slots, self.data.rows))
        return sum(int(np.prod(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(buffer))

    def due(self, t: int) -> int:
        """Blocks that have come in by update t; they come in before updates 0, `every`, 2 `every`, ..."""
        return self.slots if self.whole else self.slots + t // self.every * self.every * self.batch // self.block

    def at(self, t: int) -> Any:
        """The buffer, a Shuffle, at update t. The one that was given before is gone, it has become this one."""
        due = self.due(t)
        if self.buffer is None:
            self.buffer = Shuffle.create(self.data.spec, self.slots, self.data.rows)
        if self.source is None or not self.taken <= due <= self.taken + self.slots:
            self.start(due - self.slots)
        assert self.source is not None
        while self.taken < due:
            rows, count = next(self.source)
            self.buffer = put(self.buffer, rows, count, np.int32(self.taken % self.slots))
            self.taken += 1
        return self.buffer

    def start(self, first: int) -> None:
        """Read from block number `first` of the order on."""
        from grain import ReadOptions

        self.close()
        ahead = max(THREADS, min(AHEAD[0], AHEAD[1] // max(self.data.blocks.bytes, 1)))
        self.source = iter(self.order.to_iter_dataset(ReadOptions(num_threads=THREADS, prefetch_buffer_size=ahead)))
        self.source.set_state({'next_index': first})
        self.taken = first

    def close(self) -> None:
        """Stop the threads that read ahead."""
        if self.source is not None:
            self.source.close()
            self.source = None


def shuffled(source: Inward, seed: int) -> Any:
    """Grain's view of the source, without end: every epoch in another order."""
    try:
        from grain import MapDataset
    except ImportError as error:
        raise MissingExtra('--stream reads with Grain; install it with: pip install "stitchrl[stream]"') from error
    return MapDataset.source(source).shuffle(seed=seed % 2**32).repeat()


def admit(name: str, algo: type[Agent], cfg: Any, settings: Settings) -> None:
    """UsageError for what a recording that is read in parts cannot give."""
    for asked, what in (
        (not algo.in_parts(cfg), f'{name} with these settings chooses or labels steps by looking at all'),
        (settings.holdout, 'holdout keeps back whole episodes at random'),
        (settings.shuffle_rewards, 'shuffle_rewards permutes them over all steps'),
        (settings.online_steps, 'learning online mixes the recording with rings'),
    ):
        if asked:
            raise UsageError(f'{what}, for which the whole recording must be in memory; leave --stream out')
    if settings.buffer_rows < 1:
        raise UsageError(f'buffer_rows is {settings.buffer_rows}; expected at least 1, a million for a good shuffle')

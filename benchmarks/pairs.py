"""Two processes that are timed in turn: what the benchmarks beside other libraries share."""

import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

REST = 0.3  # seconds for the other side's threads to fall asleep


class Worker:
    """A process of one side, asked over a pipe."""

    def __init__(self, python: str, script: Path, side: str):
        self.errors = tempfile.TemporaryFile('w+')  # noqa: SIM115 - lives as long as the process
        command = [python, str(script), side]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self.errors, text=True)
        self.about = self.answer()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer."""
        self.process.stdin.write(json.dumps(request) + '\n')
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        if line := self.process.stdout.readline():
            return json.loads(line)
        self.errors.seek(0)
        raise SystemExit(f'{" ".join(self.process.args)} stopped:\n{self.errors.read()[-2000:]}')

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def measure(tasks: tuple[str, str], workers: tuple[Worker, Worker], rounds: int, seconds: float) -> dict[str, Any]:
    """Rates of both sides at their tasks in turn, who begins changing from round to round, and their ratios."""
    ready = [worker.ask(algo=task)['seconds'] for worker, task in zip(workers, tasks, strict=True)]
    pairs = []
    for i in range(rounds):
        rates = [0.0, 0.0]
        for side in (0, 1) if i % 2 == 0 else (1, 0):
            time.sleep(REST)
            done = workers[side].ask(seconds=seconds)
            rates[side] = done['updates'] / done['seconds']
        pairs.append(rates)
    ratios = [a / b for a, b in pairs]
    medians = [statistics.median(rates) for rates in zip(*pairs, strict=True)]
    return {
        'ours_updates_per_s': medians[0],
        'theirs_updates_per_s': medians[1],
        'ratio': {'median': statistics.median(ratios), 'min': min(ratios), 'max': max(ratios)},
        'ready_s': {'ours': ready[0], 'theirs': ready[1]},
        'pairs': pairs,
    }

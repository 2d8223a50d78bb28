import os
import signal
import subprocess
import sys

import pytest

from stitchrl.errors import UsageError
from stitchrl.runs.lock import Lock, held

HOLDER = """
import sys
from pathlib import Path
from stitchrl.runs.lock import Lock
lock = Lock(Path(sys.argv[1]))
print('held', flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, '-c', HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == 'held\n'
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_another_process_is_named(tmp_path, holder):
    assert held(tmp_path)
    with pytest.raises(UsageError, match=f'process {holder.pid} of {os.uname().nodename} is writing this run'):
        Lock(tmp_path)


def test_a_killed_process_holds_nothing(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not held(tmp_path)
    Lock(tmp_path)


def test_it_is_kept_as_long_as_somebody_keeps_it(tmp_path):
    assert not held(tmp_path)
    lock = Lock(tmp_path)
    assert held(tmp_path)
    with pytest.raises(UsageError, match=f'process {os.getpid()} '):
        Lock(tmp_path)
    del lock
    assert not held(tmp_path)
    Lock(tmp_path).release()


def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(95, 'Operation not supported')

    monkeypatch.setattr('fcntl.flock', unsupported)
    Lock(tmp_path)
    assert not held(tmp_path)

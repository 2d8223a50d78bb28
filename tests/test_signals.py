"""Ctrl-C and a polite kill are heard, not obeyed at once; the second one is."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from stitchrl.errors import StitchError
from stitchrl.runs.signals import Stop

BOTH = pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])


@pytest.fixture(autouse=True)
def handlers():
    """What held before holds after, whatever a test does."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield before
    assert {number: signal.getsignal(number) for number in before} == before


@BOTH
def test_one_signal_is_noted_and_work_goes_on(number):
    with Stop() as stop:
        assert not stop.asked
        os.kill(os.getpid(), number)
        assert stop.asked == number
    error = stop.error('saved after update 40')
    assert isinstance(error, StitchError)
    assert error.code == 128 + number
    assert str(error) == f'{signal.Signals(number).name}: saved after update 40'


@BOTH
@pytest.mark.parametrize('second', [signal.SIGINT, signal.SIGTERM])
def test_a_second_one_ends_at_once(number, second):
    with Stop() as stop:
        os.kill(os.getpid(), number)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), second)
    assert stop.asked == number


def test_the_former_handlers_come_back_after_an_error(handlers):
    def fail():
        with Stop():
            assert signal.getsignal(signal.SIGINT) != handlers[signal.SIGINT]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert signal.getsignal(signal.SIGINT) == handlers[signal.SIGINT]


def test_in_another_thread_signals_are_left_alone(handlers):
    seen = []

    def work():
        with Stop() as stop:
            seen.append((stop.asked, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(0, handlers[signal.SIGINT])]


LEAVING = """
import atexit, os, sys
from stitchrl import cli
from stitchrl.runs.signals import AtOnce

def fail(argv):
    print('so far', end='')
    raise AtOnce if argv == ['second'] else KeyboardInterrupt

atexit.register(lambda: print(', then the end', end='', flush=True) or os._exit(7))
cli.run = fail
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(('which', 'code', 'printed'), [('second', 130, ''), ('first', 7, ', then the end')])
def test_after_a_second_one_nothing_comes_between_the_last_word_and_the_end(which, code, printed):
    """Python's own end, which waits for other threads and clears up under them, is left out."""
    command = [sys.executable, '-c', LEAVING, which]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, f'so far{printed}', 'stitch: stopped\n')

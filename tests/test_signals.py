"""Ctrl-C and a polite kill are heard, not obeyed at once; the second one is."""

import os
import signal
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

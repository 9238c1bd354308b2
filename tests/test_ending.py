"""How a command ends when it is told to stop."""

import gc
import os
import signal
import time

import pytest

from scorefield.ending import ending


class Killed:
    """Is told to stop in its finalizer, where Python ignores what is raised."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)
        time.sleep(0.001)


def in_a_finalizer(number: int) -> None:
    Killed(number)
    time.sleep(5)


def in_a_callback_of_the_garbage_collector(number: int) -> None:
    calls = [0]

    def callback(phase, info):
        calls[0] += 1
        if calls[0] == 1:
            Killed(number).__del__()

    gc.callbacks.append(callback)
    try:
        gc.collect()
        time.sleep(5)
    finally:
        gc.callbacks.remove(callback)


@pytest.fixture(autouse=True)
def _interrupts_are_not_ignored():
    """Whatever started the tests: a shell has its background jobs ignore Ctrl-C."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("told", [in_a_finalizer, in_a_callback_of_the_garbage_collector])
def test_a_signal_ends_a_command_wherever_it_comes(number, code, told, capsys):
    with pytest.raises(SystemExit) as stop, ending():
        told(number)
    assert stop.value.code == code
    assert capsys.readouterr().err == "interrupted; nothing was written\n"

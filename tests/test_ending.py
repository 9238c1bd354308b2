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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("where", ["a finalizer", "a callback of the garbage collector"])
def test_a_signal_ends_a_command_wherever_it_comes(number, code, where, capsys):
    told = False

    def callback(phase, info):
        nonlocal told
        if not told:
            told = True
            Killed(number).__del__()

    with pytest.raises(SystemExit) as stop, ending():
        if where == "a finalizer":
            Killed(number)
        else:
            gc.callbacks.append(callback)
            gc.collect()
            gc.callbacks.remove(callback)
        time.sleep(5)
    assert stop.value.code == code
    assert capsys.readouterr().err == "interrupted; nothing was written\n"

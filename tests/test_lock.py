import subprocess
import sys

import pytest

from scorefield.errors import InputError
from scorefield.lock import locked

HOLD = (
    "import pathlib, sys; from scorefield.lock import locked\nwith locked(pathlib.Path(sys.argv[1])): print(); input()"
)


def test_a_folder_is_held_by_one_at_a_time_and_left_as_it_was(tmp_path):
    for _ in range(2):
        with locked(tmp_path):
            with pytest.raises(InputError, match="in use by another process"), locked(tmp_path):
                pass
            with pytest.raises(InputError, match="in use by another process"), locked(tmp_path):
                pass
        assert not list(tmp_path.iterdir())


def test_another_process_is_refused_until_the_first_is_killed(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(InputError, match="in use by another process"), locked(tmp_path):
        pass
    holder.kill()
    holder.wait()
    with locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no such file"), locked(tmp_path / "missing"):
        pass

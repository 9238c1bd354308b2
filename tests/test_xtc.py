"""What an XTC file states of itself is checked before mdtraj, which hangs on some of it, sees the file."""

import struct

import mdtraj
import numpy as np
import pytest

from scorefield.xtc import check_xtc


def written(path, n_atoms, n_frames=3):
    x = np.cumsum(np.random.default_rng(0).normal(0, 0.1, (n_frames, n_atoms, 3)), axis=1).astype(np.float32)
    with mdtraj.formats.XTCTrajectoryFile(str(path), "w") as file:
        file.write(x, time=np.arange(n_frames, dtype=np.float32), step=np.arange(n_frames, dtype=np.int32))
    return bytearray(path.read_bytes())


@pytest.mark.parametrize("n_atoms", [1, 9, 10, 200])
def test_what_mdtraj_writes_is_right_and_a_piece_of_it_is_not(tmp_path, n_atoms):
    path = tmp_path / "some.xtc"
    content = written(path, n_atoms)
    check_xtc(path)
    for end in (len(content) - 1, len(content) // 2, 30):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match="cut short"):
            check_xtc(path)
    path.write_bytes(content + b"torn")
    with pytest.raises(ValueError, match="frame 3"):
        check_xtc(path)
    path.write_bytes(content + written(tmp_path / "other.xtc", 11))
    with pytest.raises(ValueError, match="another size"):
        check_xtc(path)


@pytest.mark.parametrize(
    ("at", "value"),
    [(88, -92), (88, -4), (88, 0), (88, 2**31 - 1), (4, -1), (4, 2**31 - 1), (52, 10), (84, 73), (84, -1), (0, 1994)],
)
def test_sizes_that_lead_nowhere_are_found(tmp_path, at, value):
    """The first one sends mdtraj round in a circle for ever; others end the process."""
    path = tmp_path / "bad.xtc"
    content = written(path, 20)
    struct.pack_into(">i", content, at, value)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="frame 0"):
        check_xtc(path)

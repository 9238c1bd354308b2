"""XTC files, looked at before mdtraj reads them: its C code goes by the sizes they state, and hangs or dies on wrong ones.

A frame, big-endian: magic number, atoms, step, time, cell (9 floats), atoms again; of up to 9 atoms their positions; of more
the precision, least and greatest integers, an index of the coder's table, and how many bytes follow, filled up to fours.
"""

import struct
from pathlib import Path

_HEAD = struct.Struct(">ii4xf36xi")
_CODED = struct.Struct(">f3i3iii")
_MAGIC, _PLAIN_ATOMS = 1995, 9
_TABLE = range(9, 73)  # of the coder's small integers


def check_xtc(path: Path) -> None:
    """Raise ValueError, with the number of the frame, unless the file is whole frames of one number of atoms."""
    size, at, frame, n_atoms = path.stat().st_size, 0, 0, None
    with open(path, "rb") as file:
        while at < size:
            file.seek(at)
            try:
                length, n = _frame(file.read(_HEAD.size + _CODED.size))
            except (ValueError, struct.error):
                raise ValueError(f"frame {frame} (counted from 0) is damaged or cut short") from None
            if n_atoms not in (None, n) or at + length > size:
                raise ValueError(f"frame {frame} (counted from 0) is of another size or cut short")
            at, frame, n_atoms = at + length, frame + 1, n


def _frame(head: bytes) -> tuple[int, int]:
    """Bytes and atoms of the frame that begins so. Raises ValueError or struct.error if none can."""
    magic, n_atoms, _, again = _HEAD.unpack_from(head)
    if magic != _MAGIC or n_atoms <= 0 or again != n_atoms:
        raise ValueError
    if n_atoms <= _PLAIN_ATOMS:
        return _HEAD.size + 12 * n_atoms, n_atoms
    precision, *corners, index, n_bytes = _CODED.unpack_from(head, _HEAD.size)
    if (
        not precision > 0
        or index not in _TABLE
        or n_bytes <= 0
        or any(a > b for a, b in zip(corners[:3], corners[3:], strict=True))
    ):
        raise ValueError
    return _HEAD.size + _CODED.size + (n_bytes + 3) // 4 * 4, n_atoms

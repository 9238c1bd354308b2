"""TRR frames (GROMACS): float32 positions in nm and forces in kJ/mol/nm, with their times in ps.

Written here because every frame has the same number of bytes: a file that a kill left with half a frame is cut back to
whole ones exactly, and appended to. No library at hand appends to a TRR, and only TRR has both times and forces.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from .errors import InputError
from .storage import explain_os_errors

_MAGIC, _NAME, _BOX = 1993, b"GMX_trn_file", 36
_HEADER = struct.Struct(f">3i{len(_NAME)}s13i")  # then time and lambda, in the precision of the rest


def frame_bytes(n_atoms: int, forces: bool) -> int:
    """Bytes of one frame."""
    return len(_header(n_atoms, 0, 0.0, forces)) + _BOX + 12 * n_atoms * (2 if forces else 1)


def _header(n_atoms: int, step: int, time: float, forces: bool) -> bytes:
    size = 12 * n_atoms
    sizes = (0, 0, _BOX, 0, 0, 0, 0, size, 0, size if forces else 0, n_atoms, step, 0)
    return struct.pack(f">3i{len(_NAME)}s13i2f", _MAGIC, len(_NAME) + 1, len(_NAME), _NAME, *sizes, time, 0.0)


def append_frames(
    path: Path,
    positions: Float[np.ndarray, "f a 3"],
    forces: Float[np.ndarray, "f a 3"] | None,
    first: int,
    interval: float,
) -> None:
    """Add frames at the end of `path` and wait until the disk has them; frame k (from 0) has the time (k + 1) `interval`.

    `first` is the number of frames there. Raises InputError if the disk does not take them.
    """
    with explain_os_errors(path), open(path, "ab") as file:
        for k, x in enumerate(positions):
            number = first + k + 1
            file.write(_header(x.shape[0], min(number, 2**31 - 1), number * interval, forces is not None))
            file.write(bytes(_BOX))
            file.write(x.astype(">f4").tobytes())
            if forces is not None:
                file.write(forces[k].astype(">f4").tobytes())
        file.flush()
        os.fsync(file.fileno())


def cut_back(path: Path, frames: int, n_atoms: int, forces: bool) -> None:
    """Leave the first `frames` frames of `path`. Raises InputError if it has fewer, or cannot be written."""
    size = frames * frame_bytes(n_atoms, forces)
    with explain_os_errors(path):
        if path.stat().st_size < size:
            raise InputError(f"{path} has lost frames since it was written: {frames} should be there; start anew")
        os.truncate(path, size)


def read_forces(path: Path, n_atoms: int, stride: int = 1) -> Iterator[Float[np.ndarray, "a 3"]]:
    """The forces of every `stride`-th frame, kJ/mol/nm; files of GROMACS too, single or double precision.

    Raises InputError if the file is no TRR, is cut short, holds other atoms, or a frame has no forces.
    """
    with explain_os_errors(path), open(path, "rb") as file:
        number = 0
        while head := file.read(_HEADER.size):
            sizes = _sizes(path, head, n_atoms)
            real = sizes[7] // (3 * n_atoms) if sizes[7] else sizes[9] // (3 * n_atoms)
            size = 2 * real + sum(sizes[:10])
            body = file.read(size)
            if len(body) != size:
                raise InputError(f"{path} is cut short in frame {number} (counted from 0); copy it again")
            if number % stride == 0:
                f = np.frombuffer(body[size - sizes[9] :], f">f{real}")
                yield f.reshape(n_atoms, 3).astype(float)
            number += 1


def _sizes(path: Path, head: bytes, n_atoms: int) -> tuple[int, ...]:
    """The 13 numbers of a frame's header: sizes of its parts in bytes, atoms, step."""
    if len(head) < _HEADER.size or _HEADER.unpack(head)[:4] != (_MAGIC, len(_NAME) + 1, len(_NAME), _NAME):
        raise InputError(f"{path} is not a TRR file, or cut short: forces are read from TRR files only")
    sizes = _HEADER.unpack(head)[4:]
    if sizes[10] != n_atoms:
        raise InputError(f"{path} holds {sizes[10]} atoms, but the topology has {n_atoms}")
    if not sizes[9]:
        raise InputError(f"{path} holds a frame without forces; simulate with --forces, or prepare without")
    return sizes

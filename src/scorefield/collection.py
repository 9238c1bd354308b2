"""A folder of trajectories as it was delivered: pieces of one trajectory in numbered files, and a PDB.

D. E. Shaw Research deliver NAME/NAME-000.dcd, NAME-001.dcd ... with NAME.pdb and NAME_times.csv; strided copies are
named NAME-000_stride-50.dcd. A folder of files without numbers is one of independent chains.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .errors import InputError

_FORMATS = (".dcd", ".xtc", ".trr", ".nc", ".h5")
_NUMBERED = re.compile(r"(.+?)[-_](\d{2,})(?:[-_.]?stride[-_]?(\d+))?\.\w+")


class Collection(NamedTuple):
    """Trajectory files in order, their topology, whether they are consecutive `pieces` of one trajectory, and `notes`.

    `stride`: every so manieth frame is there, as the names of pieces say; None where they are no pieces, or disagree.
    """

    trajectories: list[Path]
    top: Path | None
    pieces: bool
    notes: list[str]
    stride: int | None = None


def gather(trajectories: Sequence[Path], top: Path | None) -> Collection:
    """The files to read: those given, or those of the one folder given.

    Raises InputError if a folder holds no trajectories, those of several trajectories, or no PDB of them.
    """
    if len(trajectories) != 1 or not trajectories[0].is_dir():
        return Collection(list(trajectories), top, False, [])
    folder = trajectories[0]
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in _FORMATS)
    if not found:
        raise InputError(f"folder {folder} holds no trajectories ({', '.join(_FORMATS)})")
    numbered = {path: match for path in found if (match := _NUMBERED.fullmatch(path.name))}
    top = top or _topology(folder)
    if len(numbered) < len(found):
        return Collection(found, top, False, [])
    names = sorted({match[1] for match in numbered.values()})
    if len(names) > 1:
        raise InputError(f"folder {folder} holds several trajectories ({', '.join(names)}); give the files of one")
    ordered = sorted(found, key=lambda path: int(numbered[path][2]))
    numbers = [int(numbered[path][2]) for path in ordered]
    if len(set(numbers)) < len(numbers):
        raise InputError(f"folder {folder} holds several files of one number; give the files that you mean")
    missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
    notes = [f"pieces {', '.join(map(str, missing))} of {names[0]} are missing"] if missing else []
    strides = {int(match[3] or 1) for match in numbered.values()}
    return Collection(ordered, top, len(ordered) > 1, notes, strides.pop() if len(strides) == 1 else None)


def _topology(folder: Path) -> Path:
    found = sorted(folder.glob("*.pdb"))
    if len(found) != 1:
        what = "no PDB" if not found else f"several PDB files ({', '.join(path.name for path in found)})"
        raise InputError(f"folder {folder} holds {what}; give the topology with --top")
    return found[0]

"""What is done of a simulation, in memory and on disk: state.json and state-N.safetensors.

The JSON is replaced by rename after the arrays are whole and names them, so a kill at any moment leaves a state to go on
from. It holds what the simulation was begun with: going on with anything else is refused.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, UInt32

from .errors import InputError
from .molecule import Molecule
from .replicas import AnyState
from .storage import describe, read_json, reading, sha256, write_json
from .tensors import load_arrays, save_arrays


class Loss(NamedTuple):
    """A replica that was lost: its number, the frame that was not intact (from 0), its time in ps, and why."""

    replica: int
    frame: int
    time_ps: float
    why: str

    def words(self) -> str:
        """One sentence."""
        return f"replica {self.replica} was lost at {self.time_ps:g} ps: {self.why}"


class Record(NamedTuple):
    """`frames` of every replica that is not lost, `state` after them, and of each replica: its frames (`lengths`);

    `checksums` (CRC-32) of its part of each array; frames, bytes and checksum of its XTC file (`xtc`, which is changed in
    place). `seconds` of simulation so far.
    """

    frames: int
    state: AnyState
    lengths: Int[np.ndarray, " r"]
    checksums: dict[str, UInt32[np.ndarray, " r"]]
    xtc: Int[np.ndarray, "r 3"]
    losses: tuple[Loss, ...] = ()
    seconds: float = 0.0

    @staticmethod
    def at_start(state: AnyState, arrays: Sequence[str]) -> "Record":
        """Before the first frame."""
        n = len(state.x)
        checksums = {name: np.zeros(n, np.uint32) for name in arrays}
        return Record(0, state, np.zeros(n, np.int64), checksums, np.zeros((n, 3), np.int64))

    @property
    def alive(self) -> Bool[np.ndarray, " r"]:
        """Which replicas are not lost."""
        return self.lengths == self.frames


def write_record(folder: Path, record: Record, settings: dict[str, Any], interval: float, molecule: Molecule) -> None:
    """Replace the record in `folder`; the arrays of the one before are removed."""
    # what a lost replica has become is not a number, perhaps
    held = jax.tree.map(
        lambda a: np.where(record.alive[(..., *[None] * (a.ndim - 1))], a, np.zeros_like(a)), record.state
    )
    arrays = {f"state {key}": value for key, value in held._asdict().items()}
    arrays |= {"lengths": record.lengths, "xtc": record.xtc}
    arrays |= {f"checksum {key}": value for key, value in record.checksums.items()}
    path = folder / f"state-{record.frames}.safetensors"
    save_arrays(path, arrays)
    content = describe(
        "state",
        molecule=molecule.to_json(),
        settings=settings,
        frames=record.frames,
        time_ps=record.frames * interval,
        seconds=round(record.seconds, 1),
        lost=[loss._asdict() for loss in record.losses],
        arrays=path.name,
        sha256=sha256(path),
    )
    write_json(folder / "state.json", content)
    for old in folder.glob("state-*.safetensors"):
        if old != path:
            old.unlink()


def read_record(folder: Path, settings: dict[str, Any], like: AnyState, arrays: Sequence[str]) -> Record:
    """The record in `folder` of a state of the shapes and types of `like`, and the files `arrays`.

    Raises InputError if it is missing or damaged, or the simulation was begun with other `settings`.
    """
    file = folder / "state.json"
    found = read_json(file, "state")
    with reading(file):
        _compare(folder, dict(found["settings"]), settings)
        name, digest, seconds = str(found["arrays"]), str(found["sha256"]), float(found["seconds"])
        frames, losses = int(found["frames"]), tuple(Loss(**loss) for loss in found["lost"])
        if not re.fullmatch(r"state-\d+\.safetensors", name) or not 0 <= seconds < float("inf"):
            raise ValueError(f"{seconds} seconds, {name!r}")
    held = _load(folder / name, like, arrays)
    if sha256(folder / name) != digest:
        raise InputError(f"{folder / name} has changed since it was written (sha256 differs); simulate anew")
    lengths = held["lengths"]
    if lengths.min() < 0 or lengths.max() > frames or (lengths < frames).sum() != len(losses):
        raise InputError(f"{folder / name} does not fit state.json; simulate anew")
    state = type(like)(*(jnp.asarray(held[f"state {key}"]) for key in like._fields))
    checksums = {key: held[f"checksum {key}"] for key in arrays}
    return Record(frames, state, lengths, checksums, held["xtc"], losses, seconds)


def block_of(folder: Path) -> int | None:
    """The size of the blocks of the simulation in `folder`, None if there is none. Raises InputError if it is damaged."""
    if not (folder / "state.json").exists():
        return None
    found = read_json(folder / "state.json", "state")
    with reading(folder / "state.json"):
        if (size := int(found["settings"]["block"])) < 1:
            raise ValueError(f"blocks of {size}")
        return size


def _compare(folder: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    ours = json.loads(json.dumps(ours))
    for key in [*ours, *theirs]:
        there, here = theirs.get(key), ours.get(key)
        if there != here:
            what = f"another {key}" if len(f"{there}{here}") > 100 else f"{key} = {there}, not {here}"
            raise InputError(f"{folder} was begun with {what}; give the same or choose another -o")


def _load(path: Path, like: AnyState, arrays: Sequence[str]) -> dict[str, np.ndarray]:
    n = len(like.x)
    wanted: dict[str, Any] = {f"state {key}": value for key, value in like._asdict().items()}
    wanted |= {"lengths": np.empty(n, np.int64), "xtc": np.empty((n, 3), np.int64)}
    wanted |= {f"checksum {key}": np.empty(n, np.uint32) for key in arrays}
    return load_arrays(path, wanted)

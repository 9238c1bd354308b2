"""All-atom trajectories, read chunk by chunk and mapped to beads: molecules whole, centred, finite."""

import contextlib
import ctypes
import os
import re
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import mdtraj
import numpy as np
from jaxtyping import Float, Int

from .errors import InputError
from .mapping import BOND_RANGES, BeadMap
from .xtc import check_xtc

CARRIES_TOPOLOGY = {".pdb", ".pdb.gz", ".h5", ".hdf5", ".lh5", ".gro", ".cif", ".cif.gz", ".mmcif", ".pdbx", ".arc"}
_TOPOLOGIES = {".prmtop", ".parm7", ".prm7", ".psf", ".mol2", ".hoomdxml", ".gsd", ".pdbx.gz", ".mmcif.gz"}
STORES_TIMES = {".xtc", ".trr", ".nc", ".ncdf", ".netcdf", ".h5", ".hdf5", ".lh5", ".gro"}

_NUMBERS_PER_CHUNK = 2**24  # coordinates held at once where the user does not say
_ATOM_BOND_RANGE = (0.07, 0.30)  # nm, the median bond between atoms; outside it the unit or the atom order is wrong
_OTHER_ATOMS = re.compile(r"shape \(Any, (\d+), 3\)\. You supplied \(\d+, (\d+), 3\)")  # in mdtraj's words


class Chunk(NamedTuple):
    """Consecutive frames: bead `positions` (nm, centred), `times` as stored, raw frames read from the file `so_far`."""

    positions: Float[np.ndarray, "f n 3"]
    times: Float[np.ndarray, " f"]
    so_far: int


def extension(path: Path) -> str:
    """The file format, as its lower-case extension (".pdb.gz" counts as one)."""
    return "".join(path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:]).lower()


def load_topology(top: Path | None, trajectory: Path) -> mdtraj.Topology:
    """The topology in `top`, or else in `trajectory` itself. Raises InputError if there is none or it is unreadable."""
    path = top or trajectory
    if top is None and extension(trajectory) not in CARRIES_TOPOLOGY:
        raise InputError(
            f"{trajectory.name} holds coordinates only; give its topology with --top (a PDB, PRMTOP, PSF, GRO)"
        )
    if top is not None and extension(top) not in (*CARRIES_TOPOLOGY, *_TOPOLOGIES):
        raise InputError(f"{top.name} holds no topology; give --top a PDB, mmCIF, PRMTOP, PSF or GRO file")
    with _explained(path):
        return cast(mdtraj.Topology, mdtraj.load_topology(str(path)))


def load_structure(path: Path) -> tuple[mdtraj.Topology, Float[np.ndarray, "a 3"]]:
    """Topology and positions (nm) of the first frame in a structure file. Raises InputError if it is unreadable."""
    if extension(path) not in CARRIES_TOPOLOGY:
        raise InputError(f"{path.name} is not a structure: give a PDB, mmCIF or GRO file")
    with _explained(path):
        first = next(mdtraj.iterload(str(path), chunk=1))
        return first.topology, np.asarray(first.xyz[0], float)


def first_frame(path: Path, topology: mdtraj.Topology) -> Float[np.ndarray, "a 3"] | None:
    """All atoms of the first frame (nm), None if there is none or not of these atoms. Raises InputError if unreadable."""
    with _explained(path):
        _check_sizes(path)
        given = {} if extension(path) in CARRIES_TOPOLOGY else {"top": topology}
        first = next(mdtraj.iterload(str(path), chunk=1, **given), None)
        same = first is not None and first.xyz.shape[1] == topology.n_atoms
        return np.asarray(first.xyz[0], float) if first is not None and same else None


def bead_chunks(
    path: Path, topology: mdtraj.Topology, beads: BeadMap, stride: int = 1, chunk: int | None = None
) -> Iterator[Chunk]:
    """Every `stride`-th frame of a trajectory as beads, `chunk` raw frames at a time (None: what fits well in memory).

    Molecules are made whole where the file has a unit cell. Raises InputError, naming file and frame, if the file is
    missing, damaged or of other atoms, or holds coordinates that are not finite or cannot be nm.
    """
    size = chunk or max(1, min(1000, _NUMBERS_PER_CHUNK // (3 * topology.n_atoms)))
    so_far = 0
    for piece in _pieces(path, topology, beads, size):
        keep = np.arange(-so_far % stride, len(piece), stride)
        x = np.asarray(piece.xyz)[keep].astype(float)
        _check_finite(path, x, so_far + keep)
        x = make_whole(x, _cells(piece, keep), beads.walk.steps)
        if so_far == 0:
            _check_bonds(path, x, topology, beads)
        mapped = beads(x)
        so_far += len(piece)
        yield Chunk(
            (mapped - mapped.mean(axis=1, keepdims=True)).astype(np.float32), np.asarray(piece.time)[keep], so_far
        )
    _check_complete(path, so_far)


def make_whole(
    x: Float[np.ndarray, "f a 3"], cells: Float[np.ndarray, "f 3 3"] | None, steps: Int[np.ndarray, "s 2"]
) -> Float[np.ndarray, "f a 3"]:
    """Move atoms by whole lattice vectors so that every step (from, to) is its shortest image.

    `cells` holds lattice vectors as rows in nm; None, or an empty cell of one frame, changes nothing. Right for any
    shape of cell as long as steps are short (bonds); a step between molecules must be shorter than half the cell.
    """
    if cells is None or len(x) == 0:
        return x
    finite = np.asarray(np.isfinite(cells).all(axis=(1, 2)))
    cells = np.where(finite[:, None, None], cells, 0.0)
    periodic = np.asarray(np.abs(np.linalg.det(cells)) > 1e-6)
    cells = np.where(periodic[:, None, None], cells, np.eye(3) * 1e9)
    along = np.einsum("fsi,fij->fsj", x[:, steps[:, 1]] - x[:, steps[:, 0]], np.linalg.inv(cells))
    jumps = np.rint(along)
    if not jumps.any():
        return x
    shifts = np.zeros(x.shape)
    for k, (start, end) in enumerate(steps):
        shifts[:, end] = shifts[:, start] + jumps[:, k]
    return x - shifts @ cells


def _cells(piece: mdtraj.Trajectory, keep: Int[np.ndarray, " f"]) -> Float[np.ndarray, "f 3 3"] | None:
    """Lattice vectors as rows, a along x, b in the xy plane (as mdtraj's own, which are checked frame by frame)."""
    if piece.unitcell_lengths is None or piece.unitcell_angles is None:
        return None
    lengths = piece.unitcell_lengths[keep].astype(float)
    alpha, beta, gamma = np.deg2rad(piece.unitcell_angles[keep].astype(float)).T
    cells = np.zeros((len(keep), 3, 3))
    with np.errstate(all="ignore"):  # an empty cell gives NaN, which make_whole takes for none
        cells[:, 0, 0] = 1.0
        cells[:, 1, 0], cells[:, 1, 1] = np.cos(gamma), np.sin(gamma)
        cells[:, 2, 0] = np.cos(beta)
        cells[:, 2, 1] = (np.cos(alpha) - np.cos(beta) * np.cos(gamma)) / np.sin(gamma)
        cells[:, 2, 2] = np.sqrt(1 - cells[:, 2, 0] ** 2 - cells[:, 2, 1] ** 2)
        return cells * lengths[:, :, None]


def _pieces(path: Path, topology: mdtraj.Topology, beads: BeadMap, size: int) -> Iterator[mdtraj.Trajectory]:
    """Chunks of the file, only the atoms that the map needs."""
    carries = extension(path) in CARRIES_TOPOLOGY
    with _explained(path):
        _check_sizes(path)
        if carries:
            source = mdtraj.iterload(str(path), chunk=size)
        else:  # with atom_indices mdtraj takes files of other atoms without a word, so look at one whole frame first
            first = next(mdtraj.iterload(str(path), chunk=1, top=topology), None)
            if first is not None and first.xyz.shape[1] != topology.n_atoms:
                raise InputError(_wrong_atoms(path, first.xyz.shape[1], topology.n_atoms))
            source = mdtraj.iterload(str(path), chunk=size, top=topology, atom_indices=beads.atoms)
    while True:
        with _explained(path):
            piece = next(source, None)
        if piece is None:
            return
        if carries:
            if _labels(piece.topology, beads.atoms) != _labels(topology, beads.atoms):
                raise InputError(_wrong_atoms(path, piece.n_atoms, topology.n_atoms))
            piece = piece.atom_slice(beads.atoms)
        yield piece


def _check_sizes(path: Path) -> None:
    if extension(path) == ".xtc":
        check_xtc(path)


def _labels(topology: mdtraj.Topology, atoms: Int[np.ndarray, " a"]) -> tuple[int, list[tuple[str, str]]]:
    if topology.n_atoms <= atoms[-1]:
        return topology.n_atoms, []
    chosen = [topology.atom(int(i)) for i in atoms]
    return topology.n_atoms, [(a.name, a.residue.name) for a in chosen]


def _wrong_atoms(path: Path, n_atoms: int | None, expected: int) -> str:
    held = "other atoms" if n_atoms in (None, expected) else f"{n_atoms} atoms"
    return (
        f"{path.name} holds {held}, but the topology has {expected}: residues or atoms are missing in one of them, or it is "
        "another molecule's; give the topology it was written with"
    )


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Whatever mdtraj raises on `path`, and whatever its C libraries print, as one InputError."""
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file")
    try:
        with _quiet():
            yield
    except InputError:
        raise
    except Exception as error:  # mdtraj and what it builds on raise nearly every kind on damaged files
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        if counts := _OTHER_ATOMS.search(reason):
            raise InputError(_wrong_atoms(path, int(counts[2]), int(counts[1]))) from None
        if "xyz must be shape" in reason or "same atoms" in reason:
            raise InputError(f"{path.name} does not hold the topology's atoms ({reason})") from None
        raise InputError(f"{path} is damaged, or not in a format that mdtraj reads ({reason})") from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop what C code prints (the DCD reader greets on stdout at every file) and mdtraj's warnings."""
    saved = [os.dup(1), os.dup(2)]
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        with contextlib.suppress(OSError, AttributeError, TypeError):
            ctypes.CDLL(None).fflush(None)  # C buffers its output: without this it would come out later
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in (*saved, sink):
            os.close(descriptor)


def _check_finite(path: Path, x: Float[np.ndarray, "f a 3"], frames: Int[np.ndarray, " f"]) -> None:
    bad = ~np.isfinite(x).all(axis=(1, 2))
    if bad.any():
        raise InputError(
            f"{path.name}: frame {frames[np.argmax(bad)]} (counted from 0) has coordinates that are NaN or infinite; "
            "cut the trajectory before it"
        )


def _check_bonds(path: Path, x: Float[np.ndarray, "f a 3"], topology: mdtraj.Topology, beads: BeadMap) -> None:
    steps = beads.walk.steps[beads.walk.along_bond]
    if not len(steps) or not len(x):
        return
    names = {topology.atom(int(beads.atoms[k])).name for k in steps.ravel()}
    expected = BOND_RANGES["ca"] if names == {"CA"} else _ATOM_BOND_RANGE  # bonds of a C-alpha trace join residues
    median = float(np.median(np.linalg.norm(x[:, steps[:, 1]] - x[:, steps[:, 0]], axis=2)))
    if not expected[0] <= median <= expected[1]:
        raise InputError(f"{path.name}: bonded atoms are {median:.3g} nm apart: {wrong_length(median, expected)}")


def wrong_length(length: float, expected: tuple[float, float]) -> str:
    """What a bond's length in nm outside the range `expected` speaks of: a unit, or atoms in another order."""
    least, most = expected
    if least <= length / 10 <= most:
        return "ten times too long; the unit seems to be Ångström where nm is meant (or it was converted twice)"
    if least <= length * 10 <= most:
        return "ten times too short; the unit seems to be nm where Ångström is meant (or it was converted twice)"
    return f"not {least:g}-{most:g}; the unit is wrong, or the atoms are not in the topology's order"


def _check_complete(path: Path, n_frames: int) -> None:
    """mdtraj reads a DCD that is cut short without a word; its header knows how many frames it should have."""
    if extension(path) != ".dcd":
        return
    with open(path, "rb") as file:
        head = file.read(16)
    marker = head.find(b"CORD")  # after a record length of 4 or 8 bytes, 84 in the file's byte order
    promised = struct.unpack("<i" if head[0] == 84 else ">i", head[marker + 4 : marker + 8])[0]
    if n_frames < promised:
        raise InputError(
            f"{path.name} is cut short: its header promises {promised} frames, it holds {n_frames}; copy it again, or "
            "write what there is to a new file (mdconvert)"
        )


def describe_atoms(beads: BeadMap) -> list[dict[str, Any]]:
    """The map as plain data, for a dataset's provenance."""
    return [
        {"atoms": list(b.atoms)} | ({"weights": [round(w, 8) for w in b.weights]} if len(b.atoms) > 1 else {})
        for b in beads.beads
    ]

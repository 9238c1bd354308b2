"""Beads in common file formats: mdtraj topologies, PDB, XTC. Beside `prepare` and its parts, all that uses mdtraj."""

import errno
import shutil
from pathlib import Path

import mdtraj
import numpy as np
from jaxtyping import Float
from mdtraj.formats import XTCTrajectoryFile

from .molecule import Molecule


def topology(molecule: Molecule) -> mdtraj.Topology:
    """The mdtraj topology of a coarse-grained molecule: one chain, one atom a bead."""
    top = mdtraj.Topology()
    chain, residues = top.add_chain(), {}
    for name, of in zip(
        molecule.bead_names, zip(molecule.residue_names, molecule.residue_ids, strict=True), strict=True
    ):
        if of not in residues:
            residues[of] = top.add_residue(of[0], chain, of[1])
        residue = residues[of]
        # A bead is not an atom: viewers draw the element, so backbone beads keep theirs and all others are carbon.
        element = mdtraj.element.nitrogen if name == "N" else mdtraj.element.carbon
        top.add_atom(name, element, residue)
    atoms = list(top.atoms)
    for i, j in molecule.bonds:
        top.add_bond(atoms[i], atoms[j])
    return top


def write_pdb(path: Path, molecule: Molecule, x: Float[np.ndarray, "n 3"]) -> None:
    """One frame (nm) as a PDB file, with CONECT records."""
    mdtraj.Trajectory(np.asarray(x)[None], topology(molecule)).save_pdb(str(path))
    # mdtraj takes for granted that readers know an amino acid's bonds; they do not know those between beads.
    records = "".join(f"CONECT{i + 1:5d}{j + 1:5d}\n" for i, j in molecule.bonds)
    path.write_text(path.read_text().replace("END\n", f"{records}END\n"))


def write_xtc(path: Path, positions: Float[np.ndarray, "f n 3"], interval: float | None, first: int = 0) -> None:
    """Frames (nm) as XTC, which rounds to 0.001 nm; time in ps is the frame number where `interval` is None.

    `first` is the number of the first frame. Raises OSError if the disk does not take them.
    """
    numbers = np.arange(first, first + len(positions), dtype=np.int32)
    try:
        with XTCTrajectoryFile(str(path), "w") as file:
            times = numbers.astype(np.float32) * np.float32(interval or 1.0)
            file.write(np.asarray(positions, np.float32), time=times, step=numbers)
    except RuntimeError as error:  # mdtraj does not say why
        full = shutil.disk_usage(path.parent).free < 1 << 20
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error), str(path)) from None


def append_xtc(
    path: Path, end: int, positions: Float[np.ndarray, "f n 3"], interval: float | None, first: int
) -> bytes:
    """Add frames after the first `end` bytes of an XTC file, what follows those is dropped; the bytes that were added.

    mdtraj cannot append, but an XTC file is its frames one after another. Raises OSError if the disk does not take them.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        write_xtc(part, positions, interval, first)
        added = part.read_bytes()
    finally:
        part.unlink(missing_ok=True)
    with open(path, "r+b" if path.exists() else "wb") as file:
        file.truncate(end)
        file.seek(end)
        file.write(added)
    return added

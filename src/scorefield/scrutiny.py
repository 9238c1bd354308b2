"""What a topology and its first frame reveal about beads: several chains, gaps, odd residues, mirror images."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from .errors import InputError
from .geometry import bonded_paths
from .mapping import BeadMap
from .molecule import Molecule
from .proteins import ONE_LETTER
from .trajectory import Trajectory

_CAPS = {"ACE", "NME", "NMA", "NH2", "NHE", "FOR"}
_LEAST_CENTRES = 3  # chiral ones: fewer may be meant
_MIRRORED = 0.9  # of the standard residues
_HELIX = np.radians((20.0, 90.0))  # dihedral of four C-alpha atoms in a right-handed helix, widely
_HELICAL = 0.05  # of all dihedrals, at least: else nothing tells hands apart


def topology_notes(beads: BeadMap) -> list[str]:
    """Sentences on several chains, residues without a bead within a chain, and residues that are not standard."""
    notes, molecule = [], beads.molecule
    chains = sorted({bead.chain for bead in beads.beads})
    if len(chains) > 1:
        sizes = [sum(bead.chain == chain for bead in beads.beads) for chain in chains]
        notes.append(
            f"beads belong to {len(chains)} chains (of {', '.join(map(str, sizes))} beads): this is a model of them "
            "together; for one of them give a selection, such as --map 'name CA and chainid 0'"
        )
    odd = dict.fromkeys(
        f"{name}{number}"
        for name, number in zip(molecule.residue_names, molecule.residue_ids, strict=True)
        if name not in ONE_LETTER and name not in _CAPS
    )
    if odd and any(name in ONE_LETTER for name in molecule.residue_names):
        notes.append(f"residues {', '.join(odd)} are not standard amino acids; they are beads like all others")
    return notes


def gap_words(molecule: Molecule, i: int, j: int) -> str:
    """What the numbering says of a bond that is too long: "residues 13 to 15 are missing"."""
    first, last = sorted((molecule.residue_ids[i], molecule.residue_ids[j]))
    if last - first < 2:
        return "a gap in the chain?"
    missing = f"residue {first + 1} is" if last - first == 2 else f"residues {first + 1} to {last - 1} are"
    return f"{missing} missing"


def check_hand(path: Path, topology: Any, x: Float[np.ndarray, "a 3"]) -> None:
    """Raise InputError if the standard amino acids of a frame (nm) are nearly all D: names of these mean L."""
    volumes = []
    for residue in topology.residues:
        atoms = {atom.name: atom.index for atom in residue.atoms}
        if residue.name in ONE_LETTER and {"N", "CA", "C", "CB"} <= atoms.keys():
            n, c, cb = (x[atoms[name]] - x[atoms["CA"]] for name in ("N", "C", "CB"))
            volumes.append(float(np.dot(np.cross(n, c), cb)))
    # seen from the C-beta, N, C and H go round one way only; L has a positive volume N x C . CB
    if len(volumes) >= _LEAST_CENTRES and np.mean(np.array(volumes) < 0) > _MIRRORED:
        raise InputError(
            f"{path.name} is a mirror image: {np.sum(np.array(volumes) < 0)} of {len(volumes)} residues named as L-amino "
            "acids are D; has an axis been flipped?"
        )


def hand_notes(trajectory: Trajectory) -> list[str]:
    """Whether a C-alpha trace looks like a mirror image: its helices left-handed. Nothing else tells at this resolution."""
    molecule = trajectory.molecule
    trace = [k for k, name in enumerate(molecule.bead_names) if name == "CA"]
    if len(trace) < molecule.n_beads or molecule.n_beads < 4:
        return []
    quads = bonded_paths(molecule.n_beads, molecule.bonds, 4)
    x = np.asarray(trajectory.thin(2000).positions, float)
    b1, b2, b3 = (x[:, quads[:, k + 1]] - x[:, quads[:, k]] for k in range(3))
    n1, n2 = np.cross(b1, b2), np.cross(b2, b3)
    angle = np.arctan2(np.linalg.norm(b2, axis=2) * np.sum(b1 * n2, axis=2), np.sum(n1 * n2, axis=2))
    right, left = (np.mean((s * angle > _HELIX[0]) & (s * angle < _HELIX[1])) for s in (1, -1))
    if left > 2 * right and left > _HELICAL:
        return [f"{left:.0%} of the dihedrals are those of a left-handed helix, {right:.0%} right: a mirror image?"]
    return []

"""What is wrong with all-atom structures of a protein: clashes, bonds of the wrong length, mirrored and twisted residues.

Heavy atoms only. A clash is a pair of atoms at least four bonds apart whose van der Waals spheres overlap by 0.04 nm or more
(MolProbity's threshold, there with hydrogens); of N and O, which share hydrogens, one nearer than 0.25 nm. A bond error is
a bond more than 0.015 nm off its length in ff14SB: five times its thermal width at 300 K. A residue is mirrored where its
C-alpha is that of a D amino acid; a peptide bond is twisted where omega is more than 30 degrees off 180 and off 0.
"""

import json
from dataclasses import dataclass
from importlib.resources import files
from itertools import combinations
from typing import Any

import mdtraj
import numpy as np
from jaxtyping import Float, Int

from .geometry import bonded_paths

_RADII = {"C": 0.170, "N": 0.155, "O": 0.152, "S": 0.180}  # nm, Bondi's
_OVERLAP, _HYDROGEN_BOND = 0.04, 0.25  # nm
_BOND = 0.015  # nm
_TWIST = 30.0  # degrees
_BONDS_APART = 4
_DISULFIDE = 0.25  # nm, between two SG


@dataclass(frozen=True, eq=False)
class Faults:
    """Counts, frame by frame, of clashes, bond errors, mirrored residues and twisted peptide bonds; out of how many."""

    clashes: Int[np.ndarray, " f"]
    bond_errors: Int[np.ndarray, " f"]
    mirrored: Int[np.ndarray, " f"]
    twisted: Int[np.ndarray, " f"]
    n_bonds: int
    n_residues: int

    def to_json(self) -> dict[str, Any]:
        """Means over frames, the share of frames without any, and the numbers they are of."""
        counts = {name: getattr(self, name) for name in ("clashes", "bond_errors", "mirrored", "twisted")}
        found: dict[str, Any] = {f"{name}_a_frame": round(float(np.mean(n)), 3) for name, n in counts.items()}
        found |= {f"frames_without_{name}": round(float(np.mean(n == 0)), 4) for name, n in counts.items()}
        return found | {"bonds": self.n_bonds, "residues": self.n_residues}

    def words(self) -> str:
        """In a line."""
        return (
            f"a frame: {np.mean(self.clashes):.2f} clashes, {np.mean(self.bond_errors):.2f} bond errors of {self.n_bonds} "
            f"bonds, {np.mean(self.mirrored):.2f} mirrored of {self.n_residues} residues, {np.mean(self.twisted):.2f} "
            "twisted peptide bonds"
        )


def find_faults(topology: mdtraj.Topology, positions: Float[np.ndarray, "f a 3"]) -> Faults:
    """The faults of every frame (nm); hydrogens, and bonds that the table of lengths does not have, count for nothing."""
    heavy = [atom.index for atom in topology.atoms if atom.element.symbol != "H"]
    top, x = topology.subset(heavy), np.asarray(positions, float)[:, heavy]
    pairs, ideal = _bonds(top)
    lengths = np.linalg.norm(x[:, pairs[:, 0]] - x[:, pairs[:, 1]], axis=-1)
    return Faults(
        _clashes(top, pairs, x),
        (np.abs(lengths - ideal) > _BOND).sum(axis=1),
        _mirrored(top, x),
        _twisted(top, x),
        len(pairs),
        top.n_residues,
    )


def _by_name(top: mdtraj.Topology) -> list[dict[str, int]]:
    return [{atom.name: atom.index for atom in residue.atoms} for residue in top.residues]


def _bonds(top: mdtraj.Topology) -> tuple[Int[np.ndarray, "b 2"], Float[np.ndarray, " b"]]:
    """Bonds as pairs of atoms, and their lengths in nm."""
    table = json.loads((files("scorefield") / "data" / "bond_lengths.json").read_text(encoding="utf-8"))
    residues, atoms, found = list(top.residues), _by_name(top), []
    for k, residue in enumerate(residues):
        after = k + 1 < len(residues) and residues[k + 1].chain.index == residue.chain.index
        for names, length in table.get(residue.name, {}).items():
            first, second = names.split()
            other = atoms[k] if second[0] != "+" else atoms[k + 1] if after else {}
            i, j = atoms[k].get(first), other.get(second.lstrip("+"))
            if i is not None and j is not None:
                found.append((i, j, length))
    return np.array([b[:2] for b in found], int).reshape(-1, 2), np.array([b[2] for b in found], float)


def _clashes(
    top: mdtraj.Topology, bonds: Int[np.ndarray, "b 2"], x: Float[np.ndarray, "f a 3"]
) -> Int[np.ndarray, " f"]:
    """Clashing pairs of every frame; two cysteines whose SG are as near as in a disulfide count for none."""
    i, j = _untied_pairs(top.n_atoms, bonds)
    elements = np.array([atom.element.symbol for atom in top.atoms])
    radii = np.array([_RADII.get(element, _RADII["C"]) for element in elements])
    polar = np.isin(elements, ("N", "O"))
    closest = np.where(polar[i] & polar[j], _HYDROGEN_BOND, radii[i] + radii[j] - _OVERLAP)
    owner = np.array([atom.residue.index for atom in top.atoms])
    sulphurs = [atom.index for atom in top.atoms if atom.name == "SG"]
    counts = []
    for frame in x:
        clashing = np.linalg.norm(frame[i] - frame[j], axis=1) < closest
        for a, b in combinations(sulphurs, 2):
            if np.linalg.norm(frame[a] - frame[b]) < _DISULFIDE:
                clashing &= ~((owner[i] == owner[a]) & (owner[j] == owner[b]))
        counts.append(int(clashing.sum()))
    return np.array(counts)


def _untied_pairs(n: int, bonds: Int[np.ndarray, "b 2"]) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """Pairs of atoms at least `_BONDS_APART` bonds apart, smaller index first."""
    tied = np.eye(n, dtype=bool)
    for length in range(2, _BONDS_APART + 1):
        paths = bonded_paths(n, [(int(i), int(j)) for i, j in bonds], length)
        tied[paths[:, 0], paths[:, -1]] = True
    i, j = np.nonzero(np.triu(~tied, 1))
    return i, j


def _mirrored(top: mdtraj.Topology, x: Float[np.ndarray, "f a 3"]) -> Int[np.ndarray, " f"]:
    corners = [
        [a[name] for name in ("CA", "N", "C", "CB")] for a in _by_name(top) if {"CA", "N", "C", "CB"} <= a.keys()
    ]
    ca, n, c, cb = np.moveaxis(x[:, np.array(corners, int).reshape(-1, 4)], 2, 0)
    return (np.einsum("fri,fri->fr", np.cross(n - ca, c - ca), cb - ca) < 0).sum(axis=1)


def _twisted(top: mdtraj.Topology, x: Float[np.ndarray, "f a 3"]) -> Int[np.ndarray, " f"]:
    quads = []
    residues, atoms = list(top.residues), _by_name(top)
    for k in range(len(residues) - 1):
        here, after = atoms[k], atoms[k + 1]
        if {"CA", "C"} <= here.keys() and {"N", "CA"} <= after.keys() and residues[k].chain is residues[k + 1].chain:
            quads.append((here["CA"], here["C"], after["N"], after["CA"]))
    frames = mdtraj.Trajectory(x, top)
    omega = np.degrees(mdtraj.compute_dihedrals(frames, np.array(quads, int).reshape(-1, 4), periodic=False))
    return ((np.abs(omega) > _TWIST) & (np.abs(omega) < 180 - _TWIST)).sum(axis=1)

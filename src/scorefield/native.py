"""The native structure of a molecule, from a PDB that may hold more: other models, chains, residues at the ends."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from .allatom import load_structure, wrong_length
from .errors import InputError
from .mapping import BOND_RANGES, bead_map
from .molecule import Molecule
from .observables import rmsd
from .proteins import one_letter
from .scrutiny import check_hand
from .trajectory import Trajectory
from .units import ANGSTROM

_LEAST_ALIKE = 0.8  # of the residues: simulated proteins are often mutants of the structure that was solved
_LOOKED_AT = 2000  # frames
_NEAREST = 0.01  # of them, the nearest to a structure
_MIRRORED = 0.6  # of the deviation from the native structure: frames this near to its mirror image are suspicious
_FOLDED = 4 * ANGSTROM


def native_structure(path: Path, map: str, molecule: Molecule) -> tuple[Float[np.ndarray, "n 3"], list[str]]:
    """Bead positions (n, 3) in nm, centred, of the first model in `path`; and notes on residues that differ.

    The stretch of beads that is most alike in residues is taken. Raises InputError if the file is unreadable, has too few
    residues, other ones, or a gap.
    """
    topology, x = load_structure(path)
    beads = bead_map(map, topology, path.name)
    found, n = beads.molecule, molecule.n_beads
    if found.n_beads < n:
        raise InputError(
            f"native structure {path.name} has {found.n_beads} beads under map {map!r}, the molecule {n}: "
            "residues are missing in it, or it is another protein"
        )
    ours = one_letter(list(molecule.residue_names))
    theirs = one_letter(list(found.residue_names))
    alike = [
        sum(a == b for a, b in zip(ours, theirs[k : k + n], strict=True))
        if found.bead_names[k : k + n] == molecule.bead_names
        else -1
        for k in range(found.n_beads - n + 1)
    ]
    start = int(np.argmax(alike))
    if alike[start] < _LEAST_ALIKE * n:
        raise InputError(
            f"native structure {path.name} does not have the trajectory's residues: {theirs} there, {ours} in the "
            "trajectory; give the structure of the same protein"
        )
    chosen = beads(x[None, beads.atoms])[0][start : start + n]
    check_hand(path, topology, x)
    _check_whole(path, map, molecule, chosen)
    differ = [k for k in range(n) if ours[k] != theirs[start + k]]
    names = [f"{found.residue_names[start + k]}{found.residue_ids[start + k]}" for k in differ]
    notes = [
        f"native structure {path.name} differs in {len(differ)} residues: {name} where the trajectory has "
        f"{molecule.residue_names[k]}{molecule.residue_ids[k]}"
        for k, name in zip(differ[:1], names[:1], strict=True)
    ]
    return chosen - chosen.mean(axis=0), notes


def _check_whole(path: Path, map: str, molecule: Molecule, x: np.ndarray) -> None:
    longest = BOND_RANGES.get(map, (0, np.inf))[1]
    lengths = np.linalg.norm(x[molecule.bond_pairs[:, 0]] - x[molecule.bond_pairs[:, 1]], axis=1)
    if len(lengths) and map in BOND_RANGES and not BOND_RANGES[map][0] <= np.median(lengths) <= longest:
        median = float(np.median(lengths))
        words = wrong_length(median, BOND_RANGES[map])
        raise InputError(f"native structure {path.name} has bonds of {median:.3g} nm between beads: {words}")
    if len(lengths) and lengths.max() > longest:
        i, j = molecule.bond_pairs[np.argmax(lengths)]
        raise InputError(
            f"native structure {path.name} has a gap: {lengths.max():.2f} nm between the beads of "
            f"{molecule.residue_names[i]}{molecule.residue_ids[i]} and {molecule.residue_names[j]}{molecule.residue_ids[j]}"
        )


def native_notes(trajectory: Trajectory) -> list[str]:
    """What frames say of their molecule's native structure: that they come to its mirror image, or never near it."""
    native = trajectory.molecule.native
    if native is None:
        return []
    some = trajectory.thin(min(_LOOKED_AT, trajectory.n_frames))
    near, mirrored = (
        float(np.quantile(rmsd(some, x), _NEAREST)) for x in (native, native * np.array([1.0, 1.0, -1.0]))
    )
    near, mirrored = near / ANGSTROM, mirrored / ANGSTROM
    if mirrored < _MIRRORED * near:
        return [
            f"frames come within {mirrored:.1f} Å of the native structure's mirror image, {near:.1f} Å of itself: one of the "
            "two is a mirror image"
        ]
    if near > _FOLDED / ANGSTROM:
        return [
            f"hardly any frame is within {_FOLDED / ANGSTROM:g} Å of the native structure (1 % within {near:.1f} Å): another "
            "fold, or chains that never fold"
        ]
    return []

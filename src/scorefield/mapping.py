"""Maps from all atoms to beads: x_bead = sum_a w_a x_a with weights that sum to 1, so that a map is linear.

ca          the C-alpha atom of every residue
backbone    N, CA, C of every residue that has all three
backbone5   C N CA C N of one capped residue: the C before it, its own N CA C, the N after it
backbone_caps  the same of a capped chain: the C of the first cap, N CA C of every residue, the N of the last cap
SELECTION   one bead for every atom of an mdtraj selection, such as "name CA or name CB"
FILE.json   weighted groups of atoms: {"beads": [{"name", "residue", "atoms", "weights"}], "bonds": [[i, j], ...]}
            `atoms` are indices or a selection; optional: `residue` ("ALA2"), `weights` (else centre of mass), `bonds`
"""

import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import mdtraj
import numpy as np
from jaxtyping import Float, Int

from .bondgraph import Walk, adjacency, bead_bonds, sequence_bonds, walk
from .errors import InputError
from .molecule import Molecule

# Bonds of these maps, shortest and longest plausible in nm (a cis peptide bond has 0.29 nm between its C-alpha atoms).
BOND_RANGES = {"ca": (0.27, 0.45), "backbone": (0.11, 0.19), "backbone5": (0.11, 0.19), "backbone_caps": (0.11, 0.19)}

_UNKNOWN_MASS = 12.0  # Da, for atoms of no known element: virtual sites, beads of another model
_BACKBONE = {"N": mdtraj.element.nitrogen, "CA": mdtraj.element.carbon, "C": mdtraj.element.carbon}
_CALCIUM_RESIDUES = {"CA", "CAL", "CA2", "CA2+"}


class Bead(NamedTuple):
    """One bead: its name and residue, its atoms and their weights, its mass in Da, the index of its chain."""

    name: str
    residue_name: str
    residue_id: int
    atoms: tuple[int, ...]
    weights: tuple[float, ...]
    mass: float
    chain: int


@dataclass(frozen=True, eq=False)
class BeadMap:
    """A linear map from the atoms of one topology to the beads of `molecule`.

    Attributes: `spec` (what the user asked for); `beads`; `walk`: the atoms to read, and the way along bonds.
    """

    spec: str
    molecule: Molecule
    beads: tuple[Bead, ...]
    walk: Walk

    @property
    def atoms(self) -> Int[np.ndarray, " a"]:
        """Indices, in the topology, of the atoms that the map needs to see."""
        return self.walk.atoms

    @property
    def matrix(self) -> Float[np.ndarray, "n a"]:
        """The map as a matrix over `atoms`; rows sum to 1."""
        matrix = np.zeros((len(self.beads), len(self.atoms)))
        for i, bead in enumerate(self.beads):
            np.add.at(matrix[i], np.searchsorted(self.atoms, bead.atoms), bead.weights)
        return matrix

    def __call__(self, x: Float[np.ndarray, "f a 3"]) -> Float[np.ndarray, "f n 3"]:
        """Bead positions from positions of `atoms`, whole molecules, same unit."""
        entries = np.searchsorted(self.atoms, [a for bead in self.beads for a in bead.atoms])
        if len(entries) == len(self.beads):
            return x[:, entries]
        weights = np.concatenate([bead.weights for bead in self.beads])
        starts = np.cumsum([0] + [len(bead.atoms) for bead in self.beads[:-1]])
        return np.add.reduceat(x[:, entries] * weights[:, None], starts, axis=1)


def bead_map(spec: str, topology: mdtraj.Topology, name: str) -> BeadMap:
    """The map `spec` (see the module) on `topology`, for a molecule called `name`.

    Raises InputError if `spec` is no map, or selects fewer than two beads.
    """
    neighbours = adjacency(topology)
    bonds: list[tuple[int, int]] | None = None
    if spec in NAMED_MAPS:
        beads = _rejoined(NAMED_MAPS[spec](topology), topology)
        bonds = sequence_bonds([b.chain for b in beads])
    elif spec.endswith(".json"):
        beads, bonds = _groups(Path(spec), topology)
    else:
        beads = _rejoined([_atom_bead(topology.atom(i)) for i in _select(topology, spec)], topology)
    if len(beads) < 2:
        raise InputError(f"map {spec!r} selects {len(beads)} beads of {topology}; a model needs at least 2")
    if bonds is None:
        bonds = bead_bonds(neighbours, [b.atoms for b in beads], [b.chain for b in beads])
    molecule = Molecule(
        name,
        tuple(b.name for b in beads),
        tuple(b.residue_name for b in beads),
        tuple(b.residue_id for b in beads),
        tuple(b.mass for b in beads),
        tuple(bonds),
    )
    return BeadMap(spec, molecule, tuple(beads), walk(neighbours, [a for b in beads for a in b.atoms]))


def _rejoined(beads: list[Bead], topology: mdtraj.Topology) -> list[Bead]:
    """Beads with chains as they are meant: a TER beside a residue of another kind (HETATM) ends none in a PDB.

    Two chains that follow each other are one where they have the same letter and the residue numbers go on.
    """
    number, before, numbers = -1, None, {}
    for chain in topology.chains:
        residues = list(chain.residues)
        letter = getattr(chain, "chain_id", None)
        same = letter and residues and before == (letter, residues[0].resSeq - 1)
        number += 0 if same else 1
        numbers[chain.index] = number
        before = (letter, residues[-1].resSeq) if residues else None
    return [bead._replace(chain=numbers[bead.chain]) for bead in beads]


def _atom_bead(atom: Any) -> Bead:
    residue = atom.residue
    return Bead(atom.name, residue.name, residue.resSeq, (atom.index,), (1.0,), _mass(atom), residue.chain.index)


def _mass(atom: Any) -> float:
    """Da. Backbone names decide before the element column, which is often empty and then guessed."""
    named = _BACKBONE.get(atom.name) if atom.residue.name not in _CALCIUM_RESIDUES else None
    mass = float(getattr(named or atom.element, "mass", 0.0))
    return round(mass, 3) if mass > 0 else _UNKNOWN_MASS


def _by_name(residue: Any) -> dict[str, Any]:
    return {} if residue.name in _CALCIUM_RESIDUES else {atom.name: atom for atom in residue.atoms}


def _alpha_carbons(topology: mdtraj.Topology) -> list[Bead]:
    return [_atom_bead(found["CA"]) for found in map(_by_name, topology.residues) if "CA" in found]


def _backbones(topology: mdtraj.Topology) -> list[Bead]:
    found = [f for f in map(_by_name, topology.residues) if _BACKBONE.keys() <= f.keys()]
    return [_atom_bead(atoms[name]) for atoms in found for name in _BACKBONE]


def _capped_residue(topology: mdtraj.Topology) -> list[Bead]:
    """C N CA C N, whatever the caps are called. Raises InputError unless exactly one residue has both neighbours."""
    fits = _between_caps(topology)
    if len(fits) != 1:
        raise InputError(
            f"map 'backbone5' needs one residue between two caps, but {len(fits)} residues of {topology} have a C "
            "before and an N after them; use the map 'backbone_caps', 'backbone' or 'ca'"
        )
    return [_atom_bead(atom) for atom in fits[0]]


def _capped_chain(topology: mdtraj.Topology) -> list[Bead]:
    """C, N CA C of each residue, N. Raises InputError unless the residues between two caps follow each other."""
    fits = _between_caps(topology)
    for before, after in itertools.pairwise(fits):
        if before[3] != after[0]:
            raise InputError(
                f"map 'backbone_caps' needs one chain between two caps, but residues {before[2].residue} and "
                f"{after[2].residue} of {topology} are not neighbours; use the map 'backbone' or 'ca'"
            )
    if not fits:
        raise InputError(
            f"map 'backbone_caps' needs residues between two caps, and no residue of {topology} has a C before and an N "
            "after it; use the map 'backbone' or 'ca'"
        )
    return [_atom_bead(atom) for atom in (fits[0][0], *(a for fit in fits for a in fit[1:4]), fits[-1][4])]


def _between_caps(topology: mdtraj.Topology) -> list[list[Any]]:
    """C N CA C N of every residue that has both neighbours."""
    fits = []
    for chain in topology.chains:
        atoms = [_by_name(residue) for residue in chain.residues]
        for before, here, after in zip(atoms, atoms[1:], atoms[2:], strict=False):
            if "C" in before and _BACKBONE.keys() <= here.keys() and "N" in after:
                fits.append([before["C"], here["N"], here["CA"], here["C"], after["N"]])
    return fits


NAMED_MAPS: dict[str, Callable[[mdtraj.Topology], list[Bead]]] = {
    "ca": _alpha_carbons,
    "backbone": _backbones,
    "backbone5": _capped_residue,
    "backbone_caps": _capped_chain,
}


def _select(topology: mdtraj.Topology, selection: str) -> list[int]:
    try:
        return [int(i) for i in topology.select(selection)]
    except Exception as error:  # the selection grammar raises many kinds
        reason = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        names = ", ".join(NAMED_MAPS)
        raise InputError(
            f"map {selection!r} is neither {names}, a .json file nor an mdtraj selection ({reason} ...)"
        ) from None


def _groups(path: Path, topology: mdtraj.Topology) -> tuple[list[Bead], list[tuple[int, int]] | None]:
    try:
        data = json.loads(path.read_text())
        beads = [_group(entry, topology) for entry in data["beads"]]
        bonds = [(int(i), int(j)) for i, j in data["bonds"]] if "bonds" in data else None
    except OSError:
        raise InputError(f"map file {path} is missing or unreadable") from None
    except InputError as error:
        raise InputError(f"map file {path}: {error}") from None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"map file {path} is not a list of weighted groups ({type(error).__name__}: {error}); "
            "see `scorefield prepare --help`"
        ) from None
    return beads, bonds


def _group(entry: dict[str, Any], topology: mdtraj.Topology) -> Bead:
    name = str(entry["name"])
    chosen = entry["atoms"]
    indices = _select(topology, chosen) if isinstance(chosen, str) else [int(i) for i in chosen]
    if not indices or not all(0 <= i < topology.n_atoms for i in indices) or len(set(indices)) < len(indices):
        raise InputError(f"bead {name!r} needs different atoms of 0..{topology.n_atoms - 1}, and at least one")
    atoms = [topology.atom(i) for i in indices]
    masses = [_mass(atom) for atom in atoms]
    residue = atoms[0].residue
    residue_name, residue_id = _residue(entry.get("residue"), residue.name, residue.resSeq)
    weights = _normalised(name, entry.get("weights", masses), len(atoms))
    return Bead(name, residue_name, residue_id, tuple(indices), weights, round(sum(masses), 3), residue.chain.index)


def _residue(label: str | None, name: str, number: int) -> tuple[str, int]:
    if label is None:
        return name, number
    match = re.fullmatch(r"(\w*[A-Za-z+])\s*(-?\d+)", str(label))
    if match is None:
        raise InputError(f"residue {label!r} is not a name and a number, such as 'ALA2'")
    return match[1], int(match[2])


def _normalised(name: str, weights: Sequence[float], n_atoms: int) -> tuple[float, ...]:
    values = np.array(weights, float)
    if values.shape != (n_atoms,) or not np.all(np.isfinite(values)) or np.any(values < 0) or not values.sum() > 0:
        raise InputError(f"bead {name!r} needs one weight for each of its {n_atoms} atoms, none negative, not all 0")
    return tuple((values / values.sum()).tolist())

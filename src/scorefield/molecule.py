"""`Molecule`: what a coarse-grained molecule is, as data."""

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from .errors import InputError
from .geometry import bonded_paths


@dataclass(frozen=True, eq=False)
class Molecule:
    """Beads, bonds and masses of a coarse-grained molecule.

    Attributes: `bead_names` (for an atom-centred bead the atom's name: "CA"), `residue_names` and `residue_ids` of
    every bead, `masses` in Da, `bonds` as pairs of bead indices, `native` positions (n_beads, 3) in nm or None.
    Raises InputError if the lengths or shapes disagree, a mass is not positive, or a bond names a bead that does not exist.
    """

    name: str
    bead_names: tuple[str, ...]
    residue_names: tuple[str, ...]
    residue_ids: tuple[int, ...]
    masses: tuple[float, ...]
    bonds: tuple[tuple[int, int], ...]
    native: Float[np.ndarray, "n 3"] | None = field(default=None)

    def __post_init__(self) -> None:
        n = len(self.bead_names)
        if n < 2:
            raise InputError(f"molecule {self.name!r} has {n} beads; a coarse-grained model needs at least 2")
        for what in ("residue_names", "residue_ids", "masses"):
            if len(getattr(self, what)) != n:
                raise InputError(f"molecule {self.name!r}: {len(getattr(self, what))} {what} for {n} beads")
        if any(not (0 <= i < n and 0 <= j < n and i != j) for i, j in self.bonds):
            raise InputError(f"molecule {self.name!r}: a bond names a bead outside 0..{n - 1}")
        if any(not 0 < m < math.inf for m in self.masses):
            raise InputError(f"molecule {self.name!r}: bead masses must be positive (Da)")
        if self.native is not None and (np.shape(self.native) != (n, 3) or not np.isfinite(self.native).all()):
            raise InputError(f"molecule {self.name!r}: native positions must be ({n}, 3) finite numbers (nm)")

    @property
    def n_beads(self) -> int:
        """Number of beads."""
        return len(self.bead_names)

    @cached_property
    def bond_pairs(self) -> Int[np.ndarray, "k 2"]:
        """Bonds as an index array, each once, first bead < second bead."""
        return bonded_paths(self.n_beads, self.bonds, 2)

    @cached_property
    def angle_triples(self) -> Int[np.ndarray, "k 3"]:
        """Angles: every bonded path of three beads."""
        return bonded_paths(self.n_beads, self.bonds, 3)

    @cached_property
    def dihedral_quads(self) -> Int[np.ndarray, "k 4"]:
        """Proper dihedrals: every bonded path of four beads."""
        return bonded_paths(self.n_beads, self.bonds, 4)

    @cached_property
    def ramachandran(self) -> tuple[tuple[str, Int[np.ndarray, "2 4"]], ...]:
        """(residue label, [phi quad, psi quad]) of every residue whose phi and psi both exist among the beads."""
        names = self.bead_names
        by_centre: dict[int, dict[str, np.ndarray]] = {}
        for quad in self.dihedral_quads:
            for q in (quad, quad[::-1]):
                pattern = tuple(names[b] for b in q)
                if pattern == ("C", "N", "CA", "C"):
                    by_centre.setdefault(int(q[2]), {})["phi"] = q
                elif pattern == ("N", "CA", "C", "N"):
                    by_centre.setdefault(int(q[1]), {})["psi"] = q
        return tuple(
            (f"{self.residue_names[ca]}{self.residue_ids[ca]}", np.stack([found["phi"], found["psi"]]))
            for ca, found in sorted(by_centre.items())
            if len(found) == 2
        )

    def to_json(self) -> dict:
        """Everything but `native`, as plain types (see `from_json`)."""
        return {
            "name": self.name,
            "bead_names": list(self.bead_names),
            "residue_names": list(self.residue_names),
            "residue_ids": list(self.residue_ids),
            "masses": list(self.masses),
            "bonds": [list(b) for b in self.bonds],
        }

    @staticmethod
    def from_json(data: dict, native: Float[np.ndarray, "n 3"] | None = None) -> "Molecule":
        """Inverse of `to_json`. Raises InputError if a field is missing or of the wrong kind."""
        try:
            return Molecule(
                name=str(data["name"]),
                bead_names=tuple(str(v) for v in data["bead_names"]),
                residue_names=tuple(str(v) for v in data["residue_names"]),
                residue_ids=tuple(int(v) for v in data["residue_ids"]),
                masses=tuple(float(v) for v in data["masses"]),
                bonds=tuple((int(i), int(j)) for i, j in data["bonds"]),
                native=native,
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"not a molecule description: {type(error).__name__}: {error}") from None

    def same_as(self, other: "Molecule") -> bool:
        """Whether beads, residues and bonds agree (the name and the native structure do not count)."""
        mine, theirs = self.to_json(), other.to_json()
        return all(mine[k] == theirs[k] for k in ("bead_names", "residue_names", "bonds"))

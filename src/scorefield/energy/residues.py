"""What beads are, in numbers that molecules share: their names, their residues' chemistry, where in the chain they stand.

No residue has a number of its own but glycine and proline: one that a training has never seen is described by the same
numbers as those it has (`data/residues.toml`).
"""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import InputError
from ..molecule import Molecule

NAMES = ("N", "CA", "C")
KINDS = ("GLY", "PRO", "cap")
_SCALES = {"gamma": 2.0, "delta": 2.0, "beyond": 4.0}


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files("scorefield") / "data" / "residues.toml").read_text(encoding="utf-8"))


@cache
def described(residue: str) -> tuple[str, tuple[float, ...]]:
    """The kind of a residue, by its three letters, and its numbers, of order 1. Raises InputError if it is not known."""
    table = _table()
    row = table["residues"].get(table["same"].get(residue, residue))
    if row is None:
        raise InputError(
            f"residue {residue!r} is not among those that a model of many molecules describes: "
            f"{', '.join(table['residues'])}"
        )
    columns = dict(zip(table["columns"], row, strict=True))
    kind = str(columns.pop("kind"))
    numbers = [float(value) / _SCALES.get(name, 1.0) for name, value in columns.items()]
    return kind, (*(float(kind == k) for k in KINDS), *numbers)


def labels(molecule: Molecule) -> tuple[str, ...]:
    """The type of every bead: its name, and the kind of its residue where that has bonds and angles of its own."""
    kinds = [described(name)[0] for name in molecule.residue_names]
    return tuple(f"{name}:{kind}" if kind else name for name, kind in zip(molecule.bead_names, kinds, strict=True))


def features(molecule: Molecule) -> Float[np.ndarray, "n k"]:
    """Of every bead: its name, its residue and those before and after it, and how near the two ends of the chain are.

    Raises InputError if a residue is not known.
    """
    names, ids = molecule.residue_names, molecule.residue_ids
    steps = [k > 0 and (names[k], ids[k]) != (names[k - 1], ids[k - 1]) for k in range(molecule.n_beads)]
    of_residue, none = np.cumsum(steps), np.zeros(len(described("ALA")[1]))
    rows = [described(names[int(np.argmax(of_residue == r))])[1] for r in range(of_residue[-1] + 1)]
    padded = np.array([none, *rows, none])
    around = [padded[of_residue + k] for k in (1, 0, 2)]
    one_hot = np.array([[name == known for known in NAMES] for name in molecule.bead_names], float)
    place = np.arange(molecule.n_beads)
    ends = 1 / (1 + np.stack([place, place[::-1]], axis=1))
    return np.concatenate([one_hot, *around, ends], axis=1)


N_FEATURES = len(NAMES) + 3 * (len(KINDS) + 7) + 2

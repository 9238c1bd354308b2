"""Stretches of a chain, the names of what is fitted there by types of beads (`types`), and the gathering of it.

A path is a slice of the chain's beads; its name is that of its beads, or of their labels (`residues.labels`).
"""

from collections.abc import Iterator, Sequence

import numpy as np

from ..molecule import Molecule
from .invariants import REACH
from .residues import labels

Table = dict[str, list[float]]


def path(words: Sequence[str]) -> str:
    """Its name, of its beads' words."""
    return " ".join(words)


def couple_key(words: Sequence[str], p: slice, q: slice) -> str:
    """The name of two paths of one chain, of which `p` begins first."""
    return f"{path(words[p])}|{path(words[q])}|{q.start - p.start}"


def invariant_places(n: int) -> list[tuple[str, slice]]:
    """The table and the path of every invariant along a chain of `n` beads, as `Invariants` orders them."""
    spans = [slice(i, i + k + 1) for k in range(1, REACH + 1) for i in range(max(0, n - k))]
    return [("distance", s) for s in spans] + [("volume", slice(i, i + 4)) for i in range(max(0, n - 3))]


def stiff_places(molecule: Molecule, names: Sequence[str] | set[str]) -> list[slice]:
    """The bonds and 1-3 distances whose names are among `names`, in order of beginning, then of length."""
    spans = [slice(i, i + k + 1) for i in range(molecule.n_beads) for k in (1, 2) if i + k < molecule.n_beads]
    return [s for s in spans if path(molecule.bead_names[s]) in names]


def couples(places: Sequence[slice]) -> Iterator[tuple[tuple[int, slice], tuple[int, slice]]]:
    """Pairs of paths, a path with itself too, the one that begins first first."""
    numbered = list(enumerate(places))  # in order of beginning, then of length
    return ((a, b) for k, a in enumerate(numbered) for b in numbered[k:])


class Gathered:
    """Rows gathered by labels and by names."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, list[np.ndarray]]] = {}

    def add(self, table: str, molecule: Molecule, place: slice | tuple[slice, slice], row: Sequence[float]) -> None:
        """A row for a path, or for two."""
        key = lambda words: path(words[place]) if isinstance(place, slice) else couple_key(words, *place)
        for name in {key(labels(molecule)), key(molecule.bead_names)}:
            self._rows.setdefault(table, {}).setdefault(name, []).append(np.asarray(row, float))

    def means(self, table: str) -> Table:
        """Of all rows of each key."""
        return {key: np.mean(rows, axis=0).tolist() for key, rows in self._rows.get(table, {}).items()}

    def moments(self, table: str) -> Table:
        """Of rows of means, then standard deviations, those of all their frames together."""
        found = {}
        for key, rows in self._rows.get(table, {}).items():
            mean, sd = np.moveaxis(np.array(rows).reshape(len(rows), 2, -1), 1, 0)
            found[key] = [*mean.mean(axis=0).tolist(), *np.sqrt((sd**2).mean(axis=0) + mean.var(axis=0)).tolist()]
        return found

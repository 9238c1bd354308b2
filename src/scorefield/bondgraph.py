"""The graph of covalent bonds between atoms: which beads are neighbours, and the way along bonds from atom to atom."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import mdtraj
import numpy as np
from jaxtyping import Bool, Int

Adjacency = list[list[int]]


def adjacency(topology: mdtraj.Topology) -> Adjacency:
    """The bonded neighbours of every atom; standard bonds are assumed where the topology names none at all."""
    if topology.n_bonds == 0:
        topology = topology.copy()
        topology.create_standard_bonds()
    neighbours: Adjacency = [[] for _ in range(topology.n_atoms)]
    for a, b in topology.bonds:
        neighbours[a.index].append(b.index)
        neighbours[b.index].append(a.index)
    return neighbours


def bead_bonds(neighbours: Adjacency, groups: Sequence[Sequence[int]], chains: Sequence[int]) -> list[tuple[int, int]]:
    """Bonds between beads made of the atoms `groups`, bead `i` in chain `chains[i]`.

    Every atom is given to the bead that is nearest along bonds; two beads are bonded where an atom of one is bonded to
    an atom of the other. So beads are joined by the shortest paths that touch no third bead. A chain without a single
    bond between its beads falls back on neighbours in sequence.
    """
    owner: dict[int, int] = {}
    for bead, atoms in enumerate(groups):
        for atom in atoms:
            owner.setdefault(atom, bead)
    queue = deque(owner)
    while queue:
        atom = queue.popleft()
        for other in neighbours[atom]:
            if other not in owner:
                owner[other] = owner[atom]
                queue.append(other)
    met = {(i, owner[b]) for a, i in owner.items() for b in neighbours[a]}
    bonds = {(i, j) for i, j in met if i < j} | {(j, i) for i, j in met if j < i}
    bonded = {chains[i] for bond in bonds for i in bond}
    bonds |= {(i, j) for i, j in sequence_bonds(chains) if chains[i] not in bonded}
    return sorted(bonds)


def sequence_bonds(chains: Sequence[int]) -> list[tuple[int, int]]:
    """Bonds of consecutive beads, none from one chain to another."""
    return [(i, i + 1) for i in range(len(chains) - 1) if chains[i] == chains[i + 1]]


class Walk(NamedTuple):
    """A way from atom to atom that reaches all that are wanted.

    `atoms`: indices of the atoms on it, increasing; `steps` (n_atoms - 1, 2): (from, to) as positions in `atoms`, each
    atom reached before it is left; `along_bond`: whether a step is a bond, or a jump to another molecule.
    """

    atoms: Int[np.ndarray, " a"]
    steps: Int[np.ndarray, "s 2"]
    along_bond: Bool[np.ndarray, " s"]


def walk(neighbours: Adjacency, wanted: Iterable[int]) -> Walk:
    """A `Walk` along bonds that reaches all `wanted` atoms; from molecule to molecule it jumps in order of index."""
    targets = sorted(set(wanted))
    steps: list[tuple[int, int, bool]] = []
    parent: dict[int, int | None] = {}
    for k, root in enumerate(targets):
        if root in parent:
            continue
        order = _explore(neighbours, root, parent)
        if k > 0:
            steps.append((targets[k - 1], root, False))
        needed = _ancestors(parent, [t for t in targets[k:] if t in parent])
        steps.extend((p, a, True) for a in order if a in needed and (p := parent[a]) is not None)
    atoms = np.array(sorted({a for step in steps for a in step[:2]} | set(targets)), np.int64)
    place = {int(a): i for i, a in enumerate(atoms)}
    pairs = np.array([(place[p], place[a]) for p, a, _ in steps], np.int64).reshape(-1, 2)
    return Walk(atoms, pairs, np.array([bonded for *_, bonded in steps], bool))


def _explore(neighbours: Adjacency, root: int, parent: dict[int, int | None]) -> list[int]:
    """Atoms reached from `root`, breadth first; `parent` learns where each was reached from."""
    parent[root] = None
    order = [root]
    for atom in order:
        for other in neighbours[atom]:
            if other not in parent:
                parent[other] = atom
                order.append(other)
    return order


def _ancestors(parent: dict[int, int | None], atoms: Iterable[int]) -> set[int]:
    found: set[int] = set()
    for atom in atoms:
        step: int | None = atom
        while step is not None and step not in found:
            found.add(step)
            step = parent[step]
    return found

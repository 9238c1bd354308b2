"""Faults are counted in a dipeptide that is built right, then broken on purpose."""

import mdtraj
import numpy as np
import pytest
from backbones import place

from scorefield.stereo import find_faults

# (name, the three atoms before, bond in nm, angle and dihedral in degrees)
BUILT = [
    ("O", "N CA C", 0.123, 120, -40),
    ("CB", "C N CA", 0.153, 110, -122.5),
    ("+N", "N CA C", 0.1335, 117, 140),
    ("+CA", "CA C +N", 0.145, 122, 180),
    ("+C", "C +N +CA", 0.152, 110, -70),
    ("+O", "+N +CA +C", 0.123, 120, -40),
    ("+CB", "+C +N +CA", 0.153, 110, -122.5),
]
NAMES = ["N", "CA", "C", "O", "CB"]


def peptide(**changes: float) -> np.ndarray:
    """(1, 10, 3) nm; `changes` of dihedrals by the atom's name, in degrees."""
    x = {"N": np.zeros((1, 3)), "CA": np.array([[0.145, 0, 0]]), "C": np.array([[0.197, 0.143, 0]])}
    for name, before, bond, angle, dihedral in BUILT:
        turn = np.radians([changes.get(name, dihedral)])
        x[name] = place(*(x[b] for b in before.split()), np.array([bond]), np.radians([angle]), turn)
    return np.stack([x[sign + name] for sign in ("", "+") for name in NAMES], axis=1)


@pytest.fixture(scope="module")
def topology():
    top = mdtraj.Topology()
    chain = top.add_chain()
    for number in (1, 2):
        residue = top.add_residue("ALA", chain, number)
        for name in NAMES:
            top.add_atom(name, mdtraj.element.get_by_symbol(name[0]), residue)
    return top


def test_an_intact_peptide_has_no_fault(topology):
    found = find_faults(topology, peptide())
    counts = [int(n[0]) for n in (found.clashes, found.bond_errors, found.mirrored, found.twisted)]
    assert counts == [0, 0, 0, 0]
    assert (found.n_bonds, found.n_residues) == (9, 2)
    assert found.to_json()["frames_without_clashes"] == 1


def test_its_mirror_image_has_two_d_residues(topology):
    assert find_faults(topology, peptide() * [1, 1, -1]).mirrored.tolist() == [2]
    assert find_faults(topology, peptide(CB=122.5)).mirrored.tolist() == [1]


def test_each_fault_is_seen_where_it_is(topology):
    longer, nearer = peptide(), peptide()
    longer[0, 5:] += 0.02 * (longer[0, 5] - longer[0, 2]) / 0.1335  # the peptide bond
    nearer[0, 9] = nearer[0, 0] + [0, 0, 0.2]  # the last CB beside the first N
    found = find_faults(topology, np.concatenate([peptide(), longer, nearer, peptide(**{"+CA": 100.0})]))
    assert found.bond_errors.tolist() == [0, 1, 1, 0]
    assert found.clashes[0] == 0
    assert found.clashes[2] >= 1
    assert found.twisted.tolist() == [0, 0, 0, 1]
    assert "bond errors of 9 bonds" in found.words()


def test_hydrogens_count_for_nothing(topology):
    top = topology.copy()
    top.add_atom("H", mdtraj.element.hydrogen, top.residue(1))
    x = peptide()
    found = find_faults(top, np.concatenate([x, x[:, :1]], axis=1))  # right on top of a nitrogen
    assert found.clashes.tolist() == [0]

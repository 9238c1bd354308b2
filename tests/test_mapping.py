import json

import mdtraj
import numpy as np
import pytest
from peptides import peptide, peptide_topology

from scorefield.bondgraph import adjacency, bead_bonds, walk
from scorefield.errors import InputError
from scorefield.mapping import NAMED_MAPS, bead_map


def mapped(spec, trajectory):
    beads = bead_map(spec, trajectory.topology, "test")
    return beads, beads(trajectory.xyz[:, beads.atoms].astype(float))


@pytest.mark.parametrize("spec", [*NAMED_MAPS, "name CA or name CB", "all"])
def test_a_map_is_linear_and_its_rows_sum_to_one(spec):
    trajectory = peptide(1)
    beads, positions = mapped(spec, trajectory) if spec != "ca" else mapped(spec, trajectory := peptide(3))
    assert np.allclose(beads.matrix.sum(axis=1), 1)
    assert np.allclose(np.einsum("na,fai->fni", beads.matrix, trajectory.xyz[:, beads.atoms]), positions)


def test_backbone5_is_c_n_ca_c_n_with_one_dihedral_pair_whatever_the_caps_are_called():
    trajectory = peptide(1)
    for residue in trajectory.topology.residues:
        residue.name = {"ACE": "XYZ", "NME": "ABC"}.get(residue.name, residue.name)
    beads, x = mapped("backbone5", trajectory)
    molecule = beads.molecule
    assert molecule.bead_names == ("C", "N", "CA", "C", "N")
    assert molecule.residue_ids == (1, 2, 2, 2, 3)
    assert molecule.bonds == ((0, 1), (1, 2), (2, 3), (3, 4))
    assert np.allclose(molecule.masses, (12.011, 14.007, 12.011, 12.011, 14.007), atol=1e-3)
    assert [label for label, _ in molecule.ramachandran] == ["ALA2"]
    assert np.allclose(np.linalg.norm(np.diff(x, axis=1), axis=2), 0.15, atol=0.03)


def test_backbone5_refuses_several_residues():
    with pytest.raises(InputError, match="backbone"):
        bead_map("backbone5", peptide_topology(3), "test")


def test_backbone_takes_full_residues_only_and_bonds_across_residues():
    molecule = bead_map("backbone", peptide_topology(3), "test").molecule
    assert molecule.bead_names == ("N", "CA", "C") * 3
    assert molecule.residue_ids == (2, 2, 2, 3, 3, 3, 4, 4, 4)
    assert molecule.bonds == tuple((i, i + 1) for i in range(8))
    assert len(molecule.ramachandran) == 1  # only the middle residue has both neighbours


def test_ca_bonds_stop_at_a_chain_break():
    molecule = bead_map("ca", peptide_topology(3, n_chains=2), "test").molecule
    assert molecule.bonds == ((0, 1), (1, 2), (3, 4), (4, 5))


def test_selected_beads_are_joined_by_paths_that_touch_no_other_bead():
    molecule = bead_map("name CA or name CB", peptide_topology(3), "test").molecule
    assert molecule.bead_names == ("CA", "CB") * 3
    assert set(molecule.bonds) == {(0, 1), (2, 3), (4, 5), (0, 2), (2, 4)}
    only_cb = bead_map("name CB", peptide_topology(3), "test").molecule
    assert set(only_cb.bonds) == {(0, 1), (1, 2)}  # and not the ends with each other


def test_without_any_bonds_beads_are_joined_in_sequence_within_a_chain():
    top = mdtraj.Topology()
    for _ in range(2):
        chain = top.add_chain()
        for k in range(3):
            top.add_atom("CA", mdtraj.element.carbon, top.add_residue("ALA", chain, resSeq=k + 10))
    for spec in ("ca", "name CA"):
        molecule = bead_map(spec, top, "test").molecule
        assert molecule.bonds == ((0, 1), (1, 2), (3, 4), (4, 5))
        assert molecule.residue_ids == (10, 11, 12) * 2


def test_the_bond_graph_gives_each_atom_to_its_nearest_bead():
    ring = [[1, 5], [0, 2], [1, 3], [2, 4], [3, 5], [4, 0]]
    assert bead_bonds(ring, [[0], [2], [4]], [0, 0, 0]) == [(0, 1), (0, 2), (1, 2)]


def test_a_walk_reaches_every_wanted_atom_along_bonds_and_nothing_else():
    top = peptide_topology(3, n_chains=2)
    neighbours = adjacency(top)
    wanted = list(top.select("name CA"))
    way = walk(neighbours, wanted)
    assert set(wanted) <= set(way.atoms.tolist())
    assert {top.atom(int(a)).name for a in way.atoms} == {"CA", "C", "N"}
    reached = {int(way.steps[0, 0])}
    for (start, end), bonded in zip(way.steps.tolist(), way.along_bond, strict=True):
        assert start in reached
        assert bonded == (int(way.atoms[end]) in neighbours[way.atoms[start]])
        reached.add(end)
    assert reached == set(range(len(way.atoms)))
    assert (~way.along_bond).sum() == 1  # one jump, from chain to chain


def test_masses_of_atoms_without_an_element_column(tmp_path):
    # CHARMM names, no element column, a calcium ion, and a virtual site
    lines = [("N", "ALA", 1), ("HT1", "ALA", 1), ("CA", "ALA", 1), ("C", "ALA", 1), ("O", "ALA", 1), ("CA", "CAL", 2)]
    text = "".join(
        f"ATOM  {i + 1:5d} {name:^4s} {residue} X{number:4d}    {i * 1.4:8.3f}   0.000   0.000  0.00  0.00\n"
        for i, (name, residue, number) in enumerate(lines)
    )
    (tmp_path / "top.pdb").write_text(text)
    top = mdtraj.load_topology(str(tmp_path / "top.pdb"))
    assert np.allclose(bead_map("backbone", top, "x").molecule.masses, (14.007, 12.011, 12.011), atol=1e-3)
    top.atom(1).element = mdtraj.element.virtual
    assert bead_map("index 0 1", top, "x").molecule.masses[1] == 12.0
    with pytest.raises(InputError, match="selects 1 beads"):  # calcium is no C-alpha
        bead_map("ca", top, "x")


def test_weighted_groups(tmp_path):
    trajectory = peptide(2)
    top = trajectory.topology
    file = tmp_path / "map.json"
    groups = [
        {"name": "CAP", "atoms": "resname ACE"},
        {"name": "A1", "residue": "ALA2", "atoms": [3, 4, 5], "weights": [1, 2, 1]},
        {"name": "A2", "atoms": "resSeq 3"},
    ]
    file.write_text(json.dumps({"beads": groups}))
    beads, x = mapped(str(file), trajectory)
    masses = [a.element.mass for a in top.atoms]
    cap = np.average(trajectory.xyz[:, :3], axis=1, weights=masses[:3])
    assert np.allclose(x[:, 0], cap, atol=1e-4)  # no weights: the centre of mass
    assert np.allclose(
        x[:, 1], trajectory.xyz[:, 3] / 4 + trajectory.xyz[:, 4] / 2 + trajectory.xyz[:, 5] / 4, atol=1e-6
    )
    assert beads.molecule.bonds == ((0, 1), (1, 2))
    assert beads.molecule.residue_names == ("ACE", "ALA", "ALA")
    assert np.isclose(beads.molecule.masses[0], sum(masses[:3]), atol=2e-3)
    file.write_text(json.dumps({"beads": groups, "bonds": [[0, 2]]}))
    assert bead_map(str(file), top, "x").molecule.bonds == ((0, 2),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"beads": 3}',
        '{"beads": [{"name": "A", "atoms": [0, 99]}, {"name": "B", "atoms": [1]}]}',
        '{"beads": [{"name": "A", "atoms": [0, 0]}, {"name": "B", "atoms": [1]}]}',
        '{"beads": [{"name": "A", "atoms": []}, {"name": "B", "atoms": [1]}]}',
        '{"beads": [{"name": "A", "atoms": [0, 1], "weights": [1]}, {"name": "B", "atoms": [1]}]}',
        '{"beads": [{"name": "A", "atoms": [0], "weights": [-1]}, {"name": "B", "atoms": [1]}]}',
        '{"beads": [{"name": "A", "atoms": "name ??"}, {"name": "B", "atoms": [1]}]}',
        '{"beads": [{"name": "A", "atoms": [0], "residue": "7"}, {"name": "B", "atoms": [1]}]}',
        '{"beads": [{"name": "A", "atoms": [0]}, {"name": "B", "atoms": [1]}], "bonds": [[0, 7]]}',
    ],
)
def test_a_bad_map_file_is_one_line(tmp_path, text):
    (tmp_path / "map.json").write_text(text)
    with pytest.raises(InputError) as caught:
        bead_map(str(tmp_path / "map.json"), peptide_topology(2), "x")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", ["", "nonsense", "name ZZ", "name CA and", "index 0", "missing.json", "resname HOH"])
def test_a_map_that_selects_nothing_or_is_none_is_one_line(spec):
    with pytest.raises(InputError) as caught:
        bead_map(spec, peptide_topology(2), "x")
    assert "\n" not in str(caught.value)

"""Atoms put back to the C-alpha atoms of a helix, by PULCHRA."""

import json
import sys

import mdtraj
import numpy as np
import pytest
from commands import assert_refused, invoke

from scorefield.backmap import alpha_carbons, backmap, lengthened
from scorefield.errors import InputError
from scorefield.frames import Frames, write_frames
from scorefield.molecule import Molecule
from scorefield.trajectory import Trajectory

RESIDUES = ("GLU", "ALA", "LYS", "LEU", "SER", "PHE")


def molecule(names=("CA",) * 6, residues=RESIDUES, numbers=(3, 4, 5, 6, 7, 8)) -> Molecule:
    n = len(names)
    return Molecule("helix", names, residues, numbers, (12.0,) * n, tuple((i, i + 1) for i in range(n - 1)))


def helix(n: int = 6) -> np.ndarray:
    k = np.arange(n)
    return np.stack([0.23 * np.cos(np.radians(100) * k), 0.23 * np.sin(np.radians(100) * k), 0.15 * k], axis=1)


def frames() -> Trajectory:
    x = helix() + np.random.default_rng(0).normal(0, 0.005, (2, 6, 3))
    return Trajectory(molecule(), x.astype(np.float32), (2,), 300.0)


def test_a_trace_goes_on_as_an_extended_chain():
    x = lengthened(helix())
    steps = np.diff(x, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    np.testing.assert_allclose(lengths[[0, 1, -2, -1]], 0.38)
    turns = np.einsum("ij,ij->i", steps[1:], steps[:-1]) / (lengths[1:] * lengths[:-1])
    np.testing.assert_allclose(turns[[0, 1, -2, -1]], 0.5)  # 120 degrees between bonds
    np.testing.assert_allclose(x[2:-2], helix())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (molecule(names=("N", "CA", "C") * 2), "2 beads named CA"),
        (molecule(residues=("ACE", *RESIDUES[1:])), "ACE3 is none"),
        (molecule(numbers=(3, 4, 5, 7, 8, 9)), "no residue between LYS5 and LEU7"),
    ],
)
def test_refuses_what_is_no_chain_of_amino_acids(wrong, message):
    with pytest.raises(InputError, match=message):
        alpha_carbons(wrong)


def test_without_the_tool_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pulchra", None)
    with pytest.raises(InputError, match=r"pip install 'scorefield\[atoms\]'"):
        backmap(frames())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("pulchra", reason="PULCHRA is not installed (extra `atoms`)")
    path = tmp_path_factory.mktemp("samples")
    write_frames(Frames(frames(), "samples", 2, 0, {}), path / "samples")
    return path


def test_every_atom_is_there_and_the_beads_stay_where_they_are(folder):
    found = json.loads(invoke("backmap", folder / "samples", "-n", 2, "-o", folder / "atoms", "--json").out)
    placed = mdtraj.load(folder / "atoms" / "atoms.xtc", top=folder / "atoms" / "topology.pdb")
    alpha = placed.topology.select("name CA")
    np.testing.assert_allclose(placed.xyz[:, alpha], frames().positions, atol=2e-3)
    counts = [residue.n_atoms for residue in placed.topology.residues]
    assert counts == [9, 5, 9, 8, 6, 12]  # the last with OXT
    assert [residue.resSeq for residue in placed.topology.residues] == [3, 4, 5, 6, 7, 8]
    faults = found["faults"]
    assert faults["mirrored_a_frame"] == 0
    assert faults["bond_errors_a_frame"] < 0.1 * faults["bonds"]
    assert json.loads(invoke("info", folder / "atoms", "--json").out)["tool"]["name"] == "PULCHRA"


def test_relaxed_frames_have_hydrogens_and_no_strain(folder):
    pytest.importorskip("openmm", reason="OpenMM is not installed (extra `openmm`)")
    words = ("backmap", folder / "samples", "-n", 1, "--relax", "-o", folder / "relaxed", "--json")
    found = json.loads(invoke(*words).out)
    assert found["atoms"] > 90
    assert found["faults"]["clashes_a_frame"] == found["faults"]["bond_errors_a_frame"] == 0
    assert found["relaxed"]["alpha_carbons_moved_nm"] < 0.03


def test_what_is_no_protein_is_left_out_and_counted(folder):
    x = frames().positions.copy()
    x[0] = np.linspace([0, 0, 0], [0.01, 0, 0], 6)  # all but in one place
    part = Trajectory(molecule(), x, (2,), 300.0)
    with_all, without = backmap(frames()), backmap(part)
    assert (with_all.left_out, without.left_out) == (0, 1)
    np.testing.assert_array_equal(without.positions, with_all.positions[1:])
    with pytest.raises(InputError, match="none of 2 frames"):
        backmap(Trajectory(molecule(), x[[0, 0]], (2,), 300.0))


def test_nothing_is_overwritten(folder):
    (folder / "there").mkdir()
    assert_refused(invoke("backmap", folder / "samples", "-o", folder / "there"))

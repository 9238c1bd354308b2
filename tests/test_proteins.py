"""Known proteins, collections as they are delivered, native structures, and what a topology gives away."""

from dataclasses import replace

import mdtraj
import numpy as np
import pytest
from backbones import chain_molecule, trajectory
from peptides import peptide, saved

from scorefield.allatom import load_structure
from scorefield.collection import gather
from scorefield.config import load_config
from scorefield.errors import InputError
from scorefield.geometry import all_pairs
from scorefield.mapping import bead_map
from scorefield.native import native_notes, native_structure
from scorefield.prepare import prepare
from scorefield.proteins import one_letter, protein, proteins
from scorefield.scrutiny import check_hand, gap_words, hand_notes, topology_notes
from scorefield.splitting import split_pieces
from scorefield.structure import write_pdb

# arXiv 2302.00600: beads and temperature
PAPER = {"chignolin": (10, 340), "trp_cage": (20, 290), "bba": (28, 325), "villin": (35, 360), "protein_g": (56, 350)}


def helix(n: int = 12) -> np.ndarray:
    """C-alpha atoms of a right-handed alpha helix, nm."""
    k = np.arange(n)
    turn = np.radians(100) * k
    return np.stack([0.23 * np.cos(turn), 0.23 * np.sin(turn), 0.15 * k], axis=1)


def alpha_carbons(names: list[str], x: np.ndarray, first: int = 1) -> mdtraj.Trajectory:
    """One frame (or frames) of C-alpha atoms."""
    top = mdtraj.Topology()
    chain = top.add_chain("A")
    for k, name in enumerate(names):
        top.add_atom("CA", mdtraj.element.carbon, top.add_residue(name, chain, resSeq=first + k))
    return mdtraj.Trajectory(np.asarray(x, np.float32).reshape(-1, len(names), 3), top)


SEQUENCE = ["ALA", "GLY", "SER", "LEU", "LYS", "GLU", "ALA", "VAL", "TRP", "ASP", "ASN", "THR"]


@pytest.mark.parametrize("name", PAPER)
def test_a_known_protein_is_the_papers(name):
    known = protein(name)
    assert (len(known.sequence), known.temperature) == PAPER[name]
    assert load_config(known.settings["paper"])
    assert load_config(None if known.settings["recommended"] == "default" else known.settings["recommended"])
    assert known.settings["simulation"] == {"replicas": 100, "time_ns": 12.0, "dt_fs": 2.0, "friction": 1.0}
    assert "D. E. Shaw Research" in known.how_to_get()
    assert {row["metric"] for row in known.published} == {"folded_population", "distance_js"}


@pytest.mark.parametrize("name", PAPER)
def test_its_native_structure_is_one_folded_right_handed_chain(name):
    topology, x = load_structure(protein(name).native)
    molecule = bead_map("ca", topology, name).molecule
    native, _ = native_structure(protein(name).native, "ca", molecule)
    bonds = np.linalg.norm(np.diff(native, axis=0), axis=1)
    assert ((bonds > 0.36) & (bonds < 0.40)).all()
    pairs = all_pairs(len(x), 3)
    assert np.linalg.norm(native[pairs[:, 0]] - native[pairs[:, 1]], axis=1).min() > 0.35
    assert np.sqrt((native**2).sum(axis=1).mean()) < 0.3 * len(x) ** 0.4  # compact: radii grow slowly
    assert hand_notes(trajectory(native[None], molecule)) == []


def test_known_proteins_are_listed_and_others_named():
    assert proteins() == list(PAPER)
    with pytest.raises(InputError, match="no known protein 'ubiquitin'; there are: chignolin"):
        protein("ubiquitin")
    with pytest.raises(InputError, match="there are"):
        protein("../bba")


def test_a_sequence_that_does_not_match_is_named():
    names = {"Y": "TYR", "D": "ASP", "P": "PRO", "E": "GLU", "T": "THR", "G": "GLY", "W": "TRP"}
    known = protein("chignolin")
    right = [names[letter] for letter in known.sequence]
    known.check_sequence(right)
    with pytest.raises(InputError, match="residue 4 of the topology is ALA, of chignolin it is P"):
        known.check_sequence([*right[:3], "ALA", *right[4:]])
    with pytest.raises(InputError, match=r"9 residues, chignolin has 10.*residues are missing"):
        known.check_sequence(right[1:])


def test_protonation_makes_no_other_residue():
    known = replace(protein("chignolin"), sequence="HDC")
    known.check_sequence(["HIP", "ASH", "CYX"])


@pytest.fixture
def delivered(tmp_path):
    """A folder as D. E. Shaw Research deliver it: numbered DCD files, a PDB, a table of times."""
    folder = tmp_path / "NAME-0-c-alpha"
    folder.mkdir()
    rng = np.random.default_rng(0)
    frames = helix() + 0.01 * rng.normal(size=(10, 40, 12, 3))
    for k in range(10):
        saved(alpha_carbons(SEQUENCE, frames[k]), folder / f"NAME-0-c-alpha-{k:03d}_stride-50.dcd")
    saved(alpha_carbons(SEQUENCE, helix()), folder / "NAME-0-c-alpha.pdb")
    (folder / "NAME-0-c-alpha_times.csv").write_text("200.0,NAME-0-c-alpha-000.dcd\n")
    return folder


def test_a_collection_is_read_in_order_and_split_in_time(delivered, tmp_path):
    native = saved(alpha_carbons(SEQUENCE, helix()), tmp_path / "native.pdb")
    dataset = prepare([delivered], None, "ca", 300.0, tmp_path / "out", native=native, stride=2, interval=200.0)
    assert dataset.splits == ("train",) * 7 + ("validation",) + ("test",) * 2
    assert [source[15:18] for source in dataset.sources] == [f"{k:03d}" for k in range(10)]
    assert dataset.trajectory.chain_lengths == (20,) * 10
    assert dataset.trajectory.interval == 400
    assert any("consecutive pieces of one trajectory" in w for w in dataset.provenance["warnings"])
    assert dataset.molecule.native is not None
    np.testing.assert_allclose(dataset.molecule.native, helix() - helix().mean(axis=0), atol=1e-3)


@pytest.fixture
def known(tmp_path):
    """A protein whose collection `delivered` is."""
    native = saved(alpha_carbons(SEQUENCE, helix()), tmp_path / "known.pdb")
    sequence = one_letter(SEQUENCE)
    return replace(protein("bba"), name="known", sequence=sequence, native=native, trajectories={"interval_ps": 200.0})


def test_the_interval_of_a_known_collection_is_known_and_its_stride_in_the_names(delivered, known, tmp_path):
    dataset = prepare([delivered], None, None, None, tmp_path / "out", protein=known, stride=2)
    assert dataset.trajectory.interval == 200 * 50 * 2
    assert "taken to be 10000 ps: 200 ps as known is delivered, times 50" in dataset.provenance["warnings"][0]
    given = prepare([delivered], None, None, None, tmp_path / "given", protein=known, interval=5.0)
    assert given.trajectory.interval == 5
    some = [next(delivered.glob("*-003*.dcd"))]  # files by themselves may be anything
    assert (
        prepare(some, next(delivered.glob("*.pdb")), None, None, tmp_path / "2", protein=known).trajectory.interval
        is None
    )
    next(delivered.glob("*-003*.dcd")).rename(delivered / "NAME-0-c-alpha-003.dcd")
    assert gather([delivered], None).stride is None


def test_folders_that_are_no_collection_are_named(delivered, tmp_path):
    (delivered / "NAME-0-c-alpha-004_stride-50.dcd").unlink()
    assert gather([delivered], None).notes == ["pieces 4 of NAME-0-c-alpha are missing"]
    (delivered / "OTHER-1-c-alpha-000.dcd").write_bytes(b"")
    with pytest.raises(InputError, match="several trajectories"):
        gather([delivered], None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no trajectories"):
        gather([tmp_path / "empty"], None)
    (tmp_path / "empty" / "a.xtc").write_bytes(b"")
    with pytest.raises(InputError, match="holds no PDB"):
        gather([tmp_path / "empty"], None)
    assert not gather([tmp_path / "empty"], tmp_path / "top.pdb").pieces


def test_pieces_are_split_in_time_order_and_every_split_has_one():
    splits = lambda lengths, shares: [s.split for s in split_pieces(lengths, shares)]
    assert splits([5] * 10, (0.8, 0.0, 0.2)) == ["train"] * 8 + ["test"] * 2
    assert splits([5] * 3, (0.98, 0.01, 0.01)) == ["train", "validation", "test"]
    assert splits([1, 1, 100], (0.5, 0.25, 0.25)) == ["train", "validation", "test"]
    assert [s.stop - s.start for s in split_pieces([10], (0.8, 0.1, 0.1))] == [8, 1, 1]


def molecule_of(names=SEQUENCE):
    return bead_map("ca", alpha_carbons(names, np.zeros((1, len(names), 3))).topology, "test").molecule


def test_a_native_structure_may_hold_more_and_be_a_mutant(tmp_path):
    longer = ["MET", "HIS", *SEQUENCE[:4], "ARG", *SEQUENCE[5:], "HIS"]
    path = saved(alpha_carbons(longer, helix(15)), tmp_path / "native.pdb")
    x, notes = native_structure(path, "ca", molecule_of())
    np.testing.assert_allclose(x, helix(15)[2:14] - helix(15)[2:14].mean(axis=0), atol=1e-3)
    assert notes == ["native structure native.pdb differs in 1 residues: ARG7 where the trajectory has LYS5"]


def test_native_structures_that_do_not_match_are_named(tmp_path):
    short = saved(alpha_carbons(SEQUENCE[:-1], helix(11)), tmp_path / "short.pdb")
    with pytest.raises(InputError, match=r"short.pdb has 11 beads.*residues are missing"):
        native_structure(short, "ca", molecule_of())
    other = saved(alpha_carbons(SEQUENCE[::-1], helix()), tmp_path / "other.pdb")
    with pytest.raises(InputError, match="does not have the trajectory's residues"):
        native_structure(other, "ca", molecule_of())
    broken = helix()
    broken[6:] += 1.0
    gap = saved(alpha_carbons(SEQUENCE, broken), tmp_path / "gap.pdb")
    with pytest.raises(InputError, match=r"gap: .* GLU6 and ALA7"):
        native_structure(gap, "ca", molecule_of())
    with pytest.raises(InputError, match="not a structure"):
        native_structure(tmp_path / "t.xtc", "ca", molecule_of())


def test_a_native_structure_in_another_unit_or_mirrored_is_named(tmp_path):
    for factor, words in (
        (0.1, "nm where Ångström is meant"),
        (10, "Ångström where nm is meant"),
        (3, "unit is wrong"),
    ):
        path = saved(alpha_carbons(SEQUENCE, factor * helix()), tmp_path / "scaled.pdb")
        with pytest.raises(InputError, match=words):
            native_structure(path, "ca", molecule_of())
    whole = chiral()[:1]
    molecule = bead_map("ca", whole.topology, "test").molecule
    mirrored = mdtraj.Trajectory(whole.xyz * np.float32([1, 1, -1]), whole.topology)
    native_structure(saved(whole, tmp_path / "right.pdb"), "ca", molecule)
    with pytest.raises(InputError, match=r"left.pdb is a mirror image"):
        native_structure(saved(mirrored, tmp_path / "left.pdb"), "ca", molecule)


def test_frames_tell_that_the_native_structure_is_a_mirror_image_or_another_fold():
    frames = helix() + 0.01 * np.random.default_rng(0).normal(size=(50, 12, 3))
    notes = lambda native: native_notes(trajectory(frames, replace(chain_molecule(("CA",) * 12), native=native)))
    assert notes(helix().astype(np.float32)) == notes(None) == []
    assert "mirror image" in notes((helix() * [1, 1, -1]).astype(np.float32))[0]
    line = 0.38 * np.arange(12)[:, None] * [1.0, 0.0, 0.0]
    assert "hardly any frame is within 4 Å of the native structure" in notes(line.astype(np.float32))[0]


def test_a_trace_whose_pdb_names_its_bonds_is_read(tmp_path):
    beads = alpha_carbons(SEQUENCE, helix() + np.zeros((20, 1, 1)))
    top = tmp_path / "top.pdb"
    write_pdb(top, molecule_of(), helix())
    assert "CONECT" in top.read_text()
    assert prepare([saved(beads, tmp_path / "t.xtc")], top, "ca", 300.0, tmp_path / "out").trajectory.n_frames == 20
    wrong = saved(mdtraj.Trajectory(10 * beads.xyz, beads.topology), tmp_path / "wrong.xtc")
    with pytest.raises(InputError, match="ten times too long"):
        prepare([wrong], top, "ca", 300.0, tmp_path / "2")


def test_a_ter_before_a_modified_residue_ends_no_chain(tmp_path):
    lines = saved(alpha_carbons(SEQUENCE, helix()), tmp_path / "a.pdb").read_text().splitlines()
    atoms = [line for line in lines if line.startswith("ATOM")]
    atoms[5] = "TER\nHETATM" + atoms[5][6:].replace("GLU", "NLE") + "\nTER"
    (tmp_path / "b.pdb").write_text("\n".join(atoms) + "\nEND\n")
    topology, _ = load_structure(tmp_path / "b.pdb")
    beads = bead_map("ca", topology, "test")
    assert topology.n_chains > 1
    assert len(beads.molecule.bonds) == 11
    assert topology_notes(beads) == ["residues NLE6 are not standard amino acids; they are beads like all others"]


def test_several_chains_are_told():
    notes = topology_notes(bead_map("ca", peptide(4, 1, n_chains=2).topology, "test"))
    assert "2 chains (of 4, 4 beads)" in notes[0]


def test_missing_residues_are_named_where_a_bond_is_too_long(tmp_path):
    x = helix()
    x[6:] += 0.5
    broken = alpha_carbons(SEQUENCE, x + 0.01 * np.random.default_rng(0).normal(size=(60, 12, 3)))
    for residue in list(broken.topology.residues)[6:]:
        residue.resSeq += 3
    dataset = prepare([saved(broken, tmp_path / "t.pdb")], None, "ca", 300.0, tmp_path / "out")
    assert any("residues 7 to 9 are missing" in w for w in dataset.provenance["warnings"])
    assert gap_words(molecule_of(), 3, 4) == "a gap in the chain?"


def test_mirror_images_are_found_in_all_atom_frames(tmp_path):
    right = chiral()
    check_hand(tmp_path / "t.pdb", right.topology, right.xyz[0])
    mirrored = mdtraj.Trajectory(right.xyz * np.float32([1, 1, -1]), right.topology)
    with pytest.raises(InputError, match=r"t.dcd is a mirror image: 4 of 4 residues"):
        prepare(
            [saved(mirrored, tmp_path / "t.dcd")], saved(right, tmp_path / "top.pdb"), "ca", 300.0, tmp_path / "out"
        )


def chiral() -> mdtraj.Trajectory:
    """Four alanines with C-beta atoms where L-amino acids have them, 20 frames."""
    one = peptide(4, 20)
    x = one.xyz.copy()
    for residue in one.topology.residues:
        atoms = {a.name: a.index for a in residue.atoms}
        if residue.name == "ALA":
            n, c = (x[:, atoms[name]] - x[:, atoms["CA"]] for name in ("N", "C"))
            normal = np.cross(n, c)
            x[:, atoms["CB"]] = x[:, atoms["CA"]] + 0.15 * normal / np.linalg.norm(normal, axis=1, keepdims=True)
    return mdtraj.Trajectory(x, one.topology)


def test_mirror_images_of_a_trace_are_suspected_by_their_helices():
    frames = helix() + 0.01 * np.random.default_rng(0).normal(size=(50, 12, 3))
    molecule = chain_molecule(("CA",) * 12)
    assert hand_notes(trajectory(frames, molecule)) == []
    found = hand_notes(trajectory(frames * [1, 1, -1], molecule))
    assert "mirror image?" in found[0]
    assert hand_notes(trajectory(frames * [1, 1, -1], chain_molecule(("N", "CA", "C") * 4))) == []

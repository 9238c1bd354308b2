"""All-atom dynamics: molecules as asked for, copies that are alone, and a folder that no kill leaves in disorder."""

import shutil
from dataclasses import replace

import mdtraj
import numpy as np
import pytest
from commands import assert_refused, contents, invoke

pytest.importorskip("openmm", reason="needs the extra scorefield[openmm]")
pytest.importorskip("PeptideBuilder", reason="needs the extra scorefield[openmm]")

import openmm

from scorefield.errors import InputError
from scorefield.prepare import prepare
from scorefield.reference import Settings, reference, run, settings
from scorefield.reference.copies import copies_system, cutoff, force_field, spread
from scorefield.reference.peptide import CODES, load_structure

SMALL = Settings("A", 300.0, copies=2, save_ps=0.02, equilibrate_ps=0.08, scatter_ps=0.01, forces=True)
LENGTH = 0.12  # ps: 6 frames, the last block shorter than the others
PLATFORM = "CPU"


def partly(path, *_):
    """Half a frame, as a kill in the middle of a write leaves it."""
    with open(path, "ab") as file:
        file.write(b"\0" * 777)
    raise KeyboardInterrupt


def killed(*_, **__):
    raise KeyboardInterrupt


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Several threads add forces in an order of their own, so that nothing would be the same bit for bit."""
    cpu = openmm.Platform.getPlatformByName("CPU")
    before = cpu.getPropertyDefaultValue("Threads")
    cpu.setPropertyDefaultValue("Threads", "1")
    yield
    cpu.setPropertyDefaultValue("Threads", before)


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    monkeypatch.setattr(settings, "_BLOCK_STEPS", 20)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A simulation that was killed before its first block; to be read only."""
    out = tmp_path_factory.mktemp("reference") / "md"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "_advance", killed)
        with pytest.raises(KeyboardInterrupt):
            reference(SMALL, out, LENGTH, platform=PLATFORM)
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory, begun):
    """The same, gone on with to its end without further interruption; to be read only."""
    out = tmp_path_factory.mktemp("reference") / "md"
    shutil.copytree(begun, out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "_BLOCK_STEPS", 20)
        reference(SMALL, out, LENGTH, resume=True, platform=PLATFORM)
    return out


def frames(folder):
    return {name: digest for name, digest in contents(folder).items() if name.endswith((".trr", ".npy"))}


def test_prepare_reads_what_it_writes(whole, tmp_path):
    dataset = prepare(
        sorted(whole.glob("chain*.trr")), whole / "topology.pdb", "backbone5", 300.0, tmp_path / "data", forces=True
    )
    assert dataset.trajectory.interval == pytest.approx(SMALL.save_ps)
    assert dataset.trajectory.n_frames == 12
    assert dataset.forces is not None
    np.testing.assert_allclose(dataset.forces.sum(axis=1), 0, atol=1e-2)  # no force from outside
    loaded = mdtraj.load(str(whole / "chain_0001.trr"), top=str(whole / "topology.pdb"))
    np.testing.assert_allclose(loaded.time, 0.02 * np.arange(1, 7), rtol=1e-6)
    steps = np.linalg.norm(np.diff(loaded.xyz - loaded.xyz.mean(axis=1, keepdims=True), axis=0), axis=-1)
    assert 0 < steps.max() < 0.2


@pytest.mark.parametrize(
    ("what", "how", "after"),
    [("append_frames", partly, 3), ("_record", killed, 2), ("_remove_states", killed, 4), ("_advance", killed, 3)],
)
def test_a_simulation_killed_at_any_moment_goes_on_to_the_same_bytes(
    begun, whole, tmp_path, monkeypatch, what, how, after
):
    out, real, calls = tmp_path / "md", getattr(run, what), []

    def sometimes(*args):
        calls.append(args)
        return how(*args) if len(calls) == after else real(*args)

    shutil.copytree(begun, out)
    monkeypatch.setattr(run, what, sometimes)
    with pytest.raises(KeyboardInterrupt):
        reference(SMALL, out, LENGTH, resume=True, platform=PLATFORM)
    reference(SMALL, out, LENGTH, resume=True, platform=PLATFORM)
    assert frames(out) == frames(whole)


def test_a_finished_simulation_can_be_made_longer(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "md")
    reference(SMALL, tmp_path / "md", 2 * LENGTH, resume=True, platform=PLATFORM)
    before, after = ((folder / "chain_0000.trr").read_bytes() for folder in (whole, tmp_path / "md"))
    assert after[: len(before)] == before
    assert len(after) == 2 * len(before)
    loaded = mdtraj.load(str(tmp_path / "md/chain_0000.trr"), top=str(whole / "topology.pdb"))
    np.testing.assert_allclose(loaded.time, 0.02 * np.arange(1, 13), rtol=1e-6)


def test_copies_start_from_one_structure_and_go_their_own_ways(whole):
    x = [mdtraj.load(str(f), top=str(whole / "topology.pdb")) for f in sorted(whole.glob("*.trr"))]
    assert not np.allclose(*(t.xyz - t.xyz.mean(axis=1, keepdims=True) for t in x), atol=1e-3)


def forces_of(system, x):
    context = openmm.Context(system, openmm.VerletIntegrator(1e-3), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(x.reshape(-1, 3))
    return context.getState(getForces=True).getForces(asNumpy=True)._value


def test_a_copy_feels_what_it_would_feel_alone():
    peptide = load_structure("G", True, force_field("obc2"))
    x = peptide.positions + np.random.default_rng(0).normal(0, 0.01, (3, *peptide.positions.shape))
    alone = [forces_of(copies_system(peptide.topology, 1, "obc2", 3.0), y) for y in x]
    together = forces_of(copies_system(peptide.topology, 3, "obc2", 3.0), spread(x, cutoff(peptide.topology)))
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-6 * np.abs(together).max())


def test_copies_are_moved_as_wholes_and_out_of_reach():
    x = np.random.default_rng(1).normal(0, 0.4, (11, 8, 3))
    y = spread(x, 3.0)
    np.testing.assert_allclose(y - y.mean(axis=1, keepdims=True), x - x.mean(axis=1, keepdims=True), atol=1e-12)
    apart = np.linalg.norm(y[:, None, :, None] - y[None, :, None, :], axis=-1).min(axis=(2, 3))
    assert apart[~np.eye(11, dtype=bool)].min() > 3.0


def test_hydrogens_are_heavy_and_the_molecule_is_not():
    peptide = load_structure("A", True, force_field("obc2"))
    light, heavy = (copies_system(peptide.topology, 1, "obc2", m) for m in (1.008, 3.0))
    masses = np.array([[s.getParticleMass(i)._value for i in range(22)] for s in (light, heavy)])
    hydrogen = np.array([a.element.symbol == "H" for a in peptide.topology.atoms()])
    np.testing.assert_allclose(masses[1, hydrogen], 3.0)
    np.testing.assert_allclose(masses.sum(axis=1), masses[0].sum(), rtol=1e-6)
    assert heavy.getNumConstraints() == hydrogen.sum()


def test_every_amino_acid_is_built_left_handed_with_all_its_hydrogens():
    built = load_structure(CODES, False, force_field("obc2"))
    copies_system(built.topology, 1, "obc2", 3.0)  # no residue lacks an atom
    residues = [{a.name: built.positions[a.index] for a in r.atoms()} for r in built.topology.residues()]
    assert len(residues) == 20
    for atoms in (r for r in residues if "CB" in r):
        n, c, b = (atoms[name] - atoms["CA"] for name in ("N", "C", "CB"))
        assert np.dot(np.cross(n, c), b) > 0


@pytest.fixture
def pdb(tmp_path):
    """A PDB of ACE-ALA-ALA-NME, as text."""
    peptide = load_structure("AA", True, force_field("obc2"))
    path = tmp_path / "good.pdb"
    with open(path, "w") as file:
        openmm.app.PDBFile.writeFile(peptide.topology, peptide.positions * 10, file)
    return path.read_text()


def test_a_structure_file_needs_no_hydrogens(tmp_path, pdb):
    lines = [line for line in pdb.splitlines() if not line.startswith("CONECT") and line[76:78].strip() != "H"]
    water = "HETATM   99  O   HOH A  20      40.000  40.000  40.000  1.00  0.00           O  "
    (tmp_path / "heavy.pdb").write_text("\n".join([*lines[:-2], water, "END"]))
    found = load_structure(str(tmp_path / "heavy.pdb"), True, force_field("obc2"))
    assert found.topology.getNumAtoms() == 32
    assert "1 water" in found.notes[0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: [line for line in lines if " ALA A   2" not in line], "residues are missing between them"),
        (lambda lines: [line for line in lines if line[12:16].strip() != "CB"], "heavy atoms"),
        (lambda lines: [line.replace("ALA A", "ALA B") for line in lines], "chains"),
        (lambda lines: [line.replace("ALA A   3", "SEP A   3") for line in lines], "No template"),
        (lambda lines: ["nothing"], "structure"),
    ],
)
def test_a_bad_structure_is_named(tmp_path, pdb, change, says):
    lines = [line for line in pdb.splitlines() if not line.startswith("CONECT")]
    (tmp_path / "bad.pdb").write_text("\n".join(change(lines)))
    with pytest.raises(InputError, match=says):
        load_structure(str(tmp_path / "bad.pdb"), True, force_field("obc2"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"system": "AXB"}, "one-letter codes"),
        ({"system": "gone.pdb"}, "does not exist"),
        ({"copies": 0}, "copies"),
        ({"temperature": -1.0}, "temperature"),
        ({"save_ps": 0.001}, "closer than"),
        ({"save_ps": 0.0205}, "whole number"),
        ({"save_ps": 1.0}, "no frame"),
        ({"solvent": "water"}, "solvent"),
    ],
)
def test_bad_settings_leave_nothing(tmp_path, change, says):
    with pytest.raises(InputError, match=says):
        reference(replace(SMALL, **change), tmp_path / "md", LENGTH, platform=PLATFORM)
    assert not list(tmp_path.iterdir())


def test_going_on_with_other_settings_or_over_a_folder_is_refused(whole):
    before = contents(whole)
    with pytest.raises(InputError, match="begun with seed = 0, not 1"):
        reference(replace(SMALL, seed=1), whole, LENGTH, resume=True, platform=PLATFORM)
    with pytest.raises(InputError, match="no OpenMM platform"):
        reference(SMALL, whole, LENGTH, resume=True, platform="abacus")
    words = ("reference", "A", "--temperature", 300, "--ns", 1, "-o", whole)
    assert_refused(invoke(*words))
    assert contents(whole) == before


def test_a_file_that_lost_frames_is_named(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "md")
    (tmp_path / "md/chain_0001.trr").write_bytes(b"")
    with pytest.raises(InputError, match="lost frames"):
        reference(SMALL, tmp_path / "md", LENGTH, resume=True, platform=PLATFORM)


def test_the_command(tmp_path):
    words = ("--temperature", 300, "--copies", 1, "--equilibrate-ps", 0, "--save-ps", 0.04)
    done = invoke("reference", "G", "--ns", 8e-5, "-o", tmp_path / "md", *words, "--platform", PLATFORM, "--json")
    assert done.code == 0, done
    assert '"frames": 2' in done.out
    assert "all-atom dynamics" in invoke("info", tmp_path / "md").out

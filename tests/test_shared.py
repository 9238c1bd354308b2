"""One model of many molecules: for each of them it does not depend on the others, and it goes through all commands."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from backbones import random_backbones, random_chain
from commands import assert_refused, invoke

from scorefield import journal
from scorefield.config import config_from
from scorefield.dataset import Dataset, write_dataset
from scorefield.diffusion import rotated
from scorefield.energy.residues import N_FEATURES, features
from scorefield.energy.transferable import Pooled, TransferableEnergy
from scorefield.errors import InputError
from scorefield.molecule import Molecule
from scorefield.pool import Pool
from scorefield.shared import load_shared, model_for
from scorefield.structure import write_pdb
from scorefield.train_shared import grouped, mixed_batch, train_shared
from scorefield.trajectory import Trajectory

SETTINGS = {
    "energy": {"kind": "transferable", "width": 8, "interactions": 2, "channels": 2, "radial": 4},
    "training": {"optimiser": "adam", "steps": 200, "batch": 16, "warmup": 10},
    "sampling": {"steps": 12},
    "simulation": {"dt_fs": 1.0},
}
CONFIG = config_from(SETTINGS, "SETTINGS")
SIGMA = jnp.float32(0.01)


def peptide(*residues: str) -> Molecule:
    """A capped chain as the map backbone_caps has it."""
    names = ("C", *("N", "CA", "C") * len(residues), "N")
    owners = ("ACE", *(r for r in residues for _ in range(3)), "NME")
    ids = (1, *(k + 2 for k in range(len(residues)) for _ in range(3)), len(residues) + 2)
    masses = tuple({"N": 14.0}.get(n, 12.0) for n in names)
    bonds = tuple((i, i + 1) for i in range(len(names) - 1))
    return Molecule("-".join(residues), names, owners, ids, masses, bonds)


def dataset(molecule: Molecule, seed: int) -> Dataset:
    """1200 frames in three chains."""
    made = random_backbones if molecule.n_beads == 5 else lambda n, s: random_chain(n, molecule.n_beads - 1, s)
    x = made(1200, seed).astype(np.float32)
    x -= x.mean(axis=1, keepdims=True)
    trajectory = Trajectory(molecule, x, (800, 200, 200), 300.0, 1.0)
    return Dataset(trajectory, ("train", "validation", "test"), ("a", "b", "c"), "backbone_caps")


ALA, GLY, PAIR, VAL = peptide("ALA"), peptide("GLY"), peptide("ALA", "GLY"), peptide("VAL")


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool.of([dataset(m, k) for k, m in enumerate((ALA, GLY, PAIR))])


@pytest.fixture(scope="module")
def shared(pool, tmp_path_factory):
    """The SHARED folder of a short training; to be read only."""
    path = tmp_path_factory.mktemp("shared") / "run"
    train_shared(pool, CONFIG, path)
    return path


@pytest.fixture(scope="module")
def folders(pool, tmp_path_factory):
    """A DATASET folder of each molecule, and one of a molecule that is not trained on."""
    root = tmp_path_factory.mktemp("datasets")
    for data in (*pool.datasets, dataset(VAL, 9)):
        write_dataset(data, root / data.molecule.name)
    return root


def test_a_residue_never_seen_is_described_by_the_same_numbers_as_others():
    seen, unseen = features(ALA), features(VAL)
    assert seen.shape == unseen.shape == (5, N_FEATURES)
    assert np.array_equal(features(peptide("HID")), features(peptide("HIE")))
    assert not np.array_equal(seen, unseen)


def test_an_unknown_residue_is_named():
    with pytest.raises(InputError, match="'XYZ'"):
        features(peptide("XYZ"))


def test_molecules_of_all_sizes_share_the_same_weights(shared):
    model = load_shared(shared)
    for molecule in (ALA, PAIR, VAL):
        score = model.of(molecule).score
        assert isinstance(score, TransferableEnergy)
        assert score.network is model.weights.network


@pytest.mark.parametrize("molecule", [ALA, PAIR, VAL], ids=lambda m: m.name)
def test_the_energy_of_any_molecule_is_invariant(shared, molecule):
    energy = load_shared(shared).of(molecule).score
    x = jnp.asarray(dataset(molecule, 3).trajectory.positions[0])
    turned = rotated(x, jax.random.key(1)) + jnp.array([[1.0, -2.0, 0.5]])
    assert float(energy(turned, SIGMA)) == pytest.approx(float(energy(x, SIGMA)), abs=2e-3)
    mirrored = x * jnp.array([[1.0, 1.0, -1.0]])
    assert abs(float(energy(mirrored, SIGMA) - energy(x, SIGMA))) > 1e-4


def test_a_molecules_energy_does_not_depend_on_what_else_is_in_the_batch(shared, pool):
    """Alone, or as one of a stacked group, in whatever order."""
    model = load_shared(shared)
    alone = [model.of(d.molecule).score for d in pool.datasets]
    stacked = jax.tree.map(lambda *a: jnp.stack(a), alone[1].parts, alone[0].parts)
    single = jax.tree.map(lambda a: a[None], alone[2].parts)
    pooled = Pooled((stacked, single), model.weights.network, model.weights.normaliser)
    x = [jnp.asarray(d.trajectory.positions[:4]) for d in pool.datasets]
    mixed, order = jnp.stack([x[0], x[1]], axis=1).reshape(8, 5, 3), jnp.array([1, 0] * 4)
    both = jax.vmap(lambda k, y: pooled.at(0, k)(y, SIGMA))(order, mixed)
    for k in (0, 1):
        expected = jax.vmap(lambda y, k=k: alone[k](y, SIGMA))(x[k])
        np.testing.assert_allclose(both.reshape(4, 2)[:, k], expected, rtol=1e-5, atol=1e-3)


def test_groups_share_a_batch_by_their_numbers_of_molecules(shared):
    model = load_shared(shared)
    parts = [model.of(m).score.parts for m in (PAIR, ALA, GLY, VAL)]
    groups = grouped(parts, 16)
    assert [g.members for g in groups] == [(1, 2, 3), (0,)]
    assert [g.batch for g in groups] == [12, 4]
    with pytest.raises(InputError, match="2 sizes in batches of 1"):
        grouped(parts, 1)


def test_frames_of_a_block_follow_from_seed_and_number(pool, shared):
    frames = [d.split("train") for d in pool.datasets]
    parts = [load_shared(shared).of(d.molecule).score.parts for d in pool.datasets]
    one, two = (mixed_batch(frames, grouped(parts, 16), 0, 3, 2) for _ in range(2))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [part.x.shape for part in one.parts] == [(2, 11, 5, 3), (2, 5, 8, 3)]


def test_what_is_assembled_for_a_molecule_of_the_training_is_like_its_own(shared, pool):
    """Means and widths of bonds, and the Gaussian's spread. Bonds of the other size are 0.004 nm wide, those here 0.003."""
    data = pool.datasets[0]
    model = load_shared(shared).of(ALA)
    x = data.split("train").positions
    lengths = np.linalg.norm(x[:, 1:] - x[:, :-1], axis=-1)
    np.testing.assert_allclose(model.physical.bond_mean, lengths.mean(axis=0), atol=2e-3)
    np.testing.assert_allclose(model.physical.bond_sd, lengths.std(axis=0), rtol=0.3)
    assert model.physical.spread == pytest.approx(float(x.std()), rel=0.15)


def test_resumed_is_uninterrupted(pool, shared, tmp_path, monkeypatch):
    """From the checkpoint after the first of two blocks."""
    monkeypatch.setattr(journal, "CHECKPOINT_SECONDS", 0.0)

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_shared(pool, CONFIG, tmp_path / "run", on_progress=stop)
    assert (tmp_path / "run/checkpoint-1.safetensors").exists()
    train_shared(pool, CONFIG, tmp_path / "run", resume=True)
    assert (tmp_path / "run/shared.safetensors").read_bytes() == (shared / "shared.safetensors").read_bytes()


def test_what_does_not_go_together_is_refused(pool):
    ala = pool.datasets[0]
    warmer = replace(ala, trajectory=replace(ala.trajectory, temperature=310.0))
    with pytest.raises(InputError, match="310 K"):
        Pool.of([ala, warmer])
    with pytest.raises(InputError, match="one map"):
        Pool.of([ala, replace(ala, map="ca")])


def test_what_it_cannot_describe_is_refused(shared):
    model = load_shared(shared)
    with pytest.raises(InputError, match="longest molecule of the training 8"):
        model.of(peptide("ALA", "ALA", "ALA"))
    ring = replace(ALA, bonds=(*ALA.bonds, (0, 4)))
    with pytest.raises(InputError, match="no chain"):
        model.of(ring)
    with pytest.raises(InputError, match="the beads CA CA"):
        model.of(replace(ALA, bead_names=("CA",) * 5))


def done(*words) -> None:
    result = invoke(*words)
    assert result.code == 0, result.err


def test_all_commands(folders, tmp_path):
    """Two molecules of different sizes to a model of a third: sampled, simulated, judged, and fine-tuned."""
    (tmp_path / "tiny.toml").write_text(CONFIG.to_toml())
    run, val, tuned, md = tmp_path / "run", folders / "VAL", tmp_path / "tuned", tmp_path / "md"
    done("train", folders / "ALA", folders / "ALA-GLY", "--config", tmp_path / "tiny.toml", "-o", run)
    done("sample", run, "--molecule", val, "-n", "50", "-o", tmp_path / "samples")
    write_pdb(tmp_path / "val.pdb", VAL, np.asarray(dataset(VAL, 9).trajectory.positions[0]))
    words = ["--replicas", "4", "--time-ns", "0.0002", "--save-ps", "0.02", "--start", val]
    done("simulate", run, "--molecule", tmp_path / "val.pdb", *words, "-o", md)
    done("evaluate", f"md={md}", "--reference", val, "-o", tmp_path / "report")
    done("train", val, "--from", run, "--steps", "20", "-o", tuned)
    done("info", run)
    assert model_for(tuned, None).molecule.same_as(VAL)
    for words in (
        ["sample", run],
        ["sample", run, "--molecule", tmp_path / "nothing.pdb"],
        ["sample", tuned, "--molecule", val],
        ["train", val, folders / "ALA", "--from", run],
    ):
        assert_refused(invoke(*words, "-o", tmp_path / "no"))

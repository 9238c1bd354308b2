"""The structure-based benchmark: forces are those of the stated energy, and the true force as a model's has no error."""

from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorefield.dataset import Dataset
from scorefield.energy.base import AbstractScore
from scorefield.geometry import all_pairs, angles, dihedrals, distances
from scorefield.molecule import Molecule
from scorefield.trajectory import Trajectory

pytest.importorskip("openmm")
benchmark = pytest.importorskip("structure_based", reason="benchmarks/ is not there")
proteins = pytest.importorskip("proteins", reason="benchmarks/ is not there")
N, FRAMES = 30, 6


@pytest.fixture(scope="module")
def known():
    """The model of the first residues of the benchmark's fold."""
    whole = benchmark.StructureBased.of(proteins.LYSOZYME, "lysozyme")
    m, x = whole.molecule, whole.native[:N]
    bonds = tuple((i, i + 1) for i in range(N - 1))
    names = m.bead_names[:N], m.residue_names[:N], m.residue_ids[:N], m.masses[:N]
    return benchmark.StructureBased(Molecule("piece", *names, bonds, native=x.astype(np.float32)), x)


@pytest.fixture(scope="module")
def dataset(known):
    noise = np.random.default_rng(0).normal(0, 0.02, (FRAMES, N, 3))
    x = (known.native - known.native.mean(axis=0) + noise).astype(np.float32)
    trajectory = Trajectory(known.molecule, np.concatenate([x, x]), (FRAMES, FRAMES), 300.0, 4.0)
    return Dataset(trajectory, ("train", "test"), ("a", "b"), "ca", {})


def energy(known, x):
    """Bonded and non-bonded energy in kT of one frame (n, 3) nm, as the module's docstring states them."""
    n, native = np.arange(N), jnp.asarray(known.native, jnp.float32)
    pairs, bends = np.stack([n[:-1], n[1:]], 1), np.stack([n[:-2], n[1:-1], n[2:]], 1)
    turns, contacts = np.stack([n[:-3], n[1:-2], n[2:-1], n[3:]], 1), known.contacts
    others = np.array([p for p in all_pairs(N, 4).tolist() if p not in contacts.tolist()])
    off = lambda of, index: of(x, index) - of(native, index)
    phi = off(dihedrals, turns)
    bonded = jnp.sum(100 * (10 * off(distances, pairs)) ** 2) + jnp.sum(20 * off(angles, bends) ** 2)
    bonded += jnp.sum(1 - jnp.cos(phi) + (1 - jnp.cos(3 * phi)) / 2)
    ratio = distances(native, contacts) / distances(x, contacts)
    rest = jnp.sum(5 * ratio**12 - 6 * ratio**10)
    r = distances(x, others)
    rest += jnp.sum(jnp.where(r < 1.0, (0.4 / r) ** 12, 0.0))
    return bonded / 0.8, rest / 0.8


class Known(AbstractScore):
    """The true force times `scale`, at every level."""

    known: object = eqx.field(static=True)
    scale: float = eqx.field(static=True)

    def score(self, x, sigma):
        return -self.scale * jax.grad(lambda y: sum(energy(self.known, y)))(x)

    def mean_force(self, x, level):
        return self.score(x, level)


def test_the_forces_are_those_of_the_stated_energy(known, dataset):
    x = dataset.split("test").positions
    for part, force in enumerate(known.forces(x)):
        slope = jax.jit(jax.vmap(jax.grad(lambda y, part=part: energy(known, y)[part])))(jnp.asarray(x))
        np.testing.assert_allclose(force, -np.asarray(slope), atol=1e-3 * np.abs(force).max())


@pytest.mark.parametrize("scale", [1.0, 0.9])
def test_the_true_force_has_no_error_and_a_tenth_less_a_tenth(known, dataset, scale):
    model = SimpleNamespace(level=0.01, score=Known(known, scale))
    found = proteins.force_errors(model, known, dataset)
    assert np.allclose(found["stiff"], 1 - scale, atol=1e-3)
    assert np.allclose(found["soft"], 1 - scale, atol=1e-3)
    ratio = np.array(found["non_bonded"]) / np.maximum(
        found["soft"], 1e-9
    )  # of the whole soft force to its non-bonded part
    assert scale == 1.0 or np.allclose(ratio, ratio[0], rtol=0.02)

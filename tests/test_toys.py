"""The benchmarks' toy systems: frames are Boltzmann's of the stated energy, whatever they were drawn from."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorefield.geometry import all_pairs, angles, dihedrals, distances
from scorefield.observables import in_chunks

toys = pytest.importorskip("toys", reason="benchmarks/ is not there")
N = 30_000


@cache
def drawn(name):
    """The toy, and exact frames of it, not turned: that would only take time to compile."""
    toy = toys.TOYS[name]()
    return toy, toy.draw(np.random.default_rng(0), N).astype(np.float32)


@pytest.mark.parametrize("name", toys.TOYS)
def test_every_pair_of_beads_obeys_steins_identity(name):
    """<grad v . grad U> = <Laplacian v> for v = q (4/q) and v = q^2 / 2 (6), q the distance of any two beads.

    The sum of the latter is the virial. A wrong volume element in a draw would break them.
    """
    toy, x = drawn(name)
    pairs = all_pairs(toy.molecule.n_beads)
    i, j = pairs.T

    @jax.jit
    @jax.vmap
    def terms(x):
        g, q = jax.grad(toy.energy)(x), distances(x, pairs)
        work = jnp.sum((x[i] - x[j]) * (g[i] - g[j]), axis=-1)
        return work / q - 4 / q, work - 6

    for excess in terms(jnp.asarray(x)):
        excess = np.asarray(excess, np.float64)
        assert np.abs(excess.mean(axis=0) / (excess.std(axis=0) / np.sqrt(N))).max() < 4


@pytest.mark.parametrize("name", ["double-well", "mueller-brown", "torsion-chain"])
def test_basins_are_populated_as_the_quadrature_says(name):
    toy, x = drawn(name)
    p, found = toy.basin.population, toy.basin.inside(x).mean()
    assert 0.1 < p < 0.9
    assert found == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / N))


def test_a_chain_has_the_internal_coordinates_that_it_was_placed_by():
    rng = np.random.default_rng(0)
    b, theta, phi = rng.uniform(0.1, 0.2, (100, 4)), rng.uniform(0.5, 2.5, (100, 3)), rng.uniform(-3, 3, (100, 2))
    x = toys.placed(b, theta, phi)
    for function, expected in ((distances, b), (angles, theta), (dihedrals, phi)):
        index = np.arange(expected.shape[1])[:, None] + np.arange(6 - expected.shape[1])
        found = np.concatenate([values for _, values in in_chunks(function, x, index)])
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_gaussian_chain_has_its_stated_energy_at_no_noise():
    toy, x = drawn("harmonic-chain")
    x = jnp.asarray(x[0])
    np.testing.assert_allclose(toy.noised.score(x, jnp.zeros(())), -jax.grad(toy.energy)(x), rtol=1e-3, atol=1e-2)

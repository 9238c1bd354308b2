"""Distances with several peaks: the mixture is the density of noised samples at every noise level, and chosen when due."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from backbones import chain_molecule, dimer, noised

from scorefield.energy.pair_mixture import PairMixture, peaks

PAIR = chain_molecule(("CA", "CA"))


def shells(parts: list[tuple[float, float, float]], n: int, seed: int) -> np.ndarray:
    """(n,) distances in nm, Gaussian in r f: (weight, centre, width) of r f, so the density of r has a further factor r."""
    rng = np.random.default_rng(seed)
    weights, centres, widths = np.array(parts).T
    k = rng.choice(len(parts), 2 * n, p=weights / weights.sum())
    r = rng.normal(centres[k], widths[k])
    return r[rng.random(2 * n) < r / r.max()][:n]


PROTEIN = [(0.6, 0.55, 0.02), (0.4, 0.65, 0.025)]


@eqx.filter_jit
def density(term: PairMixture, r: jax.Array, sigma: jax.Array) -> jax.Array:
    """Of the distance, 1/nm: 4 pi r^2 exp(-U), with the constant that U leaves out."""
    x = jnp.stack([jnp.zeros((len(r), 3)), r[:, None] * jnp.array([[1.0, 0.0, 0.0]])], axis=1)
    u = jax.vmap(term, (0, None))(x, sigma)
    return 4 * jnp.pi * r**2 * jnp.exp(-u) / (2 * jnp.pi) ** 1.5


@pytest.fixture(scope="module")
def mixture() -> tuple[np.ndarray, PairMixture]:
    """Frames of a dimer with two peaks, and the term without fading."""
    x = dimer(shells(PROTEIN, 100_000, 0), 1)
    term = PairMixture.fit(PAIR, x.astype(np.float32))
    assert term.size == 1
    return x, eqx.tree_at(lambda t: t.fade, term, jnp.float32(1e3))


@pytest.mark.parametrize("sigma", [0.0, 0.01, 0.03, 0.1, 0.5])
def test_the_distance_of_noised_samples_has_the_mixtures_density(mixture, sigma):
    """Largest difference of the cumulative distributions (Kolmogorov-Smirnov; 1 % of samples of one density exceed .0052)."""
    x, term = mixture
    y = noised(x, sigma, 2)
    r = np.sort(np.linalg.norm(y[:, 0] - y[:, 1], axis=1))
    grid = np.linspace(0, r[-1] + 0.2, 8000)
    cumulative = np.cumsum(np.asarray(density(term, jnp.asarray(grid, jnp.float32), jnp.float32(sigma)))) * grid[1]
    assert cumulative[-1] == pytest.approx(1, abs=1e-3)
    assert np.abs(np.interp(r, grid, cumulative) - np.linspace(0, 1, len(r))).max() < 0.008


def test_em_finds_what_was_put_in(mixture):
    _, term = mixture
    order = np.argsort(np.asarray(term.centres[0, :2]))
    for field, column in ((term.centres, 1), (term.widths, 2)):
        np.testing.assert_allclose(np.asarray(field)[0, order], np.array(PROTEIN)[:, column], atol=5e-4)


@pytest.mark.parametrize(
    ("parts", "number"),
    [
        (PROTEIN, 2),
        ([(0.05, 0.29, 0.005), (0.95, 0.38, 0.005)], 2),
        ([(0.3, 0.5, 0.01), (0.4, 0.57, 0.012), (0.3, 0.65, 0.01)], 3),
        ([(1.0, 0.6, 0.02)], None),
        ([(1.0, 0.6, 0.06)], None),
        ([(0.5, 0.45, 0.05), (0.5, 0.7, 0.05)], None),
        ([(0.7, 0.58, 0.02), (0.3, 0.6, 0.03)], None),
    ],
)
def test_several_narrow_peaks_with_a_valley_between_them_are_a_mixture(parts, number):
    found = peaks(shells(parts, 5000, 0))
    assert (found and len(found.weights)) == number


def test_flat_and_skewed_distances_are_left_alone():
    rng = np.random.default_rng(0)
    assert peaks(rng.uniform(0.45, 0.7, 5000)) is None
    assert peaks(0.5 + 0.03 * rng.exponential(size=5000)) is None


def test_a_few_jumps_of_a_correlated_series_are_no_evidence_of_a_peak():
    """The same small second peak, seen in one stretch of time and not 100 times."""
    r = shells([(0.99, 0.38, 0.005), (0.01, 0.4, 0.005)], 5000, 0)
    assert peaks(np.sort(r)) is None


def test_stiff_distances_are_not_mixtures():
    assert PairMixture.fit(PAIR, dimer(shells([(1.0, 0.38, 0.005)], 2000, 0), 1)).size == 0

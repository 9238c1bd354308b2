"""Stiff distances: the moments of their joint Gaussian at every noise level are those of noised samples."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from backbones import chain_molecule, dimer, noised, random_chain

from scorefield.diffusion import denoising_loss
from scorefield.energy.base import AbstractEnergy
from scorefield.energy.stiff import MAX_RELATIVE_WIDTH, MIN_WIDTH, StiffDistances, stiff_pairs
from scorefield.geometry import distances

N_BEADS = 5
PAIR = chain_molecule(("A", "B"))
CHAIN = chain_molecule(("A",) * N_BEADS)
LENGTH = 0.15  # nm, of every bond; the prior of a chain of them fades at 0.038 nm
SIGMAS = [0.0, 0.002, 0.005, 0.009]


@pytest.mark.parametrize("of_bond", [0.0, 0.02, 0.04, 0.08])
def test_a_noised_harmonic_pair_has_the_priors_mean_and_variance(of_bond):
    """Boltzmann averages with the Jacobian r^2; the fading prior is wider by (sigma/fade)^4."""
    n, width = 200_000, 0.004
    x = dimer(LENGTH + width * np.random.default_rng(0).normal(size=n), 1)
    prior = StiffDistances.fit(PAIR, x.astype(np.float32))
    sigma = of_bond * LENGTH
    r = np.linspace(0.08, 0.24, 2001)
    at = jnp.asarray(np.stack([np.zeros((len(r), 3)), r[:, None] * [1.0, 0.0, 0.0]], axis=1), jnp.float32)
    u = np.asarray(jax.vmap(prior, (0, None))(at, jnp.float32(sigma)), np.float64)
    mean, sd = moments(r, r**2 * np.exp(u.min() - u))
    y = noised(x, sigma, 2)
    q = np.linalg.norm(y[:, 0] - y[:, 1], axis=1)
    assert mean == pytest.approx(q.mean(), abs=0.02 * q.std())
    assert sd**2 / q.var() == pytest.approx(1 + (sigma / float(prior.fade)) ** 4, abs=0.02)


def moments(r: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    mean = np.average(r, weights=weight)
    return mean, np.sqrt(np.average((r - mean) ** 2, weights=weight))


@pytest.fixture(scope="module", params=[3, N_BEADS])
def chain(request) -> tuple[np.ndarray, StiffDistances, float]:
    """A chain with independent bonds and 1-3 distances and free torsions, its prior without fading, and a tolerance."""
    n_beads = request.param
    x = random_chain(200_000, n_beads - 1, 0)
    prior = StiffDistances.fit(chain_molecule(("A",) * n_beads), x.astype(np.float32))
    assert len(prior.pairs) == 2 * n_beads - 3
    return x, eqx.tree_at(lambda p: p.fade, prior, jnp.float32(1e3)), 0.02


@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_covariance_of_a_noised_chain_is_c_plus_sigma_squared_g(chain, sigma):
    x, prior, _ = chain
    y = noised(x, sigma, 1)
    predicted = np.asarray(prior.covariance) + sigma**2 * mean_metric(prior, jnp.asarray(x, jnp.float32), 0.0)
    i, j = np.asarray(prior.pairs).T
    measured = np.cov(np.linalg.norm(y[:, i] - y[:, j], axis=-1), rowvar=False)
    scale = np.sqrt(np.outer(np.diag(measured), np.diag(measured)))
    np.testing.assert_allclose(predicted / scale, measured / scale, atol=0.02)


@eqx.filter_jit
def mean_metric(prior: StiffDistances, x: jax.Array, sigma: float) -> jax.Array:
    return jnp.mean(jax.vmap(prior.metric, (0, None))(x, jnp.float32(sigma)), axis=0)


@pytest.mark.parametrize("of_length", [0.1, 0.3, 0.6])
def test_the_direction_of_a_noised_pair_is_turned_as_far_as_the_langevin_function_says(of_length):
    """<u . u0> of a pair at its length: L(k) = coth k - 1/k, k = length^2 / (2 sigma^2); the metric has it squared."""
    prior = StiffDistances.fit(PAIR, dimer(LENGTH + 0.003 * np.random.default_rng(0).normal(size=500), 1))
    two = eqx.tree_at(lambda p: (p.pairs, p.mean), prior, (jnp.array([[0, 1], [1, 2]]), jnp.full(2, LENGTH)))
    line = jnp.asarray([[0.0, 0, 0], [LENGTH, 0, 0], [2 * LENGTH, 0, 0]])
    sigma = of_length * LENGTH
    k = LENGTH**2 / (2 * sigma**2)
    measured = -float(two.metric(line, jnp.float32(sigma))[0, 1])  # they share a bead, and u . u = 1 without noise
    assert np.sqrt(measured) == pytest.approx(1 / np.tanh(k) - 1 / k, abs=0.11)
    assert np.linalg.eigvalsh(two.metric(line, jnp.float32(sigma)))[0] > 0


@eqx.filter_jit
def stein(prior: StiffDistances, x: jax.Array, sigma: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """grad U . grad q, the Laplacians of q and q itself, of every frame."""

    def one(x):
        q = lambda y: distances(y, prior.pairs)
        force = jax.grad(prior)(x, sigma)
        return jax.jvp(q, (x,), (force,))[1], 4 / q(x), q(x)

    return jax.vmap(one)(x)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_steins_identities(chain, sigma):
    """<grad U . grad q> = <Laplacian of q>, and <(q - <q>) (grad U . grad q - Laplacian of q)> = <grad q . grad q>."""
    x, prior, tolerance = chain
    y = jnp.asarray(noised(x, sigma, 2), jnp.float32)
    work, laplacian, q = (np.asarray(a, np.float64) for a in stein(prior, y, jnp.float32(sigma)))
    error = 4 * work.std(axis=0) / np.sqrt(len(x)) / laplacian.mean(axis=0)
    tolerance = tolerance + 30 * (sigma / LENGTH) ** 2
    covariance = (q - q.mean(axis=0)).T @ (work - laplacian) / len(x)
    np.testing.assert_allclose(covariance, mean_metric(prior, y, 0.0), atol=tolerance)
    assert (np.abs(work.mean(axis=0) / laplacian.mean(axis=0) - 1) < tolerance + error).all()


def test_a_wrong_mean_force_along_a_bond_is_corrected_at_every_level(chain):
    """A constant force f(level) along bond 0 moves the bonds' means by -C f, and the correction moves them back."""
    x, prior, _ = chain
    x = jnp.asarray(x[:5000], jnp.float32)
    molecule = chain_molecule(("A",) * x.shape[1])
    wrong = lambda level: 20 + 4e6 * level**2

    def score(y, level, share):
        push = wrong(level) * share * jax.grad(lambda z: distances(z, prior.pairs)[0])(y)
        return -jax.grad(prior.read_off)(y, level) + push

    levels = (0.002, 0.004)
    right = prior.corrected(molecule, lambda y, level: score(y, level, 0), x, levels)
    off = prior.corrected(molecule, lambda y, level: score(y, level, 1), x, levels)
    covariance = np.asarray(prior.covariance)
    bonds = [k for k, (i, j) in enumerate(np.asarray(prior.pairs)) if j == i + 1]
    for level in (0.002, 0.003, 0.004):
        moved = (off.correction - right.correction).T @ jnp.array([1.0, level**2])
        expected = np.where(np.isin(np.arange(prior.size), bonds), -covariance[0] * wrong(level), 0.0)
        np.testing.assert_allclose(moved, expected, atol=0.1 * covariance[0, 0] * wrong(level))


class Alone(AbstractEnergy):
    """The prior as all there is of an energy."""

    prior: StiffDistances

    def __call__(self, x, sigma):
        return self.prior(x, sigma)


@eqx.filter_jit
def loss(prior: StiffDistances, x: jax.Array, sigma: jax.Array, keys: jax.Array) -> jax.Array:
    return jnp.mean(jax.vmap(denoising_loss, (None, 0, None, 0))(Alone(prior), x, sigma, keys))


@pytest.mark.parametrize("sigma", SIGMAS[1:])
def test_no_other_mean_or_width_of_the_prior_denoises_better(sigma):
    """The loss is least at the score: any prior with other moments must do worse on the same noise."""
    x = random_chain(20_000, 2, 0)
    prior = StiffDistances.fit(chain_molecule(("A",) * 3), x.astype(np.float32))
    prior = eqx.tree_at(lambda p: p.fade, prior, jnp.float32(1e3))
    x, keys = jnp.asarray(x, jnp.float32), jax.random.split(jax.random.key(0), len(x))
    evaluate = lambda p: float(loss(p, x, jnp.float32(sigma), keys))
    best, metric = evaluate(prior), mean_metric(prior, x, 0.0)
    total = prior.covariance + sigma**2 * metric
    variances, modes = jnp.linalg.eigh(total)
    for way in (-0.3, 0.3):
        for variance, mode in zip(variances, modes.T, strict=True):
            change = way * variance * jnp.outer(mode, mode)
            assert evaluate(eqx.tree_at(lambda p: p.covariance, prior, prior.covariance + change)) > best
        for k in range(len(prior.pairs)):
            moved = eqx.tree_at(lambda p: p.rest, prior, prior.rest.at[k].add(way * jnp.sqrt(total[k, k])))
            assert evaluate(moved) > best


def test_the_prior_fades_with_the_fourth_power_of_the_noise():
    prior = StiffDistances.fit(CHAIN, random_chain(1000, N_BEADS - 1, 0).astype(np.float32))
    x, lasting = jnp.asarray(random_chain(1, N_BEADS - 1, 1)[0]), eqx.tree_at(lambda p: p.fade, prior, jnp.float32(1e9))
    evaluate = eqx.filter_jit(lambda p, sigma: p(x, sigma))
    for ratio in (0.5, 1.0, 3.0):
        sigma = ratio * prior.fade
        assert float(evaluate(prior, sigma) / evaluate(lasting, sigma)) == pytest.approx(1 / (1 + ratio**4), rel=1e-4)


def test_narrow_single_peaks_are_stiff_and_all_others_are_not():
    rng, n = np.random.default_rng(0), 5000
    peak = lambda mean, sd: mean + sd * rng.normal(size=n)
    two_peaks = np.where(rng.random(n) < 0.5, 0.147, 0.153) + 0.0005 * rng.normal(size=n)
    skewed = 0.15 + 0.005 * rng.exponential(size=n)
    for distance, stiff in [
        (peak(0.15, 0.004), True),
        (peak(0.15, 0.9 * MAX_RELATIVE_WIDTH * 0.15), True),
        (peak(0.15, 1.1 * MAX_RELATIVE_WIDTH * 0.15), False),
        (skewed, False),
        (np.where(rng.random(n) < 0.1, 0.165, peak(0.15, 0.001)), False),
        (two_peaks, True),  # two equal peaks so near each other that their excess kurtosis is above -2
    ]:
        assert len(stiff_pairs(PAIR, dimer(distance, 1))) == stiff


def test_bonds_and_1_3_pairs_are_candidates_each_once():
    x = random_chain(2000, N_BEADS - 1, 0)
    expected = [(i, i + k) for i in range(N_BEADS) for k in (1, 2) if i + k < N_BEADS]
    np.testing.assert_array_equal(stiff_pairs(CHAIN, x), expected)
    x[:, -1] += 0.05 * np.random.default_rng(1).normal(size=(2000, 3))
    np.testing.assert_array_equal(stiff_pairs(CHAIN, x), [*expected[:-3], (2, 3)])


@pytest.mark.parametrize("n_frames", [1, 400])
def test_rigid_bonds_are_stiff_and_keep_a_width_that_can_be_integrated(n_frames):
    """Constraints, or frames all alike: the prior is finite, least at the bond length, no stiffer than MIN_WIDTH."""
    molecule, steps = chain_molecule(("CA",) * 3), np.random.default_rng(0).normal(size=(n_frames, 2, 3))
    steps *= 0.38 / np.linalg.norm(steps, axis=-1, keepdims=True)
    x = np.repeat(np.cumsum(np.pad(steps, ((0, 0), (1, 0), (0, 0))), axis=1), 400 // n_frames, axis=0).astype(
        np.float32
    )
    prior = StiffDistances.fit(molecule, x)
    assert {(0, 1), (1, 2)} <= {tuple(pair) for pair in np.asarray(prior.pairs).tolist()}
    assert np.sqrt(np.linalg.eigvalsh(prior.covariance)[0]) > 0.5 * MIN_WIDTH
    force = jax.grad(prior)(jnp.asarray(x[0]), jnp.zeros(()))
    assert np.linalg.norm(force) < 0.1 / MIN_WIDTH


def test_three_beads_in_line_whose_distances_depend_on_each_other():
    x = np.zeros((500, 3, 3), np.float32)
    x[:, :, 0] = np.cumsum(0.15 + 0.003 * np.random.default_rng(0).normal(size=(500, 3)), axis=1)
    prior = StiffDistances.fit(chain_molecule(("CA",) * 3), x)
    assert len(prior.pairs) == 3
    for sigma in (0.0, 0.01):
        value, force = jax.value_and_grad(prior)(jnp.asarray(x[0]), jnp.float32(sigma))
        assert np.isfinite(value)
        assert np.linalg.norm(force) < 10 / 0.003  # of the order of one over the bonds' width

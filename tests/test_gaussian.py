"""The closed-form Gaussian: score, translation, and agreement with the noised data's own moments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorefield.energy.gaussian import GaussianEnergy
from scorefield.errors import InputError
from scorefield.geometry import centre

N = 4


def covariance(seed: int = 0) -> np.ndarray:
    a = np.random.default_rng(seed).normal(size=(N, N)) * 0.1
    p = np.eye(N) - 1 / N
    return p @ a @ a.T @ p


def test_energy_is_the_quadratic_form_of_the_noised_covariance():
    c, sigma = covariance(), jnp.float32(0.07)
    energy = GaussianEnergy.from_covariance(c)
    x = centre(jax.random.normal(jax.random.key(0), (N, 3)))
    inverse = np.linalg.inv(c + 0.07**2 * np.eye(N))
    assert float(energy(x, sigma)) == pytest.approx(0.5 * np.einsum("ic,ij,jc->", x, inverse, x), rel=1e-4)
    np.testing.assert_allclose(energy.score(x, sigma), -inverse @ x, rtol=1e-3, atol=1e-3)


def test_energy_ignores_translation_and_rotation():
    energy, sigma = GaussianEnergy.from_covariance(covariance()), jnp.float32(0.05)
    x = jax.random.normal(jax.random.key(0), (N, 3)) * 0.1
    turned = x @ jnp.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]) + 3.0
    assert float(energy(turned, sigma)) == pytest.approx(float(energy(x, sigma)), rel=1e-4)


def test_from_positions_recovers_the_covariance():
    c = covariance()
    x = np.random.default_rng(1).multivariate_normal(np.zeros(N), c, size=(200_000, 3)).transpose(0, 2, 1)
    energy = GaussianEnergy.from_positions(x + 5.0)
    recovered = np.asarray(energy.modes.T @ (energy.variances[:, None] * energy.modes))
    np.testing.assert_allclose(recovered, c, atol=0.02 * np.abs(c).max())


@pytest.mark.parametrize("sigma", [1e-30, 1e-3, 1e3, 1e30])
def test_energy_and_score_are_finite_at_any_noise(sigma):
    energy = GaussianEnergy.from_covariance(covariance())
    x = jax.random.normal(jax.random.key(0), (N, 3))
    assert np.isfinite(energy(x, jnp.float32(sigma)))
    assert np.isfinite(energy.score(x, jnp.float32(sigma))).all()


def test_gradient_with_respect_to_the_fields_is_zero():
    energy = GaussianEnergy.from_covariance(covariance())
    gradient = jax.grad(lambda e: e(jnp.eye(N, 3), jnp.float32(0.1)))(energy)
    assert all(np.all(np.asarray(leaf) == 0) for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("bad", [np.array([[0.0, 1.0], [2.0, 0.0]]), -np.eye(3), np.full((2, 2), np.nan)])
def test_a_matrix_that_is_no_covariance_is_refused(bad):
    with pytest.raises(InputError, match="covariance matrix must be"):
        GaussianEnergy.from_covariance(bad)

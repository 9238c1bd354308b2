"""The denoising loss on a Gaussian, where its least value is a closed form, and the augmentation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorefield.diffusion import denoising_loss, fokker_planck_penalty, level_contrast, rotated
from scorefield.energy.base import AbstractEnergy
from scorefield.energy.gaussian import GaussianEnergy
from scorefield.geometry import all_pairs, distances, random_rotation
from scorefield.noise import LogUniformMixture

N, N_FRAMES = 4, 40_000
VARIANCES = np.array([0.0004, 0.004, 0.01])  # nm^2


MODES = np.linalg.qr(np.column_stack([np.ones(N), np.random.default_rng(0).normal(size=(N, N - 1))]))[0][:, 1:].T


def gaussian(variances=VARIANCES) -> GaussianEnergy:
    return GaussianEnergy(jnp.asarray(MODES, jnp.float32), jnp.asarray(variances, jnp.float32))


def frames() -> np.ndarray:
    """N_FRAMES of `gaussian()`, the same at each call."""
    amplitudes = np.random.default_rng(1).normal(size=(N_FRAMES, N - 1, 3)) * np.sqrt(VARIANCES)[:, None]
    return np.einsum("kn,fkc->fnc", MODES, amplitudes).astype(np.float32)


@jax.jit
def losses(energy, sigma):
    """Of `frames`, with the same noise for every energy."""
    keys = jax.random.split(jax.random.key(0), N_FRAMES)
    return jax.vmap(denoising_loss, (None, 0, None, 0))(energy, jnp.asarray(frames()), sigma, keys)


@pytest.mark.parametrize("sigma", [0.001, 0.02, 0.1, 1.0])
def test_the_loss_of_the_true_score_is_its_closed_form(sigma):
    """Along a mode of variance v the residual of the best denoiser has variance v / (v + sigma^2)."""
    loss = np.asarray(losses(gaussian(), jnp.float32(sigma)))
    expected = (VARIANCES / (VARIANCES + sigma**2)).sum() / N
    assert loss.mean() == pytest.approx(expected, abs=4 * loss.std() / np.sqrt(N_FRAMES))


@pytest.mark.parametrize("mode", range(N - 1))
@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_any_other_covariance_has_a_larger_loss(mode, factor):
    best = losses(gaussian(), jnp.float32(0.03)).mean()
    other = VARIANCES * np.where(np.arange(N - 1) == mode, factor, 1.0)
    assert losses(gaussian(other), jnp.float32(0.03)).mean() > best


def test_the_loss_tends_to_the_share_of_internal_coordinates_as_noise_vanishes():
    loss = np.asarray(losses(gaussian(), jnp.float32(1e-5)))
    assert loss.mean() == pytest.approx(1 - 1 / N, abs=4 * loss.std() / np.sqrt(N_FRAMES))


class Normalised(AbstractEnergy):
    """-log p_sigma of the Gaussian, and what would be wrong with a worse one: a function of sigma, and a factor."""

    gaussian: GaussianEnergy
    exponent: jax.Array
    factor: jax.Array

    def __call__(self, x, sigma):
        log_z = 1.5 * jnp.sum(jnp.log(self.gaussian.variances + sigma**2))
        return self.factor * self.gaussian(x, sigma) + log_z + self.exponent * jnp.log(sigma)


@jax.jit
def contrast(exponent, factor):
    """Mean over `frames` and noise levels."""
    levels = LogUniformMixture((0.002, 0.05, 0.5), (0.3, 0.7))
    energy = Normalised(gaussian(), exponent, factor)

    def one(x, key):
        keys = jax.random.split(key, 3)
        return level_contrast(energy, levels, x, levels.sample(keys[0]), keys[1], keys[2])

    return jax.vmap(one)(jnp.asarray(frames()), jax.random.split(jax.random.key(0), N_FRAMES)).mean()


def test_the_contrast_of_levels_is_least_for_the_normalised_density():
    best = contrast(0.0, 1.0)
    assert 0 < best < np.log(2)
    for exponent, factor in ((0.5, 1.0), (-0.5, 1.0), (0.0, 0.9), (0.0, 1.1)):
        assert contrast(exponent, factor) > best


@jax.jit
def penalties(exponent, factor):
    """Of 4,000 of `frames` at noise 0.03 nm."""
    energy = Normalised(gaussian(), exponent, factor)
    noise, probes = jax.random.split(jax.random.key(0), (2, 4000))
    of_one = lambda x, a, b: fokker_planck_penalty(energy, x, jnp.float32(0.03), a, b)
    return jax.vmap(of_one)(jnp.asarray(frames()[:4000]), noise, probes)


def test_the_fokker_planck_penalty_is_zero_for_the_density_of_a_diffusion_and_only_for_it():
    off = lambda *wrong: float(penalties(*wrong).mean() / (penalties(*wrong).std() / np.sqrt(4000)))
    assert abs(off(0.0, 1.0)) < 4
    for wrong in ((1.0, 1.0), (-1.0, 1.0), (0.0, 0.8), (0.0, 1.2)):
        assert off(*wrong) > 5, wrong


def test_rotated_turns_all_beads_alike_about_the_origin():
    x = jax.random.normal(jax.random.key(1), (N, 3))
    y = rotated(x, jax.random.key(2))
    np.testing.assert_allclose(distances(y, all_pairs(N)), distances(x, all_pairs(N)), rtol=1e-5)
    np.testing.assert_allclose(jnp.linalg.norm(y, axis=1), jnp.linalg.norm(x, axis=1), rtol=1e-5)
    np.testing.assert_allclose(y, x @ random_rotation(jax.random.key(2)).T, rtol=1e-5)
    assert float(jnp.linalg.det(x[:3]) * jnp.linalg.det(y[:3])) > 0
